// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ringwall/ringwall/entity"
)

// userTick is the unit of /proc/PID/stat field 22 (USER_HZ = 100 on every Linux port we
// build for). Start times are rounded down to it so that a process has one key, whether
// the kernel or /proc told of it.
const userTick = uint64(10 * time.Millisecond)

func startNs(boot uint64) uint64 { return boot - boot%userTick }

// How long an exited process is remembered: the bulk ring may still speak of it.
const graveTime = 10 * time.Second

type process struct {
	start     uint64
	ppid, uid uint32
	comm, exe string
	container string
	golang    bool
	gone      uint64 // boot ns of the exit, 0 while it lives
}

type grave struct {
	pid       uint32
	start, at uint64
}

// processes is the bounded table pid → what was executed. Safe for many goroutines.
type processes struct {
	mu      sync.Mutex
	byPid   map[uint32]*process
	graves  []grave // in order of time; those before buried are done with
	buried  int
	max     int
	evicted uint64
	golang  map[inode]bool
	cgroups *cgroups
	proc    string
}

type inode struct{ dev, ino uint64 }

func newProcesses(limit int) *processes {
	return &processes{byPid: map[uint32]*process{}, max: limit, golang: map[inode]bool{}, cgroups: newCgroups(), proc: "/proc"}
}

// put replaces what is known of a pid, making room where needed.
func (t *processes) put(pid uint32, p *process) {
	if _, known := t.byPid[pid]; !known && len(t.byPid) >= t.max {
		t.bury(^uint64(0))
		for victim := range t.byPid { // still full of living ones: any may go, /proc knows it
			if len(t.byPid) < t.max {
				break
			}
			delete(t.byPid, victim)
			t.evicted++
		}
	}
	t.byPid[pid] = p
}

// bury forgets processes that ended before a moment.
func (t *processes) bury(before uint64) {
	for ; t.buried < len(t.graves) && t.graves[t.buried].at < before; t.buried++ {
		g := t.graves[t.buried]
		if p := t.byPid[g.pid]; p != nil && p.start == g.start && p.gone != 0 {
			delete(t.byPid, g.pid)
		}
	}
	// Moving the rest at each exit would cost more than the exit at 1,000 a second.
	if t.buried > len(t.graves)/2 {
		t.graves = append(t.graves[:0], t.graves[t.buried:]...)
		t.buried = 0
	}
}

func (t *processes) forked(parent *actor, child uint32, start uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &process{start: startNs(start), ppid: parent.pid, uid: parent.uid, comm: parent.comm}
	if old := t.lookup(parent.pid, parent.start, parent.cgroup); old != nil {
		p.exe, p.container, p.golang = old.exe, old.container, old.golang
	}
	t.put(child, p)
}

func (t *processes) execed(a *actor, r *execRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &process{start: startNs(a.start), ppid: r.ppid, uid: a.uid, comm: a.comm, exe: r.exe,
		container: t.cgroups.container(a.cgroup)}
	p.golang = t.isGo(inode{r.dev, r.inode}, a.pid)
	t.put(a.pid, p)
}

func (t *processes) exited(a *actor, boot uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byPid[a.pid]; p != nil && p.start == startNs(a.start) {
		p.gone = boot
		t.graves = append(t.graves, grave{a.pid, p.start, boot})
	}
	if boot > uint64(graveTime) {
		t.bury(boot - uint64(graveTime))
	}
}

// lookup finds a process by pid and start, reading /proc for one that is older than the
// sensor or was evicted. The caller holds mu.
func (t *processes) lookup(pid uint32, start, cgroup uint64) *process {
	if p := t.byPid[pid]; p != nil && p.start == startNs(start) {
		return p
	}
	if pid == 0 {
		return nil
	}
	p := &process{start: startNs(start)}
	if st, err := readStat(t.proc, pid); err == nil && st.start == p.start {
		dir := fmt.Sprintf("%s/%d", t.proc, pid)
		p.exe, _ = os.Readlink(dir + "/exe") // kernel threads have none
		p.ppid, p.comm = st.ppid, st.comm
		if fi, err := statInode(dir + "/exe"); err == nil {
			p.golang = t.isGo(fi, pid)
		}
	}
	p.container = t.cgroups.container(cgroup)
	t.put(pid, p)
	return p
}

// isGo tells whether an executable is a Go program, remembered per inode.
func (t *processes) isGo(id inode, pid uint32) bool {
	if g, known := t.golang[id]; known {
		return g
	}
	f, err := os.Open(fmt.Sprintf("%s/%d/exe", t.proc, pid))
	if err != nil {
		return false // gone already, or a kernel thread: ask again next time
	}
	defer f.Close()
	_, err = buildinfo.Read(f)
	if len(t.golang) >= 8192 {
		clear(t.golang)
	}
	t.golang[id] = err == nil
	return err == nil
}

// entity gives the actor of an event.
func (t *processes) entity(a *actor) *entity.Process {
	if a.pid == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &entity.Process{Pid: a.pid, StartNs: startNs(a.start), Tid: a.tid, Comm: a.comm, Uid: a.uid, Cgroup: a.cgroup}
	if p := t.lookup(a.pid, a.start, a.cgroup); p != nil {
		e.Exe, e.Container = p.exe, p.container
		if p.golang {
			e.Goroutine = a.goroutine
		}
	}
	return e
}

// describe gives what is known of a pid that an event names without its start time.
func (t *processes) describe(pid uint32) *entity.Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &entity.Process{Pid: pid}
	p := t.byPid[pid]
	if p == nil || p.gone != 0 {
		st, err := readStat(t.proc, pid)
		if err != nil {
			return e
		}
		p = t.lookup(pid, st.start, 0)
	}
	e.StartNs, e.Comm, e.Exe, e.Uid, e.Container = p.start, p.comm, p.exe, p.uid, p.container
	return e
}

// known gives how many processes the table holds and how many it had to forget.
func (t *processes) known() (n int, evicted uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byPid), t.evicted
}

type stat struct {
	comm  string
	ppid  uint32
	tty   uint64
	start uint64 // ns since boot, whole ticks
}

// readStat reads /proc/PID/stat (proc(5)). The name may hold blanks and brackets: what
// counts is the last bracket.
func readStat(proc string, pid uint32) (s stat, err error) {
	b, err := os.ReadFile(fmt.Sprintf("%s/%d/stat", proc, pid))
	if err != nil {
		return s, err
	}
	return parseStat(string(b))
}

func parseStat(line string) (s stat, err error) {
	open, end := -1, -1
	for i, c := range line {
		if c == '(' && open < 0 {
			open = i
		}
		if c == ')' {
			end = i
		}
	}
	if open < 0 || end < open {
		return s, fmt.Errorf("process stat %.40q: no name in brackets", line)
	}
	s.comm = line[open+1 : end]
	fields := splitFields(line[end+1:]) // from field 3 on
	if len(fields) < 20 {
		return s, fmt.Errorf("process stat %.40q: %d fields after the name, want 20", line, len(fields))
	}
	ppid, err1 := strconv.ParseUint(fields[1], 10, 32)
	ticks, err2 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil {
		return s, fmt.Errorf("process stat %.40q: parent or start is no number", line)
	}
	s.tty, _ = strconv.ParseUint(fields[4], 10, 64) // -1: none
	s.ppid, s.start = uint32(ppid), ticks*userTick
	return s, nil
}
