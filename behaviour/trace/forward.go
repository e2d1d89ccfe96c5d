// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"slices"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
)

// Forward lists what came of an entry, in order of time: the processes that served
// it, their children, the files they wrote, the connections they opened and, on the
// other host, who took those. Reads lead nowhere: a file that was only read carries
// no cause. At most limit nodes are named.
func Forward(g *graph.Graph, from graph.NodeID, limit int) []Hop {
	n := g.Node(from)
	if n == nil {
		return nil
	}
	f := forward{g: g, seen: map[graph.NodeID]bool{from: true}, limit: limit}
	f.queue = []Hop{{Node: from, T: n.First}}
	for len(f.queue) > 0 && len(f.out) < limit {
		hop := f.queue[0]
		f.queue = f.queue[1:]
		if hop.Node != from && g.Node(hop.Node) != nil {
			f.out = append(f.out, hop)
		}
		f.expand(hop)
	}
	slices.SortStableFunc(f.out, func(a, b Hop) int { return cmp.Compare(a.T, b.T) })
	return f.out
}

type forward struct {
	g     *graph.Graph
	seen  map[graph.NodeID]bool
	queue []Hop
	out   []Hop
	limit int
}

func (f *forward) expand(h Hop) {
	n := f.g.Node(h.Node)
	if n == nil {
		return
	}
	for _, e := range n.Out {
		if e.Last < h.T || f.seen[e.Peer] {
			continue
		}
		switch e.Type {
		case graph.Served:
			f.worker(h.Node, e)
			continue
		case graph.Read, graph.Opened, graph.Accepted, graph.Held:
			continue
		}
		f.push(e)
	}
}

func (f *forward) push(e graph.Edge) {
	if len(f.queue)+len(f.out) < 4*f.limit && !f.seen[e.Peer] {
		f.seen[e.Peer] = true
		f.queue = append(f.queue, Hop{Node: e.Peer, T: e.T, By: e.By})
	}
}

// worker adds only those deeds of a worker that belong to the request in its hands:
// the worker itself serves others too.
func (f *forward) worker(request graph.NodeID, served graph.Edge) {
	w := f.g.Node(served.Peer)
	if w == nil || w.Process.Service == nil {
		return
	}
	for _, e := range w.Out {
		if e.Last < served.T || e.Type != graph.Forked && e.Type != graph.Wrote && e.Type != graph.Connected {
			continue
		}
		s, _, _, ok := pick(f.g, w, deed{t: e.T, tid: e.TID, gor: e.G, effect: e.Peer})
		if ok && s.Request == request {
			f.push(e)
		}
	}
}

// Kinds that a person wants to read about in a story.
func Telling(k entity.Kind) bool {
	switch k {
	case entity.Kind_PROCESS, entity.Kind_FILE, entity.Kind_FLOW, entity.Kind_REQUEST, entity.Kind_LOGIN:
		return true
	}
	return false
}
