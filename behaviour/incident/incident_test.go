// SPDX-License-Identifier: Apache-2.0

package incident

import (
	"fmt"
	"math"
	"testing"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// TestScore: an incident of one finding is as sure as that finding; ten words for one
// fact are one witness; another fact adds its odds.
func TestScore(t *testing.T) {
	serial := 0
	black := func(score float64, roots ...string) *verdict.Finding {
		serial++
		f := &verdict.Finding{Id: fmt.Sprint("f-", serial), Host: "web", Layer: "file", Score: score, Colour: verdict.Colour_BLACK,
			Events: []*verdict.EventID{{Tenant: "t", Host: "web", Epoch: 1, Seq: uint64(serial)}}}
		for _, r := range roots {
			engine := "light/rule"
			if r == "entry" {
				engine = "trace"
			}
			f.Evidence = append(f.Evidence, &verdict.Evidence{What: "w", Engine: engine, Root: r})
		}
		return f
	}
	both := verdict.LogOdds(verdict.Odds(0.98) + verdict.Odds(0.9)).Probability()
	for _, c := range []struct {
		name     string
		findings []*verdict.Finding
		want     float64
	}{
		{"alone", []*verdict.Finding{black(0.98)}, 0.98},
		{"one content under two names", []*verdict.Finding{black(0.98, "content:a"), black(0.98, "content:a")}, 0.98},
		{"the surer word for one fact counts", []*verdict.Finding{black(0.9, "content:a"), black(0.98, "content:a")}, 0.98},
		{"two facts", []*verdict.Finding{black(0.98, "content:a"), black(0.9, "content:b")}, both},
		{"two events of one entry", []*verdict.Finding{black(0.98, "entry"), black(0.9, "entry")}, both},
	} {
		g := graph.New("t", graph.Config{})
		who := g.Add(&event.Event{Tenant: "t", Host: "web", BootId: "b", BootNs: 5, WallNs: 5, Actor: &entity.Process{Pid: 2, StartNs: 5},
			Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: &entity.Process{Pid: 7, StartNs: 5}}}}).Object
		b := New("t", g, Config{})
		var inc *verdict.Incident
		for i, f := range c.findings {
			inc = b.Add(f, who, trace.Path{Hops: []trace.Hop{{Node: who}}}, int64(i))
		}
		if len(b.Incidents()) != 1 || math.Abs(inc.Score-c.want) > 1e-9 {
			t.Errorf("%s: %d incidents, score %.6f, want %.6f", c.name, len(b.Incidents()), inc.Score, c.want)
		}
	}
}
