// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"testing"

	"github.com/ringwall/ringwall/event"
)

// TestFunnels: the newest word of each host counts, within bounds, and is no component.
func TestFunnels(t *testing.T) {
	var h hosts
	tell := func(host string, in uint64, stages int) {
		s := &event.SensorState{Component: "stages", State: "on"}
		for range stages {
			s.Stages = append(s.Stages, &event.StageCount{Layer: "file", Stage: "known", In: in, White: 1, P99Ns: 1500})
		}
		h.note(&event.Event{Tenant: "red", Host: host, Payload: &event.Event_State{State: s}}, false)
	}
	tell("web2", 1, 1)
	tell("web1", 3, 1)
	tell("web1", 7, 100_000)
	got := h.funnels("red")
	if len(got) != 2 || got[0].Host != "web1" || len(got[0].Stages) != stagesKept || got[0].Stages[0].In != 7 || got[0].Stages[0].P99 != 1500 || got[1].Host != "web2" {
		t.Errorf("funnels: %+v", got)
	}
	if other := h.funnels("blue"); len(other) != 0 {
		t.Errorf("of another tenant: %+v", other)
	}
	for _, s := range h.status() {
		if len(s.Components) != 0 {
			t.Errorf("%s: counters are shown as components %+v", s.Host, s.Components)
		}
	}
}
