// SPDX-License-Identifier: Apache-2.0

package score

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/proving/scenario"
)

func (s *scorer) incidents(r *Result) {
	byID := map[string]Finding{}
	for _, f := range s.findings {
		byID[f.ID] = f
	}
	r.Incidents = []IncidentSeen{}
	for _, i := range s.in.Incidents {
		row := IncidentSeen{ID: i.ID, Score: i.Score, Steps: []string{}, RootCause: i.RootCause, Attack: s.attack[i.ID], Benign: []string{}}
		covered := map[string]bool{}
		for _, id := range i.Findings {
			if step := s.credit[id]; step != "" {
				covered[step] = true
			} else if f, ok := byID[id]; ok && !s.m.ofAttacker(newHaystack(f)) {
				row.Benign = append(row.Benign, id)
			}
		}
		for _, step := range s.in.Scenario.Steps {
			if covered[step.ID] {
				row.Steps = append(row.Steps, step.ID)
			}
		}
		r.Incidents = append(r.Incidents, row)
	}
	if entry, ok := s.in.Scenario.Entity(s.in.Scenario.Expect.Entry); ok {
		r.RootCause = s.rootCause(r, entry)
	}
}

// rootCause compares an entry with what the incident says that covers most of the steps which that
// entry caused. Where intrusions run side by side, each has an entry of its own.
func (s *scorer) rootCause(r *Result, entry scenario.Entity) RootCause {
	out := RootCause{Expected: s.m.describe(entry)}
	most := 0
	for _, row := range r.Incidents {
		covered := 0
		for _, step := range s.in.Scenario.Steps {
			if slices.Contains(row.Steps, step.ID) && slices.ContainsFunc(step.Truth, func(e scenario.Entity) bool { return s.entryIs(e, entry) }) {
				covered++
			}
		}
		if row.Attack && covered > most {
			most = covered
			out.Found, out.Right = row.RootCause, s.isEntry(row.RootCause, entry) || s.cameBefore(row.RootCause, entry)
		}
	}
	return out
}

// cameBefore says whether a cause is an earlier entry of the same intruder: who comes in twice
// makes one intrusion, and it began with the first.
func (s *scorer) cameBefore(c *Cause, entry scenario.Entity) bool {
	from := s.in.Scenario.Endpoint(entry.Client).Addr()
	for _, e := range s.in.Scenario.Entities() {
		if e.As == entry.As {
			return false
		}
		if e.Entry && s.in.Scenario.Endpoint(e.Client).Addr() == from && s.isEntry(c, e) {
			return true
		}
	}
	return false
}

func (s *scorer) entryIs(e, entry scenario.Entity) bool {
	of, ok := s.in.Scenario.EntryOf(e)
	return ok && of.As == entry.As
}

// isEntry says whether a cause is the entry: the client's address and port, the URI's path, and
// method, host and time where the product states them.
func (s *scorer) isEntry(c *Cause, entry scenario.Entity) bool {
	if c == nil {
		return false
	}
	path, _, _ := strings.Cut(c.URI, "?")
	if c.Client != s.in.Scenario.Endpoint(entry.Client).String() || path != entry.URI {
		return false
	}
	if c.Method != "" && entry.Method != "" && c.Method != entry.Method {
		return false
	}
	if c.Host != "" && entry.Host != "" && !s.m.isHost(c.Host, entry.Host) {
		return false
	}
	at, stated := parseTime(c.Time)
	if !stated {
		return true
	}
	for _, step := range s.in.Scenario.Steps {
		for _, e := range step.Truth {
			if out := s.outcomes[step.ID]; e.As == entry.As {
				return at.After(out.T0.Add(-time.Second)) && at.Before(out.T1.Add(time.Second))
			}
		}
	}
	return false
}

// parseTime reads nanoseconds since 1970 or RFC 3339.
func parseTime(raw json.RawMessage) (time.Time, bool) {
	text := strings.Trim(string(raw), `"`)
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil && ns != 0 {
		return time.Unix(0, ns), true
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

func (s *scorer) traces(r *Result) {
	r.Traces = []TraceSeen{}
	for _, step := range s.in.Scenario.Steps {
		out, tried := s.outcomes[step.ID]
		for _, e := range step.Truth {
			entry, owed := s.in.Scenario.EntryOf(e) // what no entry caused (the scan before it) has no way to one
			if !tried || !out.Worked || !owed {
				continue
			}
			row := TraceSeen{Entity: e.As, Expected: s.m.describe(entry), Result: "unknown"}
			if trace, ok := s.traceOf(step, e); ok && trace.RootCause != nil {
				row.Found, row.Rule, row.Result = trace.RootCause, trace.Rule, "wrong"
				if s.isEntry(trace.RootCause, entry) {
					row.Result = "right"
				}
			}
			r.Traces = append(r.Traces, row)
		}
	}
}

// traceOf takes the trace of the first finding that bears a mark of the entity; a finding of the
// step stands in where the entity has none of its own.
func (s *scorer) traceOf(step scenario.Step, e scenario.Entity) (Trace, bool) {
	for _, f := range s.findings {
		if trace, ok := s.in.Traces[f.ID]; ok && s.m.entity(newHaystack(f), e) == strong {
			return trace, true
		}
	}
	for _, f := range s.findings {
		if trace, ok := s.in.Traces[f.ID]; ok && s.credit[f.ID] == step.ID {
			return trace, true
		}
	}
	return Trace{}, false
}
