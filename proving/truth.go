// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/score"
	"golang.org/x/sys/unix"
)

// truthLine is one line of truth.jsonl. T0 and T1 are CLOCK_MONOTONIC nanoseconds of this machine.
type truthLine struct {
	Scenario string           `json:"scenario"`
	Run      string           `json:"run"`
	Step     string           `json:"step"`
	T0       int64            `json:"t0"`
	T1       int64            `json:"t1"`
	Wall0    time.Time        `json:"wall0"`
	Host     string           `json:"host"`
	Kind     string           `json:"kind"`
	Key      string           `json:"key"`
	Label    string           `json:"label"` // attack or benign
	By       string           `json:"by,omitempty"`
	Worked   bool             `json:"worked"`
	PIDs     map[string][]int `json:"pids,omitempty"`
}

// writeTruth keeps the resolved truth and the findings it was compared with, where a folder was
// asked for.
func (r *run) writeTruth(in score.Input) error {
	if r.opts.Dir == "" {
		return nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock: %w", err)
	}
	here := time.Now()
	monotonic := func(t time.Time) int64 { return now.Nano() - here.Sub(t).Nanoseconds() }
	err := writeLines(filepath.Join(r.dir, "truth.jsonl"), func(encode func(any) error) error {
		for _, line := range r.truth(in, monotonic) {
			if err := encode(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeLines(filepath.Join(r.dir, "findings.jsonl"), func(encode func(any) error) error {
		for _, f := range in.Findings {
			if err := encode(f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *run) truth(in score.Input, monotonic func(time.Time) int64) []truthLine {
	var lines []truthLine
	outcomes := map[string]play.Outcome{}
	for _, out := range in.Outcomes {
		outcomes[out.Step] = out
	}
	for _, step := range in.Scenario.Steps {
		out, tried := outcomes[step.ID]
		if !tried {
			continue
		}
		for _, e := range step.Truth {
			key := e.Path
			for _, other := range []string{e.Argv, e.To, e.Client} {
				if key == "" {
					key = other
				}
			}
			if e.Kind == "request" && e.Client != "" {
				key = in.Scenario.Endpoint(e.Client).String() + " " + e.Method + " " + e.URI
			}
			cause := e.By
			if cause == "" {
				cause = e.Runs
			}
			lines = append(lines, truthLine{Scenario: in.Scenario.ID, Run: r.world.Lab.Run, Step: step.ID, T0: monotonic(out.T0), T1: monotonic(out.T1),
				Wall0: out.T0, Host: in.Scenario.Machines[e.Host].Name, Kind: e.Kind, Key: key, Label: "attack", By: cause, Worked: out.Worked, PIDs: out.PIDs})
		}
	}
	for _, e := range in.Tally.Episodes {
		lines = append(lines, truthLine{Scenario: in.Scenario.ID, Run: r.world.Lab.Run, Step: e.Play, T0: monotonic(e.T0), T1: monotonic(e.T1),
			Wall0: e.T0, Kind: "play", Key: e.Play, Label: "benign", Worked: e.Fault == ""})
	}
	return lines
}

func writeLines(path string, write func(encode func(any) error) error) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(json.NewEncoder(file).Encode)
}
