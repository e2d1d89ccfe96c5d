// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeptIsNotRepeated(t *testing.T) {
	j := &judge{state: t.TempDir()}
	runs := 0
	do := func() (int, error) { runs++; return runs, nil }
	for range 3 {
		if v, err := kept(j, "cost", do); v != 1 || err != nil {
			t.Fatalf("kept gives %d, %v", v, err)
		}
	}
	if _, err := kept(j, "failing", func() (int, error) { return 0, errors.New("stopped") }); err == nil {
		t.Fatal("an error was swallowed")
	}
	if _, err := os.Stat(filepath.Join(j.state, "failing.json")); err == nil {
		t.Fatal("a measure that failed was kept")
	}
	if _, err := kept(j, "cost-part", do); err != nil {
		t.Fatal(err)
	}
	j.forget("cost")
	if left, _ := os.ReadDir(j.state); len(left) != 0 {
		t.Fatalf("forget left %v", left)
	}
}

func TestPageSaysWhatIsMissingAndWhatIsNotMet(t *testing.T) {
	j := &judge{state: t.TempDir(), bin: t.TempDir()}
	r := &Record{Measure: "cost", Title: "Added cost beside auditd", Command: command("cost"), Took: "3s", Kernel: "6.18"}
	r.row(&Table{}, 1)
	r.Tables = []Table{{Head: []string{"a", "b|c"}, Rows: [][]string{{"1", "2"}}}}
	r.must("added cost", "<= 0.33", "0.50", false)
	if _, err := kept(j, "cost", func() (*Record, error) { return r, nil }); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := j.writePage(page); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(page)
	for _, want := range []string{"## Added cost beside auditd", "make judge ARGS='-again cost'", `| a | b\|c |`, "| added cost | <= 0.33 | 0.50 | NOT MET |", "## The range\n\nNot measured yet"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the page lacks %q:\n%s", want, raw)
		}
	}
	if r.broken() {
		t.Error("a goal that does not close a change breaks the run")
	}
	r.closing("incidents", "1", "2", false)
	if !r.broken() {
		t.Error("a closing must that is not met does not break the run")
	}
}

func TestSmallestProgramRuns(t *testing.T) {
	raw, err := smallest()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), nothing)
	if err := os.WriteFile(path, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(path, "a", "b").Run(); err != nil {
		t.Fatal(err)
	}
}

func TestCountFacts(t *testing.T) {
	log := `type=SYSCALL msg=audit(1.2:3): arch=c000003e syscall=59 success=yes exit=0 comm="nothing" exe="/x/nothing" subj=unconfined key="judge-exec"ARCH=x86_64 SYSCALL=execve
type=EXECVE msg=audit(1.2:3): argc=1 a0="x"
type=SYSCALL msg=audit(1.2:4): arch=c000003e syscall=59 success=yes exit=0 comm="deeds" exe="/x/deeds" key="judge-exec"
type=SYSCALL msg=audit(1.2:5): arch=c000003e syscall=42 success=no exit=-512 comm="deeds" key="judge-connect"
type=SYSCALL msg=audit(1.2:6): arch=c000003e syscall=42 success=yes exit=0 comm="deeds" key="judge-connect"
type=SYSCALL msg=audit(1.2:8): arch=c000003e syscall=59 success=yes exit=0 comm="steadily" exe="/x/steadily" key="judge-exec"
type=SYSCALL msg=audit(1.2:7): arch=c000003e syscall=42 success=yes exit=0 comm="other" key=(null)
`
	got := countFacts(strings.NewReader(log))
	if len(got) != 3 || got["exec"] != 1 || got["steady"] != 1 || got["connect"] != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if v[0] != 5 || quantile(nil, 0.5) != 0 {
		t.Error("quantile changes its input or invents a figure")
	}
}

func TestStoppedBy(t *testing.T) {
	res := &Result{}
	for _, id := range []string{"upload", "command", "shell", "cron"} {
		res.Steps = append(res.Steps, Step{ID: id})
	}
	for at, want := range map[string]bool{"": false, "command": true, "shell": true, "cron": false} {
		res.StoppedAt = nil
		if at != "" {
			res.StoppedAt = &at
		}
		if got := stoppedBy(res, "shell"); got != want {
			t.Errorf("stopped at %q: %v", at, got)
		}
	}
}

// A sensor less is worse where one witness of a step is gone, though others see the step;
// the same table is not.
func TestWithoutASensor(t *testing.T) {
	f := "f-1"
	whole := &Result{Steps: []Step{
		{ID: "scan", SeenBy: []string{"network.exposure", "network.fingerprint"}},
		{ID: "cron", SeenBy: []string{"behaviour.sigma", "file.light"}, Finding: &f},
	}}
	less := &Result{Steps: []Step{whole.Steps[0], {ID: "cron", SeenBy: []string{"behaviour.sigma"}, Finding: &f}}}
	if !less.worse(whole) || whole.worse(whole) || whole.worse(less) {
		t.Errorf("worse: %v, %v, %v", less.worse(whole), whole.worse(whole), whole.worse(less))
	}
	if got := gone(whole, less); len(got) != 1 || got[0] != "cron: file.light" {
		t.Errorf("gone: %q", got)
	}
	silent := &Result{Steps: []Step{whole.Steps[0], {ID: "cron", SeenBy: whole.Steps[1].SeenBy}}}
	if !silent.worse(whole) || len(gone(whole, silent)) != 0 {
		t.Errorf("a finding less is not worse, or a witness: %q", gone(whole, silent))
	}
}
