// SPDX-License-Identifier: Apache-2.0

// Package trace answers, from any entity, "what brought this?" and "what came of
// it?".
//
// In come a node and a moment; out comes a path of time-respecting steps back to the
// entry point (a request, a log-in, a connection from outside) or forward to the
// effects, each step naming the rule that spoke. It believes the rules (1)-(7) of
// docs/rationale.md#requests in that order and says which one it used; the sixth is
// a guess and marked so.
//
// The worst trap: a plausible wrong entry costs more than "unknown". Where the chain
// ends in a daemon that was there before us, the answer is unknown.
package trace

import (
	"slices"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
)

// Rule names how a step back was found.
type Rule string

// The rules, best first for requests; then the structural ones.
const (
	ProtocolKey   Rule = "protocol-key"       // (1) FastCGI parameters name client and target
	OneRequest    Rule = "one-request-worker" // (2) the worker never held two
	Goroutine     Rule = "goroutine"          // (3)
	SameThread    Rule = "same-thread"        // (4) and the process is no event loop
	OnlyInFlight  Rule = "only-in-flight"     // (5)
	SharedContent Rule = "shared-content"     // (6) a guess
	ForkedBy      Rule = "forked-by"
	WrittenBy     Rule = "written-by"
	ConnectedBy   Rule = "connected-by"
	AcceptedBy    Rule = "accepted"
	BegunBy       Rule = "log-in"
	CarriedBy     Rule = "carried-by"
	RanFile       Rule = "ran-file"
	ScriptOf      Rule = "script-written-by-request"
)

// Hop is one node on the way, with the moment of the deed that led there.
type Hop struct {
	Node  graph.NodeID
	T     int64 // steady ns
	Rule  Rule  // how it was reached; "" for the start
	Guess bool
	By    graph.Ref
}

// Path leads from the effect back to its entry.
type Path struct {
	Hops  []Hop        // first: where we started
	Entry graph.NodeID // 0: unknown
	Rule  Rule         // the rule that tied the deed to the entry
	Guess bool
}

// maxHops bounds a trace; real chains stay under twenty.
const maxHops = 64

// Back finds what brought a node, seen at steady time t. A t of 0 means its latest
// moment.
func Back(g *graph.Graph, from graph.NodeID, t int64) Path {
	n := g.Node(from)
	if n == nil {
		return Path{}
	}
	if t == 0 {
		t = n.Last
	}
	w := walker{g: g, seen: map[graph.NodeID]bool{}}
	w.path.Hops = []Hop{{Node: from, T: t}}
	w.walk(from, deed{t: t})
	return w.path
}

// deed is the moment we arrive with: when, and by which thread it was done.
type deed struct {
	t      int64
	tid    uint32
	gor    uint64
	effect graph.NodeID // what was done, for shared content
}

type walker struct {
	g    *graph.Graph
	seen map[graph.NodeID]bool
	path Path
}

// walk goes on from a node; it tells whether an entry was found.
func (w *walker) walk(id graph.NodeID, d deed) bool {
	if w.seen[id] || len(w.path.Hops) > maxHops {
		return false
	}
	w.seen[id] = true
	n := w.g.Node(id)
	if n == nil {
		return false
	}
	switch n.Kind {
	case entity.Kind_PROCESS:
		return w.process(id, d)
	case entity.Kind_FILE:
		return w.file(id, d)
	case entity.Kind_FLOW:
		return w.flow(id, d)
	case entity.Kind_REQUEST:
		return w.request(id, d)
	case entity.Kind_LOGIN:
		return w.login(id, d)
	case entity.Kind_ADDRESS:
		return w.enter(id, "")
	}
	return false
}

func (w *walker) hop(id graph.NodeID, rule Rule, guess bool, e graph.Edge, d deed) bool {
	mark, before := len(w.path.Hops), w.path
	w.path.Hops = append(w.path.Hops, Hop{Node: id, T: d.t, Rule: rule, Guess: guess, By: e.By})
	if rule != ForkedBy && rule != CarriedBy && w.path.Rule == "" {
		w.path.Rule = rule
	}
	w.path.Guess = w.path.Guess || guess
	if w.walk(id, d) {
		return true
	}
	w.path.Hops, w.path.Rule, w.path.Guess = w.path.Hops[:mark], before.Rule, before.Guess
	return false
}

func (w *walker) enter(id graph.NodeID, rule Rule) bool {
	w.path.Entry = id
	if rule != "" && w.path.Rule == "" {
		w.path.Rule = rule
	}
	return true
}

// process: the request in its hands, else the connection it took, else its parent,
// else whoever wrote what it runs.
func (w *walker) process(id graph.NodeID, d deed) bool {
	p := w.g.Node(id).Process
	if s, rule, guess, ok := pick(w.g, p, d); ok {
		if w.hop(s.Request, rule, guess, graph.Edge{T: s.From}, deed{t: s.From}) {
			return true
		}
	}
	if e, ok := w.accepted(id, d); ok && w.hop(e.Peer, AcceptedBy, false, e, deed{t: e.T}) {
		return true
	}
	if e, ok := edgeFrom(w.g, id, graph.Forked, d.t); ok {
		if w.hop(e.Peer, ForkedBy, false, e, deed{t: e.T, tid: e.TID, gor: e.G, effect: id}) {
			return true
		}
	}
	return w.ranFile(id, d)
}

// accepted finds the connection a process took for this very deed: the last accept
// before it when none came after, as in accept-and-fork servers.
func (w *walker) accepted(id graph.NodeID, d deed) (graph.Edge, bool) {
	n := w.g.Node(id)
	if len(n.Process.Serving) > 0 {
		return graph.Edge{}, false // a web server: only its requests count
	}
	best, after := graph.Edge{}, false
	for _, e := range n.In {
		switch {
		case e.Type != graph.Accepted:
		case e.T <= d.t && e.T >= best.T:
			best = e
		case e.T > d.t && e.T-d.t < forkDelay:
			after = true
		}
	}
	return best, best.Peer != 0 && !after && d.effect != 0 && d.t-best.T < forkDelay
}

// forkDelay is how long after its accept a server forks the child that will serve
// the connection: sshd needs 1-5 ms, a loaded machine a hundred times that.
const forkDelay = int64(500e6)

// ranFile asks who wrote the image or script; that is how a cron entry or a unit is
// led back to its writer.
func (w *walker) ranFile(id graph.NodeID, d deed) bool {
	for _, e := range slices.Backward(w.g.Node(id).In) {
		if e.Type != graph.Ran && e.Type != graph.Read || e.T > d.t {
			continue
		}
		if f := w.g.Node(e.Peer); f != nil && f.File.Writer != 0 && w.hop(e.Peer, RanFile, e.Type == graph.Read, e, deed{t: e.T}) {
			return true
		}
	}
	return false
}

// file: the last write before the moment.
func (w *walker) file(id graph.NodeID, d deed) bool {
	if e, ok := edgeFrom(w.g, id, graph.Wrote, d.t); ok {
		return w.hop(e.Peer, WrittenBy, false, e, deed{t: e.T, tid: e.TID, gor: e.G, effect: id})
	}
	return false
}

// flow: the process of ours that opened it, else it came from outside.
func (w *walker) flow(id graph.NodeID, d deed) bool {
	for _, e := range w.g.Node(id).In {
		if e.Type == graph.Connected && w.hop(e.Peer, ConnectedBy, false, e, deed{t: e.T, tid: e.TID, gor: e.G, effect: id}) {
			return true
		}
	}
	for _, e := range w.g.Node(id).Out {
		if e.Type == graph.LoggedIn {
			return w.hop(e.Peer, BegunBy, false, e, deed{t: e.T})
		}
	}
	if w.ours(id) {
		return false
	}
	return w.enter(id, AcceptedBy)
}

// ours tells whether one of our own processes opened the flow, so that its chain,
// though lost, does not end outside.
func (w *walker) ours(id graph.NodeID) bool {
	for _, e := range w.g.Node(id).In {
		if e.Type == graph.Connected {
			return true
		}
	}
	return false
}

func (w *walker) login(id graph.NodeID, _ deed) bool { return w.enter(id, BegunBy) }

// request: when the script it ran was written under an earlier request, that one is
// the entry; when one of our own processes sent it, the chain goes on there; else it
// came from outside.
func (w *walker) request(id graph.NodeID, d deed) bool {
	n := w.g.Node(id)
	for _, e := range n.In {
		if e.Type != graph.Executed {
			continue
		}
		if earlier := Back(w.g, e.Peer, n.First); w.isRequest(earlier.Entry) && earlier.Entry != id && !w.seen[earlier.Entry] {
			w.path.Hops = append(w.path.Hops, Hop{Node: e.Peer, T: n.First, Rule: ScriptOf, By: e.By})
			w.path.Hops = append(w.path.Hops, earlier.Hops[1:]...)
			w.path.Guess = w.path.Guess || earlier.Guess
			return w.enter(earlier.Entry, ScriptOf)
		}
	}
	for _, e := range n.In {
		if e.Type == graph.Carried {
			if f := w.g.Node(e.Peer); f != nil && w.ours(e.Peer) && w.hop(e.Peer, CarriedBy, false, e, d) {
				return true
			}
		}
	}
	return w.enter(id, "")
}

func (w *walker) isRequest(id graph.NodeID) bool {
	n := w.g.Node(id)
	return n != nil && n.Kind == entity.Kind_REQUEST
}

// edgeFrom is the latest edge of a type into the node that is not after t.
func edgeFrom(g *graph.Graph, id graph.NodeID, typ graph.EdgeType, t int64) (graph.Edge, bool) {
	var best graph.Edge
	for _, e := range g.Node(id).In {
		if e.Type != typ || e.T > t {
			continue
		}
		if e.T >= best.T {
			best = e
		}
	}
	return best, best.Peer != 0
}

// EntryClient is the address and flow behind an entry; zero where it has none.
func EntryClient(g *graph.Graph, entry graph.NodeID) *entity.Flow {
	n := g.Node(entry)
	switch {
	case n == nil:
		return nil
	case n.Request != nil:
		return n.Request.Ref.GetFlow()
	case n.Flow != nil:
		return n.Flow.Ref
	case n.Kind == entity.Kind_LOGIN:
		for _, e := range n.In {
			if e.Type == graph.LoggedIn {
				return EntryClient(g, e.Peer)
			}
		}
	}
	return nil
}

// SeenFastCGI tells whether a request in the process's hands came by FastCGI.
func SeenFastCGI(s graph.Serve) bool { return s.Seen == event.HttpActivity_FASTCGI }
