// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"context"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// deed is one event on its way through the stages.
type deed struct {
	ev   *event.Event
	fact graph.Fact
	hits []hit
	out  []Judged
}

// Counts reports the stages, in the order of cost. Safe for many goroutines.
func (j *Judge) Counts() []funnel.StageCounts { return j.funnel.Counts() }

// named is the stage of the rules. A deed that no rule names is white: it leaves, and
// stays in the graph for those that one does.
func (j *Judge) named(_ context.Context, d *deed) (v verdict.Verdict, _ error) {
	if d.hits = j.rules.match(d.ev, d.fact); len(d.hits) == 0 {
		v.Colour = verdict.Colour_WHITE
	}
	return v, nil
}

// placed is the stage of the context: where the deed came from decides what it is.
func (j *Judge) placed(_ context.Context, d *deed) (v verdict.Verdict, _ error) {
	if d.out = j.local(d.ev, d.fact, d.hits); len(d.out) > 0 {
		v.Colour, v.Score = d.out[0].Finding.Colour, d.out[0].Finding.Score
	}
	return v, nil
}
