// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Result is what of `ringwall range run --json` is asked for here (DESIGN: stable form).
type Result struct {
	Mode      string `json:"mode"`
	Seed      uint64 `json:"seed"`
	Steps     []Step `json:"steps"`
	Incidents []struct {
		ID string `json:"id"`
	} `json:"incidents"`
	RootCause struct {
		Right bool `json:"right"`
	} `json:"root_cause"`
	Traces []struct {
		Result string `json:"result"`
	} `json:"traces"`
	StoppedAt *string `json:"stopped_at"`
	Ordinary  struct {
		Findings  int     `json:"findings"`
		Incidents int     `json:"incidents"`
		Sent      int     `json:"requests_sent"`
		Failed    int     `json:"requests_failed"`
		Minutes   float64 `json:"minutes"`
	} `json:"ordinary"`
	Events struct {
		Seen uint64 `json:"seen"`
		Lost uint64 `json:"lost"`
	} `json:"events"`
	Delay struct {
		P50   float64 `json:"p50_ms"`
		P99   float64 `json:"p99_ms"`
		Count int     `json:"count"`
	} `json:"delay"`
	Checks []struct {
		What string `json:"what"`
		Want string `json:"want"`
		Got  string `json:"got"`
		Met  bool   `json:"met"`
	} `json:"checks"`
}

// Step of a scenario.
type Step struct {
	ID      string   `json:"id"`
	SeenBy  []string `json:"seen_by"`
	Finding *string  `json:"finding"`
	DelayMS *float64 `json:"delay_ms"`
}

const (
	intrusion = "proving/scenarios/web-upload.yaml"
	ordinary  = "proving/scenarios/ordinary-day.yaml"
)

// layers that must all speak of the intrusion.
var layers = []string{"network", "file", "behaviour", "intel"}

// unseen is the one step that no layer need tell of: a scan's closed ports.
const unseen = "scan"

// ranges plays the scenarios with real binaries and holds the results against what must be true.
func ranges(ctx context.Context, j *judge, r *Record) error {
	if os.Geteuid() != 0 {
		r.Skipped = "needs root: namespaces and the sensors"
		return nil
	}
	r.Text = append(r.Text, "`ringwall range run "+intrusion+"`: nginx, PHP-FPM, Redis and clients on one kernel, an agent per host; each seed changes host names, paths, page names and ports (`make range` plays one). Delay runs from the end of a step to the publication of its finding.")
	seeds := j.pick(5, 1)
	observed, err := j.seeds(ctx, seeds, "observe")
	if err != nil || r.missing(observed) {
		return err
	}
	r.observe(observed)
	enforced, err := j.seeds(ctx, seeds, "enforce", "--enforce")
	if err != nil {
		return err
	}
	r.enforce(enforced)
	if !j.short {
		if err := r.without(ctx, j, observed[0]); err != nil {
			return err
		}
	}
	minutes := j.pick(30, 1)
	day, err := j.play(ctx, "day", ordinary, "--minutes", strconv.Itoa(minutes))
	if err != nil {
		return err
	}
	r.day(day, minutes)
	return nil
}

// seeds plays the intrusion once per seed.
func (j *judge) seeds(ctx context.Context, n int, mode string, args ...string) (out []*Result, err error) {
	for seed := 1; seed <= n; seed++ {
		res, err := j.play(ctx, fmt.Sprintf("%s-seed%d", mode, seed), intrusion, append(args, "--seed", strconv.Itoa(seed))...)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, nil
}

// play runs one scenario, or takes what is kept of it. A machine that cannot play gives nil.
func (j *judge) play(ctx context.Context, key, file string, args ...string) (*Result, error) {
	return kept(j, "range-"+key, func() (*Result, error) {
		dir, err := os.MkdirTemp("", "ringwall-judge-range-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "result.json")
		cmd := exec.CommandContext(ctx, j.program("ringwall"), append([]string{"range", "run", file, "--json", out}, args...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes the lab down
		said, err := cmd.CombinedOutput()
		fmt.Printf("-- %s\n%s\n", strings.Join(cmd.Args[1:], " "), said)
		var status *exec.ExitError
		if errors.As(err, &status) && status.ExitCode() == 3 {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("range run %s: %w", key, err)
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		res := &Result{}
		return res, json.Unmarshal(raw, res)
	})
}

// missing marks the record as skipped when the lab could not be built here.
func (r *Record) missing(results []*Result) bool {
	if slices.Contains(results, nil) {
		r.Skipped = "the lab cannot be built here; `ringwall range run` says what is missing"
		return true
	}
	return false
}

func (r *Record) observe(results []*Result) {
	t := Table{Title: "**web-upload, observe**", Head: []string{"seed", "incidents", "root cause", "steps seen", "layers that spoke", "delay p50 ms", "p99 ms", "ordinary findings", "ordinary requests", "traces right", "events", "lost"}}
	for _, res := range results {
		right, spoke := 0, spoken(res)
		for _, tr := range res.Traces {
			if tr.Result == "right" {
				right++
			}
		}
		seen, missed := stepsSeen(res)
		r.row(&t, res.Seed, len(res.Incidents), map[bool]string{true: "right", false: "NOT RIGHT"}[res.RootCause.Right], fmt.Sprintf("%d of %d", seen, len(res.Steps)), strings.Join(spoke, " "),
			fmt.Sprintf("%.0f", res.Delay.P50), fmt.Sprintf("%.0f", res.Delay.P99), res.Ordinary.Findings, res.Ordinary.Sent, fmt.Sprintf("%d of %d", right, len(res.Traces)), res.Events.Seen, res.Events.Lost)
		name := fmt.Sprintf("observe, seed %d: ", res.Seed)
		r.closing(name+"incidents", "1", strconv.Itoa(len(res.Incidents)), len(res.Incidents) == 1)
		r.closing(name+"entry", "right", map[bool]string{true: "right", false: "not right"}[res.RootCause.Right], res.RootCause.Right)
		r.closing(name+"steps no layer saw", "none but "+unseen, or(strings.Join(missed, " ")), len(missed) == 0)
		r.closing(name+"layers that spoke", strings.Join(layers, " "), strings.Join(spoke, " "), len(spoke) == len(layers))
		r.closing(name+"alert p99", "< 1000 ms", fmt.Sprintf("%.0f ms of %d findings", res.Delay.P99, res.Delay.Count), res.Delay.Count > 0 && res.Delay.P99 < 1000)
		r.closing(name+"findings on ordinary work", "0", strconv.Itoa(res.Ordinary.Findings), res.Ordinary.Findings == 0)
		r.unmet(name, res)
	}
	r.Tables = append(r.Tables, t, stepTable(results[0]))
}

func (r *Record) enforce(results []*Result) {
	t := Table{Title: "**web-upload, enforce**", Head: []string{"seed", "stopped at", "ordinary requests", "failed", "ordinary findings", "delay p99 ms"}}
	for _, res := range results {
		stopped := "-"
		if res.StoppedAt != nil {
			stopped = *res.StoppedAt
		}
		r.row(&t, res.Seed, stopped, res.Ordinary.Sent, res.Ordinary.Failed, res.Ordinary.Findings, fmt.Sprintf("%.0f", res.Delay.P99))
		name := fmt.Sprintf("enforce, seed %d: ", res.Seed)
		r.closing(name+"stopped", "at or before shell", stopped, stoppedBy(res, "shell"))
		r.closing(name+"ordinary requests", ">= 1000, 0 failed", fmt.Sprintf("%d, %d failed", res.Ordinary.Sent, res.Ordinary.Failed), res.Ordinary.Sent >= 1000 && res.Ordinary.Failed == 0)
		r.unmet(name, res)
	}
	r.Tables = append(r.Tables, t)
}

// without leaves one sensor out each time: the table must get worse.
func (r *Record) without(ctx context.Context, j *judge, whole *Result) error {
	t := Table{Title: fmt.Sprintf("**web-upload, observe, seed %d, one sensor left out**", whole.Seed), Head: []string{"without", "incidents", "root cause", "steps seen", "witnesses", "steps with a finding", "traces right", "members missing", "witnesses gone"}}
	line := func(name string, res *Result) {
		q := res.quality()
		r.row(&t, name, len(res.Incidents), map[bool]string{true: "right", false: "not right"}[res.RootCause.Right], q[1], q[2], q[3], q[4], -q[5], or(strings.Join(gone(whole, res), ", ")))
	}
	line("nothing", whole)
	for _, sensor := range []string{"kernel", "packet", "file"} {
		res, err := j.play(ctx, "without-"+sensor, intrusion, "--seed", fmt.Sprint(whole.Seed), "--without", sensor)
		if err != nil {
			return err
		}
		line(sensor, res)
		worse := res.worse(whole)
		r.closing("without "+sensor, "the table gets worse", map[bool]string{true: "worse", false: "as good"}[worse], worse)
	}
	r.Tables = append(r.Tables, t)
	return nil
}

// quality counts what a result got right, more is better: the root cause, steps seen,
// witnesses, steps with a finding, traces, and members missing as a negative number.
func (res *Result) quality() (q [6]int) {
	if res.RootCause.Right {
		q[0] = 1
	}
	q[1], _ = stepsSeen(res)
	q[2] = len(res.witnesses())
	for _, s := range res.Steps {
		if s.Finding != nil {
			q[3]++
		}
	}
	for _, tr := range res.Traces {
		if tr.Result == "right" {
			q[4]++
		}
	}
	for _, c := range res.Checks {
		if strings.HasPrefix(c.What, "member ") && !c.Met {
			q[5]--
		}
	}
	return q
}

// worse tells whether another number of incidents was found than in the whole, or less of
// anything that counts.
func (res *Result) worse(whole *Result) bool {
	got, best := res.quality(), whole.quality()
	for i := range got {
		if got[i] < best[i] {
			return true
		}
	}
	return len(res.Incidents) != len(whole.Incidents)
}

// witnesses are the steps with the layer.stage that saw them, each pair once.
func (res *Result) witnesses() (out []string) {
	for _, s := range res.Steps {
		for _, by := range s.SeenBy {
			out = append(out, s.ID+": "+by)
		}
	}
	return out
}

// gone names the witnesses of the whole that a result lacks.
func gone(whole, res *Result) []string {
	left := res.witnesses()
	return slices.DeleteFunc(whole.witnesses(), func(w string) bool { return slices.Contains(left, w) })
}

func (r *Record) day(res *Result, minutes int) {
	t := Table{Title: "**ordinary-day**", Head: []string{"minutes", "findings", "incidents", "requests", "failed", "events", "lost"}}
	r.row(&t, fmt.Sprintf("%.1f", res.Ordinary.Minutes), res.Ordinary.Findings, res.Ordinary.Incidents, res.Ordinary.Sent, res.Ordinary.Failed, res.Events.Seen, res.Events.Lost)
	r.Tables = append(r.Tables, t)
	r.closing(fmt.Sprintf("ordinary-day, %d minutes: findings, incidents", minutes), "0, 0", fmt.Sprintf("%d, %d", res.Ordinary.Findings, res.Ordinary.Incidents), res.Ordinary.Findings == 0 && len(res.Incidents) == 0)
	r.unmet("ordinary-day: ", res)
}

// unmet notes checks of the scenario itself that failed, beside the musts.
func (r *Record) unmet(name string, res *Result) {
	for _, c := range res.Checks {
		if !c.Met {
			r.Notes = append(r.Notes, fmt.Sprintf("%s%s: want %s, got %s", name, c.What, c.Want, or(c.Got)))
		}
	}
}

func stepTable(res *Result) Table {
	t := Table{Title: fmt.Sprintf("Its steps, seed %d", res.Seed), Head: []string{"step", "seen by", "finding", "ms to alert"}}
	for _, s := range res.Steps {
		finding, delay := "-", "-"
		if s.Finding != nil {
			finding = *s.Finding
		}
		if s.DelayMS != nil {
			delay = fmt.Sprintf("%.0f", *s.DelayMS)
		}
		t.Rows = append(t.Rows, []string{s.ID, or(strings.Join(s.SeenBy, " ")), finding, delay})
	}
	return t
}

// stepsSeen counts steps that a layer saw, and names those that worked and none saw.
func stepsSeen(res *Result) (seen int, missed []string) {
	for _, s := range res.Steps {
		if len(s.SeenBy) > 0 {
			seen++
		} else if s.ID != unseen {
			missed = append(missed, s.ID)
		}
	}
	return seen, missed
}

func spoken(res *Result) (out []string) {
	for _, layer := range layers {
		for _, s := range res.Steps {
			if slices.ContainsFunc(s.SeenBy, func(by string) bool { return by == layer || strings.HasPrefix(by, layer+".") }) {
				out = append(out, layer)
				break
			}
		}
	}
	return out
}

// stoppedBy tells whether the attack was stopped at the step named or before it.
func stoppedBy(res *Result, step string) bool {
	if res.StoppedAt == nil {
		return false
	}
	for _, s := range res.Steps {
		if s.ID == *res.StoppedAt {
			return true
		}
		if s.ID == step {
			return false
		}
	}
	return false
}

func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
