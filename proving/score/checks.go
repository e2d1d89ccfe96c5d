// SPDX-License-Identifier: Apache-2.0

package score

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Check is one expectation of the scenario and whether it was met.
type Check struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

// Met says whether every check is.
func (r *Result) Met() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Met })
}

// checks compares with the scenario's expect blocks.
func (s *scorer) checks(r *Result) {
	expect := s.in.Scenario.Expect
	add := func(what, want, got string, met bool) { r.Checks = append(r.Checks, Check{what, want, got, met}) }
	count := func(what string, want, got int) { add(what, fmt.Sprint(want), fmt.Sprint(got), want == got) }
	count("incidents", expect.Incidents, len(r.Incidents))
	count("findings on ordinary work", 0, r.Ordinary.Findings)
	count("ordinary requests failed", 0, r.Ordinary.RequestsFailed)
	if least := s.in.Scenario.Ordinary; least > 0 {
		add("ordinary requests sent", fmt.Sprintf(">= %d", least), fmt.Sprint(r.Ordinary.RequestsSent), r.Ordinary.RequestsSent >= least)
	}
	for i, step := range s.in.Scenario.Steps {
		row := r.Steps[i]
		if !row.Worked || step.Expect.Unseen {
			continue
		}
		add("step "+step.ID+" seen", "yes", strings.Join(row.SeenBy, " "), len(row.SeenBy) > 0)
		if limit := time.Duration(step.Expect.AlertWithin); limit > 0 && row.DelayMS != nil {
			add("step "+step.ID+" alert", "<= "+limit.String(), fmt.Sprintf("%.0f ms", *row.DelayMS), *row.DelayMS <= float64(limit.Milliseconds()))
		}
	}
	for i, entry := range s.in.Scenario.Entries() {
		if !s.happened(entry.As) {
			continue // kept out
		}
		if cause := s.rootCause(r, entry); i == 0 {
			add("root cause", cause.Expected, causeText(cause.Found), cause.Right)
		} else {
			add("root cause "+entry.As, cause.Expected, causeText(cause.Found), cause.Right)
		}
	}
	s.checkMembers(r, add)
	s.checkActions(r, add)
}

// checkMembers looks whether findings of the attack's incidents bear the marks of what must be in
// them. What the attack was kept from doing is not asked for.
func (s *scorer) checkMembers(r *Result, add func(what, want, got string, met bool)) {
	members := map[string]bool{}
	for _, i := range r.Incidents {
		if i.Attack {
			for _, seen := range s.in.Incidents {
				if seen.ID == i.ID {
					for _, id := range seen.Findings {
						members[id] = true
					}
				}
			}
		}
	}
	for _, step := range s.in.Scenario.Steps {
		for _, e := range step.Truth {
			if !s.outcomes[step.ID].Worked || !slices.Contains(s.in.Scenario.Expect.Members.Must, e.As) {
				continue
			}
			found := slices.ContainsFunc(s.findings, func(f Finding) bool {
				if !members[f.ID] {
					return false
				}
				h := newHaystack(f)
				// A product need not print arguments: a process of the step's own finding will do.
				return s.m.entity(h, e) == strong || e.Kind == "process" && s.credit[f.ID] == step.ID && len(h.pids) > 0
			})
			add("member "+e.As, "in the incident", map[bool]string{true: "yes", false: "no"}[found], found)
		}
	}
	benign := 0
	for _, i := range r.Incidents {
		if i.Attack {
			benign += len(i.Benign)
		}
	}
	if slices.Contains(s.in.Scenario.Expect.Members.MustNot, "background") {
		add("ordinary findings in the incident", "0", fmt.Sprint(benign), benign == 0)
	}
}

func (s *scorer) checkActions(r *Result, add func(what, want, got string, met bool)) {
	for _, role := range s.in.Scenario.Expect.Actions.Never {
		machine := s.in.Scenario.Machines[role]
		var bad []string
		for _, a := range r.Actions {
			h := haystack{texts: []string{a.Target}}
			// An action on the web host's file or process names the host as its place, not as its target.
			if h.holds(machine.Addr.String()) || h.holds(machine.Name) && a.Kind == "isolate" {
				bad = append(bad, a.Kind+" "+a.Target)
			}
		}
		add("no action against "+role, "none", strings.Join(bad, ", "), len(bad) == 0)
	}
	if s.in.Mode != "enforce" {
		touched := slices.ContainsFunc(r.Actions, func(a ActionSeen) bool { return a.Stage == "enforce" })
		add("nothing touched in observe", "yes", fmt.Sprint(!touched), !touched)
		return
	}
	for _, wanted := range s.in.Scenario.Expect.Actions.Enforce {
		verb, name, ok := strings.Cut(wanted, " ")
		if !ok {
			verb, name = "", wanted
		}
		got := s.actionOn(r, verb, name)
		add("action on "+wanted, "some", got, got != "" || !s.happened(name))
	}
	if len(s.in.Scenario.Steps) > 0 {
		add("attack stopped", "yes", deref(r.StoppedAt), r.StoppedAt != nil)
	}
}

// actionOn finds an action against a role's address or a truth entity; verb, such as block, must be
// part of its kind.
func (s *scorer) actionOn(r *Result, verb, name string) string {
	for _, a := range r.Actions {
		if !strings.Contains(a.Kind, verb) {
			continue
		}
		h := haystack{texts: []string{a.Target}}
		if machine, ok := s.in.Scenario.Machines[name]; ok && h.holds(machine.Addr.String()) {
			return a.Kind
		}
		e, ok := s.in.Scenario.Entity(name)
		if ok && (s.m.entity(h, e) == strong || e.Kind == "process" && strings.Contains(a.Kind, "kill")) {
			return a.Kind
		}
	}
	return ""
}

// happened says whether the entity came to be: there is no killing a shell that never came.
func (s *scorer) happened(name string) bool {
	for _, step := range s.in.Scenario.Steps {
		for _, e := range step.Truth {
			if e.As == name {
				return s.outcomes[step.ID].Worked
			}
		}
	}
	return true
}

func causeText(c *Cause) string {
	if c == nil {
		return "none"
	}
	return strings.Join(strings.Fields(strings.Join([]string{c.Client, c.Method, c.URI, c.Path}, " ")), " ")
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
