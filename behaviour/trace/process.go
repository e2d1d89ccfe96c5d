// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/graph"
)

// process: the log-in that began it, the request in its hands, the connection it
// took, its parent, and, where nobody but a scheduler started it, whoever wrote what
// it runs.
func (w *walker) process(id graph.NodeID, n *graph.Node, d deed) bool {
	if e, ok := latest(n, graph.Began, d.t+logLag); ok && w.over(e, BegunBy, id) {
		return true
	}
	convicted := w.taintedAbove(id) // its own doings, then, are the intrusion's
	if v := n.Process.Service; v != nil {
		if s, rule, guess, ok := pick(w.g, n, d); ok {
			return w.hop(s.Request, rule, guess, graph.Ref{}, deed{t: s.From}) || w.stop()
		}
		if since := v.Since(); since != 0 && since <= d.t && !convicted {
			return w.stop()
		}
	} else if !convicted {
		if found, served := w.connection(id, n, d); found || served {
			return found
		}
	}
	if e, ok := latest(n, graph.Forked, d.t); ok && !w.launcher(e.Peer) {
		if w.over(e, ForkedBy, id) {
			return true
		}
	}
	return !w.stopped && w.ranFile(id, n, d)
}

// logLag is how long after its log-in a daemon may write the line that tells of it.
const logLag = int64(5e9)

// freshly: a process that takes a connection this soon after its fork was made for
// it. sshd needs 1-5 ms, a loaded machine a hundred times that.
const freshly = int64(500e6)

// connection leads to the connection for which the process acts, where it is no web
// server: the one it was handed as standard input, the one it was forked for, or,
// for a daemon, the only one that was open. served tells that it acts for
// connections at all, so that its parent is no answer.
func (w *walker) connection(id graph.NodeID, n *graph.Node, d deed) (found, served bool) {
	if e, ok := latest(n, graph.Held, d.t); ok && !w.ours(e.Peer) {
		if f := w.g.Node(e.Peer); f != nil && f.Flow.ServedAt(n.Host) {
			return w.over(e, AcceptedBy, id), true
		}
	}
	var open []graph.Edge
	first, count := graph.Edge{}, 0
	for _, e := range n.In {
		if e.Type != graph.Accepted || e.T > d.t {
			continue
		}
		if count++; count == 1 {
			first = e
		}
		if f := w.g.Node(e.Peer); f == nil || f.Flow.Closed == 0 || f.Flow.Closed > d.t {
			open = append(open, e)
		}
	}
	switch {
	case count == 0:
		return false, false
	case count == 1 && !n.Process.Snapshot && first.T-n.First < freshly:
		return w.over(first, AcceptedBy, id), true
	case len(open) == 1 && d.effect != 0:
		e := open[0]
		return w.hop(e.Peer, AcceptedBy, true, e.By, deed{t: e.T}), true
	}
	return w.stop(), true
}

// taintedAbove tells whether the process or one that it descends from was convicted.
func (w *walker) taintedAbove(id graph.NodeID) bool {
	return above(w.g, id, func(n *graph.Node) bool { return n.Tainted })
}

// Convicted tells whether a process, the log-in or connection that it was made for, or
// one of these above it was convicted: what it does then is the intrusion's.
func Convicted(g *graph.Graph, id graph.NodeID) bool {
	return above(g, id, func(n *graph.Node) bool { return n.Tainted || begunByConvict(g, n) })
}

// above tells whether something holds of a process or of one that it descends from.
func above(g *graph.Graph, id graph.NodeID, holds func(*graph.Node) bool) bool {
	for range maxHops {
		n := g.Node(id)
		if n == nil || n.Process == nil {
			return false
		}
		if holds(n) {
			return true
		}
		id = n.Process.Parent
	}
	return false
}

func begunByConvict(g *graph.Graph, n *graph.Node) bool {
	if n.Process.Snapshot || n.Process.Service != nil {
		return false // a daemon; nobody's log-in began it
	}
	tainted := func(id graph.NodeID) bool {
		n := g.Node(id)
		return n != nil && n.Tainted
	}
	var only graph.Edge // the one connection that it took
	taken := 0
	for _, e := range n.In {
		switch e.Type {
		case graph.Began:
			if tainted(e.Peer) {
				return true
			}
		case graph.Held, graph.Accepted:
			if e.Peer != only.Peer {
				only = e
				taken++
			}
		}
	}
	flow := g.Node(only.Peer)
	if taken != 1 || flow == nil || only.Type == graph.Accepted && only.T-n.First >= freshly {
		return false
	}
	return flow.Tainted || slices.ContainsFunc(flow.Out, func(e graph.Edge) bool { return e.Type == graph.LoggedIn && tainted(e.Peer) })
}

// launchers start things on their own account: who started them is not to blame.
var launchers = []string{
	"init", "systemd", "cron", "crond", "fcron", "anacron", "atd", "dbus-daemon", "containerd-shim", "containerd-shim-runc-v2",
	"supervisord", "runsvdir", "runsv", "s6-svscan", "s6-supervise",
}

// launcher wants the place of a daemon beside the name, which anyone may choose.
func (w *walker) launcher(id graph.NodeID) bool {
	n := w.g.Node(id)
	if n == nil || n.Process == nil || n.Tainted {
		return false
	}
	if n.Process.Ref.Pid == 1 {
		return true
	}
	if !slices.Contains(launchers, path.Base(n.Process.Exe)) {
		return false
	}
	up := w.g.Node(n.Process.Parent)
	if n.Process.Snapshot || up == nil || up.Process.Ref.Pid == 1 {
		return true
	}
	return path.Base(up.Process.Exe) == path.Base(n.Process.Exe) && w.launcher(n.Process.Parent) // cron forks for each job
}

// ranFile asks who wrote the image or script; that is how a job or a unit is led back
// to its writer. Of files it only read, the one it was asked to run counts.
func (w *walker) ranFile(id graph.NodeID, n *graph.Node, d deed) bool {
	for _, e := range slices.Backward(n.In) {
		if e.Type != graph.Ran && e.Type != graph.Read || e.T > d.t {
			continue
		}
		f := w.g.Node(e.Peer)
		if f == nil || f.File.Writer == 0 || e.Type == graph.Read && !asked(n.Process.Argv, f.File.Path()) {
			continue
		}
		if w.hop(e.Peer, RanFile, false, e.By, deed{t: e.T}) {
			return true
		}
	}
	return w.jobFile(n, d)
}

func asked(argv []string, file string) bool {
	return slices.ContainsFunc(argv, func(a string) bool { return a == file || strings.Contains(a, file) })
}

// jobFile leads a job of cron to the only table that cron has read and somebody was
// seen to write. It is a guess: the job may come from an older table.
func (w *walker) jobFile(n *graph.Node, d deed) bool {
	for up, i := n.Process.Parent, 0; i < 3; i++ {
		p := w.g.Node(up)
		if p == nil || p.Process == nil {
			return false
		}
		var table graph.Edge
		for _, e := range p.In {
			f := w.g.Node(e.Peer)
			if e.Type != graph.Read || e.T > d.t || f == nil || f.File.Writer == 0 || !strings.Contains(f.File.Path(), "cron") {
				continue
			}
			if table.Peer != 0 && table.Peer != e.Peer {
				return false
			}
			table = e
		}
		if table.Peer != 0 && w.launcher(up) {
			return w.hop(table.Peer, RanFile, true, table.By, deed{t: table.T})
		}
		up = p.Process.Parent
	}
	return false
}
