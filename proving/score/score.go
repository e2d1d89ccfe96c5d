// SPDX-License-Identifier: Apache-2.0

package score

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/scenario"
)

// SchemaVersion of the Result's JSON. It rises when a field changes its meaning or goes.
const SchemaVersion = 1

// weakWait is how long after a step a finding without a mark of its own may still be about it.
const weakWait = 5 * time.Second

// Input is everything a run gave.
type Input struct {
	Scenario  *scenario.Scenario
	Mode      string // observe or enforce
	Without   []string
	Outcomes  []play.Outcome // one per step that was tried, in order
	Findings  []Finding
	Incidents []Incident
	Actions   []Action
	Traces    map[string]Trace // by finding id
	Events    Events
	Tally     play.Tally
	Minutes   float64
	Notes     []string
}

// Result of a run, in the form that judges read.
type Result struct {
	SchemaVersion int            `json:"schema_version"`
	Scenario      string         `json:"scenario"`
	Mode          string         `json:"mode"`
	Seed          uint64         `json:"seed"`
	Without       []string       `json:"without,omitempty"`
	Steps         []Step         `json:"steps"`
	Incidents     []IncidentSeen `json:"incidents"`
	RootCause     RootCause      `json:"root_cause"`
	Traces        []TraceSeen    `json:"traces"`
	Actions       []ActionSeen   `json:"actions"`
	Ordinary      Ordinary       `json:"ordinary"`
	StoppedAt     *string        `json:"stopped_at"`
	Events        Events         `json:"events"`
	Delay         Delay          `json:"delay"`
	Checks        []Check        `json:"checks"`
	Notes         []string       `json:"notes,omitempty"`
}

// Step is what became of one step and who saw it.
type Step struct {
	ID             string            `json:"id"`
	Technique      []string          `json:"technique"`
	ExpectedLayers map[string]string `json:"expected_layers"`
	SeenBy         []string          `json:"seen_by"`  // layer.stage, grey sightings included
	Finding        *string           `json:"finding"`  // first above grey
	DelayMS        *float64          `json:"delay_ms"` // from the step's end to publication; below 0 is before its end
	Worked         bool              `json:"worked"`
	Why            string            `json:"why,omitempty"`
	Tried          bool              `json:"tried"`
}

// IncidentSeen is an incident and the steps it covers.
type IncidentSeen struct {
	ID        string   `json:"id"`
	Score     float64  `json:"score"`
	Steps     []string `json:"steps"`
	RootCause *Cause   `json:"root_cause"`
	Attack    bool     `json:"attack"`
	Benign    []string `json:"benign_findings"` // members that name ordinary work and nothing of the attack
}

// RootCause of the attack's incident against the truth.
type RootCause struct {
	Expected string `json:"expected"`
	Found    *Cause `json:"found"`
	Right    bool   `json:"right"`
}

// TraceSeen is one truth entity traced to its entry. Result is right, wrong or unknown.
type TraceSeen struct {
	Entity   string `json:"entity"`
	Expected string `json:"expected"`
	Found    *Cause `json:"found"`
	Result   string `json:"result"`
	Rule     string `json:"rule"`
}

// ActionSeen is an action placed in the attack.
type ActionSeen struct {
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	Host     string `json:"host,omitempty"`
	Stage    string `json:"stage,omitempty"`
	AtStep   string `json:"at_step"`
	Verified bool   `json:"verified"`
}

// Ordinary work: what was said against it and what of it was cut.
type Ordinary struct {
	Findings       int            `json:"findings"`
	Incidents      int            `json:"incidents"`
	RequestsSent   int            `json:"requests_sent"`
	RequestsFailed int            `json:"requests_failed"`
	FailedCI       [2]float64     `json:"requests_failed_ci"` // Wilson, 95 %
	Minutes        float64        `json:"minutes"`
	Plays          map[string]int `json:"plays"`
	Faults         []string       `json:"faults,omitempty"`
	FindingIDs     []string       `json:"finding_ids,omitempty"`
}

// Delay over the steps that have a finding.
type Delay struct {
	Count int     `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
}

// Score compares. It changes nothing of its input.
func Score(in Input) *Result {
	s := &scorer{in: in, m: newMatcher(in.Scenario, in.Outcomes), outcomes: map[string]play.Outcome{}, credit: map[string]string{}}
	for _, out := range in.Outcomes {
		s.outcomes[out.Step] = out
	}
	s.findings = slices.Clone(in.Findings)
	slices.SortStableFunc(s.findings, func(a, b Finding) int { return cmp.Compare(a.PublishedNS, b.PublishedNS) })
	s.assign()
	r := &Result{SchemaVersion: SchemaVersion, Scenario: in.Scenario.ID, Mode: in.Mode, Seed: in.Scenario.Seed,
		Without: in.Without, Events: in.Events, Notes: in.Notes}
	s.steps(r)
	s.incidents(r)
	s.traces(r)
	s.actions(r)
	s.ordinary(r)
	s.checks(r)
	return r
}

type scorer struct {
	in       Input
	m        matcher
	outcomes map[string]play.Outcome
	findings []Finding         // by time of publication
	credit   map[string]string // finding id to step id
	attack   map[string]bool   // incident ids that hold a finding with a mark of the attack
}

// assign gives each finding to the last step that it has a mark of and that had begun when it was
// published; then, by time, those without a mark that the product itself tied to the attack.
func (s *scorer) assign() {
	s.attack = map[string]bool{}
	incident := s.incidentOf()
	stacks := make([]haystack, len(s.findings))
	for i, f := range s.findings {
		stacks[i] = newHaystack(f)
		if step := s.lastStep(f, strong, stacks[i]); step != "" {
			s.credit[f.ID] = step
			s.attack[incident[f.ID]] = true
		}
	}
	for i, f := range s.findings {
		if s.credit[f.ID] != "" {
			continue
		}
		if s.m.ofAttacker(stacks[i]) {
			s.credit[f.ID] = s.lastStep(f, weak, stacks[i])
			s.attack[incident[f.ID]] = true
		} else if s.attack[incident[f.ID]] && !s.namesOrdinary(stacks[i]) {
			s.credit[f.ID] = s.lastStep(f, none, stacks[i])
		}
	}
	delete(s.attack, "")
}

// incidentOf joins both places where a product may say it.
func (s *scorer) incidentOf() map[string]string {
	of := map[string]string{}
	for _, f := range s.findings {
		of[f.ID] = f.Incident
	}
	for _, i := range s.in.Incidents {
		for _, id := range i.Findings {
			if of[id] == "" {
				of[id] = i.ID
			}
		}
	}
	return of
}

func (s *scorer) lastStep(f Finding, least strength, h haystack) string {
	published := time.Unix(0, f.PublishedNS)
	last := ""
	for _, step := range s.in.Scenario.Steps {
		out, tried := s.outcomes[step.ID]
		if !tried || published.Before(out.T0) {
			continue
		}
		// A mark is enough; without one the step must be recent.
		if got := s.m.step(h, step, out); got >= least && (got == strong || published.Before(out.T1.Add(weakWait))) {
			last = step.ID
		}
	}
	return last
}

// namesOrdinary says whether a finding names an ordinary client.
func (s *scorer) namesOrdinary(h haystack) bool {
	for role, machine := range s.in.Scenario.Machines {
		if strings.HasPrefix(role, "client") && h.holds(machine.Addr.String()) {
			return true
		}
	}
	return false
}

func (s *scorer) steps(r *Result) {
	var delays []float64
	for _, step := range s.in.Scenario.Steps {
		out, tried := s.outcomes[step.ID]
		row := Step{ID: step.ID, Technique: step.Attack, ExpectedLayers: step.Expect.Layers, SeenBy: []string{},
			Worked: out.Worked, Why: out.Why, Tried: tried}
		for _, f := range s.findings {
			if s.credit[f.ID] != step.ID {
				continue
			}
			if !slices.Contains(row.SeenBy, f.By()) {
				row.SeenBy = append(row.SeenBy, f.By())
			}
			if row.Finding == nil && f.AboveGrey() {
				id, delay := f.ID, float64(f.PublishedNS-out.T1.UnixNano())/1e6
				row.Finding, row.DelayMS = &id, &delay
				delays = append(delays, delay)
			}
		}
		if r.StoppedAt == nil && tried && !out.Worked {
			id := step.ID
			r.StoppedAt = &id
		}
		r.Steps = append(r.Steps, row)
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		r.Delay = Delay{len(delays), percentile(delays, 0.5), percentile(delays, 0.99)}
	}
}

// percentile by nearest rank of sorted values.
func percentile(sorted []float64, p float64) float64 {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

func (s *scorer) actions(r *Result) {
	r.Actions = []ActionSeen{}
	for _, a := range s.in.Actions {
		row := ActionSeen{Kind: a.Kind, Target: a.Target, Host: a.Host, Stage: a.Stage, Verified: a.Verified}
		at, stated := parseTime(a.Time)
		if a.OrderedNS != 0 {
			at, stated = time.Unix(0, a.OrderedNS), true
		}
		for _, step := range s.in.Scenario.Steps {
			if out, tried := s.outcomes[step.ID]; stated && tried && !at.Before(out.T0) {
				row.AtStep = step.ID
			}
		}
		r.Actions = append(r.Actions, row)
	}
}

func (s *scorer) ordinary(r *Result) {
	tally := s.in.Tally
	r.Ordinary = Ordinary{RequestsSent: tally.Sent, RequestsFailed: tally.Failed, Minutes: s.in.Minutes,
		FailedCI: Wilson(tally.Failed, tally.Sent), Plays: tally.Plays, Faults: tally.Faults}
	for _, f := range s.findings {
		if f.AboveGrey() && s.credit[f.ID] == "" && !s.m.ofAttacker(newHaystack(f)) {
			r.Ordinary.Findings++
			r.Ordinary.FindingIDs = append(r.Ordinary.FindingIDs, f.ID)
		}
	}
	for _, i := range r.Incidents {
		if !i.Attack {
			r.Ordinary.Incidents++
		}
	}
}

// Wilson is the 95 % score interval of a rate (Wilson 1927).
func Wilson(hits, n int) [2]float64 {
	if n == 0 {
		return [2]float64{0, 1}
	}
	const z = 1.959963984540054
	p, m := float64(hits)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return [2]float64{max(0, middle-half), min(1, middle+half)}
}
