// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/graph"
)

// file: the last write before the moment.
func (w *walker) file(id graph.NodeID, n *graph.Node, d deed) bool {
	e, ok := latest(n, graph.Wrote, d.t)
	return ok && w.over(e, WrittenBy, id)
}

// flow: the process of ours that opened it, else the log-in it carried, else it came
// from outside.
func (w *walker) flow(id graph.NodeID, n *graph.Node) bool {
	for _, e := range n.In {
		if e.Type == graph.Connected && w.over(e, ConnectedBy, id) {
			return true
		}
	}
	for _, e := range n.Out {
		if e.Type == graph.LoggedIn && w.hop(e.Peer, BegunBy, false, e.By, deed{t: e.T}) {
			return true
		}
	}
	if w.ours(id) {
		return w.stop()
	}
	return w.enter(id)
}

// ours tells whether one of our own processes opened the flow, so that its chain,
// though lost, does not end outside.
func (w *walker) ours(id graph.NodeID) bool {
	n := w.g.Node(id)
	return n != nil && slices.ContainsFunc(n.In, func(e graph.Edge) bool { return e.Type == graph.Connected })
}

// login: when one of our own processes opened the connection, the chain goes on
// there: that is how an intrusion moves on.
func (w *walker) login(id graph.NodeID, n *graph.Node) bool {
	for _, e := range n.In {
		if e.Type == graph.LoggedIn && w.ours(e.Peer) && w.hop(e.Peer, CarriedBy, false, e.By, deed{t: e.T}) {
			return true
		}
	}
	w.stopped = false // the log-in is an answer of its own
	return w.enter(id)
}

// request: when it only runs what an earlier request had brought, that one is the
// entry; when a process of ours passed it on or sent it, the chain goes on there; else
// it came from outside.
func (w *walker) request(id graph.NodeID, n *graph.Node, d deed) bool {
	if w.toRequest && n.Request.Ref.GetFlow() != nil && !w.carriedByOurs(n) {
		return w.enter(id)
	}
	if !w.toRequest && w.page(id, n) {
		return true
	}
	if n.Request.Via != 0 {
		return w.passed(n, n.Request.Via)
	}
	for _, e := range n.In {
		if e.Type != graph.Carried || !w.ours(e.Peer) {
			continue
		}
		if proxy, ok := w.proxy(e.Peer); ok {
			return w.passed(n, proxy)
		}
		if w.over(e, CarriedBy, id) {
			return true
		}
	}
	if n.Request.Ref.GetFlow() == nil {
		return w.stop()
	}
	w.stopped = false
	return w.enter(id)
}

func (w *walker) carriedByOurs(n *graph.Node) bool {
	return slices.ContainsFunc(n.In, func(e graph.Edge) bool { return e.Type == graph.Carried && w.ours(e.Peer) })
}

// proxy is the process of ours that opened the flow, where it serves requests itself.
func (w *walker) proxy(flow graph.NodeID) (graph.NodeID, bool) {
	for _, e := range w.g.Node(flow).In {
		if p := w.g.Node(e.Peer); e.Type == graph.Connected && p != nil && p.Process.Service != nil {
			return e.Peer, true
		}
	}
	return 0, false
}

// passed finds the request that a proxy handed on: the only one in its hands with the
// same method and target.
func (w *walker) passed(n *graph.Node, proxy graph.NodeID) bool {
	p := w.g.Node(proxy)
	if p == nil || p.Process.Service == nil || !p.Process.Service.Known(n.First) {
		return w.stop()
	}
	var found graph.Serve
	for _, s := range p.Process.Service.Upto(n.First) {
		q := w.g.Node(s.Request)
		if s.To != 0 && s.To < n.First || q == nil || q.Request.Ref.GetMethod() != n.Request.Ref.GetMethod() || q.Request.Ref.GetUri() != n.Request.Ref.GetUri() {
			continue
		}
		if found.Request != 0 && found.Request != s.Request {
			return w.stop()
		}
		found = s
	}
	if found.Request == 0 {
		return w.stop()
	}
	return w.hop(found.Request, PassedOn, false, graph.Ref{}, deed{t: found.From})
}

// rewrites bounds how many writers of a page are looked at: a page may write itself
// at every call.
const rewrites = 32

// page leads a request back to whoever brought the page it ran, if that was part of
// the intrusion: an upload, a page written by a command, or a page that was convicted.
// A page that an application's own update wrote is no cause of what is done to it
// later.
func (w *walker) page(id graph.NodeID, n *graph.Node) bool {
	for _, run := range n.In {
		file := w.g.Node(run.Peer)
		if run.Type != graph.Executed || file == nil || w.seen[run.Peer] {
			continue
		}
		looked := 0
		for _, e := range slices.Backward(file.In) {
			if e.Type != graph.Wrote || e.T > n.First {
				continue
			}
			if looked++; looked > rewrites {
				break
			}
			raw := w.rawFrom(e, run.Peer)
			q := w.g.Node(raw.Entry)
			if q != nil && q.Request != nil && (raw.Entry == id || ran(q, run.Peer)) {
				continue // it wrote itself
			}
			if q == nil || !w.brought(file, n, q, raw) {
				break
			}
			return w.adopt(run.Peer, n.First, raw)
		}
	}
	return false
}

// rawFrom traces one write of a file, up to the request or log-in behind it.
func (w *walker) rawFrom(e graph.Edge, file graph.NodeID) Path {
	r := walker{g: w.g, seen: map[graph.NodeID]bool{file: true}, toRequest: true}
	r.path.Hops = []Hop{{Node: file, T: e.T}}
	r.over(e, WrittenBy, file)
	return r.path
}

func ran(q *graph.Node, file graph.NodeID) bool {
	return slices.ContainsFunc(q.In, func(e graph.Edge) bool { return e.Type == graph.Executed && e.Peer == file })
}

// brought judges whether the writer of the page is the cause of what the page does.
func (w *walker) brought(file, run, writer *graph.Node, raw Path) bool {
	if file.Tainted {
		return true
	}
	if writer.Request == nil {
		return false // a deploy: the page is the site's own
	}
	if a, b := writer.Request.Ref.GetFlow(), run.Request.Ref.GetFlow(); a != nil && b != nil && a.Src().Addr() == b.Src().Addr() {
		return true
	}
	for _, u := range writer.Request.Uploads {
		ext := strings.ToLower(path.Ext(u.Filename))
		for _, p := range file.File.Paths {
			if path.Base(u.Filename) == path.Base(p) || ext != "" && ext == strings.ToLower(path.Ext(p)) {
				return true
			}
		}
	}
	for _, h := range raw.Hops {
		if h.Rule == ForkedBy { // written by a command, not by the application itself
			return true
		}
	}
	return false
}

// adopt puts the way from the page to the request or log-in that brought it onto the
// path and goes on from there.
func (w *walker) adopt(file graph.NodeID, t int64, raw Path) bool {
	mark, guessed := len(w.path.Hops), w.path.Guess
	w.path.Hops = append(w.path.Hops, Hop{Node: file, T: t, Rule: ScriptOf})
	w.path.Hops = append(w.path.Hops, raw.Hops[1:]...)
	w.path.Guess = guessed || raw.Guess
	w.seen[file] = true
	last := raw.Hops[len(raw.Hops)-1]
	if len(w.path.Hops) <= maxHops && w.walk(raw.Entry, deed{t: last.T}) {
		return true
	}
	w.path.Hops, w.path.Guess = w.path.Hops[:mark], guessed
	return false
}
