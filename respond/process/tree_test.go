// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test program be a link of a chain: it lives 3 ms, starts the next
// and ends, so that the next is an orphan.
func TestMain(m *testing.M) {
	if os.Getenv("RINGWALL_TEST_CHAIN") != "" {
		time.Sleep(3 * time.Millisecond)
		self, _ := os.Executable()
		p, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if err == nil {
			_ = p.Release()
		}
		os.Exit(0)
	}
	if os.Getenv("RINGWALL_TEST_REAPER") != "" {
		reap()
	}
	os.Exit(m.Run())
}

// reap runs its arguments, whose standard output is descriptor 3, says their pid, and
// takes care of the orphans until none is left: not every init does.
func reap() {
	_ = os.Unsetenv("RINGWALL_TEST_REAPER")
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	out := os.NewFile(3, "out")
	p, err := os.StartProcess(os.Args[2], os.Args[2:], &os.ProcAttr{
		Files: []*os.File{nil, out, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: os.Args[1] == "true"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out.Close()
	fmt.Println(p.Pid)
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			os.Exit(0)
		}
	}
}

// forker keeps forking without exec: 4 chains, 3 ms a life, each link an orphan. They
// end by themselves after some minutes: of a test that is killed they would eat a
// processor for ever.
const forker = `
import os, time, sys
for i in range(4):
    if os.fork() == 0:
        n = 0
        while True:
            time.sleep(0.003)
            if os.fork() != 0:
                os._exit(0)
            n += 1
            if n > 20000:
                os._exit(0)
sys.stdout.write("ready\n"); sys.stdout.flush()
time.sleep(600)
`

// start runs a tree that says "ready". The pipe it gives ends when the last process that
// holds its other end has: a proof that no look at /proc can give.
func start(t *testing.T, session bool, name string, args ...string) (Stat, *os.File) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if name, err = exec.LookPath(name); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(self, append([]string{fmt.Sprint(session), name}, args...)...)
	cmd.Env = append(os.Environ(), "RINGWALL_TEST_REAPER=1")
	cmd.Stderr = os.Stderr
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{in}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	var pid int
	if _, err := fmt.Fscan(said, &pid); err != nil {
		t.Fatal(err)
	}
	s, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if h, err := Open(pid, s.Start); err == nil {
			_ = h.Signal(unix.SIGKILL)
			h.Close()
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	})
	b := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(out, b); err != nil || string(b) != "ready\n" {
		t.Fatalf("the tree said %q, %v", b, err)
	}
	return s, out
}

// ended waits for the end of the pipe.
func ended(t *testing.T, out *os.File) {
	t.Helper()
	_ = out.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if rest, err := io.ReadAll(out); err != nil {
		t.Fatalf("somebody of the tree lives: %v, %d bytes", err, len(rest))
	}
}

// lively waits until chains run: somebody holds the pipe who was not there a moment ago.
func lively(t *testing.T, out *os.File) {
	t.Helper()
	_ = out.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := out.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Fatalf("the tree is not alive: %v", err)
	}
}

// alive gives those that carry the mark in their command line.
func alive(mark string) (out []int) {
	for _, pid := range All() {
		if s, err := Read(pid); err == nil && !s.Dead() && pid != os.Getpid() && strings.Contains(Title(pid), mark) {
			out = append(out, pid)
		}
	}
	return out
}

func gone(t *testing.T, mark string) {
	t.Helper()
	// A killed process that has not yet let go of its memory still shows its words.
	for end := time.Now().Add(5 * time.Second); len(alive(mark)) > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	for range 5 {
		if left := alive(mark); len(left) > 0 {
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			t.Fatalf("alive: %v", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func kill(t *testing.T, s Stat, opt Options) []Stat {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	began := time.Now()
	killed, err := Kill(ctx, s.PID, s.Start, opt)
	t.Logf("%d killed in %v", len(killed), time.Since(began))
	if err != nil {
		t.Fatal(err)
	}
	return killed
}

func python(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is missing: no program here forks without exec")
	}
	return p
}

// TestKillsWhatKeepsForking is the tree that a plain walk never caught (4 chains, 3 ms a
// life). In a session of its own the orphans bear its number; without one (a command
// under a web worker) they hold the pipe that it was given.
func TestKillsWhatKeepsForking(t *testing.T) {
	py := python(t)
	for _, session := range []bool{true, false} {
		t.Run(fmt.Sprint("session=", session), func(t *testing.T) {
			for i := range 3 {
				mark := fmt.Sprintf("ringwall-chain-%d-%v-%d", os.Getpid(), session, i)
				s, out := start(t, session, py, "-c", forker, mark)
				lively(t, out)
				kill(t, s, Options{})
				ended(t, out)
			}
		})
	}
}

// TestKillsChainOfPrograms: the same with exec between, and a bystander of the same
// session as the test that must live.
func TestKillsChainOfPrograms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("ringwall-links-%d", os.Getpid())
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	script := fmt.Sprintf("for i in 1 2 3 4; do RINGWALL_TEST_CHAIN=1 %s %s & done; echo ready; exec sleep 60", self, mark)
	s, out := start(t, true, "sh", "-c", script)
	lively(t, out)
	kill(t, s, Options{})
	ended(t, out)
	if st, err := Read(bystander.Process.Pid); err != nil || st.Dead() || st.State == 'T' {
		t.Errorf("a bystander was hit: %+v, %v", st, err)
	}
}

// TestOnlyTheNamedLife: a pid that was given anew, and a root that is gone, hit nobody.
func TestOnlyTheNamedLife(t *testing.T) {
	s, _ := start(t, true, "sh", "-c", "echo ready; exec sleep 60")
	if killed := kill(t, Stat{PID: s.PID, Start: s.Start - 1}, Options{}); len(killed) > 0 {
		t.Errorf("killed %v", killed)
	}
	if st, err := Read(s.PID); err != nil || st.State == 'T' || st.Dead() {
		t.Errorf("%+v %v", st, err)
	}
	kill(t, s, Options{})
	if killed := kill(t, s, Options{}); len(killed) > 0 { // again
		t.Errorf("killed %v", killed)
	}
}

// TestSparedMember: one that must live saves the whole tree, and everybody goes on.
func TestSparedMember(t *testing.T) {
	mark := fmt.Sprintf("%d", 86400+os.Getpid())
	s, _ := start(t, true, "sh", "-c", "sleep "+mark+" & sleep "+mark+" & echo ready; wait")
	sleeps := func() (n int) { // the shell carries the mark too, and so do its children until they are sleep
		for _, pid := range alive("sleep " + mark) {
			if st, err := Read(pid); err == nil && st.Comm == "sleep" {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(5 * time.Second); sleeps() < 2 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	_, err := Kill(context.Background(), s.PID, s.Start, Options{Spare: func(p Stat) string {
		if p.Comm == "sleep" {
			return "it serves the test"
		}
		return ""
	}})
	var spared *SparedError
	if !errors.As(err, &spared) {
		t.Fatalf("got %v, want a SparedError", err)
	}
	if _, err := Kill(context.Background(), s.PID, s.Start, Options{Most: 2}); !errors.Is(err, ErrTooMany) {
		t.Fatalf("got %v, want ErrTooMany", err)
	}
	time.Sleep(20 * time.Millisecond)
	for _, pid := range append(alive("sleep "+mark), s.PID) {
		if st, err := Read(pid); err != nil || st.State == 'T' || st.Dead() {
			t.Errorf("pid %d: %+v %v", pid, st, err)
		}
	}
	if found, err := Find(s.PID, s.Start, Options{}); err != nil || len(found) != 3 {
		t.Errorf("found %v, %v; want 3", found, err)
	}
	kill(t, s, Options{})
	gone(t, "sleep "+mark)
}

// TestLineage: an orphan that shed session, group and descriptors is found only by who
// watched its birth.
func TestLineage(t *testing.T) {
	mark := fmt.Sprintf("%d", 87400+os.Getpid())
	s, _ := start(t, true, "sh", "-c", "(setsid sleep "+mark+" </dev/null >/dev/null 2>&1 &) ; echo ready; exec sleep 60")
	var lost []int
	for end := time.Now().Add(5 * time.Second); len(lost) == 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, pid := range alive("sleep " + mark) {
			if st, err := Read(pid); err == nil && st.Comm == "sleep" && st.SID == pid {
				lost = append(lost, pid)
			}
		}
	}
	if len(lost) != 1 {
		t.Fatalf("orphans %v", lost)
	}
	st, err := Read(lost[0])
	if err != nil {
		t.Fatal(err)
	}
	kill(t, s, Options{Lineage: func(int, uint64) []Stat { return []Stat{st} }})
	gone(t, "sleep "+mark)
}

// TestNeverItself: init and this program are spared whatever is asked.
func TestNeverItself(t *testing.T) {
	for _, pid := range []int{1, os.Getpid()} {
		s, err := Read(pid)
		if err != nil {
			t.Fatal(err)
		}
		var spared *SparedError
		if _, err := Find(pid, s.Start, Options{}); !errors.As(err, &spared) {
			t.Errorf("pid %d: %v", pid, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	if b, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(b)
	}
	f.Add([]byte("1 (a) b) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 " + strconv.Itoa(7) + " 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseStat(b)
	})
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("42 (a) S 9 (b) T 7 8 9 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1234 0 0\n"))
	if err != nil || s.PID != 42 || s.Comm != "a) S 9 (b" || s.PPID != 7 || s.SID != 9 || s.Start != 1234 || !s.Kernel || s.State != 'T' {
		t.Errorf("%+v, %v", s, err)
	}
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	me, err := Read(os.Getpid())
	if err != nil || me.Start > Ticks(uint64(ts.Nano())) {
		t.Errorf("own start %d, now %d, %v", me.Start, Ticks(uint64(ts.Nano())), err)
	}
}
