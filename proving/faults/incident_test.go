// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/proving/rerun"
)

// recorded is the committed demonstration as its web host told it, as if it had ended
// just now.
func recorded(t *testing.T, now time.Time) (host string, events [][]byte) {
	t.Helper()
	by, err := rerun.Read("../../cli/demo.rwe", now)
	if err != nil {
		t.Fatal(err)
	}
	for h, list := range by { // the one whose files were convicted
		if slices.ContainsFunc(list, func(ev *event.Event) bool { return ev.GetFinding().GetLayer() == "file" }) {
			host = h
		}
	}
	for _, ev := range by[host] {
		events = append(events, mustMarshal(t, ev))
	}
	return host, events
}

func label(e *api.Entity) string {
	if e == nil {
		return "unknown"
	}
	return e.Label
}

// outcome is what a brain came to, without what belongs to the run.
func outcome(t *testing.T, b *brainProc) string {
	t.Helper()
	var out strings.Builder
	for line := range bytes.Lines(ask(t, b.data, "incidents")) {
		var inc api.Incident
		if err := json.Unmarshal(line, &inc); err != nil {
			t.Fatal(err)
		}
		slices.Sort(inc.Findings)
		fmt.Fprintf(&out, "%s aliases %v\n  entry %s by %s\n  findings %v\n  %v %v %v score %.6f\n", inc.ID, inc.Aliases, label(inc.Entry), inc.EntryRule,
			inc.Findings, inc.Hosts, inc.Layers, inc.Techniques, inc.Score)
	}
	var ids []string
	for line := range bytes.Lines(ask(t, b.data, "findings", "--grey")) {
		var f struct{ ID string }
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	fmt.Fprintf(&out, "findings %v\n", ids)
	ids = nil
	for line := range bytes.Lines(ask(t, b.data, "actions")) {
		var a struct{ ID, Kind string }
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.Kind+" "+a.ID)
	}
	slices.Sort(ids)
	fmt.Fprintf(&out, "actions %v\n", ids)
	return out.String()
}

// TestKillInTheMiddleOfAnIncident: the brain is killed three times while it judges an
// intrusion, and comes to what an undisturbed one comes to.
func TestKillInTheMiddleOfAnIncident(t *testing.T) {
	host, events := recorded(t, time.Now())
	const epoch = 1000
	var came []string
	for _, cuts := range [][]int{nil, {45, 60, 75}} {
		b := newBrain(t, "policy: {stage: shadow}")
		f := rerun.New(epoch)
		publish(t, b.join(t, "default", host), f)
		done, unstored := 0, 0
		for _, cut := range cuts {
			to := len(events) * cut / 100
			f.Add(events[done:to]...)
			done = to
			time.Sleep(time.Duration(cut*15) * time.Millisecond) // some judged and not stored, some stored
			b.kill()
			unstored += f.Left()
			b.start(t)
		}
		if cuts != nil {
			if t.Logf("%d events were not stored when the brain was killed", unstored); unstored == 0 {
				t.Error("at no kill anything was unstored: the kills proved nothing")
			}
			eventually(t, "the incident known before its end", func() bool { return strings.HasPrefix(outcome(t, b), "i-") })
		}
		f.Add(events[done:]...)
		eventually(t, "everything stored", func() bool { return f.Left() == 0 })
		settle(t, b)
		came = append(came, outcome(t, b))
		if n := number(t, b.data, "default", "select count(*) - count(distinct finding_id) from findings where host = 'ringwall-brain'"); n != 0 {
			t.Errorf("%d findings were told twice", n)
		}
		b.stop(t)
	}
	if came[0] != came[1] {
		t.Errorf("undisturbed:\n%s\nkilled three times:\n%s", came[0], came[1])
	}
	if !strings.Contains(came[0], "POST") || strings.Count(came[0], "entry ") != 1 {
		t.Errorf("the recording is not one incident that came in by an upload:\n%s", came[0])
	}
}

// settle waits until a brain has nothing more to say: held findings and the ledger.
func settle(t *testing.T, b *brainProc) {
	t.Helper()
	last, same := "", 0
	eventually(t, "the brain quiet", func() bool {
		now := outcome(t, b)
		if same++; now != last {
			last, same = now, 0
		}
		return same >= 2
	})
}

// TestReplayTwice: the same recording gives the same bytes.
func TestReplayTwice(t *testing.T) {
	data := t.TempDir()
	one, two := ask(t, data, "replay", "../../cli/demo.rwe"), ask(t, data, "replay", "../../cli/demo.rwe")
	if !bytes.Equal(one, two) {
		t.Error("two replays differ")
	}
	if !bytes.Contains(one, []byte(`"incident"`)) {
		t.Error("nothing was found")
	}
}
