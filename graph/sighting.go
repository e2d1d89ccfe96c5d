// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"github.com/ringwall/ringwall/entity"
)

// Sighting says what a node is, for findings and incidents that leave the graph.
func (g *Graph) Sighting(id NodeID, role string) *entity.Sighting {
	n := g.Node(id)
	if n == nil {
		return nil
	}
	s := &entity.Sighting{Kind: n.Kind, Role: role, WallNs: n.First, Text: n.Text, Host: g.hosts[n.Host].name}
	switch {
	case n.Process != nil:
		p := n.Process.Ref
		s.Process = &entity.Process{Pid: p.Pid, StartNs: p.StartNs, Comm: p.Comm, Exe: n.Process.Exe, Uid: p.Uid, Cgroup: p.Cgroup, Container: p.Container}
	case n.File != nil:
		f := n.File.Ref
		s.File = &entity.File{Path: f.Path, Fs: f.Fs, Inode: f.Inode, BirthNs: f.BirthNs, Size: f.Size, Mode: f.Mode, Sha256: f.Sha256}
	case n.Flow != nil:
		s.Flow = n.Flow.Ref
	case n.Request != nil:
		s.Request = n.Request.Ref
	case n.Kind == entity.Kind_LOGIN:
		for _, e := range n.In {
			if f := g.Node(e.Peer); e.Type == LoggedIn && f != nil {
				s.Flow = f.Flow.Ref
			}
		}
	}
	return s
}

// Resolve finds the node that a sighting made at steady time t on a host means; 0
// when the graph has never heard of it. Files, flows and addresses that are new to it
// become nodes, because a finding may be told before the event it rests on.
func (g *Graph) Resolve(s *entity.Sighting, on string, t int64) NodeID {
	if s.GetHost() != "" {
		on = s.Host
	}
	h, ok := g.byName[on]
	if !ok {
		return 0
	}
	switch s.GetKind() {
	case entity.Kind_PROCESS:
		return g.knownProcess(h, s.Process)
	case entity.Kind_FILE:
		return g.file(h, s.File, t)
	case entity.Kind_FLOW:
		return g.flow(h, s.Flow, t, onWire, false)
	case entity.Kind_REQUEST:
		return g.knownRequest(h, s.Request, t)
	case entity.Kind_LOGIN:
		return g.knownLogin(h, s, t)
	case entity.Kind_ADDRESS:
		return g.address(parseAddr(s.Text), t)
	}
	return 0
}

func (g *Graph) knownProcess(h uint32, p *entity.Process) NodeID {
	if p == nil {
		return 0
	}
	if id, ok := g.byKey[g.processKey(h, p)]; ok {
		return id
	}
	id := g.hosts[h].pids[p.Pid]
	if n := g.Node(id); n != nil && (p.StartNs == 0 || near(n.Process.Ref.StartNs, p.StartNs, tick)) {
		return id
	}
	return 0
}

func (g *Graph) knownRequest(h uint32, r *entity.Request, t int64) NodeID {
	flow := g.flow(h, r.GetFlow(), t, onWire, false)
	n := g.Node(flow)
	if n == nil {
		return 0
	}
	var best NodeID
	for _, id := range n.Flow.requests {
		if q := g.Node(id); q != nil && sameRequest(q.Request.Ref, r) && (best == 0 || abs(q.First-t) < abs(g.Node(best).First-t)) {
			best = id
		}
	}
	return best
}

func (g *Graph) knownLogin(h uint32, s *entity.Sighting, t int64) NodeID {
	if n := g.Node(g.flow(h, s.Flow, t, onWire, false)); n != nil {
		if id, ok := g.byKey[entity.KeyOf(entity.Kind_LOGIN, g.scope(h)+"/"+n.Key.String(), s.Text)]; ok {
			return id
		}
	}
	return 0
}

// Steady maps a wall-clock moment of a host to its steady clock: the clocks differ
// only after a step, which the graph has seen as a change of offset.
func (g *Graph) Steady(on string, bootNs uint64, wallNs int64) int64 {
	h, ok := g.byName[on]
	if !ok || bootNs == 0 || !g.hosts[h].known {
		return wallNs
	}
	return int64(bootNs) + g.hosts[h].offset
}
