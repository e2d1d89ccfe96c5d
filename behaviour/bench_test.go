// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
)

// cpu is what the process has used, all threads, so the collector counts too.
func cpu(b testing.TB) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func residentMiB(b testing.TB) float64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc/self/statm: ", err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func benchRules(b *testing.B, linux bool) *sigma.Set {
	sources := []sigma.Source{sigma.Own()}
	if linux {
		dir := os.Getenv("RINGWALL_DATA")
		if dir == "" {
			b.Skip("RINGWALL_DATA is not set: no SigmaHQ rules")
		}
		dir = filepath.Join(dir, "behaviour", "sigma", "rules")
		if _, err := os.Stat(dir); err != nil {
			b.Skip(err)
		}
		sources = append(sources, sigma.Source{FS: os.DirFS(dir), Name: "SigmaHQ", License: "DRL-1.1"})
	}
	set, report, err := sigma.Compile(sources, sigma.Options{Sensors: sigma.Sensors()})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rules, %d never fire here", report.Loaded, len(report.NeverFires))
	return set
}

// benchmarkHeart feeds encoded events through decode, graph and rules on one core and
// reports events per second of CPU.
func benchmarkHeart(b *testing.B, step func(*heart, *event.Event), rules *sigma.Set) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := newHeart(b, rules, graph.Config{Bytes: 64 << 20}, nil)
	s := newStream(1, 8)
	const chunk = 20_000
	raw := make([][]byte, 0, chunk)
	var used float64
	size := 0
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		raw = raw[:0]
		for range min(chunk, b.N-done) {
			buf, err := s.next().MarshalVT()
			if err != nil {
				b.Fatal(err)
			}
			raw = append(raw, buf)
			size += len(buf)
		}
		s.deeds = s.deeds[:0]
		runtime.GC()
		b.StartTimer()
		before := cpu(b)
		for _, buf := range raw {
			ev := &event.Event{}
			if err := ev.UnmarshalVT(buf); err != nil {
				b.Fatal(err)
			}
			step(h, ev)
		}
		used += cpu(b) - before
		done += len(raw)
	}
	b.StopTimer()
	st := h.g.Stats()
	b.ReportMetric(float64(b.N)/used, "events/cpu-s")
	b.ReportMetric(float64(size)/float64(b.N), "B/event")
	b.ReportMetric(float64(st.Bytes)/(1<<20), "graph-MiB")
	b.ReportMetric(float64(st.Nodes), "nodes")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
	runtime.KeepAlive(h)
	b.ReportMetric(float64(len(h.findings)), "findings")
}

func BenchmarkDecode(b *testing.B) {
	benchmarkHeart(b, func(*heart, *event.Event) {}, ownRules(b))
}

func BenchmarkDecodeGraph(b *testing.B) {
	benchmarkHeart(b, func(h *heart, ev *event.Event) { h.g.Add(ev) }, ownRules(b))
}

func BenchmarkDecodeGraphOwnRules(b *testing.B) {
	benchmarkHeart(b, (*heart).see, ownRules(b))
}

func BenchmarkDecodeGraphLinuxRules(b *testing.B) {
	benchmarkHeart(b, (*heart).see, benchRules(b, true))
}

// BenchmarkForkStorm starts a million processes, most of which end, and reports what
// the process holds resident beside the graph's own count.
func BenchmarkForkStorm(b *testing.B) {
	for _, budget := range []int64{32 << 20, 256 << 20} {
		b.Run(strconv.FormatInt(budget>>20, 10)+"MiB", func(b *testing.B) {
			for range b.N {
				debug.FreeOSMemory()
				before := residentMiB(b)
				g := graph.New("default", graph.Config{Bytes: budget})
				storm(g, 1_000_000, 3)
				st := g.Stats()
				var m runtime.MemStats
				after := residentMiB(b)
				runtime.GC()
				runtime.ReadMemStats(&m)
				b.ReportMetric(after-before, "resident-MiB")
				b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
				b.ReportMetric(float64(st.Bytes)/(1<<20), "counted-MiB")
				b.ReportMetric(float64(st.Nodes), "nodes")
				runtime.KeepAlive(g)
			}
		})
	}
}

// storm forks n processes in chains; of each live ones one does not end.
func storm(g *graph.Graph, n, live int) {
	parent := &entity.Process{Pid: 1000, StartNs: 1, Exe: "/bin/sh", Comm: "sh"}
	at := uint64(5e9)
	seq := uint64(0)
	put := func(who *entity.Process, p *event.ProcessActivity) {
		at += 1000
		seq++
		g.Add(&event.Event{Tenant: "default", Host: "h", BootId: "b", Epoch: 2, Seq: seq, BootNs: at, WallNs: epochStart + int64(at), Sensor: event.Sensor_KERNEL, Actor: who, Payload: &event.Event_Process{Process: p}})
	}
	for i := range n {
		c := &entity.Process{Pid: uint32(2000 + i%4_000_000), StartNs: at, Exe: "/bin/sh", Comm: "sh"}
		put(parent, &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: c})
		put(c, &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Argv: []string{"sh", "-c", "./bomb " + strconv.Itoa(i)}, Image: &entity.File{Path: "/bin/sh", Fs: 1, Inode: 2, Nlink: 1}})
		if i%live != 0 {
			put(c, &event.ProcessActivity{Op: event.ProcessActivity_EXIT})
		}
		if i%10 == 0 {
			parent = c
		}
	}
}

// BenchmarkTrace leads what the stream did back to its entry.
func BenchmarkTrace(b *testing.B) {
	g := graph.New("default", graph.Config{Bytes: 256 << 20})
	s := newStream(1, 4)
	for range 200_000 {
		g.Add(s.next())
	}
	found := 0
	b.ResetTimer()
	for i := range b.N {
		d := s.deeds[i%len(s.deeds)]
		t := g.Steady(d.host, d.at.BootNs, d.at.WallNs)
		if trace.Back(g, g.Resolve(d.what, d.host, t), t).Entry != 0 {
			found++
		}
	}
	b.ReportMetric(float64(found)/float64(b.N), "found")
}
