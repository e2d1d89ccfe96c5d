// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/kernel"
)

func byName(t *testing.T, r Report) map[string]Check {
	t.Helper()
	m := map[string]Check{}
	for _, c := range r.Checks {
		if _, twice := m[c.Name]; twice {
			t.Errorf("%s is told twice", c.Name)
		}
		m[c.Name] = c
	}
	return m
}

func (r Report) text(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRunHere(t *testing.T) {
	data := t.TempDir()
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(data, "ringwall.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(sock, 0o600); err != nil {
		t.Fatal(err)
	}
	r := Run(context.Background(), Config{
		Data: data, ConfigFile: filepath.Join(data, "none.yaml"), Watched: []string{"/tmp", "/does/not/exist"},
		Sockets:    []Socket{{"brain", sock}, {"agent", filepath.Join(data, "none.sock")}},
		Components: []health.Component{{Name: "sensor.kernel", State: "on"}, {Name: "sensor.logs", State: "degraded", Reason: "why"}, {Name: "x", State: "off"}},
	})
	t.Log("\n" + r.text(t))
	m := byName(t, r)
	for name, want := range map[string]State{
		"data.folder": OK, "config.file": OK, "socket.brain": OK, "socket.agent": Missing,
		"running.sensor.kernel": OK, "running.sensor.logs": Degraded, "running.x": Missing,
	} {
		if c, ok := m[name]; !ok || c.State != want {
			t.Errorf("%s: %+v, want %v", name, c, want)
		}
	}
	if r.OK+r.Degraded+r.Missing != len(r.Checks) || len(r.Checks) < 20 {
		t.Errorf("%d checks, counted %d+%d+%d", len(r.Checks), r.OK, r.Degraded, r.Missing)
	}
	for _, c := range r.Checks {
		if c.State != OK && !strings.HasPrefix(c.Name, "running.") && (c.Reason == "" || c.Mend == "" || c.Costs == "") {
			t.Errorf("%s is %v without reason, mend or price: %+v", c.Name, c.State, c)
		}
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.OK != r.OK || len(back.Checks) != len(r.Checks) || back.Checks[0] != r.Checks[0] || back.SchemaVersion != 1 {
		t.Errorf("JSON does not come back: %v", err)
	}
}

// TestHooksOfOlderKernels: what stands in is told as what it is, and so is what nothing
// stands in for. The capabilities are what kernel.Probe said on Debian's 5.10.
func TestHooksOfOlderKernels(t *testing.T) {
	m := byName(t, Report{Checks: hookChecks([]kernel.Capability{
		{Name: "fork", Set: "A", On: true, Since: "5.10"},
		{Name: "recv", Set: "A", Reason: "a fallback stands in: this kernel has no tracepoint sock_recv_length", Since: "6.3", Costs: "what io_uring moves"},
		{Name: "sockets", Set: "fallback", On: true, Since: "5.10"},
		{Name: "reset", Set: "A", Reason: "this kernel's tracepoint tcp_send_reset tells too little", Since: "6.10", Costs: "probes"},
		{Name: "drop", Set: "fallback", Reason: "this kernel's tracepoint kfree_skb tells too little", Since: "5.17", Costs: "probes"},
		{Name: "exec", Set: "A", Reason: "refused by the kernel: invalid argument", Since: "5.10", Costs: "commands"},
		{Name: "unneeded", Set: "fallback", Reason: "not needed here"},
		{Name: "same", Set: "A", Reason: "a fallback stands in: this kernel's tracepoint tcp_send_reset tells too little", Since: "6.10"},
	}, true)})
	for name, want := range map[string]struct {
		state State
		mend  string
	}{
		"fork": {OK, ""}, "recv": {Degraded, "from 6.3"}, "sockets": {OK, ""}, "reset": {Missing, "from 6.10"},
		"drop": {Missing, "from 5.17"}, "exec": {Missing, "verifier"}, "same": {OK, "from 6.10"},
	} {
		if c := m["kernel."+name]; c.State != want.state || !strings.Contains(c.Mend, want.mend) {
			t.Errorf("%s: %+v, want %v with %q", name, c, want.state, want.mend)
		}
	}
	if _, told := m["kernel.unneeded"]; told {
		t.Error("a fallback that is not needed is told")
	}
}

func TestDataFolder(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "x.key"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	c := dataFolder(context.Background(), &Config{Data: data})[0]
	if c.State != Degraded || !strings.Contains(c.Reason, "mode 0755") || !strings.Contains(c.Reason, "x.key has mode 0644") {
		t.Errorf("%+v", c)
	}
	if c := dataFolder(context.Background(), &Config{Data: data + "/none"})[0]; c.State != Missing {
		t.Errorf("%+v", c)
	}
}

func TestConfigFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ringwall.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("line 3: unknown key")
	for _, c := range []struct {
		mode  os.FileMode
		check func() error
		want  State
	}{{0o600, nil, OK}, {0o644, func() error { return nil }, OK}, {0o666, nil, Degraded}, {0o600, func() error { return bad }, Missing}} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := configFile(context.Background(), &Config{ConfigFile: file, CheckConfig: c.check})[0]; got.State != c.want {
			t.Errorf("mode %v: %+v, want %v", c.mode, got, c.want)
		}
	}
}

func TestGrowth(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	file := func(name string, bytes int, age time.Duration) {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	file("new", 10, time.Second)
	if u := measure(context.Background(), dir, now); u.bytes != 10 || u.rate != 0 {
		t.Errorf("a second of files is no rate: %+v", u)
	}
	file("recent", 3600*50-10, 30*time.Minute)
	file("old", 1000, 48*time.Hour)
	if u := measure(context.Background(), dir, now); u.bytes != 3600*50+1000 || u.rate != 50 {
		t.Errorf("got %+v, want 50 bytes a second", u)
	}
	for _, c := range []struct {
		room int64
		rate float64
		want string
	}{{3600, 1, " in 1.0 hours"}, {86400 * 30, 1, " in 30 days"}, {1 << 60, 1, " in more than ten years"}, {5, 0, " in more than ten years"}} {
		if got := in(untilFull(c.room, c.rate)); got != c.want {
			t.Errorf("%d at %v: %q, want %q", c.room, c.rate, got, c.want)
		}
	}
	if got := size(3 << 29); got != "1.5 GiB" {
		t.Error(got)
	}
}

func TestSmallReaders(t *testing.T) {
	if got := capEff("Name:\tx\nCapInh:\t0\nCapEff:\t0000000000000003\nX:\t1\n"); got != 3 {
		t.Errorf("CapEff %x", got)
	}
	for release, want := range map[string]bool{"5.10.0-28-amd64": true, "5.11.0": false, "6.1.0": false, "4.19.0": true, "odd": false} {
		if before(release, 5, 11) != want {
			t.Errorf("%s before 5.11: want %v", release, want)
		}
	}
	r := Report{Checks: []Check{{Name: "a", Reason: "x\x1b[31m\nred\xff", Mend: "m", Costs: "c"}}}
	if out := r.text(t); strings.Contains(out, "\x1b") || strings.Contains(out, "\xff") || !strings.Contains(out, "x?[31m?red?") || !strings.Contains(out, "mend: m") {
		t.Errorf("a terminal is steered: %q", out)
	}
	var s State
	if err := s.UnmarshalText([]byte("fine")); err == nil {
		t.Error("an unknown state was read")
	}
}

func TestEndedContext(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if r := Run(ctx, Config{}); len(r.Checks) != 0 {
		t.Errorf("%d checks after the end", len(r.Checks))
	}
}

func FuzzNetfilterAnswer(f *testing.F) {
	f.Add(nfMessage(2, []byte{0xff, 0xff, 0xff, 0xff}))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = nfAnswer(b) })
}
