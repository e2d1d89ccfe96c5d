// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// Matcher runs compiled rules over one event (package sigma in production).
type Matcher interface {
	Match(ev sigma.Fields, emit func(*sigma.Rule))
}

// rules runs single-event rules and, where there are any, correlations on event time.
type rules struct {
	g      *graph.Graph
	set    Matcher
	stream *sigma.Stream // nil without correlations
	past   []graph.Ref   // what the stream's numbers mean, a ring
	next   uint64

	view fields
	hits []hit
	emit func(*sigma.Rule)
	tell func(sigma.Match)
}

// hit is a rule that spoke.
type hit struct {
	rule   *sigma.Rule
	events []*verdict.EventID // of a correlation
	count  int
}

// particular is 1 for a rule that knows what was done, and 0 for one that speaks because
// of who did it: of equally grave ones the first names the finding.
func (h hit) particular() int {
	if h.rule.Asks("Convicted") {
		return 0
	}
	return 1
}

// pastKept bounds the events that a correlation can name: at 10,000 rule events/s six
// seconds, at the usual hundred ten minutes. Older ones still count, unnamed.
const pastKept = 1 << 16

func newRules(g *graph.Graph, m Matcher) *rules {
	r := &rules{g: g, set: m}
	if set, ok := m.(*sigma.Set); ok && slices.ContainsFunc(set.Rules(), (*sigma.Rule).Correlation) {
		r.stream = sigma.NewStream(set, sigma.StreamConfig{})
	}
	r.emit = func(rule *sigma.Rule) {
		if !rule.Quiet {
			r.add(hit{rule: rule, count: 1})
		}
	}
	r.tell = func(m sigma.Match) {
		h := hit{rule: m.Rule, count: m.Count}
		if m.Rule.Correlation() {
			for _, ref := range m.Refs {
				if r.next-ref <= uint64(len(r.past)) {
					h.events = append(h.events, g.EventID(r.past[ref%pastKept]))
				}
			}
		}
		r.add(h)
	}
	return r
}

func (r *rules) add(h hit) {
	if !slices.ContainsFunc(r.hits, func(o hit) bool { return o.rule == h.rule }) {
		r.hits = append(r.hits, h)
	}
}

// match gives the rules that speak on the event, good until the next call. An exec is
// offered twice: as a process creation and as the record auditd writes of it.
func (r *rules) match(ev *event.Event, fact graph.Fact) []hit {
	r.hits = r.hits[:0]
	r.view = fields{g: r.g, ev: ev, fact: fact}
	r.run(fact)
	if ev.GetProcess().GetOp() == event.ProcessActivity_EXEC {
		r.view.audit = true
		r.run(fact)
	}
	return r.hits
}

func (r *rules) run(fact graph.Fact) {
	if r.view.LogSource() == (sigma.LogSource{}) {
		return
	}
	if r.stream == nil {
		r.set.Match(&r.view, r.emit)
		return
	}
	if len(r.past) < pastKept {
		r.past = append(r.past, fact.Ref)
	} else {
		r.past[r.next%pastKept] = fact.Ref
	}
	ref := r.next
	r.next++
	r.stream.Match(time.Unix(0, fact.T), ref, &r.view, r.tell)
}

// told remembers what was said, so that a rule speaks once of a process and a thing.
type told struct {
	said map[saying]bool
	of   map[saying]int // objects per rule and process
}

type saying struct {
	rule          string
	actor, object entity.Key
}

// few tells whether a rule may still speak of another child of the same parent: a
// script that starts ten thousand programs is told of by the first ones. What serves
// many, such as a web worker, has no such bound.
func (t *told) few(g *graph.Graph, rule string, actor graph.NodeID) bool {
	n := g.Node(actor)
	if n == nil || n.Process == nil {
		return true
	}
	p := g.Node(n.Process.Parent)
	if p == nil || p.Process.Service != nil || p.Process.Snapshot {
		return true
	}
	k := saying{rule: rule, actor: p.Key, object: p.Key} // no process is its own object
	t.of[k]++
	return t.of[k] <= toldChildren
}

// quietLevel is the severity of rules that give context and no more: low.
const quietLevel = 2

const (
	toldChildren = 64
	toldKept     = 1 << 16
	toldObjects  = 16 // of one rule and process; a mass writer is one finding sixteen times
)

func newTold() told { return told{map[saying]bool{}, map[saying]int{}} }

func (t *told) first(g *graph.Graph, rule string, actor, object graph.NodeID) bool {
	a := g.Node(actor)
	if a == nil {
		return true
	}
	if len(t.said) >= toldKept {
		clear(t.said)
		clear(t.of)
	}
	k := saying{rule: rule, actor: a.Key}
	n := t.of[k]
	full := k
	if o := g.Node(object); o != nil {
		full.object = o.Key
	}
	if t.said[full] || n >= toldObjects {
		return false
	}
	t.said[full] = true
	t.of[k] = n + 1
	return true
}
