// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// procEvent is shaped as a sensor would: fields in a struct, no map.
type procEvent struct {
	image, command, parentImage, parentCommand, user, dir string
}

func (p *procEvent) LogSource() LogSource {
	return LogSource{Category: "process_creation", Product: "linux"}
}
func (p *procEvent) Keywords() string { return "" }
func (p *procEvent) Field(name string) (string, bool) {
	switch name {
	case "Image":
		return p.image, true
	case "CommandLine":
		return p.command, true
	case "ParentImage":
		return p.parentImage, p.parentImage != ""
	case "ParentCommandLine":
		return p.parentCommand, p.parentImage != ""
	case "User":
		return p.user, true
	case "CurrentDirectory":
		return p.dir, p.dir != ""
	}
	return "", false
}

// recordedProcesses reads the processes of the recorded hosts (SysFlow, Apache-2.0).
func recordedProcesses(t testing.TB) []*procEvent {
	sigmaData(t)
	files, _ := filepath.Glob(filepath.Join(os.Getenv("RINGWALL_DATA"), "behaviour", "graph", "*.jsonl.zst"))
	var evs []*procEvent
	for _, f := range files {
		raw, err := exec.Command("zstd", "-dcq", f).Output()
		if err != nil {
			t.Skipf("zstd cannot unpack %s: %v", f, err)
		}
		byID := map[string]*procEvent{}
		sc := bufio.NewScanner(bytes.NewReader(raw))
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var r struct{ K, P, Parent, Exe, Args, User string }
			if json.Unmarshal(sc.Bytes(), &r) != nil || r.K != "proc" {
				continue
			}
			p := &procEvent{image: r.Exe, command: strings.TrimSpace(r.Exe + " " + r.Args), user: r.User}
			if pp := byID[r.Parent]; pp != nil {
				p.parentImage, p.parentCommand = pp.image, pp.command
			}
			byID[r.P] = p
			evs = append(evs, p)
		}
	}
	if len(evs) == 0 {
		t.Skip("no recorded processes found")
	}
	return evs
}

func linuxRules(t testing.TB) *Set {
	root := sigmaData(t)
	set, _, err := CompileDirs([]string{filepath.Join(root, "rules", "linux"), filepath.Join(root, "rules-emerging-threats"), filepath.Join(root, "rules-threat-hunting")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// cpuTime reports the processor time per operation, which a busy machine disturbs less than wall time.
func cpuTime(b *testing.B) func() {
	read := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := read()
	return func() { b.ReportMetric(float64(read()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkMatch is one core over recorded process starts with all Linux rules; the second runs every rule by
// itself without index, for comparison.
func BenchmarkMatch(b *testing.B) {
	set, evs := linuxRules(b), recordedProcesses(b)
	set.Prepare(evs[0].LogSource())
	run := func(b *testing.B, match func(*procEvent)) {
		n := 0
		for _, e := range evs {
			n += len(e.command) + len(e.image) + len(e.parentImage)
		}
		b.ReportAllocs()
		done := cpuTime(b)
		for i := 0; b.Loop(); i++ {
			match(evs[i%len(evs)])
		}
		done()
		b.ReportMetric(float64(n)/float64(len(evs)), "bytes/event")
	}
	hits := 0
	b.Run("index", func(b *testing.B) {
		run(b, func(e *procEvent) { set.Match(e, func(*Rule) { hits++ }) })
	})
	var rules []*Rule
	for _, r := range set.Rules() {
		if r.LogSource.covers(evs[0].LogSource()) {
			rules = append(rules, r)
		}
	}
	b.Run("without-index", func(b *testing.B) {
		run(b, func(e *procEvent) {
			for _, r := range rules {
				if r.expr.holds(e, nil) {
					hits++
				}
			}
		})
	})
}

// BenchmarkCompile is the start-up cost of all outside rules.
func BenchmarkCompile(b *testing.B) {
	root := sigmaData(b)
	for b.Loop() {
		if _, _, err := CompileDirs([]string{filepath.Join(root, "rules"), filepath.Join(root, "rules-emerging-threats")}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestIndexAgrees compares the index with plain evaluation on recorded processes.
func TestIndexAgrees(t *testing.T) {
	set, evs := linuxRules(t), recordedProcesses(t)
	g := set.group(evs[0].LogSource())
	t.Logf("%d rules, %d atoms, %d always, %d events", len(g.rules), len(g.atoms), len(g.always), len(evs))
	for _, r := range g.always {
		t.Logf("always: %s", g.rules[r].rule.Title)
	}
	for i := range g.fields {
		if a := g.fields[i].auto; a != nil {
			t.Logf("field %q: %d states, %d classes", g.fields[i].name, len(a.out), a.stride)
		}
	}
	total := map[string]int{}
	for _, e := range evs {
		got := map[string]bool{}
		set.Match(e, func(r *Rule) { got[r.ID] = true; total[r.Title]++ })
		for _, r := range g.rules {
			if want := r.rule.expr.holds(e, nil); want != got[r.rule.ID] {
				t.Errorf("%q on %+v: index says %v, plain %v", r.rule.Title, *e, got[r.rule.ID], want)
			}
		}
	}
	t.Log(total)
}

// BenchmarkLong is a process start with a command line of 4 KiB, the bound of our sensor.
func BenchmarkLong(b *testing.B) {
	set := linuxRules(b)
	line := "find /usr/share/doc -type f -name README.gz -newer /etc/passwd "
	ev := &procEvent{image: "/usr/bin/find", command: strings.Repeat(line, 4096/len(line)), parentImage: "/usr/bin/bash", user: "root"}
	set.Prepare(ev.LogSource())
	b.SetBytes(4096)
	b.ReportAllocs()
	done := cpuTime(b)
	for b.Loop() {
		set.Match(ev, func(*Rule) {})
	}
	done()
}

// TestIndexAgreesOutside compares the index with plain evaluation on all outside rules, over events put together
// from the texts that the rules themselves look for.
func TestIndexAgreesOutside(t *testing.T) {
	set, _, err := CompileDirs([]string{sigmaData(t)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	texts, sources := map[string][]string{}, map[LogSource]bool{}
	var walk func(e *expr)
	walk = func(e *expr) {
		if f := e.test; f != nil {
			switch {
			case f.kind == testLiteral:
				texts[f.field] = append(texts[f.field], f.lit)
			case f.glob != nil && f.kind == testGlob:
				for _, pc := range f.glob {
					texts[f.field] = append(texts[f.field], pc.lit)
				}
			}
		}
		for _, k := range e.kids {
			walk(k)
		}
	}
	for _, r := range set.Rules() {
		if r.expr != nil {
			walk(r.expr)
			sources[r.LogSource] = true
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	compared, fired := 0, map[string]bool{}
	for src := range sources {
		g := set.group(src)
		for range 300 {
			ev := MapEvent{Source: src, Values: map[string]string{}}
			for i := range g.fields {
				f := g.fields[i].name
				if ts := texts[f]; len(ts) > 0 && rnd.IntN(6) > 0 {
					var b strings.Builder
					for range 1 + rnd.IntN(3) {
						b.WriteString(ts[rnd.IntN(len(ts))])
					}
					ev.Values[f] = b.String()
				}
			}
			ev.Raw = ev.Values[""]
			got := map[string]bool{}
			set.Match(ev, func(r *Rule) { got[r.ID] = true; fired[r.ID] = true })
			for _, r := range g.rules {
				compared++
				if want := r.rule.expr.holds(ev, nil); want != got[r.rule.ID] {
					t.Fatalf("%q on %v: index %v, plain %v", r.rule.Title, ev.Values, got[r.rule.ID], want)
				}
			}
		}
	}
	t.Logf("%d answers compared, %d rules fired", compared, len(fired))
}
