// SPDX-License-Identifier: Apache-2.0

// Package incident folds findings into intrusions: one incident per intrusion, not
// per rule.
//
// In come findings with their trace; out come incidents that grow, merge and never
// change their id. It believes in anchors: the entry a finding traces back to, the
// client address behind that entry and, where the trace ends in the unknown, the
// deepest process it reached. Findings that share an anchor within the window are
// one intrusion. Only black findings open an incident; grey ones join as context.
//
// The worst trap: an anchor shared by the innocent (a proxy's address, a daemon).
// Daemons that were there before us are never anchors, and an address joins only
// what is already a finding.
package incident

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// Config bounds the builder.
type Config struct {
	Window time.Duration `yaml:"window"` // an incident grows while its last finding is this young; default 6 h
	Open   int           `yaml:"open"`   // incidents kept in memory; default 4096
}

// DefaultConfig is six hours and 4096 incidents.
func DefaultConfig() Config { return Config{Window: 6 * time.Hour, Open: 4096} }

// prior of an incident: a black finding alone must be able to carry it.
const prior = -2.0

// storyKept bounds the lines of one story; the archive has the rest.
const storyKept = 500

// Builder folds findings. It belongs to the goroutine of its graph.
type Builder struct {
	g      *graph.Graph
	cfg    Config
	tenant string

	open   map[string]*state
	order  []string                // ids by age, for eviction
	anchor map[entity.Key]string   // → incident id
	grey   map[entity.Key][]member // waiting for an incident
	greys  int
}

type state struct {
	inc      *verdict.Incident
	last     int64
	members  map[string]bool
	entries  map[entity.Key]*vote
	evidence []*verdict.Evidence
}

type vote struct {
	entry  *entity.Sighting
	weight float64
	first  int64
	rule   trace.Rule
}

type member struct {
	f    *verdict.Finding
	path trace.Path
	subj graph.NodeID
	t    int64
}

// greyKept bounds the grey findings that wait for an incident.
const greyKept = 4096

// New makes a builder over the graph its paths come from.
func New(tenant string, g *graph.Graph, cfg Config) *Builder {
	def := DefaultConfig()
	cfg.Window, cfg.Open = cmp.Or(cfg.Window, def.Window), cmp.Or(cfg.Open, def.Open)
	return &Builder{g: g, cfg: cfg, tenant: tenant, open: map[string]*state{}, anchor: map[entity.Key]string{}, grey: map[entity.Key][]member{}}
}

// Add folds one finding in and gives the incident that it changed; nil when it only
// waits.
func (b *Builder) Add(f *verdict.Finding, subject graph.NodeID, path trace.Path, t int64) *verdict.Incident {
	m := member{f, path, subject, t}
	keys := b.anchors(m)
	found := b.lookup(keys, t)
	if st := b.holding(f.Id); st != nil && !slices.Contains(found, st) {
		found = append(found, st) // told before, traced further now
		slices.SortFunc(found, byAge)
	}
	if len(found) == 0 {
		if !f.Black() {
			b.wait(keys, m)
			return nil
		}
		found = []*state{b.begin(f, t)}
	}
	st := found[0]
	for _, other := range found[1:] {
		b.merge(st, other)
	}
	b.join(st, m, keys)
	for _, k := range keys {
		for _, w := range b.grey[k] {
			b.join(st, w, b.anchors(w))
		}
		b.greys -= len(b.grey[k])
		delete(b.grey, k)
	}
	b.finish(st)
	return st.inc
}

// anchors are what this finding shares with others of its intrusion, in a fixed
// order.
func (b *Builder) anchors(m member) []entity.Key {
	var keys []entity.Key
	add := func(id graph.NodeID) {
		if n := b.g.Node(id); n != nil && !slices.Contains(keys, n.Key) {
			keys = append(keys, n.Key)
		}
	}
	if m.path.Entry != 0 {
		add(m.path.Entry)
		if fl := trace.EntryClient(b.g, m.path.Entry); fl != nil {
			if id := b.g.Resolve(&entity.Sighting{Kind: entity.Kind_ADDRESS, Text: fl.Src().Addr().String()}, m.f.Host, m.t); id != 0 {
				add(id)
			}
		}
		return keys
	}
	if n := b.g.Node(m.subj); n != nil && n.Kind == entity.Kind_ADDRESS {
		add(m.subj)
		return keys
	}
	for _, h := range slices.Backward(m.path.Hops) {
		n := b.g.Node(h.Node)
		if n == nil || n.Process != nil && (n.Process.Snapshot || n.Process.Ref.Pid == 1) {
			continue
		}
		add(h.Node)
		break
	}
	return keys
}

// lookup finds the live incidents behind the anchors, oldest first.
func (b *Builder) lookup(keys []entity.Key, t int64) []*state {
	var out []*state
	for _, k := range keys {
		st := b.open[b.anchor[k]]
		if st == nil || t-st.last > int64(b.cfg.Window) || slices.Contains(out, st) {
			continue
		}
		out = append(out, st)
	}
	slices.SortFunc(out, byAge)
	return out
}

func byAge(a, c *state) int {
	return cmp.Or(cmp.Compare(a.inc.OpenedNs, c.inc.OpenedNs), cmp.Compare(a.inc.Id, c.inc.Id))
}

// holding finds the open incident that has the finding already, among the latest: a
// finding is traced again only within seconds.
func (b *Builder) holding(finding string) *state {
	for _, id := range slices.Backward(b.order[max(0, len(b.order)-16):]) {
		if st := b.open[id]; st != nil && st.members[finding] {
			return st
		}
	}
	return nil
}

func (b *Builder) wait(keys []entity.Key, m member) {
	if len(keys) == 0 {
		return
	}
	if b.greys >= greyKept {
		clear(b.grey)
		b.greys = 0
	}
	last := keys[len(keys)-1] // the widest anchor: the client's address where there is one
	b.grey[last] = append(b.grey[last], m)
	b.greys++
}

func (b *Builder) begin(f *verdict.Finding, t int64) *state {
	sum := xxh3.HashString128(f.Id).Bytes()
	st := &state{
		inc:     &verdict.Incident{Id: "i-" + hex.EncodeToString(sum[:8]), Tenant: b.tenant, State: "open", OpenedNs: f.WallNs},
		last:    t,
		members: map[string]bool{}, entries: map[entity.Key]*vote{},
	}
	b.open[st.inc.Id] = st
	b.order = append(b.order, st.inc.Id)
	if len(b.order) > b.cfg.Open {
		delete(b.open, b.order[0])
		b.order = b.order[1:]
	}
	return st
}

// merge takes the younger incident into the older one, whose id lives on.
func (b *Builder) merge(into, from *state) {
	into.inc.Aliases = append(append(into.inc.Aliases, from.inc.Id), from.inc.Aliases...)
	into.inc.Findings = append(into.inc.Findings, from.inc.Findings...)
	into.inc.Story = append(into.inc.Story, from.inc.Story...)
	into.inc.Entities = append(into.inc.Entities, from.inc.Entities...)
	into.evidence = append(into.evidence, from.evidence...)
	for _, list := range []struct{ to, from *[]string }{
		{&into.inc.Hosts, &from.inc.Hosts}, {&into.inc.Techniques, &from.inc.Techniques}, {&into.inc.Layers, &from.inc.Layers},
	} {
		*list.to = append(*list.to, *list.from...)
	}
	for id := range from.members {
		into.members[id] = true
	}
	for id, v := range from.entries {
		into.vote(id, *v)
	}
	for k, id := range b.anchor {
		if id == from.inc.Id {
			b.anchor[k] = into.inc.Id
		}
	}
	delete(b.open, from.inc.Id)
	b.order = slices.DeleteFunc(b.order, func(id string) bool { return id == from.inc.Id })
}

func (s *state) vote(id entity.Key, v vote) {
	old := s.entries[id]
	if old == nil {
		s.entries[id] = &v
		return
	}
	old.weight += v.weight
	if v.first < old.first {
		old.first = v.first
	}
}

// join writes the member into the incident.
func (b *Builder) join(st *state, m member, keys []entity.Key) {
	for _, k := range keys {
		b.anchor[k] = st.inc.Id
	}
	if st.members[m.f.Id] {
		st.retrace(b.g, m)
		return
	}
	st.members[m.f.Id] = true
	inc := st.inc
	inc.Findings = append(inc.Findings, m.f.Id)
	inc.Hosts = append(inc.Hosts, m.f.Host)
	inc.Techniques = append(inc.Techniques, m.f.Techniques...)
	inc.Layers = append(inc.Layers, m.f.Layer)
	for _, l := range m.f.GetCompleteness().GetLosses() {
		if inc.Completeness == nil {
			inc.Completeness = &verdict.Completeness{}
		}
		inc.Completeness.Losses = append(inc.Completeness.Losses, l)
	}
	st.last = max(st.last, m.t)
	inc.UpdatedNs = max(inc.UpdatedNs, m.f.WallNs)
	if m.f.Black() {
		odds := float64(verdict.Odds(m.f.Score))
		st.evidence = append(st.evidence, &verdict.Evidence{What: m.f.Title, Where: m.f.Host, Weight: odds, Engine: m.f.Layer + "/" + m.f.Stage, Root: rootOf(m)})
		if n := b.g.Node(m.path.Entry); n != nil {
			st.vote(n.Key, vote{entry: b.g.Sighting(m.path.Entry, "entry"), weight: m.f.Score, first: m.t, rule: m.path.Rule})
		}
	}
	if len(inc.Story) < storyKept {
		inc.Story = append(inc.Story, b.step(m))
	}
	for _, s := range m.f.Subjects {
		if len(inc.Entities) < storyKept {
			inc.Entities = append(inc.Entities, s)
		}
	}
}

// retrace counts the entry of a finding that was told before its chain was known.
func (s *state) retrace(g *graph.Graph, m member) {
	n := g.Node(m.path.Entry)
	if n == nil || !m.f.Black() {
		return
	}
	if _, known := s.entries[n.Key]; !known {
		s.vote(n.Key, vote{entry: g.Sighting(m.path.Entry, "entry"), weight: m.f.Score, first: m.t, rule: m.path.Rule})
	}
}

// rootOf is the fact a finding rests on: ten findings on one event are one witness.
func rootOf(m member) string {
	if len(m.f.Events) > 0 {
		return m.f.Events[0].Text()
	}
	return m.f.Id
}

func (b *Builder) step(m member) *verdict.Step {
	where := ""
	if len(m.f.Evidence) > 0 {
		where = ": " + m.f.Evidence[0].Where
	}
	s := &verdict.Step{
		WallNs: m.f.WallNs, Host: m.f.Host, Text: m.f.Title + where, Techniques: m.f.Techniques,
		Rule: string(m.path.Rule), Guess: m.path.Guess, Finding: m.f.Id,
	}
	if len(m.f.Subjects) > 0 {
		s.Subject = m.f.Subjects[0]
	}
	return s
}

// finish orders what grew and names entry, score and title.
func (b *Builder) finish(st *state) {
	inc := st.inc
	for _, list := range []*[]string{&inc.Hosts, &inc.Techniques, &inc.Layers} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	slices.SortStableFunc(inc.Story, func(a, c *verdict.Step) int {
		return cmp.Or(cmp.Compare(a.WallNs, c.WallNs), cmp.Compare(a.Finding, c.Finding))
	})
	odds, kept := verdict.Join(prior, st.evidence)
	inc.Score = odds.Probability()
	if v := st.entry(); v != nil {
		inc.Entry, inc.EntryRule = v.entry, string(v.rule)
	}
	if len(kept) > 0 {
		inc.Title = fmt.Sprintf("%s on %s", kept[0].What, kept[0].Where)
	}
}

// entry is the entry most of the evidence leads to; of equals the earliest.
func (s *state) entry() *vote {
	var best entity.Key
	var top *vote
	for id, v := range s.entries {
		if top == nil || cmp.Or(-cmp.Compare(v.weight, top.weight), cmp.Compare(v.first, top.first), bytes.Compare(id[:], best[:])) < 0 {
			best, top = id, v
		}
	}
	return top
}

// Incidents lists the live ones, oldest first.
func (b *Builder) Incidents() []*verdict.Incident {
	out := make([]*verdict.Incident, 0, len(b.open))
	for _, id := range b.order {
		if st := b.open[id]; st != nil {
			out = append(out, st.inc)
		}
	}
	return out
}
