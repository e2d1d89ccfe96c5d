// SPDX-License-Identifier: Apache-2.0

package incident

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

// storyKept bounds the lines of one story, and its entities; the archive has the rest.
const storyKept = 500

type state struct {
	inc     *verdict.Incident
	last    int64
	anchors []entity.Key
	members map[string]bool
	named   map[string]bool // entities, by kind, host and label
	entries map[entity.Key]*vote
	witness map[string]*verdict.Evidence // the strongest of each root fact
	odds    verdict.LogOdds              // of them all, see weigh
	top     *verdict.Evidence
}

type vote struct {
	entry  *entity.Sighting
	weight float64
	first  int64
	rule   trace.Rule
}

// weigh adds a black finding's evidence: as verdict.Join would without a prior, but
// step by step, because a long incident has thousands. A finding's score holds the
// prior already, so a lone finding gives the incident its own score; each further fact
// brings its posterior odds, which are less than its likelihood ratio by that prior
// (4.6 nats), because the facts of one intrusion are not independent.
func (s *state) weigh(e *verdict.Evidence) {
	old := s.witness[e.Root]
	if old != nil && old.Weight >= e.Weight {
		return
	}
	s.odds += verdict.LogOdds(e.Weight)
	if old != nil {
		s.odds -= verdict.LogOdds(old.Weight)
	}
	s.witness[e.Root] = e
	if t := s.top; t == nil || cmp.Or(-cmp.Compare(e.Weight, t.Weight), cmp.Compare(e.Root, t.Root), cmp.Compare(e.What, t.What)) < 0 {
		s.top = e
	}
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

// sure is the weight of one finding that is black and no guess: odds of nine in ten.
const sure = 0.9

// entry is the earliest entry that a sure finding leads to, because an intruder who came
// in comes again by the same door; where there is none, the one most of the evidence
// leads to.
func (s *state) entry() *vote {
	var best entity.Key
	var top *vote
	for id, v := range s.entries {
		if top == nil || cmp.Or(-cmp.Compare(min(v.weight, sure), min(top.weight, sure)), cmp.Compare(v.first, top.first), bytes.Compare(id[:], best[:])) < 0 {
			best, top = id, v
		}
	}
	return top
}

func (b *Builder) step(m member) *verdict.Step {
	where := ""
	for _, e := range m.f.Evidence { // strongest first; what was done, not how it came
		if e.Engine != "trace" && e.Where != "" {
			where = ": " + e.Where
			break
		}
	}
	if via := m.path.Passing(b.g); len(via) > 0 {
		where += ", by " + b.g.Sighting(via[0], "").Label()
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

// nameWay takes in the entry and the requests on the way, which the finding itself may
// not name because they were not known when it was made.
func (b *Builder) nameWay(st *state, m member) {
	if s := b.g.Sighting(m.path.Entry, "entry"); s != nil {
		st.name(s)
	}
	for _, id := range m.path.Passing(b.g) {
		st.name(b.g.Sighting(id, "via"))
	}
}

// name adds an entity once, whatever its role.
func (s *state) name(e *entity.Sighting) {
	k := fmt.Sprint(e.Kind, "/", e.Host, "/", e.Label())
	switch e.Kind {
	case entity.Kind_ADDRESS:
		k = "address/" + e.Text
	case entity.Kind_PROCESS: // whatever it has become by exec
		k = fmt.Sprint("process/", e.Host, "/", e.GetProcess().GetPid(), "/", e.GetProcess().GetStartNs())
	}
	if !s.named[k] && len(s.inc.Entities) < storyKept {
		s.named[k] = true
		s.inc.Entities = append(s.inc.Entities, e)
	}
}

// lossesKept bounds what an incident says of losses: a storm has one window a second.
const lossesKept = 64

func (s *state) lost(c *verdict.Completeness) {
	for _, l := range c.GetLosses() {
		if s.inc.Completeness == nil {
			s.inc.Completeness = &verdict.Completeness{}
		}
		same := func(o *verdict.LossWindow) bool {
			return o.Sensor == l.Sensor && o.Class == l.Class && o.FromNs == l.FromNs && o.ToNs == l.ToNs
		}
		if have := s.inc.Completeness.Losses; len(have) < lossesKept && !slices.ContainsFunc(have, same) {
			s.inc.Completeness.Losses = append(have, l)
		}
	}
}

// retrace counts the entry of a finding that was told before its chain was known, and
// says in the story how it is tied to it.
func (b *Builder) retrace(st *state, m member) {
	n := b.g.Node(m.path.Entry)
	if n == nil {
		return
	}
	for _, s := range st.inc.Story {
		if s.Finding == m.f.Id && s.Rule == "" {
			s.Rule, s.Guess = string(m.path.Rule), m.path.Guess
		}
	}
	b.nameWay(st, m)
	if _, known := st.entries[n.Key]; !known && m.f.Black() {
		st.vote(n.Key, vote{entry: b.g.Sighting(m.path.Entry, "entry"), weight: m.f.Score, first: m.t, rule: m.path.Rule})
	}
}
