// SPDX-License-Identifier: Apache-2.0

// Package trace answers, from any entity, "what brought this?" and "what came of
// it?".
//
// In come a node and a moment; out comes a path of time-respecting steps back to the
// entry point (a request, a log-in, a connection from outside) or forward to the
// effects, each step naming the rule that spoke. It believes the rules (1)-(7) for
// requests in that order and says which one it used; the sixth is a guess and marked
// so, the seventh is "unknown".
//
// The worst trap: a plausible wrong entry costs more than "unknown". Where the chain
// ends in a daemon that was there before us, in a server of which nobody can say for
// whom it acted, or in a node that was evicted, the answer is unknown.
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
	PassedOn      Rule = "passed-on" // a proxy of ours held the one request with this method and target
	RanFile       Rule = "ran-file"
	ScriptOf      Rule = "script-written-by-request"
)

// ties tells whether the rule is one of (1)-(6), which tie a deed to a request.
func (r Rule) ties() bool {
	switch r {
	case ProtocolKey, OneRequest, Goroutine, SameThread, OnlyInFlight, SharedContent:
		return true
	}
	return false
}

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
	Hops  []Hop        // first: where we started; as far as it is known where there is no entry
	Entry graph.NodeID // 0: unknown
	Rule  Rule         // the first rule that tied a deed to a request, else the first that is more than descent
	Guess bool
}

// Passing lists the requests on the way that are not its entry, nearest to the effect
// first: the call of the page that an earlier request had brought.
func (p Path) Passing(g *graph.Graph) []graph.NodeID {
	var out []graph.NodeID
	for _, h := range p.Hops {
		if n := g.Node(h.Node); n != nil && n.Request != nil && h.Node != p.Entry && !slices.Contains(out, h.Node) {
			out = append(out, h.Node)
		}
	}
	return out
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
	w.path.Hops = append(make([]Hop, 0, 8), Hop{Node: from, T: t})
	if !w.walk(from, deed{t: t}) && len(w.deepest) > 0 {
		w.path.Hops = w.deepest
		w.path.Guess = slices.ContainsFunc(w.deepest, func(h Hop) bool { return h.Guess })
	}
	w.path.Rule = w.rule()
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
	g         *graph.Graph
	seen      map[graph.NodeID]bool
	path      Path
	deepest   []Hop // the longest way that led to no entry
	toRequest bool  // end at the first request, whatever brought its page
	// stopped: the chain led to a server, or to a node that is gone. Whoever wrote the
	// program that ran is no answer then.
	stopped bool
}

func (w *walker) rule() Rule {
	if w.path.Entry == 0 {
		return ""
	}
	var first Rule
	for _, h := range w.path.Hops {
		if h.Rule.ties() {
			return h.Rule
		}
		if first == "" && h.Rule != ForkedBy && h.Rule != CarriedBy {
			first = h.Rule
		}
	}
	return first
}

// walk goes on from a node; it tells whether an entry was found.
func (w *walker) walk(id graph.NodeID, d deed) bool {
	if w.seen[id] || len(w.path.Hops) > maxHops {
		return false
	}
	w.seen[id] = true
	n := w.g.Node(id)
	if n == nil {
		return w.stop()
	}
	switch n.Kind {
	case entity.Kind_PROCESS:
		return w.process(id, n, d)
	case entity.Kind_FILE:
		return w.file(id, n, d)
	case entity.Kind_FLOW:
		return w.flow(id, n)
	case entity.Kind_REQUEST:
		return w.request(id, n, d)
	case entity.Kind_LOGIN:
		return w.login(id, n)
	case entity.Kind_ADDRESS:
		return w.enter(id)
	}
	return false
}

func (w *walker) hop(id graph.NodeID, rule Rule, guess bool, by graph.Ref, d deed) bool {
	mark, guessed := len(w.path.Hops), w.path.Guess
	w.path.Hops = append(w.path.Hops, Hop{Node: id, T: d.t, Rule: rule, Guess: guess, By: by})
	w.path.Guess = guessed || guess
	if w.walk(id, d) {
		return true
	}
	if len(w.path.Hops) > len(w.deepest) {
		w.deepest = slices.Clone(w.path.Hops)
	}
	w.path.Hops, w.path.Guess = w.path.Hops[:mark], guessed
	return false
}

// over follows an edge back to its cause.
func (w *walker) over(e graph.Edge, rule Rule, effect graph.NodeID) bool {
	return w.hop(e.Peer, rule, false, e.By, deed{t: e.T, tid: e.TID, gor: e.G, effect: effect})
}

func (w *walker) enter(id graph.NodeID) bool {
	w.path.Entry = id
	return true
}

func (w *walker) stop() bool {
	w.stopped = true
	return false
}

// latest is the last edge of a type into the node that is not after t. A repeated
// deed counts with its last time that is not after t.
func latest(n *graph.Node, typ graph.EdgeType, t int64) (graph.Edge, bool) {
	var best graph.Edge
	for _, e := range n.In {
		if e.Type != typ || e.T > t {
			continue
		}
		if e.Last <= t {
			e.T = e.Last
		}
		if e.T >= best.T {
			best = e
		}
	}
	return best, best.Peer != 0
}

// EntryClient is the address and flow behind an entry; nil where it has none.
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
