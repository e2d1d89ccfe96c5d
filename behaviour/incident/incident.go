// SPDX-License-Identifier: Apache-2.0

// Package incident folds findings into intrusions: one incident per intrusion, not
// per rule.
//
// In come findings with their trace; out come incidents that grow, merge and never
// change their id. It believes in anchors: the entry a finding traces back to, the
// client addresses behind that entry and behind the requests on the way to it and,
// where the trace ends in the unknown, the deepest process it reached. Findings that share an anchor within the window are
// one intrusion. Only black findings open an incident; grey ones join as context.
//
// The worst trap: an anchor shared by the innocent (a proxy's address, a daemon).
// Daemons that were there before us are never anchors, and an address joins only
// what is already a finding.
package incident

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
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

// findingsKept bounds the ids an incident lists. Later findings count, and are in the
// archive with the same entry.
const findingsKept = 4096

// Builder folds findings. It belongs to the goroutine of its graph.
type Builder struct {
	g      *graph.Graph
	cfg    Config
	tenant string

	open   map[string]*state
	order  []string              // ids by age, for eviction
	anchor map[entity.Key]string // → incident id
	grey   waiting
}

type member struct {
	f    *verdict.Finding
	path trace.Path
	subj graph.NodeID
	t    int64
}

// New makes a builder over the graph its paths come from.
func New(tenant string, g *graph.Graph, cfg Config) *Builder {
	def := DefaultConfig()
	cfg.Window, cfg.Open = cmp.Or(cfg.Window, def.Window), cmp.Or(cfg.Open, def.Open)
	return &Builder{g: g, cfg: cfg, tenant: tenant, open: map[string]*state{}, anchor: map[entity.Key]string{}, grey: newWaiting()}
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
			b.grey.add(keys, m)
			return nil
		}
		found = []*state{b.begin(f, t)}
	}
	st := found[0]
	for _, other := range found[1:] {
		b.merge(st, other)
	}
	b.join(st, m, keys)
	b.collect(st, keys, t)
	b.finish(st)
	return st.inc
}

// collect takes in the grey findings that waited for one of the anchors, and those
// that wait for the anchors of these.
func (b *Builder) collect(st *state, keys []entity.Key, t int64) {
	for len(keys) > 0 {
		var more []entity.Key
		for _, w := range b.grey.take(keys[0]) {
			if t-w.t <= int64(b.cfg.Window) && !st.members[w.f.Id] {
				k := b.anchors(w)
				b.join(st, w, k)
				more = append(more, k...)
			}
		}
		keys = append(keys[1:], more...)
	}
}

// anchors are what this finding shares with others of its intrusion: the entry, the
// clients behind it and behind the requests on the way, in a fixed order. A guessed
// way shares nothing but its beginning.
func (b *Builder) anchors(m member) []entity.Key {
	var keys []entity.Key
	add := func(id graph.NodeID) {
		if n := b.g.Node(id); n != nil && !slices.Contains(keys, n.Key) {
			keys = append(keys, n.Key)
		}
	}
	client := func(id graph.NodeID) {
		if fl := trace.EntryClient(b.g, id); fl != nil && !fl.Src().Addr().IsLoopback() {
			add(b.g.Resolve(&entity.Sighting{Kind: entity.Kind_ADDRESS, Text: fl.Src().Addr().String()}, m.f.Host, m.t))
		}
	}
	if m.path.Entry != 0 {
		add(m.path.Entry)
		client(m.path.Entry)
		for _, id := range m.path.Passing(b.g) {
			client(id)
		}
		return keys
	}
	if n := b.g.Node(m.subj); n != nil && n.Kind == entity.Kind_ADDRESS {
		add(m.subj)
		return keys
	}
	for _, h := range slices.Backward(m.path.Hops) {
		n := b.g.Node(h.Node)
		if n == nil || n.Process == nil && h.Node != m.subj {
			continue
		}
		if p := n.Process; p != nil && (p.Snapshot || p.Service != nil || p.Ref.Pid == 1) {
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

func (b *Builder) begin(f *verdict.Finding, t int64) *state {
	sum := xxh3.HashString128(f.Id).Bytes()
	st := &state{
		inc:     &verdict.Incident{Id: "i-" + hex.EncodeToString(sum[:8]), Tenant: b.tenant, State: "open", OpenedNs: f.WallNs},
		last:    t,
		members: map[string]bool{}, named: map[string]bool{}, entries: map[entity.Key]*vote{},
		witness: map[string]*verdict.Evidence{},
	}
	b.open[st.inc.Id] = st
	b.order = append(b.order, st.inc.Id)
	if len(b.order) > b.cfg.Open {
		b.forget(b.order[0])
	}
	return st
}

// forget lets go of an incident that is in the ledger already.
func (b *Builder) forget(id string) {
	for _, k := range b.open[id].anchors {
		if b.anchor[k] == id {
			delete(b.anchor, k)
		}
	}
	delete(b.open, id)
	b.order = slices.DeleteFunc(b.order, func(o string) bool { return o == id })
}

// merge takes the younger incident into the older one, whose id lives on.
func (b *Builder) merge(into, from *state) {
	into.inc.Aliases = append(append(into.inc.Aliases, from.inc.Id), from.inc.Aliases...)
	into.inc.Findings = append(into.inc.Findings, from.inc.Findings...)
	into.inc.Story = append(into.inc.Story, from.inc.Story...)
	for _, e := range from.inc.Entities {
		into.name(e)
	}
	for _, root := range slices.Sorted(maps.Keys(from.witness)) {
		into.weigh(from.witness[root])
	}
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
	for _, k := range from.anchors {
		if b.anchor[k] == from.inc.Id {
			b.anchored(into, k)
		}
	}
	into.last = max(into.last, from.last)
	into.inc.UpdatedNs = max(into.inc.UpdatedNs, from.inc.UpdatedNs)
	if from.inc.Completeness != nil {
		into.lost(from.inc.Completeness)
	}
	b.forget(from.inc.Id)
}

func (b *Builder) anchored(st *state, k entity.Key) {
	if b.anchor[k] != st.inc.Id {
		b.anchor[k] = st.inc.Id
		st.anchors = append(st.anchors, k)
	}
}

// join writes the member into the incident.
func (b *Builder) join(st *state, m member, keys []entity.Key) {
	for _, k := range keys {
		b.anchored(st, k)
	}
	if st.members[m.f.Id] {
		b.retrace(st, m)
		return
	}
	st.members[m.f.Id] = true
	inc := st.inc
	if len(inc.Findings) < findingsKept {
		inc.Findings = append(inc.Findings, m.f.Id)
	}
	inc.Hosts = append(inc.Hosts, m.f.Host)
	inc.Techniques = append(inc.Techniques, m.f.Techniques...)
	inc.Layers = append(inc.Layers, m.f.Layer)
	st.lost(m.f.GetCompleteness())
	st.last = max(st.last, m.t)
	inc.UpdatedNs = max(inc.UpdatedNs, m.f.WallNs)
	if m.f.Black() {
		odds := float64(verdict.Odds(m.f.Score))
		st.weigh(&verdict.Evidence{What: m.f.Title, Where: m.f.Host, Weight: odds, Root: rootOf(m)})
		if n := b.g.Node(m.path.Entry); n != nil {
			v := vote{entry: b.g.Sighting(m.path.Entry, "entry"), weight: m.f.Score, first: m.t, rule: m.path.Rule}
			if m.path.Guess {
				v.weight /= 8 // many guesses do not outvote one that knows
			}
			if n.Kind == entity.Kind_ADDRESS {
				v.weight /= 8 // who it was does not say how they came in
			}
			st.vote(n.Key, v)
		}
	}
	if len(inc.Story) < storyKept {
		inc.Story = append(inc.Story, b.step(m))
	}
	for _, s := range m.f.Subjects {
		if s.Host == "" && s.Kind != entity.Kind_ADDRESS { // of the host that told it
			s = s.CloneVT()
			s.Host = m.f.Host
		}
		st.name(s)
	}
	b.nameWay(st, m)
}

// rootOf is the fact a finding rests on: ten findings on one event, and one content
// found under ten names, are one witness. What the trace adds is no fact of its own.
func rootOf(m member) string {
	for _, e := range m.f.Evidence { // strongest first
		if e.Engine != "trace" && e.Root != "" {
			return e.Root
		}
	}
	if len(m.f.Events) > 0 {
		return m.f.Events[0].Text()
	}
	return m.f.Id
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
	inc.Score = st.odds.Probability()
	if v := st.entry(); v != nil {
		inc.Entry, inc.EntryRule = v.entry, string(v.rule)
	}
	if st.top != nil {
		inc.Title = fmt.Sprintf("%s on %s", st.top.What, st.top.Where)
	}
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
