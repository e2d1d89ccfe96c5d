// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"

	"github.com/ringwall/ringwall/entity"
)

// evictStep is how many nodes one look of the clock hand takes. Work per event
// stays bounded however far over the budget the graph is.
const evictStep = 256

// clockHand goes round the nodes. Each lap over the budget that could not bring the
// graph below it takes one more class of nodes.
type clockHand struct {
	place int
	lap   int   // of this shortage
	ended int   // lap in which the last shortage ended: what came before it yields little
	from  int   // where the lap began
	cut   int64 // what was not touched since then is old
}

// The classes, in the order in which they go.
const (
	passing = iota // ended processes, flows, requests, files nobody wrote
	written        // files with a writer, what served or serves
	live           // processes that have not ended
	tainted        // what was convicted
)

func (n *Node) class() int {
	switch {
	case n.Tainted:
		return tainted
	case n.Process != nil && n.Process.Exited == 0:
		return live
	case n.Process != nil && n.Process.Service != nil, n.File != nil && n.File.Writer != 0:
		return written
	}
	return passing
}

// evict takes what was untouched longest until the graph is within its budget again.
// Old edges are in the archive; a trace that needs them pulls them in from there.
func (g *Graph) evict() {
	h := &g.hand
	low := g.cfg.Bytes - g.cfg.Bytes/64
	if g.bytes <= low {
		if h.lap > 0 {
			h.lap, h.ended = 0, h.lap
		}
		return
	}
	if h.lap == 0 {
		if g.bytes <= g.cfg.Bytes {
			return
		}
		h.place = max(h.place, 1)
		h.lap, h.from, h.cut = max(1, h.ended-1), h.place, g.old()
	}
	for range min(evictStep, g.places) {
		if h.place++; h.place >= g.places {
			h.place = 1
		}
		if h.place == h.from {
			h.lap++
			h.cut = g.old()
		}
		n := g.at(h.place)
		if n.Kind == entity.Kind_UNKNOWN || n.Last > h.cut && h.lap <= lastLap {
			continue
		}
		if n.class() <= (h.lap-1)/lapsEach {
			g.drop(NodeID(n.gen)<<32 | NodeID(h.place))
		}
		if g.bytes <= low {
			return
		}
	}
}

// Two laps for each class: the second cuts anew among what the first left. After the
// last one age protects nothing.
const (
	lapsEach = 2
	lastLap  = lapsEach * (tainted + 1)
)

// old is the time that parts a sample of the nodes in an older quarter and the rest.
func (g *Graph) old() int64 {
	var sample []int64
	step := max(1, g.places/evictStep)
	for p := 1; p < g.places; p += step {
		if n := g.at(p); n.Kind != entity.Kind_UNKNOWN {
			sample = append(sample, n.Last)
		}
	}
	if len(sample) == 0 {
		return g.now
	}
	slices.Sort(sample)
	return sample[len(sample)/4]
}

// drop forgets one node. Edges of others that lead to it lead to nothing from now on,
// because its id names a generation that is over.
func (g *Graph) drop(id NodeID) {
	n := g.Node(id)
	h := g.hosts[n.Host]
	switch {
	case n.Process != nil:
		if h.pids[n.Process.Ref.Pid] == id {
			delete(h.pids, n.Process.Ref.Pid)
		}
	case n.File != nil:
		if h.paths[n.File.Path()] == id {
			delete(h.paths, n.File.Path())
		}
		for _, in := range n.File.inodes {
			if h.inodes[in] == id {
				delete(h.inodes, in)
			}
		}
		for _, p := range n.File.Paths {
			dropID(h.pages, scriptName(p), id)
		}
	case n.Flow != nil:
		if src := n.Flow.Ref.Src(); g.clients[src] == id {
			delete(g.clients, src)
		}
		dropID(g.tuples, tupleOf(n.Flow.Ref), id)
		if n.Flow.other != (tuple{}) {
			dropID(g.tuples, n.Flow.other, id)
		}
	case n.Request != nil:
		if f := n.Request.Ref.GetFlow(); f != nil {
			dropID(g.recent, entity.Addr(f.SrcIp), id)
		}
	}
	if g.byKey[n.Key] == id {
		delete(g.byKey, n.Key)
	}
	g.bytes -= int64(n.fixed) + int64(cap(n.In)+cap(n.Out))*edgeBytes
	*n = Node{gen: n.gen}
	g.free = append(g.free, uint32(id.place()))
	g.evicted++
}

// dropID takes an id out of one list of an index, and the list with its last id.
func dropID[K comparable](index map[K][]NodeID, k K, id NodeID) {
	list, ok := index[k]
	if !ok {
		return
	}
	if list = slices.DeleteFunc(list, func(o NodeID) bool { return o == id }); len(list) == 0 {
		delete(index, k)
	} else {
		index[k] = list
	}
}
