// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/graph"
)

// pick says which of the requests in a process's hands a deed belongs to, by the
// rules (1)-(6); not ok is rule (7), unknown.
func pick(g *graph.Graph, n *graph.Node, d deed) (s graph.Serve, rule Rule, guess, ok bool) {
	v := n.Process.Service
	if !v.Known(d.t) {
		return s, "", false, false
	}
	loop := v.EventLoop() || slices.Contains(loops, path.Base(n.Process.Exe))
	held, answered := holding(v.Upto(d.t), d.t, loop)
	near := held // where nothing is in flight, what was answered a moment ago
	if len(held) == 0 && !loop {
		near = answered
	}
	switch {
	case len(near) == 0:
	case SeenFastCGI(near[len(near)-1]):
		return near[len(near)-1], ProtocolKey, false, true
	case !loop && v.OneAtATime():
		return near[len(near)-1], OneRequest, false, true
	}
	isGo := slices.ContainsFunc(near, func(s graph.Serve) bool { return s.G != 0 })
	if d.gor != 0 {
		if s, ok := lastWhere(near, func(s graph.Serve) bool { return s.G == d.gor }); ok {
			return s, Goroutine, false, true
		}
	}
	if d.tid != 0 && !loop && !isGo {
		if s, ok := lastWhere(near, func(s graph.Serve) bool { return s.TID == d.tid }); ok {
			return s, SameThread, false, true
		}
	}
	// What answers first and acts later makes a set of one meaningless.
	if len(held) == 1 && (len(answered) == 0 || !loop && !isGo) {
		return held[0], OnlyInFlight, false, true
	}
	among := append(slices.Clone(held), answered...)
	if s, ok := sentIt(g, among, d); ok {
		return s, SharedContent, false, true
	}
	s, ok = likeliest(g, among, d)
	return s, SharedContent, true, ok
}

// sentIt is the only request of which a whole parameter, shell operators and all,
// stands in the command. That is no guess: nobody else sent it.
func sentIt(g *graph.Graph, among []graph.Serve, d deed) (best graph.Serve, ok bool) {
	n := g.Node(d.effect)
	if n == nil || n.Process == nil {
		return best, false
	}
	said := wordsOf(n)
	for _, s := range among {
		q := g.Node(s.Request)
		if q == nil {
			return best, false
		}
		if slices.ContainsFunc(q.Request.Operators, func(v string) bool { return len(v) >= sentLen && strings.Contains(said, v) }) {
			if ok && s.Request != best.Request {
				return best, false
			}
			best, ok = s, true
		}
	}
	return best, ok
}

// sentLen is how long a parameter must be to stand in a command by no accident.
const sentLen = 8

// loops are programs that serve all connections from one thread each, known before
// they are seen to juggle.
var loops = []string{"node", "nodejs", "deno", "bun", "nginx", "haproxy", "lighttpd", "envoy", "uvicorn", "hypercorn", "daphne"}

// How long after its answer a request may still own deeds: code after
// fastcgi_finish_request and children seen late; an event loop answers first and
// works later as a matter of course.
const (
	linger     = int64(50e6)
	loopLinger = int64(2e9)
)

// holding parts the requests taken up to t into those in flight at t and those
// answered a moment before, oldest first.
func holding(taken []graph.Serve, t int64, loop bool) (held, answered []graph.Serve) {
	after := linger
	if loop {
		after = loopLinger
	}
	for _, s := range taken {
		switch {
		case s.To == 0 || t < s.To:
			held = append(held, s)
		case t < s.To+after && !SeenFastCGI(s):
			answered = append(answered, s)
		}
	}
	return held, answered
}

func lastWhere(held []graph.Serve, is func(graph.Serve) bool) (graph.Serve, bool) {
	for _, s := range slices.Backward(held) {
		if is(s) {
			return s, true
		}
	}
	return graph.Serve{}, false
}

// likeliest is the one request whose own words, those that no other candidate has,
// occur in what was done. Recency alone decides nothing: it was right in 5 of 36
// cases where the work came after an await.
func likeliest(g *graph.Graph, among []graph.Serve, d deed) (best graph.Serve, ok bool) {
	words := wordsOf(g.Node(d.effect))
	if words == "" {
		return best, false
	}
	common := map[string]int{}
	for _, s := range among {
		if n := g.Node(s.Request); n != nil {
			for _, t := range n.Request.Tokens {
				common[t]++
			}
		}
	}
	top, second := 0, 0
	for _, s := range among {
		n := g.Node(s.Request)
		if n == nil {
			return best, false // the evicted one may be the one
		}
		hits := 0
		for _, t := range n.Request.Tokens {
			if common[t] == 1 && strings.Contains(words, t) {
				hits++
			}
		}
		if hits > top {
			best, top, second = s, hits, top
		} else {
			second = max(second, hits)
		}
	}
	return best, top > 0 && second == 0
}

// Shares tells whether a request carries words that occur in what was done: whoever
// sent it chose what to do.
func Shares(g *graph.Graph, request, effect graph.NodeID) bool {
	n, words := g.Node(request), wordsOf(g.Node(effect))
	if n == nil || n.Request == nil || words == "" {
		return false
	}
	target, _, _ := strings.Cut(n.Request.Ref.GetUri(), "?")
	return slices.ContainsFunc(n.Request.Tokens, func(t string) bool {
		return strings.Contains(words, t) && !strings.Contains(target, t)
	})
}

func wordsOf(n *graph.Node) string {
	switch {
	case n == nil:
	case n.Process != nil:
		return strings.Join(n.Process.Argv, " ")
	case n.File != nil:
		return n.File.Path()
	case n.Flow != nil:
		return n.Flow.Ref.Dst().Addr().String()
	}
	return ""
}
