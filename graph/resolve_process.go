// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"strconv"
	"unsafe"

	"github.com/ringwall/ringwall/entity"
)

// scope is the key scope of things that live on one host and boot.
func (g *Graph) scope(h uint32) string { return g.hosts[h].scope }

// process resolves a process sighting. (pid, start time) is the key. A sighting
// without a start time (a log line, a socket owner) means the life that holds the
// pid now; a start time within a clock tick of the known life is that life, because
// /proc tells it in ticks of 10 ms and the kernel in ns.
func (g *Graph) process(h uint32, p *entity.Process, t int64) NodeID {
	if p.GetPid() == 0 {
		return 0
	}
	hs := g.hosts[h]
	id := hs.pids[p.Pid]
	n := g.Node(id)
	if n != nil && n.Process.is(p, t) {
		if n.Process.Ref.StartNs == 0 {
			n.Process.Ref.StartNs = p.StartNs
		}
		g.describe(n, p)
		g.touch(id, t)
		return id
	}
	key := g.processKey(h, p)
	earlier := n != nil && p.StartNs != 0 && p.StartNs < n.Process.Ref.StartNs // a life before this one, told late
	if old, ok := g.byKey[key]; ok {
		if !earlier {
			hs.pids[p.Pid] = old
		}
		return old
	}
	pr := &Process{Ref: ProcessRef{Pid: p.Pid, StartNs: p.StartNs, Uid: p.Uid, Cgroup: p.Cgroup}}
	id = g.add(Node{Key: key, Kind: entity.Kind_PROCESS, Host: h, First: t, Last: t, Process: pr}, int(unsafe.Sizeof(*pr)))
	g.describe(g.Node(id), p)
	if !earlier {
		hs.pids[p.Pid] = id
	}
	return id
}

// is tells whether a sighting of the pid can mean this life.
func (pr *Process) is(p *entity.Process, t int64) bool {
	over := pr.Exited != 0 && t > pr.Exited+slack
	switch known := pr.Ref.StartNs; {
	case p.StartNs == 0:
		return !over
	case known == 0:
		return pr.Exited == 0
	default:
		return near(known, p.StartNs, tick)
	}
}

// tick is USER_HZ's grain, the precision of /proc/PID/stat.
const tick = 10_000_000

func near(a, b, within uint64) bool {
	if a < b {
		a, b = b, a
	}
	return a-b <= within
}

func (g *Graph) processKey(h uint32, p *entity.Process) entity.Key {
	return entity.KeyOf(entity.Kind_PROCESS, g.scope(h), strconv.FormatUint(uint64(p.Pid), 10), strconv.FormatUint(p.StartNs/tick, 10))
}

// describe fills what an earlier sighting did not know.
func (g *Graph) describe(n *Node, p *entity.Process) {
	r := &n.Process.Ref
	if r.Comm == "" {
		r.Comm = g.word(p.Comm)
	}
	if n.Process.Exe == "" {
		n.Process.Exe = g.word(p.Exe)
	}
	if r.Container == "" {
		r.Container = g.word(p.Container)
	}
	if r.Cgroup == 0 {
		r.Cgroup = p.Cgroup
	}
}
