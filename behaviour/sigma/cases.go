// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// CaseReport is what `ringwall sigma test` prints.
type CaseReport struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Cases  []CaseResult `json:"cases"`
}

// CaseResult is one case that ran.
type CaseResult struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Rule   string `json:"rule,omitempty"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
}

// caseFile is a file NAME.cases.yml. Each case gives one event, or several with their times:
//
//	cases:
//	  - name: a shell that talks to a socket
//	    rule: 0c1f…            # id or name; left out for want: quiet
//	    event: {Image: /bin/sh, StdinKind: socket}
//	    want: match            # match, no match, or quiet: no rule of level medium or more speaks
//	  - name: three in a row
//	    rule: many-failures
//	    source: {category: process_creation, product: linux}   # else the rule's own
//	    events:
//	      - {at: 0s, event: {User: a}}
//	      - {at: 5s, event: {User: a}, raw: the whole line}
//	    want: match
type caseFile struct {
	Cases []yaml.Node `yaml:"cases"`
}

type testCase struct {
	Name   string            `yaml:"name"`
	Rule   string            `yaml:"rule"`
	Source LogSource         `yaml:"source"`
	Event  map[string]string `yaml:"event"`
	Raw    string            `yaml:"raw"`
	Events []timedEvent      `yaml:"events"`
	Want   string            `yaml:"want"`
}

type timedEvent struct {
	At     string            `yaml:"at"`
	Source LogSource         `yaml:"source"`
	Event  map[string]string `yaml:"event"`
	Raw    string            `yaml:"raw"`
}

// UnmarshalYAML reads the three parts of a log source by their names in rules.
func (s *LogSource) UnmarshalYAML(n *yaml.Node) error {
	var m map[string]string
	if err := n.Decode(&m); err != nil {
		return err
	}
	*s = LogSource{Category: m["category"], Product: m["product"], Service: m["service"]}
	return nil
}

// Test compiles the rules below the folders, runs every case file below them, and gives both reports.
func Test(dirs []string, opt Options) (*CaseReport, *Report, error) {
	sources, err := Dirs(dirs)
	if err != nil {
		return nil, nil, err
	}
	set, rep, err := Compile(sources, opt)
	if err != nil {
		return nil, nil, err
	}
	out := &CaseReport{Cases: []CaseResult{}}
	for _, src := range sources {
		if err := set.RunCases(src, out); err != nil {
			return nil, nil, err
		}
	}
	return out, rep, nil
}

// RunCases runs the case files of a source against the set and adds to the report. The error tells of a case file
// that cannot be read; a case that goes wrong is no error.
func (s *Set) RunCases(src Source, out *CaseReport) error {
	return fs.WalkDir(src.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, caseSuffix) {
			return err
		}
		raw, err := fs.ReadFile(src.FS, p)
		if err != nil {
			return err
		}
		file := path.Join(filepath.ToSlash(src.Name), p)
		var cf caseFile
		dec := yaml.NewDecoder(bytes.NewReader(raw))
		dec.KnownFields(true)
		if err := dec.Decode(&cf); err != nil {
			return fmt.Errorf("read cases %q: %w", file, err)
		}
		for i := range cf.Cases {
			r, err := s.runCase(&cf.Cases[i])
			if err != nil {
				return fmt.Errorf("read cases %q: line %d: %w", file, cf.Cases[i].Line, err)
			}
			r.File = file
			if r.Passed = r.Got == r.Want; r.Passed {
				out.Passed++
			} else {
				out.Failed++
			}
			out.Cases = append(out.Cases, r)
		}
		return nil
	})
}

// caseStart is the time of "at: 0s"; any fixed time would do.
var caseStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *Set) runCase(n *yaml.Node) (CaseResult, error) {
	var c testCase
	if err := n.Decode(&c); err != nil {
		return CaseResult{}, err
	}
	res := CaseResult{Line: n.Line, Name: c.Name, Rule: c.Rule, Want: c.Want}
	var rule *Rule
	if i := slices.IndexFunc(s.rules, func(r *Rule) bool { return c.Rule != "" && (r.ID == c.Rule || r.Name == c.Rule) }); i >= 0 {
		rule = s.rules[i]
	}
	switch {
	case c.Want != "match" && c.Want != "no match" && c.Want != "quiet":
		return res, fmt.Errorf("case %q wants %q; it must be match, no match or quiet", c.Name, c.Want)
	case c.Want == "quiet" && c.Source == (LogSource{}):
		return res, fmt.Errorf("case %q wants quiet and needs a source", c.Name)
	case c.Want != "quiet" && rule == nil:
		res.Got = "rule is not loaded"
		return res, nil
	}
	if c.Source == (LogSource{}) && rule != nil {
		c.Source = rule.LogSource
	}
	if len(c.Events) == 0 {
		c.Events = []timedEvent{{At: "0s", Event: c.Event, Raw: c.Raw}}
	}
	return s.playCase(c, rule, res)
}

// playCase runs the events and writes down what came of them.
func (s *Set) playCase(c testCase, rule *Rule, res CaseResult) (CaseResult, error) {
	var loud []string
	hit := false
	see := func(r *Rule) {
		hit = hit || r == rule
		if r.Severity() >= levels["medium"] {
			loud = append(loud, r.Title)
		}
	}
	stream := NewStream(s, StreamConfig{})
	stream.all = c.Want != "quiet"
	end := caseStart
	for i, e := range c.Events {
		at, err := time.ParseDuration(e.At)
		if err != nil {
			return res, errors.Join(fmt.Errorf("case %q, event %d", c.Name, i+1), err)
		}
		ev := MapEvent{Source: c.Source, Values: e.Event, Raw: e.Raw}
		if e.Source != (LogSource{}) {
			ev.Source = e.Source
		}
		end = caseStart.Add(at)
		stream.Match(end, uint64(i), ev, func(m Match) { see(m.Rule) })
	}
	stream.Advance(end.Add(400*24*time.Hour), func(m Match) { see(m.Rule) })
	switch {
	case c.Want == "quiet":
		res.Got = "quiet"
		if len(loud) > 0 {
			res.Got = "spoke: " + strings.Join(loud, "; ")
		}
	case hit:
		res.Got = "match"
	default:
		res.Got = "no match"
	}
	return res, nil
}
