// SPDX-License-Identifier: Apache-2.0

package score

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes a result for people.
func (r *Result) WriteTable(w io.Writer) error {
	without := ""
	if len(r.Without) > 0 {
		without = ", without " + strings.Join(r.Without, " ")
	}
	fmt.Fprintf(w, "%s, %s, seed %d%s\n\n", r.Scenario, r.Mode, r.Seed, without)
	if len(r.Steps) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "step\ttechnique\tworked\tseen by\tfinding\tms to alert")
		for _, s := range r.Steps {
			worked := map[bool]string{true: "yes", false: "no"}[s.Worked]
			if !s.Tried {
				worked = "not reached"
			}
			delay := "-"
			if s.DelayMS != nil {
				delay = fmt.Sprintf("%.0f", *s.DelayMS)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, strings.Join(s.Technique, " "), worked, dash(strings.Join(s.SeenBy, " ")), dash(deref(s.Finding)), delay)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, i := range r.Incidents {
		fmt.Fprintf(w, "incident %s  score %.2f  steps: %s\n", i.ID, i.Score, dash(strings.Join(i.Steps, " ")))
	}
	if r.RootCause.Expected != "" {
		fmt.Fprintf(w, "root cause  expected %s; found %s; %s\n", r.RootCause.Expected, causeText(r.RootCause.Found), map[bool]string{true: "right", false: "NOT RIGHT"}[r.RootCause.Right])
	}
	results := map[string]int{}
	for _, t := range r.Traces {
		results[t.Result]++
	}
	if len(r.Traces) > 0 {
		fmt.Fprintf(w, "traces      %d right, %d wrong, %d unknown\n", results["right"], results["wrong"], results["unknown"])
	}
	for _, a := range r.Actions {
		fmt.Fprintf(w, "action      %s %s at step %s, verified %v\n", a.Kind, a.Target, dash(a.AtStep), a.Verified)
	}
	fmt.Fprintf(w, "stopped at  %s\n", dash(deref(r.StoppedAt)))
	fmt.Fprintf(w, "delay       p50 %.0f ms, p99 %.0f ms over %d findings\n", r.Delay.P50MS, r.Delay.P99MS, r.Delay.Count)
	fmt.Fprintf(w, "ordinary    %d findings, %d incidents in %.1f minutes; %d requests sent, %d failed (95 %%: %.4f to %.4f)\n",
		r.Ordinary.Findings, r.Ordinary.Incidents, r.Ordinary.Minutes, r.Ordinary.RequestsSent, r.Ordinary.RequestsFailed, r.Ordinary.FailedCI[0], r.Ordinary.FailedCI[1])
	fmt.Fprintf(w, "events      %d seen, %d lost\n", r.Events.Seen, r.Events.Lost)
	for _, c := range r.Checks {
		if !c.Met {
			fmt.Fprintf(w, "NOT MET     %s: want %s, got %s\n", c.What, c.Want, dash(c.Got))
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note        %s\n", note)
	}
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
