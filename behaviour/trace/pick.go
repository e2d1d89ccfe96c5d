// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/graph"
)

// pick says which of the requests in a process's hands a deed belongs to, by the
// rules (1)-(6); not ok is rule (7), unknown.
func pick(g *graph.Graph, p *graph.Process, d deed) (graph.Serve, Rule, bool, bool) {
	held := holding(p, d.t)
	if len(held) == 0 {
		return graph.Serve{}, "", false, false
	}
	latest := held[len(held)-1]
	if SeenFastCGI(latest) {
		return latest, ProtocolKey, false, true
	}
	if p.OneAtATime() {
		return latest, OneRequest, false, true
	}
	if d.gor != 0 {
		if s, ok := lastWhere(held, func(s graph.Serve) bool { return s.G == d.gor }); ok {
			return s, Goroutine, false, true
		}
	}
	if d.tid != 0 && !p.EventLoop() {
		if s, ok := lastWhere(held, func(s graph.Serve) bool { return s.TID == d.tid }); ok {
			return s, SameThread, false, true
		}
	}
	if len(held) == 1 {
		return latest, OnlyInFlight, false, true
	}
	return likeliest(g, held, d), SharedContent, true, true
}

// linger is how long after its answer a request still owns the deeds of its worker:
// code after fastcgi_finish_request, a child forked before the answer and seen late.
const linger = int64(50e6)

// holding lists the requests the process had read and not answered at t, oldest
// first.
func holding(p *graph.Process, t int64) []graph.Serve {
	var held []graph.Serve
	for _, s := range p.Serving {
		if s.From <= t && (s.To == 0 || t < s.To || t < s.To+linger && !SeenFastCGI(s)) {
			held = append(held, s)
		}
	}
	if len(held) > 1 { // an answered one only counts when nothing else is in flight
		open := slices.DeleteFunc(slices.Clone(held), func(s graph.Serve) bool { return s.To != 0 && t >= s.To })
		if len(open) > 0 {
			held = open
		}
	}
	return held
}

func lastWhere(held []graph.Serve, is func(graph.Serve) bool) (graph.Serve, bool) {
	for _, s := range slices.Backward(held) {
		if is(s) {
			return s, true
		}
	}
	return graph.Serve{}, false
}

// likeliest weighs each request by the words it shares with the deed's arguments,
// then by recency.
func likeliest(g *graph.Graph, held []graph.Serve, d deed) graph.Serve {
	words := ""
	if n := g.Node(d.effect); n != nil {
		switch {
		case n.Process != nil:
			words = strings.Join(n.Process.Argv, " ")
		case n.File != nil:
			words = n.File.Path()
		}
	}
	return slices.MaxFunc(held, func(a, b graph.Serve) int {
		return cmp.Or(cmp.Compare(shared(g, a, words), shared(g, b, words)), cmp.Compare(a.From, b.From))
	})
}

// shared counts the request's tokens that occur in the words.
func shared(g *graph.Graph, s graph.Serve, words string) int {
	n := g.Node(s.Request)
	if n == nil || words == "" {
		return 0
	}
	hits := 0
	for _, t := range n.Request.Tokens {
		if strings.Contains(words, t) {
			hits++
		}
	}
	return hits
}
