// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"
	"math"
	"strings"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// Weights in nats. The prior says that of a hundred deeds that any rule names one is
// part of an intrusion; levels are Sigma's.
const (
	prior        = -4.6
	fromRequest  = 1.5 // brought by a web request
	fromUpload   = 4.0 // the page that ran was itself written by an earlier request
	fromConvict  = 3.0 // descends from something already convicted
	injected     = 4.0 // the command holds a parameter of the request, shell operators and all
	sureFrom     = 2.2 // odds of 0.9: above it a finding is black
	keepFrom     = -3.5
	guessTrust   = 0.5 // of the context that rests on a guess
	lossDiscount = 0.2 // share of the odds that goes when sensors lost something then
)

var levelWeight = map[string]float64{"informational": 0.5, "low": 1.5, "medium": 3, "high": 5, "critical": 7}

// weigh adds the context to a finding, scores it and remembers a conviction.
func (j *Judge) weigh(f *verdict.Finding, x Judged, fact graph.Fact) []Judged {
	f.Subjects = j.subjects(x, fact)
	bare, _ := verdict.Join(prior, f.Evidence)
	f.Evidence = append(f.Evidence, j.context(x)...)
	odds, kept := verdict.Join(prior, f.Evidence)
	f.Evidence = kept
	if x.Path.Guess && bare < sureFrom { // a guessed link alone never raises an alert
		odds = min(odds, sureFrom-0.01)
	}
	f.Completeness = j.boardOf(f.Host).Completeness(f.WallNs-2e9, f.WallNs+1e9)
	if len(f.Completeness.Losses) > 0 {
		odds -= lossDiscount * verdict.LogOdds(math.Abs(float64(odds)))
	}
	if odds < keepFrom {
		return nil
	}
	f.Score = odds.Probability()
	if odds >= sureFrom {
		f.Colour = verdict.Colour_BLACK
		x.convicted = j.convict(x, fact)
	}
	f.SetID()
	j.places.keep(f.Id, place{subject: x.Subject, object: fact.Object, t: x.T})
	return []Judged{x}
}

// convict marks what a black finding is about, what was done by it, and the requests
// that brought it. A worker and a daemon that was there before act for others too:
// of them only the request in hand is convicted.
func (j *Judge) convict(x Judged, fact graph.Fact) []graph.NodeID {
	var marked []graph.NodeID
	mark := func(id graph.NodeID) {
		if n := j.g.Node(id); n != nil && !n.Tainted && n.Kind != entity.Kind_ADDRESS && !j.worker(id) {
			j.g.Taint(id)
			marked = append(marked, id)
		}
	}
	mark(x.Subject)
	if n := j.g.Node(fact.Object); n != nil && (n.Flow != nil || n.File != nil && n.File.Writer == x.Subject) {
		mark(fact.Object)
	}
	if !x.Path.Guess {
		for _, h := range x.Path.Hops {
			if n := j.g.Node(h.Node); n != nil && n.Request != nil {
				mark(h.Node)
			}
		}
	}
	return marked
}

// context is what the way to the entry says for or against.
func (j *Judge) context(x Judged) []*verdict.Evidence {
	path := x.Path
	trust := 1.0
	if path.Guess {
		trust = guessTrust
	}
	var out []*verdict.Evidence
	say := func(what string, weight float64, where, root string) {
		out = append(out, &verdict.Evidence{What: what, Where: where, Weight: weight * trust, Engine: "trace", Root: root})
	}
	if n := j.g.Node(path.Entry); n != nil && n.Kind == entity.Kind_REQUEST {
		say("brought by a web request", fromRequest, label(j.g, path.Entry), "entry")
	}
	if v, id := j.injection(x); v != "" {
		say("the command holds what the request sent, shell operators and all", injected, fmt.Sprintf("%q in %s", v, label(j.g, id)), "injection")
	}
	for _, id := range path.Passing(j.g) {
		where := label(j.g, id)
		if script := j.g.Node(id).Request.Script; script != "" {
			where += ", which ran " + script
		}
		say("by way of the request", 0, where, "via "+where)
	}
	for i, h := range path.Hops {
		if h.Rule == trace.ScriptOf {
			say("the page that ran was written by an earlier request", fromUpload, label(j.g, h.Node), "script")
		}
		if n := j.g.Node(h.Node); i > 0 && n != nil && n.Tainted {
			say("descends from what is already convicted", fromConvict, label(j.g, h.Node), "convict")
		}
	}
	return out
}

// injection finds a parameter of the request nearest to the deed that stands in the
// command with its shell operators. A plain host name in a ping is no injection.
func (j *Judge) injection(x Judged) (string, graph.NodeID) {
	n := j.g.Node(x.Subject)
	if n == nil || n.Process == nil || len(n.Process.Argv) < 2 {
		return "", 0
	}
	for _, h := range x.Path.Hops {
		q := j.g.Node(h.Node)
		if q == nil || q.Request == nil {
			continue
		}
		said := command(n)
		for _, v := range q.Request.Operators {
			if len(v) >= 2 && strings.Contains(said, v) {
				return v, h.Node
			}
		}
		return "", 0
	}
	return "", 0
}
