// SPDX-License-Identifier: Apache-2.0

package play

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/scenario"
)

func world(t *testing.T, file string, seed uint64) *World {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Skipf("the lab cannot be built here: %v", err)
	}
	s, err := scenario.Load(file, &seed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := Build(ctx, s, lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Lab.Close(); err != nil {
			t.Error(err)
		}
		if left := lab.Leftovers(w.Lab.Run); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return w
}

// TestWebUploadReallyWorks plays the whole intrusion, for several seeds, with nobody watching.
func TestWebUploadReallyWorks(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		w := world(t, "../scenarios/web-upload.yaml", seed)
		intruder := NewIntruder(w)
		start := time.Now()
		for _, step := range w.Scenario.Steps {
			out, err := intruder.Do(t.Context(), step)
			if err != nil {
				t.Fatal(err)
			}
			if !out.Worked {
				t.Errorf("seed %d: step %s did not work: %s", seed, step.ID, out.Why)
			}
			if step.Do.Shell != nil && len(out.PIDs["web"]) == 0 {
				t.Errorf("seed %d: the shell's process is not known", seed)
			}
		}
		intruder.Close()
		t.Logf("seed %d (%s): %.1f s", seed, w.Site.Root, time.Since(start).Seconds())
	}
}

// TestAStepThatHasNoEffectIsToldSo is the near miss: the same steps against a site that lost its
// weakness.
func TestAStepThatHasNoEffectIsToldSo(t *testing.T) {
	w := world(t, "../scenarios/web-upload.yaml", 6)
	root := w.Site.Root + "/" + w.Site.UploadDir
	if _, err := w.Lab.Host("web").Must(t.Context(), lab.Shell("", "chown root "+root)); err != nil {
		t.Fatal(err)
	}
	intruder := NewIntruder(w)
	defer intruder.Close()
	for _, step := range w.Scenario.Steps {
		out, err := intruder.Do(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		harmless := step.ID == "scan" || step.ID == "discovery"
		if out.Worked != harmless {
			t.Errorf("step %s: worked %v (%s)", step.ID, out.Worked, out.Why)
		}
		if !out.Worked && out.Why == "" {
			t.Errorf("step %s does not say why it failed", step.ID)
		}
	}
}

// TestOrdinaryDayWorks makes every benign play twice and more, with no failed request.
func TestOrdinaryDayWorks(t *testing.T) {
	w := world(t, "../scenarios/ordinary-day.yaml", 3)
	o, err := NewOrdinary(w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range o.plays {
		o.plays[i].AtLeast = 2
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { o.Run(t.Context(), stop, 3*time.Second); close(done) }()
	for end := time.Now().Add(40 * time.Second); len(o.Owed()) > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	<-done
	tally := o.Tally()
	if owed := o.Owed(); len(owed) > 0 || tally.Failed > 0 || tally.Sent < 50 {
		t.Errorf("sent %d, failed %d, owed %v, faults:\n%s", tally.Sent, tally.Failed, owed, strings.Join(tally.Faults, "\n"))
	}
	t.Logf("sent %d, plays %v", tally.Sent, tally.Plays)
}

func TestCheckAnswers(t *testing.T) {
	all := []wanted{{path: "/a", body: []byte("A\n")}, {path: "/b", holds: "end"}, {path: "/c", holds: "end"}}
	good := "A\n\n@@answer 200 0 0\nthe end\n@@answer 200 0 1\nend\n@@answer 200 0 2\n"
	if faults := checkAnswers([]byte(good), all); len(faults) > 0 {
		t.Errorf("good answers: %v", faults)
	}
	for _, bad := range []string{
		"", strings.Replace(good, "A\n\n", "B\n\n", 1), strings.Replace(good, "200 0 1", "500 0 1", 1),
		strings.Replace(good, "200 0 2", "200 28 2", 1), good[:30], strings.Replace(good, "the end", "the", 1)} {
		if faults := checkAnswers([]byte(bad), all); len(faults) == 0 {
			t.Errorf("bad answers were taken: %q", bad)
		}
	}
}

func TestUnknownPlayIsRefused(t *testing.T) {
	w := &World{Scenario: &scenario.Scenario{File: "x.yaml", Background: []scenario.Background{{Play: "brows"}}}}
	if _, err := NewOrdinary(w); err == nil || !strings.Contains(err.Error(), "brows") {
		t.Errorf("got %v", err)
	}
}
