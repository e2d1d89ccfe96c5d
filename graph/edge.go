// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"
	"unsafe"

	"github.com/ringwall/ringwall/entity"
)

const edgeBytes = int64(unsafe.Sizeof(Edge{}))

// looks is how many edges back a repeated deed is looked for. Beyond it the deed is
// written again, which costs an edge and changes no answer.
const looks = 16

// link writes cause → effect. A repeated deed moves only Last and N of its edge,
// unless the cause has been given another request since: then whose deed it was has
// changed, and it is an edge of its own.
func (g *Graph) link(cause, effect NodeID, typ EdgeType, t int64, actor *entity.Process, by Ref) {
	g.linkIn(cause, effect, typ, t, actor, by, true)
}

// linkIn leaves the edge out of the cause's list where out is false: causes that are
// hubs by nature (/bin/sh, an address) and whose effects nobody asks for.
func (g *Graph) linkIn(cause, effect NodeID, typ EdgeType, t int64, actor *entity.Process, by Ref, out bool) {
	c, e := g.Node(cause), g.Node(effect)
	if c == nil || e == nil || c == e {
		return
	}
	edge := Edge{Peer: cause, Type: typ, T: t, Last: t, N: 1, TID: actor.GetTid(), G: actor.GetGoroutine(), By: by}
	since := int64(0)
	if c.Process != nil {
		since = c.Process.latestServe()
	}
	if !repeat(e.In, edge, since) {
		e.In = g.push(e.In, edge)
	}
	if edge.Peer = effect; out && !repeat(c.Out, edge, since) {
		c.Out = g.push(c.Out, edge)
	}
}

// repeat collapses the edge into a recent equal one and tells whether it could.
func repeat(edges []Edge, e Edge, since int64) bool {
	for i := len(edges) - 1; i >= max(0, len(edges)-looks); i-- {
		if o := &edges[i]; o.Peer == e.Peer && o.Type == e.Type {
			if o.TID != e.TID || o.G != e.G || o.Last < since || e.T < o.T {
				return false
			}
			o.Last, o.N = max(o.Last, e.T), o.N+1
			return true
		}
	}
	return false
}

// push appends and keeps the list within its bound. Lists grow by a quarter, because
// most nodes have few edges and doubling would cost more than the edges themselves.
// A full list first drops edges to nodes that are gone, then its older half.
func (g *Graph) push(edges []Edge, e Edge) []Edge {
	if len(edges) < cap(edges) {
		return append(edges, e)
	}
	before := cap(edges)
	if len(edges) >= g.cfg.MaxHub {
		kept := slices.DeleteFunc(edges, func(e Edge) bool { return g.Node(e.Peer) == nil })
		if len(kept) > g.cfg.MaxHub/2 {
			kept = append(kept[:0], kept[len(kept)-g.cfg.MaxHub/2:]...)
		}
		return append(kept, e)
	}
	grown := make([]Edge, len(edges), min(g.cfg.MaxHub, len(edges)+1+len(edges)/4))
	copy(grown, edges)
	g.bytes += int64(cap(grown)-before) * edgeBytes
	return append(grown, e)
}
