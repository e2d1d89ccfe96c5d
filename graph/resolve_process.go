// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"strconv"

	"github.com/ringwall/ringwall/entity"
)

// scope is the key scope of things that live on one host and boot.
func (g *Graph) scope(h uint32) string {
	return g.tenant + "/" + g.hosts[h].name + "/" + g.hosts[h].boot
}

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
	if n := g.Node(id); n != nil {
		known := n.Process.Ref.StartNs
		late := n.Process.Exited != 0 && t > n.Process.Exited+slack
		if p.StartNs == 0 && !late || known == 0 || near(known, p.StartNs, tick) {
			if known == 0 && p.StartNs != 0 {
				n.Process.Ref.StartNs = p.StartNs
			}
			g.describe(n, p)
			g.touch(id, t)
			return id
		}
		if p.StartNs < known { // an earlier life, told late
			if old, ok := g.byKey[g.processKey(h, p)]; ok {
				return old
			}
		}
	}
	ref := &entity.Process{Pid: p.Pid, StartNs: p.StartNs, Comm: p.Comm, Exe: p.Exe, Uid: p.Uid, Cgroup: p.Cgroup, Container: p.Container}
	key := g.processKey(h, p)
	if old, ok := g.byKey[key]; ok {
		hs.pids[p.Pid] = old
		return old
	}
	id = g.add(Node{Key: key, Kind: entity.Kind_PROCESS, Host: h, First: t, Last: t, Process: &Process{Ref: ref, Exe: p.Exe}}, 512)
	hs.pids[p.Pid] = id
	return id
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
	r := n.Process.Ref
	if r.Comm == "" {
		r.Comm = p.Comm
	}
	if p.Exe != "" && n.Process.Exe == "" {
		n.Process.Exe, r.Exe = p.Exe, p.Exe
	}
	if r.Container == "" {
		r.Container = p.Container
	}
	if r.Cgroup == 0 {
		r.Cgroup = p.Cgroup
	}
}
