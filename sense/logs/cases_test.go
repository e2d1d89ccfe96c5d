// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

var update = flag.Bool("update", false, "rewrite the expected output of testdata/*.txt")

// heard collects what a sensor tells.
type heard struct {
	mu  sync.Mutex
	all []*event.Event
}

func (h *heard) emit(e *event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
}

func (h *heard) take() []*event.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.all
	h.all = nil
	return out
}

func newTestSensor(t testing.TB, cfg Config, opt Options) (*Sensor, *heard) {
	t.Helper()
	h := &heard{}
	opt.Clock, opt.Board, opt.Redact, opt.Emit = event.NewClock(), health.NewBoard(), event.NewRedactor([]byte("0123456789abcdef")), h.emit
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 100000
	}
	s, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

// show writes an event as one line.
func show(e *event.Event) string {
	var b strings.Builder
	b.WriteString(e.Kind())
	word := func(k, v string) {
		if v != "" {
			fmt.Fprintf(&b, " %s=%q", k, v)
		}
	}
	flow := func(f *entity.Flow) {
		switch {
		case f == nil:
		case len(f.DstIp) == 0:
			fmt.Fprintf(&b, " from=%s:%d", entity.Addr(f.SrcIp), f.SrcPort)
		default:
			fmt.Fprintf(&b, " from=%s to=%s", f.Src(), f.Dst())
		}
	}
	switch p := e.Payload.(type) {
	case *event.Event_Auth:
		a := p.Auth
		fmt.Fprintf(&b, " %s", strings.TrimPrefix(a.Outcome.String(), "OUTCOME_"))
		word("service", a.Service)
		word("user", a.User)
		word("method", a.Method)
		word("key", a.KeyFingerprint)
		flow(a.Flow)
	case *event.Event_Log:
		word("unit", p.Log.Unit)
		word("line", p.Log.Line)
		flow(p.Log.Flow)
	case *event.Event_Http:
		a := p.Http
		fmt.Fprintf(&b, " %s %q %d", a.Request.Method, a.Request.Uri, a.Status)
		word("host", a.Request.Host)
		word("agent", a.UserAgent)
		for _, h := range a.Headers {
			word(h.Name, h.Value)
		}
		flow(a.Request.Flow)
	}
	if e.Actor != nil {
		fmt.Fprintf(&b, " pid=%d", e.Actor.Pid)
	}
	return b.String()
}

// Cases are sections of testdata/*.txt: "== name", "kind unit", lines, "----", events.
// The sensor believes that only 10.0.0.9:41002 is connected, to 10.0.0.2:22.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, section := range strings.Split("\n"+string(raw), "\n== ")[1:] {
			name, rest, _ := strings.Cut(section, "\n")
			kind, rest, _ := strings.Cut(rest, "\n")
			in, want, _ := strings.Cut(rest, "----\n")
			got := runCase(t, kind, in)
			fmt.Fprintf(&out, "== %s\n%s\n%s----\n%s\n", name, kind, in, got)
			if want = strings.TrimRight(want, "\n") + "\n"; got != want && !*update {
				t.Errorf("%s: %s\ngot:\n%swant:\n%s", file, name, got, want)
			}
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func runCase(t *testing.T, head, in string) string {
	kind, unit, _ := strings.Cut(head, " ")
	only := netip.MustParseAddrPort("10.0.0.9:41002")
	s, h := newTestSensor(t, Config{}, Options{Local: func(c netip.AddrPort) (netip.AddrPort, uint64, bool) {
		return netip.MustParseAddrPort("10.0.0.2:22"), 1, c == only
	}})
	for l := range strings.Lines(in) {
		if kind == "journal" {
			s.entries(strings.NewReader(l))
			continue
		}
		s.line(Source{Kind: kind, Unit: unit}, "/log", strings.TrimSuffix(l, "\n"))
	}
	var b strings.Builder
	for _, e := range h.take() {
		b.WriteString(show(e) + "\n")
	}
	if b.Len() == 0 {
		return "\n"
	}
	return b.String()
}

func TestDates(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		line string
		want time.Time
	}{
		{"Dec 31 23:59:59 web sshd[1]: x", time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"Jan  2 09:59:59 web sshd[1]: x", time.Date(2026, 1, 2, 9, 59, 59, 0, time.UTC)},
		{"2026-01-02T11:00:00.5+01:00 web sshd[1]: x", time.Date(2026, 1, 2, 10, 0, 0, 5e8, time.UTC)},
		{"no date at all in this one", time.Time{}},
	} {
		if m := parseSyslog(c.line, now); !m.At.Equal(c.want) {
			t.Errorf("%q: got %v, want %v", c.line, m.At, c.want)
		}
	}
	_, at, ok := parseAccess(`10.0.0.9 - - [24/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5`)
	if want := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC); !ok || !at.Equal(want) {
		t.Errorf("access date: %v %v", at, ok)
	}
	if at := auditTime("type=X msg=audit(1700000000.123:45): "); !at.Equal(time.UnixMilli(1700000000123)) {
		t.Errorf("audit date: %v", at)
	}
}

// A line that is as old as the restart keeps its own time; one of the future has none.
func TestWhen(t *testing.T) {
	s, _ := newTestSensor(t, Config{}, Options{})
	now := time.Now()
	if at := s.when(now.Add(-time.Hour), now); at.fresh() || s.opt.Clock.Wall(at.boot) != now.Add(-time.Hour).UnixNano() && at.boot != 0 {
		t.Errorf("an hour old: %+v", at)
	}
	for _, d := range []time.Duration{0, -time.Second, time.Hour} {
		if at := s.when(now.Add(d), now); !at.fresh() {
			t.Errorf("%v: want the time of reading, got %+v", d, at)
		}
	}
}

func TestTwins(t *testing.T) {
	var w twins
	m := message{Tag: "sshd", Pid: 7, Text: "Failed password for root from 10.0.0.9 port 1 ssh2"}
	for i, c := range []struct {
		source string
		known  bool
	}{{"journal", false}, {"/var/log/auth.log", true}, {"/var/log/auth.log", false}, {"journal", true}, {"journal", false}} {
		if got := w.known(m, c.source); got != c.known {
			t.Errorf("%d: %s: told already = %v, want %v", i, c.source, got, c.known)
		}
	}
}

func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Files = append(c.Files, Source{Path: "var/log/x", Kind: "odd"}, Source{Path: "/a[", Kind: "plain"})
	err := c.Validate()
	for _, want := range []string{`"var/log/x" is not an absolute path`, `kind "odd"`, "syntax error in pattern"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for l := range strings.Lines(string(raw)) {
			f.Add(uint8(len(l)), strings.TrimSpace(l))
		}
	}
	s, h := newTestSensor(f, Config{PerSecond: 1 << 30}, Options{})
	f.Fuzz(func(t *testing.T, kind uint8, line string) {
		if k := int(kind) % (len(kinds) + 2); k < len(kinds) {
			s.line(Source{Kind: kinds[k], Unit: "u"}, "/log", line)
		} else if k == len(kinds) {
			s.entries(strings.NewReader(line + "\n"))
		} else {
			s.auditMessage([]byte(line))
		}
		for _, e := range h.take() {
			if _, err := e.MarshalVT(); err != nil {
				t.Fatal(err)
			}
			if n := e.SizeVT(); n > 4*len(line)+4096 {
				t.Fatalf("%d bytes from a line of %d", n, len(line))
			}
		}
	})
}
