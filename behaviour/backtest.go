// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// Backtest asks what rules would have said: each event is matched as a Judge matches it,
// with the same graph behind it, but nothing is weighed, told once only, or convicted. It
// belongs to one goroutine.
type Backtest struct {
	g     *graph.Graph
	rules *rules
}

// NewBacktest begins over an empty graph, which the earlier events fill.
func NewBacktest(g *graph.Graph, set Matcher) *Backtest {
	return &Backtest{g: g, rules: newRules(g, set)}
}

// Spoken is one rule that spoke of one event.
type Spoken struct {
	Rule   *sigma.Rule
	What   string // the command and its object, in a few words
	Events []*verdict.EventID
	Count  int // of a correlation
}

// See takes one event and gives the rules that speak on it.
func (b *Backtest) See(ev *event.Event) []Spoken {
	switch ev.Payload.(type) {
	case *event.Event_Loss, *event.Event_State, *event.Event_Action:
		return nil
	case *event.Event_Finding:
		b.g.Hear(ev)
		return nil
	}
	fact := b.g.Add(ev)
	hits := b.rules.match(ev, fact)
	if len(hits) == 0 {
		return nil
	}
	out := make([]Spoken, len(hits))
	for i, h := range hits {
		out[i] = Spoken{Rule: h.rule, What: describe(b.g, fact), Events: h.events, Count: h.count}
		if len(out[i].Events) == 0 {
			out[i].Events = []*verdict.EventID{ev.ID()}
		}
	}
	return out
}
