// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"

	"github.com/ringwall/ringwall/entity"
)

// evictStep is how many nodes one look of the clock hand takes. Work per event
// stays bounded however far over the budget the graph is.
const evictStep = 256

// evict is a clock hand over the nodes: what is older than the middle of the hot
// window goes, live processes and files with a known writer stay twice as long. Old
// edges are in the archive; a trace that needs them pulls them in from there.
func (g *Graph) evict() {
	if g.bytes <= g.cfg.Bytes || len(g.nodes) < 2 {
		return
	}
	oldest := g.now
	for i := range min(evictStep, len(g.nodes)) {
		if n := &g.nodes[(g.hand+i)%len(g.nodes)]; n.Kind != entity.Kind_UNKNOWN && n.Last < oldest {
			oldest = n.Last
		}
	}
	cut := oldest + (g.now-oldest)/4
	for range min(evictStep, len(g.nodes)) {
		g.hand = (g.hand + 1) % len(g.nodes)
		n := &g.nodes[g.hand]
		if n.Kind == entity.Kind_UNKNOWN || n.Last > cut {
			continue
		}
		if n.Process != nil && n.Process.Exited == 0 && g.now-n.Last < 24*3600e9 {
			continue
		}
		g.drop(NodeID(g.hand))
	}
}

// drop forgets one node and every edge that touches it.
func (g *Graph) drop(id NodeID) {
	n := &g.nodes[id]
	for _, e := range n.In {
		p := &g.nodes[e.Peer]
		p.Out = slices.DeleteFunc(p.Out, func(o Edge) bool { return o.Peer == id })
	}
	for _, e := range n.Out {
		p := &g.nodes[e.Peer]
		p.In = slices.DeleteFunc(p.In, func(o Edge) bool { return o.Peer == id })
	}
	h := g.hosts[n.Host]
	switch {
	case n.Process != nil:
		if h.pids[n.Process.Ref.GetPid()] == id {
			delete(h.pids, n.Process.Ref.GetPid())
		}
	case n.File != nil:
		if h.paths[n.File.Path()] == id {
			delete(h.paths, n.File.Path())
		}
		in := inode{n.File.Ref.GetFs(), n.File.Ref.GetInode()}
		if h.inodes[in] == id {
			delete(h.inodes, in)
		}
	case n.Flow != nil:
		t := tupleOf(n.Flow.Ref)
		list := slices.DeleteFunc(g.tuples[t], func(o NodeID) bool { return o == id })
		if len(list) == 0 {
			delete(g.tuples, t)
		} else {
			g.tuples[t] = list
		}
	case n.Request != nil:
		addr := entity.Addr(n.Request.Ref.GetFlow().GetSrcIp()).String()
		list := slices.DeleteFunc(g.recent[addr], func(o NodeID) bool { return o == id })
		if len(list) == 0 {
			delete(g.recent, addr)
		} else {
			g.recent[addr] = list
		}
	}
	delete(g.byKey, n.Key)
	g.bytes -= int64(n.bytes)
	g.nodes[id] = Node{}
	g.free = append(g.free, id)
	g.evicted++
}
