// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/score"
)

// TestMain lets the test binary stand in for a foreign product (foreign_test.go).
func TestMain(m *testing.M) {
	if role := os.Getenv("RANGE_FOREIGN_PRODUCT"); role != "" {
		os.Exit(foreignMain(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// short is a scenario made short: the same steps, less waiting.
func short(t *testing.T, name string) string {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Skipf("the lab cannot be built here: %v", err)
	}
	data, err := os.ReadFile("scenarios/" + name)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("warmup: 10s", "warmup: 1s", "pause: 1500ms", "pause: 100ms", "ordinary: 1000", "ordinary: 60",
		"at_least: 10", "at_least: 2").Replace(string(data))
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func playShort(t *testing.T, opts Options) *score.Result {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	before := traces(t)
	var log bytes.Buffer
	opts.Log = &log
	result, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	run, _, _ := strings.Cut(strings.TrimPrefix(log.String(), "lab "), ":")
	if left := lab.Leftovers(run); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if after := traces(t); after != before {
		t.Errorf("the machine changed:\n%s\n%s", before, after)
	}
	if t.Failed() || testing.Verbose() {
		var table bytes.Buffer
		result.WriteTable(&table)
		t.Logf("%s\n%s", log.String(), table.String())
	}
	return result
}

// traces is what a run must leave as it was: mounts of a range's name seen by the machine, and the
// folders of temporary files. Another run on this machine may come and go meanwhile.
func traces(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "ringwall-range-") {
			left = append(left, line)
		}
	}
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), "ringwall-range-*"))
	return strings.Join(append(left, folders...), "\n")
}

func TestIntrusionWithNobodyWatching(t *testing.T) {
	seed := uint64(11)
	dir := t.TempDir()
	r := playShort(t, Options{File: short(t, "web-upload.yaml"), Seed: &seed, Dir: dir})
	for _, step := range r.Steps {
		if !step.Worked || len(step.SeenBy) > 0 || step.Finding != nil {
			t.Errorf("step %s: %+v", step.ID, step)
		}
	}
	if r.Ordinary.RequestsSent < 60 || r.Ordinary.RequestsFailed != 0 {
		t.Errorf("ordinary work: %+v", r.Ordinary)
	}
	if r.StoppedAt != nil || r.RootCause.Right || r.RootCause.Found != nil || r.Met() {
		t.Errorf("nobody watched, yet: stopped at %v, root cause %+v, all met %v", r.StoppedAt, r.RootCause, r.Met())
	}
	for _, trace := range r.Traces {
		if trace.Result != "unknown" {
			t.Errorf("trace %+v", trace)
		}
	}
	truth, err := os.ReadFile(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	attack, benign := bytes.Count(truth, []byte(`"label":"attack"`)), bytes.Count(truth, []byte(`"label":"benign"`))
	if attack != 16 || benign < 5 {
		t.Errorf("truth has %d attack and %d benign lines", attack, benign)
	}
	if text, err := json.Marshal(r); err != nil || !json.Valid(text) {
		t.Errorf("the result is no JSON: %v", err)
	}
}

// TestOrdinaryDayIsOrdinary plays the day in seconds; RANGE_MINUTES=30 plays it in full.
func TestOrdinaryDayIsOrdinary(t *testing.T) {
	opts := Options{File: short(t, "ordinary-day.yaml"), Minutes: 0.1}
	if text := os.Getenv("RANGE_MINUTES"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("RANGE_MINUTES: %v", err)
		}
		opts = Options{File: "scenarios/ordinary-day.yaml", Minutes: minutes}
	}
	r := playShort(t, opts)
	if !r.Met() || len(r.Steps) != 0 || r.Ordinary.RequestsFailed != 0 {
		t.Errorf("%+v", r)
	}
	for name, n := range r.Ordinary.Plays {
		if n < 2 {
			t.Errorf("%s was played %d times", name, n)
		}
	}
}

func TestBadInput(t *testing.T) {
	for _, opts := range []Options{
		{File: "scenarios/none.yaml"},
		{File: "scenarios/web-upload.yaml", Without: []string{"kernle"}},
		{File: "scenarios/web-upload.yaml", Minutes: -1},
	} {
		if _, err := Run(t.Context(), opts); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	opts := Options{File: "scenarios/web-upload.yaml", Product: ProductRingwall, Binary: "/nowhere/ringwall", Agent: "/nowhere/agent"}
	if _, err := Run(t.Context(), opts); !errors.Is(err, lab.ErrMissing) {
		t.Errorf("a missing binary: %v", err)
	}
}
