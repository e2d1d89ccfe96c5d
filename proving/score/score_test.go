// SPDX-License-Identifier: Apache-2.0

package score

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/scenario"
)

var update = flag.Bool("update", false, "rewrite the expected halves of testdata/*.txt")

// shellPID is what the shell step is taken to have printed.
const shellPID = 4711

// start of the made-up run; step n begins n*10 s later and lasts 1 s.
var start = time.Unix(1_800_000_000, 0)

// TestScore reads testdata/score.txt. A case is lines of what the product said, "----" and the
// table. Lines: "finding ID STEP+MS LAYER.STAGE COLOUR key=value…" (a value may use the scenario's
// names), "incident ID key=value… : FINDING…" with the root cause's fields, "trace FINDING key=value…",
// "action KIND STEP+MS TARGET", "stopped STEP" (from there on nothing worked), "enforce".
func TestScore(t *testing.T) {
	const name = "testdata/score.txt"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for part := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n====\n") {
		input, want, _ := strings.Cut(part, "----\n")
		var table bytes.Buffer
		if err := Score(readCase(t, input)).WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(table.String())
		if !*update && got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", input, got, want)
		}
		out = append(out, input+"----\n"+got)
	}
	if *update {
		if err := os.WriteFile(name, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var name = regexp.MustCompile(`\$\{([a-z0-9_.]+)\}`)

func readCase(t *testing.T, text string) Input {
	t.Helper()
	seed := uint64(7)
	s, err := scenario.Load("../scenarios/web-upload.yaml", &seed)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Scenario: s, Mode: "observe", Traces: map[string]Trace{}, Tally: play.Tally{Sent: 1000}, Minutes: 2}
	stopped := ""
	at := func(text string) time.Time {
		step, ms, _ := strings.Cut(text, "+")
		n, err := strconv.Atoi(ms)
		for i, each := range s.Steps {
			if each.ID == step && err == nil {
				return start.Add(time.Duration(i)*10*time.Second + time.Second + time.Duration(n)*time.Millisecond)
			}
		}
		t.Fatalf("%q is no STEP+MS", text)
		return time.Time{}
	}
	for line := range strings.Lines(text) {
		line = name.ReplaceAllStringFunc(strings.TrimSpace(line), func(ref string) string {
			value, ok := s.Names[ref[2:len(ref)-1]]
			if !ok {
				t.Fatalf("%s is not known", ref)
			}
			return value
		})
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "finding":
			layer, stage, _ := strings.Cut(words[3], ".")
			in.Findings = append(in.Findings, Finding{ID: words[1], PublishedNS: at(words[2]).UnixNano(), Host: s.Names["web.name"],
				Layer: layer, Stage: stage, Colour: words[4], Subjects: []map[string]any{pairs(words[5:])}})
		case "incident":
			left, right, _ := strings.Cut(line, " : ")
			in.Incidents = append(in.Incidents, Incident{ID: words[1], Findings: strings.Fields(right), RootCause: cause(strings.Fields(left)[2:])})
		case "trace":
			in.Traces[words[1]] = Trace{RootCause: cause(words[2:]), Rule: "fastcgi"}
		case "action":
			in.Actions = append(in.Actions, Action{Kind: words[1], OrderedNS: at(words[2]).UnixNano(), Target: strings.Join(words[3:], " "), Stage: "enforce", Verified: true})
		case "stopped":
			stopped = words[1]
		case "enforce":
			in.Mode = "enforce"
		default:
			t.Fatalf("line %q", line)
		}
	}
	in.Outcomes = outcomes(s, stopped)
	return in
}

func outcomes(s *scenario.Scenario, stopped string) []play.Outcome {
	var all []play.Outcome
	for i, step := range s.Steps {
		t0 := start.Add(time.Duration(i) * 10 * time.Second)
		out := play.Outcome{Step: step.ID, T0: t0, T1: t0.Add(time.Second), Worked: step.ID != stopped}
		if step.ID == "shell" && out.Worked {
			out.PIDs = map[string][]int{"web": {shellPID}}
		}
		all = append(all, out)
		if step.ID == stopped {
			break
		}
	}
	return all
}

func pairs(words []string) map[string]any {
	m := map[string]any{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if n, err := strconv.ParseFloat(value, 64); err == nil && key == "pid" {
			m[key] = n
		} else {
			m[key] = strings.ReplaceAll(value, "_", " ")
		}
	}
	return m
}

func cause(words []string) *Cause {
	if len(words) == 0 {
		return nil
	}
	text, _ := json.Marshal(pairs(words))
	var c Cause
	if err := json.Unmarshal(text, &c); err != nil {
		panic(fmt.Sprintf("%q: %v", words, err))
	}
	return &c
}

func TestMarksAreWholeWords(t *testing.T) {
	h := haystack{texts: []string{"from 10.1.2.30:41001 to /up/run.php5", "sh -c id;echo a12"}}
	for mark, want := range map[string]bool{"10.1.2.30:41001": true, "10.1.2.3": false, "10.1.2.30:4100": false, "0.1.2.30": false,
		"/up/run.php": false, "/up/run.php5": true, "a12": true, "a1": false, "": false} {
		if h.holds(mark) != want {
			t.Errorf("%q: %v", mark, !want)
		}
	}
}

func TestWilson(t *testing.T) {
	// Newcombe 1998, table I, method 3: 81 of 263 and 0 of 20.
	for _, c := range []struct {
		hits, n  int
		low, top float64
	}{{81, 263, 0.2553, 0.3662}, {0, 20, 0, 0.1611}, {0, 0, 0, 1}} {
		got := Wilson(c.hits, c.n)
		if d := got[0] - c.low; d > 1e-4 || d < -1e-4 {
			t.Errorf("%d of %d: low %.4f", c.hits, c.n, got[0])
		}
		if d := got[1] - c.top; d > 1e-4 || d < -1e-4 {
			t.Errorf("%d of %d: top %.4f", c.hits, c.n, got[1])
		}
	}
}
