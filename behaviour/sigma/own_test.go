// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"os"
	"slices"
	"testing"
)

// ownSet is our rules alone, checked against what our sensors fill.
func ownSet(t testing.TB) *Set {
	set, rep, err := Compile([]Source{Own()}, Options{Sensors: Sensors()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Refused {
		t.Errorf("refused: %v", r)
	}
	for _, n := range rep.NeverFires {
		t.Errorf("%s can never fire: %v", n.Title, n.Missing)
	}
	return set
}

func runCases(t *testing.T, set *Set, dir string) *CaseReport {
	t.Helper()
	rep := &CaseReport{}
	if err := set.RunCases(Source{FS: os.DirFS(dir), Name: dir}, rep); err != nil {
		t.Fatal(err)
	}
	for _, c := range rep.Cases {
		if !c.Passed {
			t.Errorf("%s:%d: %s: want %s, got %s", c.File, c.Line, c.Name, c.Want, c.Got)
		}
	}
	return rep
}

func TestOwnRules(t *testing.T) {
	set := ownSet(t)
	rep := runCases(t, set, "testdata/own")
	fires, spares := map[string]bool{}, map[string]bool{}
	for _, c := range rep.Cases {
		fires[c.Rule] = fires[c.Rule] || c.Want == "match"
		spares[c.Rule] = spares[c.Rule] || c.Want == "no match"
	}
	for _, r := range set.Rules() {
		if !fires[r.Name] || !spares[r.Name] {
			t.Errorf("%s needs a case that must fire and a near miss", r.Name)
		}
		if r.License != "Apache-2.0" || len(r.Techniques) == 0 || r.Level == "" || len(r.FalsePositives) == 0 {
			t.Errorf("%s lacks licence, techniques, level or false positives", r.Name)
		}
	}
	t.Logf("%d rules, %d cases", len(set.Rules()), rep.Passed)
}

// TestTest is the door of the command line: folders in, both reports out.
func TestTest(t *testing.T) {
	cases, rules, err := Test([]string{"rules", "testdata/own"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if cases.Failed != 0 || cases.Passed == 0 || rules.Loaded == 0 || len(rules.Refused) != 0 {
		t.Errorf("%d passed, %d failed, %d loaded, refused %v", cases.Passed, cases.Failed, rules.Loaded, rules.Refused)
	}
	if _, _, err := Test([]string{"testdata/nosuch"}, Options{}); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func TestExplain(t *testing.T) {
	set := ownSet(t)
	ev := MapEvent{Source: LogSource{Category: "process_creation", Product: "linux"}, Values: map[string]string{
		"Image": "/usr/bin/bash", "StdinKind": "socket", "ParentImage": "/usr/bin/dash", "Ancestors": "/usr/bin/dash /usr/sbin/php-fpm8.2"}}
	for _, r := range set.Rules() {
		if r.Name != "web_worker_shell_on_socket" {
			continue
		}
		hits, ok := r.Explain(ev)
		if !ok || len(hits) != 3 || hits[1] != (Hit{Field: "StdinKind", Value: "socket", Wanted: "socket"}) {
			t.Errorf("explained as %v %v", hits, ok)
		}
		if got, want := r.Attribution(), "rule Shell of a Web Worker with an Internet Connection as Its Input, by The Ringwall authors, Apache-2.0"; got != want {
			t.Errorf("attribution %q", got)
		}
	}
}

func TestTechniques(t *testing.T) {
	got := techniques([]string{"attack.t1059.004", "attack.T1685", "attack.t1686.002", "attack.stealth", "cve.2021-1", "attack.t1562.001"})
	if want := []string{"T1059.004", "T1562.001", "T1562.004"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
