// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// places remembers where findings stand in the graph: a finding tells wall time, and
// a host's wall clock drifts and is stepped beside the steady time of the graph.
type places struct {
	of    map[string]place
	order []string // a ring
	next  int
}

// place is what a trace starts from.
type place struct {
	subject, object graph.NodeID
	t               int64 // steady
}

// placesKept bounds them: about 2 MB.
const placesKept = 1 << 14

func newPlaces() places { return places{of: map[string]place{}} }

func (p *places) keep(finding string, at place) {
	if _, known := p.of[finding]; !known {
		if len(p.order) < placesKept {
			p.order = append(p.order, finding)
		} else {
			delete(p.of, p.order[p.next])
			p.order[p.next] = finding
			p.next = (p.next + 1) % placesKept
		}
	}
	p.of[finding] = at
}

// Trace leads a finding back to its entry with all that is known by now. One from
// before the last start, or long ago, is placed by the time that it tells.
func (j *Judge) Trace(f *verdict.Finding) trace.Path {
	at, known := j.places.of[f.Id]
	if !known || j.g.Node(at.subject) == nil {
		at = place{t: j.g.Steady(f.Host, 0, f.WallNs)}
		for _, s := range f.Subjects {
			if at.subject = j.g.Resolve(s, f.Host, at.t); at.subject != 0 {
				break
			}
		}
	}
	return j.back(at.subject, graph.Fact{Actor: at.subject, Object: at.object, T: at.t})
}

// back traces a deed: what a worker did to something is led by the edge between the
// two, which knows thread and goroutine.
func (j *Judge) back(subject graph.NodeID, fact graph.Fact) trace.Path {
	if n := j.g.Node(subject); n != nil && n.File != nil {
		return j.brought(subject, n, fact.T)
	}
	path := trace.Back(j.g, subject, fact.T)
	if fact.Object != 0 && fact.Object != subject {
		if p := j.deed(subject, fact); p.Entry != 0 {
			path = p
		}
	}
	return path
}

// brought traces a file, which may be judged a moment before its writer's open is told.
// Where the kernel sensor of the host has not told as far as the write, the way ends at
// the file: the request that its writer had in hand then is not known, but the one before
// still looks as if it were in hand. Retrace asks again.
func (j *Judge) brought(file graph.NodeID, n *graph.Node, t int64) trace.Path {
	path := trace.Back(j.g, file, t+settle)
	if told := j.g.Told(j.g.HostName(n.Host)); told != 0 && len(path.Hops) > 1 && path.Hops[1].T > told {
		return trace.Path{Hops: path.Hops[:1]}
	}
	return path
}
