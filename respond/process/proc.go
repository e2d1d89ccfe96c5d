// SPDX-License-Identifier: Apache-2.0

// Package process ends trees of processes that keep forking, without losing a child
// and without touching anyone else.
//
// In comes a root (pid and start time) and a function that spares; out go the
// processes that were killed. It believes /proc of its own pid namespace for parents,
// sessions and start times, and pidfds for identity: every process is opened first and
// compared afterwards, so a pid that was given anew is never hit.
//
// The tree is stopped before it is killed: a process with a signal pending cannot fork
// (copy_process returns ERESTARTNOINTR, kernel/fork.c), so once SIGSTOP is sent its
// children are all it will ever have, and they stay its children because it lives. The
// walk ends when a pass finds nobody new; only then everybody is killed.
//
// The worst trap: an orphan. Its parent died before we came, so it is init's child.
// It is known by what it can only have inherited: a session or process group that a
// member leads, or a socket or pipe of a member as descriptor 0, 1 or 2. One that has
// shed all three is found only by who watched its birth (Lineage).
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Tick is the resolution of start times in /proc: USER_HZ is 100 on every architecture
// that Go runs on.
const Tick = 10 * time.Millisecond

// Stat is what /proc/PID/stat says.
type Stat struct {
	PID, PPID, PGID, SID int
	Start                uint64 // ticks since boot
	State                byte   // R, S, D, T, t, Z, X
	Kernel               bool   // a kernel thread
	Comm                 string
}

// ErrGone is wrapped when the process is not there, or is another one by now.
var ErrGone = errors.New("process is gone")

// Read reads one process.
func Read(pid int) (Stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return Stat{}, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	if err != nil {
		return Stat{}, err
	}
	s, err := parseStat(b)
	if err != nil {
		return s, fmt.Errorf("pid %d: %w", pid, err)
	}
	return s, nil
}

// parseStat: the name stands in parentheses and may hold any byte, these too.
func parseStat(b []byte) (s Stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return s, errors.New("stat: no name in parentheses")
	}
	s.Comm = string(b[open+1 : end])
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return s, fmt.Errorf("stat: %d fields, want 20 or more", len(f))
	}
	s.State = f[0][0]
	num := func(text string) (n int) {
		n, e := strconv.Atoi(text)
		err = errors.Join(err, e)
		return n
	}
	s.PID = num(strings.TrimSpace(string(b[:open])))
	s.PPID, s.PGID, s.SID = num(f[1]), num(f[2]), num(f[3])
	const kthread = 0x00200000 // PF_KTHREAD, include/linux/sched.h
	flags, e1 := strconv.ParseUint(f[6], 10, 64)
	start, e2 := strconv.ParseUint(f[19], 10, 64)
	s.Kernel, s.Start = flags&kthread != 0, start
	return s, errors.Join(err, e1, e2)
}

// Dead tells whether nothing of it runs any more; a zombie only awaits its parent.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' || s.State == 'x' }

// Ticks gives the start time of /proc that belongs to a boot time in ns.
func Ticks(startNs uint64) uint64 { return startNs / uint64(Tick) }

// Lives tells whether that life of a pid is there now and not dead.
func Lives(pid int, startNs uint64) bool {
	st, err := Read(pid)
	return err == nil && !st.Dead() && st.Start == Ticks(startNs)
}

// Children of a process, the newest first: they are the ones that live shortest.
func Children(pid int) []int {
	var out []int
	base := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(base)
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		b, _ := os.ReadFile(filepath.Join(base, t.Name(), "children"))
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	slices.Reverse(out)
	return out
}

// All pids of this pid namespace.
func All() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	out := make([]int, 0, len(names))
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// Ancestors of a process, nearest first, up to and with the init of this namespace.
func Ancestors(pid int) []Stat {
	var out []Stat
	for range 1024 { // deeper than any real tree; a bound against a changing /proc
		s, err := Read(pid)
		if err != nil || s.PPID <= 0 {
			return out
		}
		p, err := Read(s.PPID)
		if err != nil {
			return out
		}
		out, pid = append(out, p), p.PID
	}
	return out
}

// Handle pins one life of a pid. Close it.
type Handle struct {
	Stat
	fd int
}

// Open pins a process and makes sure that it started at start (ticks; 0: whatever it is).
func Open(pid int, start uint64) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	s, err := Read(pid)
	if err == nil && start != 0 && s.Start != start {
		err = fmt.Errorf("pid %d: %w: started at tick %d, not %d; the number was given anew", pid, ErrGone, s.Start, start)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Handle{Stat: s, fd: fd}, nil
}

// Close lets go.
func (h *Handle) Close() { unix.Close(h.fd) }

// Signal sends to exactly this life; one that has ended gives ErrGone.
func (h *Handle) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// Ended waits until the process has ended, at most d.
func (h *Handle) Ended(d time.Duration) bool {
	p := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		n, err := unix.Poll(p, int(max(0, time.Until(end)).Milliseconds()))
		if n > 0 {
			return true
		}
		if err == nil || !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// Link reads /proc/PID/name, a symbolic link; "" when it cannot be read.
func Link(pid int, name string) string {
	s, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/" + name)
	return s
}

// Title is the command line with blanks for zero bytes, at most 4 KiB.
func Title(pid int) string {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 4096)
	n, _ := f.Read(b)
	return strings.TrimSpace(strings.ReplaceAll(string(b[:n]), "\x00", " "))
}

// Inodes gives the sockets and pipes behind the descriptors ("socket:[7]") for which
// want is true.
func Inodes(pid int, want func(fd int) bool) []string {
	base := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(base)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var out []string
	for _, n := range names {
		if fd, err := strconv.Atoi(n); err != nil || !want(fd) {
			continue
		}
		if l, _ := os.Readlink(base + "/" + n); strings.HasPrefix(l, "socket:[") || strings.HasPrefix(l, "pipe:[") {
			out = append(out, l)
		}
	}
	return out
}

// Standard is descriptors 0, 1 and 2.
func Standard(fd int) bool { return fd <= 2 }

// Any is every descriptor.
func Any(int) bool { return true }
