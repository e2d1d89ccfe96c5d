// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// host is a root folder with one log, and a sensor that can be stopped and begun again.
type host struct {
	t          *testing.T
	root, file string
	state      string
	cfg        Config
	s          *Sensor
	heard      *heard
	stop       func()
}

func newHost(t *testing.T) *host {
	root := t.TempDir()
	h := &host{t: t, root: root, file: filepath.Join(root, "var/log/app.log"), state: filepath.Join(t.TempDir(), "state")}
	if err := os.MkdirAll(filepath.Dir(h.file), 0o755); err != nil {
		t.Fatal(err)
	}
	h.cfg = Config{Files: []Source{{Path: "/var/log/*.log", Kind: "plain", Unit: "app"}}}
	t.Cleanup(func() {
		if h.stop != nil {
			h.stop()
		}
	})
	return h
}

func (h *host) begin() {
	h.t.Helper()
	h.s, h.heard = newTestSensor(h.t, h.cfg, Options{Root: h.root, State: h.state})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.s.Run(ctx) }()
	h.stop = func() {
		h.stop = nil
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for len(h.s.opt.Board.Components()) == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
}

func (h *host) write(file, text string) {
	h.t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		h.t.Fatal(err)
	}
}

// want waits for exactly these lines, in this order.
func (h *host) want(lines ...string) {
	h.t.Helper()
	var got []string
	for deadline := time.Now().Add(5 * time.Second); len(got) < len(lines) && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = append(got, h.lines()...)
	}
	time.Sleep(2 * pollEvery)
	got = append(got, h.lines()...)
	if strings.Join(got, "|") != strings.Join(lines, "|") {
		h.t.Errorf("got %q, want %q", got, lines)
	}
}

func (h *host) lines() (out []string) {
	for _, e := range h.heard.take() {
		if l := e.GetLog(); l != nil {
			out = append(out, l.Line)
		}
		if w := e.GetLoss(); w != nil {
			out = append(out, "LOSS "+w.Class)
		}
	}
	return out
}

func (h *host) do(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestFollowFromTheEndAndLateFilesFromTheirStart(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "before\n")
	h.begin()
	h.write(h.file, "one\ntw")
	h.want("one")
	h.write(h.file, "o\r\n\nthree\n")
	h.want("two", "three")
	h.write(filepath.Join(h.root, "var/log/late.log"), "first\n")
	h.want("first")
}

func TestRotationByRename(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "")
	h.begin()
	h.write(h.file, "one\n")
	h.want("one")
	old := h.file + ".1"
	h.do(os.Rename(h.file, old))
	h.write(old, "two, by a writer that was not told yet\n")
	h.write(h.file, "three\n")
	h.want("two, by a writer that was not told yet", "three")
	h.write(old, "four\n")
	h.write(h.file, "five\n")
	h.want("four", "five")
}

// A rotated file whose new name the pattern matches too is not read twice.
func TestRotationInsideThePattern(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "")
	h.begin()
	h.write(h.file, "one\n")
	h.want("one")
	h.do(os.Rename(h.file, filepath.Join(h.root, "var/log/app-old.log")))
	h.write(h.file, "two\n")
	h.want("two")
	time.Sleep(1200 * time.Millisecond) // one look for new files
	h.want()
}

func TestCopyTruncate(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "")
	h.begin()
	h.write(h.file, "one\ntwo\n")
	h.want("one", "two")
	h.do(os.Truncate(h.file, 0))
	h.write(h.file, "three\n")
	h.want("three")
	h.do(os.Truncate(h.file, 0)) // and longer than before at once
	h.write(h.file, "four, a long line\nfive\n")
	h.want("four, a long line", "five")
	h.do(os.Truncate(h.file, 0)) // under a writer that keeps its offset
	f, err := os.OpenFile(h.file, os.O_WRONLY, 0)
	h.do(err)
	defer f.Close()
	_, err = f.WriteAt([]byte("six\n"), 100_000)
	h.do(err)
	h.want("six")
}

func TestRestart(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "")
	h.begin()
	h.write(h.file, "one\nhalf")
	h.want("one")
	h.stop()
	h.write(h.file, " line\ntwo\n")
	h.begin()
	h.want("half line", "two")
	h.stop()
	h.write(h.file, "three\n")
	h.do(os.Rename(h.file, h.file+".1"))
	h.write(h.file, "four\n")
	h.begin()
	h.want("three", "four")
	h.stop()
	h.write(h.file, "five\n") // copytruncate while off
	b, err := os.ReadFile(h.file)
	h.do(err)
	h.write(h.file+".2", string(b))
	h.do(os.Truncate(h.file, 0))
	h.write(h.file, "six\n")
	h.begin()
	h.want("five", "six")
	h.stop()
	h.do(os.Remove(h.file)) // gone for good, and with it what nobody read
	h.write(h.file, "seven\n")
	h.begin()
	h.want("LOSS plain", "seven")
}

func TestLateFileWhileOff(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "old\n")
	h.begin()
	h.stop()
	time.Sleep(20 * time.Millisecond)
	h.write(filepath.Join(h.root, "var/log/new.log"), "came while off\n")
	h.begin()
	h.want("came while off")
}

func TestBrokenState(t *testing.T) {
	h := newHost(t)
	h.write(h.file, "old\n")
	h.do(os.WriteFile(h.state, []byte(`{"files": {"/var/log/app.log": {"offset": -5`), 0o600))
	h.begin()
	h.want("LOSS all")
	h.write(h.file, "new\n")
	h.want("new")
}

// What stands where a log should may be chosen by an attacker.
func TestHostileFiles(t *testing.T) {
	h := newHost(t)
	dir := filepath.Join(h.root, "var/log")
	secret := filepath.Join(t.TempDir(), "shadow")
	h.do(os.WriteFile(secret, []byte("secret\n"), 0o600))
	h.do(os.Symlink(secret, filepath.Join(dir, "link.log")))
	h.do(unix.Mkfifo(filepath.Join(dir, "pipe.log"), 0o600))
	h.do(os.Mkdir(filepath.Join(dir, "folder.log"), 0o755))
	h.do(os.Symlink(filepath.Dir(secret), filepath.Join(h.root, "var/escape")))
	h.cfg.Files = append(h.cfg.Files, Source{Path: "/var/escape/shadow", Kind: "plain"})
	h.begin()
	h.do(os.WriteFile(secret, []byte("secret\nmore\n"), 0o600))
	h.write(h.file, strings.Repeat("x", 3*maxLine)+"\n"+strings.Repeat("y", 300<<10)+"\nshort\n\x00\xff\n")
	h.want(strings.Repeat("x", maxLine), strings.Repeat("y", maxLine), "short", "\uFFFD")
	c := h.s.opt.Board.Components()[0]
	for _, name := range []string{"link.log", "pipe.log", "folder.log"} {
		if c.State != "degraded" || !strings.Contains(c.Reason, name) && !strings.Contains(c.Reason, "more") {
			t.Errorf("the board does not tell of %s: %+v", name, c)
		}
	}
}

// A flood costs lines, told as loss, and no login.
func TestFlood(t *testing.T) {
	h := newHost(t)
	h.cfg = Config{Files: []Source{{Path: "/var/log/app.log", Kind: "syslog"}}, PerSecond: 50}
	h.write(h.file, "")
	h.begin()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "Nov 24 10:00:00 web app[1]: noise %d\n", i)
	}
	b.WriteString("Nov 24 10:00:00 web sshd[2]: Accepted password for bob from 10.0.0.9 port 41002 ssh2\n")
	h.write(h.file, b.String())
	var logs, auths int
	var lost uint64
	for deadline := time.Now().Add(5 * time.Second); (lost == 0 || auths == 0) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, e := range h.heard.take() {
			switch p := e.Payload.(type) {
			case *event.Event_Log:
				logs++
			case *event.Event_Auth:
				auths++
			case *event.Event_Loss:
				lost += p.Loss.Count
			}
		}
	}
	if auths != 1 || logs < 50 || uint64(logs)+lost != 5000 {
		t.Errorf("%d lines, %d logins, %d lost; want all lines accounted for and the login", logs, auths, lost)
	}
}

// Latency is what a login waits for its outcome.
func BenchmarkLatency(b *testing.B) {
	root := b.TempDir()
	file := filepath.Join(root, "auth.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	s, h := newTestSensor(b, Config{Files: []Source{{Path: "/auth.log", Kind: "syslog"}}}, Options{Root: root})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = s.Run(ctx) }()
	time.Sleep(300 * time.Millisecond)
	for i := 0; b.Loop(); i++ {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(f, "Nov 24 10:00:00 web sshd[%d]: Accepted password for bob from 10.0.0.9 port 41002 ssh2\n", i+1)
		f.Close()
		for len(h.take()) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	s, h := newTestSensor(b, Config{PerSecond: 1 << 30}, Options{})
	lines := []struct {
		src  Source
		text string
	}{
		{Source{Kind: "syslog"}, "Nov 24 10:00:00 web sshd[812]: Failed password for invalid user bob from 10.0.0.9 port 41002 ssh2"},
		{Source{Kind: "access", Unit: "nginx"}, `10.0.0.9 - - [24/Nov/2026:10:00:00 +0000] "GET /index.php?a=1 HTTP/1.1" 200 123 "-" "Mozilla/5.0 (X11; Linux x86_64)"`},
	}
	for i := 0; b.Loop(); i++ {
		l := lines[i%len(lines)]
		s.line(l.src, "/log", l.text)
		if i%1000 == 0 {
			h.take()
		}
	}
}
