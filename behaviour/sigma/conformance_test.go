// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func oneDoc(doc string) fstest.MapFS {
	return fstest.MapFS{"rule.yml": {Data: []byte(doc)}}
}

// TestConformance runs the cases that were written from the specification for judging engines.
func TestConformance(t *testing.T) {
	f, err := os.Open(filepath.Join(sigmaData(t), "conformance.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var c struct {
			ID        int
			Detection json.RawMessage
			Event     map[string]any
			Want, Why string
			Choice    bool
		}
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		n++
		doc := "title: case\nid: case\nlogsource: {category: test}\ndetection: " + string(c.Detection) + "\n"
		set, rep := compileText(t, doc, Options{})
		got := "no match"
		ev := MapEvent{Source: LogSource{Category: "test"}, Values: map[string]string{}}
		for k, v := range c.Event {
			ev.Values[k] = asText(v)
		}
		switch {
		case len(rep.Refused) > 0:
			got = "reject rule"
		case len(matched(set, ev)) > 0:
			got = "match"
		}
		if got != c.Want {
			t.Errorf("case %d (%s, choice %v): got %q, want %q; refused %v", c.ID, c.Why, c.Choice, got, c.Want, rep.Refused)
		}
	}
	t.Logf("%d cases", n)
}

// TestOutsideContent loads SigmaHQ's rules unchanged, and sees that what is set aside is refused with a place.
func TestOutsideContent(t *testing.T) {
	root := sigmaData(t)
	set, rep, err := CompileDirs([]string{filepath.Join(root, "rules"), filepath.Join(root, "rules-emerging-threats"), filepath.Join(root, "rules-threat-hunting")}, Options{Sensors: Sensors()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Refused {
		t.Errorf("refused: %v", r)
	}
	linux := 0
	for _, r := range set.Rules() {
		if r.LogSource.Product == "linux" {
			linux++
		}
		if r.Author == "" {
			t.Errorf("%s: no author", r.Path)
		}
	}
	t.Logf("%d documents, %d loaded, %d of product linux, %d can never fire here", rep.Total, rep.Loaded, linux, len(rep.NeverFires))
	if testing.Verbose() {
		for _, n := range rep.NeverFires {
			t.Logf("never fires: %s %v", n.File[len(root):], n.Missing)
		}
	}
	_, rep, err = CompileDirs([]string{filepath.Join(root, "unsupported")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Loaded != 0 || len(rep.Refused) != 7 {
		t.Errorf("unsupported: %d loaded, %d refused, want 0 and 7", rep.Loaded, len(rep.Refused))
	}
	for _, r := range rep.Refused {
		if r.Line < 2 && r.Reason == "" {
			t.Errorf("no place or reason: %v", r)
		}
		t.Log(r.File[len(root):], r.Line, r.Reason)
	}
}

// TestLanguage runs our own cases for every construct of the specification.
func TestLanguage(t *testing.T) {
	const dir = "testdata/language"
	set, rep, err := CompileDirs([]string{dir}, Options{Placeholders: map[string][]string{"admins": {"root", "adm_*"}, "dirs": {"/tmp/"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Refused {
		t.Errorf("refused: %v", r)
	}
	t.Logf("%d rules, %d cases", rep.Loaded, runCases(t, set, dir).Passed)
}
