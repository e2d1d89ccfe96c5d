// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/testnet"
)

// bench is a host to act on: a namespace, a root folder with a site, an enforcer.
type bench struct {
	*Enforcer
	t          testing.TB
	host, peer *testnet.Net
	root, data string
	cfg        Config
	port       uint16 // an echo server on the host
	witness    func(*action.Order) func(context.Context) (string, error)

	mu     sync.Mutex
	events []*event.Event
}

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, data: t.TempDir(), root: t.TempDir(), cfg: DefaultConfig()}
	b.host, b.peer = testnet.Pair(t)
	b.port = b.host.Listen(":0").Port()
	if change != nil {
		change(&b.cfg)
	}
	must(t, os.Chmod(b.root, 0o755))
	for _, d := range []string{"var/www/html/uploads", "var/lib/dpkg/info", "etc", "usr/bin"} {
		must(t, os.MkdirAll(filepath.Join(b.root, d), 0o755))
	}
	for _, f := range []string{"etc/shadow", "usr/bin/tool", "usr/bin/dropped", "var/www/html/index.php", "var/www/html/uploads/run.php"} {
		must(t, os.WriteFile(filepath.Join(b.root, f), []byte("<?php echo '"+f+"';"), 0o644))
	}
	must(t, os.WriteFile(filepath.Join(b.root, "var/lib/dpkg/info/tools.list"), []byte("/.\n/usr/bin/tool\n/var/www/html/index.php\n"), 0o644))
	b.start()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) options() Options {
	return Options{Data: b.data, Root: b.root, Netns: b.host.Path(), Host: "web", Witness: b.witness, Emit: func(ev *event.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, ev)
	}}
}

// start makes a new life of the enforcer over the same journal.
func (b *bench) start() {
	b.t.Helper()
	e, err := New(b.cfg, b.options())
	must(b.t, err)
	b.Enforcer = e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var serial atomic.Int64

func order(kind action.Kind, s *entity.Sighting) action.Order {
	now := time.Now()
	return action.Order{
		ID: fmt.Sprintf("a-%d", serial.Add(1)), Tenant: "t", Host: "web", Kind: kind, Subject: s, Incident: "i-1", Reason: "test",
		Stage: action.Enforce, Ordered: now, Deadline: now.Add(time.Hour),
	}
}

func addr(text string) *entity.Sighting {
	return &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: text}
}

func file(path string) *entity.Sighting {
	return &entity.Sighting{Kind: entity.Kind_FILE, Role: "object", File: &entity.File{Path: path}}
}

func proc(pid int) *entity.Sighting {
	s, _ := process.Read(pid)
	return &entity.Sighting{Kind: entity.Kind_PROCESS, Role: "actor", Process: &entity.Process{Pid: uint32(pid), StartNs: s.Start * uint64(process.Tick), Comm: s.Comm}}
}

func (b *bench) want(o action.Order, state action.State, text string) action.Record {
	b.t.Helper()
	rec := b.Do(context.Background(), o)
	if rec.State != state || !strings.Contains(rec.Result, text) {
		b.t.Errorf("%s %s: %s %q, want %s with %q", o.Kind, o.Subject.Label(), rec.State, rec.Result, state, text)
	}
	return rec
}

func (b *bench) undo(id string) {
	b.t.Helper()
	if rec, err := b.Undo(context.Background(), id, "test"); err != nil || rec.State != action.Undone {
		b.t.Fatalf("undo %s: %s, %v", id, rec.State, err)
	}
}

// state is everything that an action could change: ruleset, sockets, files.
func (b *bench) state() string {
	b.t.Helper()
	var out strings.Builder
	out.WriteString(b.host.Rules())
	c, err := connection.Open(b.host.File)
	must(b.t, err)
	defer c.Close()
	sockets, err := c.List(connection.Alive|connection.Listening, nil, unix.IPPROTO_TCP)
	must(b.t, err)
	var lines []string
	for _, s := range sockets {
		lines = append(lines, s.String())
	}
	slices.Sort(lines)
	out.WriteString(strings.Join(lines, "\n"))
	must(b.t, filepath.WalkDir(b.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(b.t, unix.Lstat(p, &st))
		if d.IsDir() { // folders above the quarantine get a new time
			fmt.Fprintf(&out, "\n%s %o %d", p, st.Mode, st.Ino)
			return nil
		}
		fmt.Fprintf(&out, "\n%s %o %d %d %d %d %d", p, st.Mode, st.Ino, st.Uid, st.Gid, st.Size, st.Mtim.Nano())
		return nil
	}))
	return out.String()
}

func (b *bench) same(before string) {
	b.t.Helper()
	if after := b.state(); after != before {
		b.t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// victim starts a process in the host's namespace.
func (b *bench) victim() *exec.Cmd {
	cmd := exec.Command("sh", "-c", "sleep 600 & sleep 600 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	b.host.Start(cmd)
	b.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // its session, before it is waited for
	return cmd
}

func running(pid int) bool {
	s, err := process.Read(pid)
	return err == nil && !s.Dead() && s.State != 'T'
}

// eventually waits for what takes its own time.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
