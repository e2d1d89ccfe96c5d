// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// TestHold: a file's verdict waits until the kernel sensor has told of the deed, unless the
// agent saw to that, and never longer than heldLong.
func TestHold(t *testing.T) {
	const deed = uint64(1e12)
	now := time.Unix(1000, 0)
	exec := func(boot uint64) *event.Event {
		return &event.Event{Host: "a", BootId: "1", Sensor: event.Sensor_KERNEL, BootNs: boot, WallNs: int64(boot), Payload: &event.Event_Process{Process: &event.ProcessActivity{}}}
	}
	found := func(told uint64) *event.Event {
		return &event.Event{Host: "a", BootId: "1", Sensor: event.Sensor_JUDGE, BootNs: deed + 5e6, WallNs: int64(deed + 5e6), ToldNs: told,
			Payload: &event.Event_Finding{Finding: &verdict.Finding{Layer: "file", WallNs: int64(deed)}}}
	}
	g := graph.New("default", graph.Config{})
	h := newHold(g)
	if h.take(found(0), now) || h.take(found(1), now) {
		t.Error("held though the host has no kernel sensor")
	}
	g.Add(exec(deed - 1e9))
	if !h.take(found(deed-1), now) || !h.take(found(0), now) {
		t.Fatal("not held though the kernel sensor is behind")
	}
	if got := h.due(now.Add(heldLong - 1)); len(got) != 0 {
		t.Errorf("%d let go too early", len(got))
	}
	g.Add(exec(deed + 1e6))
	if got := h.due(now.Add(1)); len(got) != 0 {
		t.Errorf("%d let go though a record of that moment may follow", len(got))
	}
	if h.take(found(deed), now) {
		t.Error("held though the agent let the kernel sensor speak first")
	}
	if got := h.due(now.Add(1)); len(got) != 2 {
		t.Errorf("%d of 2 let go when the kernel sensor has caught up", len(got))
	}
	g = graph.New("default", graph.Config{})
	h = newHold(g)
	g.Add(exec(1e9))
	if !h.take(found(0), now) || len(h.due(now.Add(heldLong))) != 1 {
		t.Error("held for longer than heldLong")
	}
}
