// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/proving/rerun"
	"github.com/ringwall/ringwall/verdict"
)

// stepped gives the events as a host tells them whose wall clock is an hour fast for a
// third of the time and an hour slow at the end, and a loss of its kernel sensor around
// each deed that was in the last third.
func stepped(t *testing.T, events [][]byte, by time.Duration) [][]byte {
	t.Helper()
	var out [][]byte
	for i, raw := range events {
		ev := &event.Event{}
		if err := ev.UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
		shift := time.Duration(0)
		switch part := i * 3 / len(events); part {
		case 1:
			shift, ev.ClockEpoch = by, 1
		case 2:
			shift, ev.ClockEpoch = -by, 2
			if strings.HasSuffix(ev.GetProcess().GetImage().GetPath(), "/redis-cli") && ev.GetProcess().Op == event.ProcessActivity_EXEC {
				wall := ev.WallNs + int64(shift)
				out = append(out, mustMarshal(t, &event.Event{Tenant: ev.Tenant, Host: ev.Host, BootId: ev.BootId, BootNs: ev.BootNs, WallNs: wall, ClockEpoch: ev.ClockEpoch, Schema: ev.Schema,
					Payload: &event.Event_Loss{Loss: &verdict.LossWindow{Sensor: "kernel", Class: "bulk", FromNs: wall - 1e6, ToNs: wall + 1e6, Count: 7, Reason: "ring full"}}}))
			}
		}
		ev.WallNs += int64(shift)
		if f := ev.GetFinding(); f != nil {
			f.WallNs += int64(shift)
		}
		out = append(out, mustMarshal(t, ev))
	}
	return out
}

// TestClockStep: a wall clock that jumps by an hour, forth and back, changes neither
// what is found nor what it amounts to, over a restart too. The machine's own clock is
// left alone: a synthetic agent tells of stepped times.
func TestClockStep(t *testing.T) {
	host, events := recorded(t, time.Now())
	var came []string
	for _, step := range []time.Duration{0, time.Hour} {
		b := newBrain(t)
		f := rerun.New(1000)
		publish(t, b.join(t, "default", host), f)
		all := stepped(t, events, step)
		cut := len(all) * 5 / 6 // in the slow third
		f.Add(all[:cut]...)
		time.Sleep(time.Second)
		b.kill()
		b.start(t)
		f.Add(all[cut:]...)
		eventually(t, "everything stored", func() bool { return f.Left() == 0 })
		settle(t, b)
		came = append(came, outcome(t, b))
		if n := losses(t, b); n == 0 {
			t.Errorf("step %v: the loss does not travel with the incident of its second", step)
		}
		if n := number(t, b.data, "default", "select count(distinct finding_id) from findings where host = 'ringwall-brain'"); n == 0 {
			t.Error("nothing found")
		}
		b.stop(t)

		// Sequence is what the host saw, whatever its clock did, and arrival what was judged.
		stored := slices.DeleteFunc(archived(t, b.data, "default"), func(ev *event.Event) bool { return ev.Host != host })
		if len(stored) != len(all) {
			t.Fatalf("step %v: %d of %d events stored", step, len(stored), len(all))
		}
		for i, ev := range stored {
			want := &event.Event{}
			if err := want.UnmarshalVT(all[i]); err != nil {
				t.Fatal(err)
			}
			if ev.Seq != uint64(i)+1 || ev.Arrival != ev.Seq || ev.WallNs != want.WallNs || ev.ClockEpoch != want.ClockEpoch {
				t.Fatalf("step %v: event %d: seq %d, arrival %d, wall %d, clock epoch %d; want wall %d, clock epoch %d", step, i+1, ev.Seq, ev.Arrival, ev.WallNs, ev.ClockEpoch, want.WallNs, want.ClockEpoch)
			}
		}
	}
	if came[0] != came[1] {
		t.Errorf("steady clock:\n%s\nstepped clock:\n%s", came[0], came[1])
	}
}

// losses counts the loss windows on the incidents.
func losses(t *testing.T, b *brainProc) (n int) {
	t.Helper()
	for line := range bytes.Lines(ask(t, b.data, "incidents")) {
		var inc api.Incident
		if err := json.Unmarshal(line, &inc); err != nil {
			t.Fatal(err)
		}
		if c := inc.Completeness; c != nil {
			n += len(c.Losses)
		}
	}
	return n
}
