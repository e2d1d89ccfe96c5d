// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"os"
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
	rep := runCases(t, set, "testdata")
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
