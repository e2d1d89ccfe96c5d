// SPDX-License-Identifier: Apache-2.0

// Package behaviour judges deeds in their context: rules over single events, raised
// or lowered by what the graph knows of how they came about.
//
// In come events in order of arrival, findings of other layers among them; out come
// findings, each with the path to its entry. It believes Sigma rules for what is odd
// and the trace for whether the oddity belongs to an intrusion: a shell under a web
// worker is grey, the same shell run by a page that a request had uploaded is black.
//
// The worst trap: weights. They are log-odds in nats, one witness per root fact, and
// written in one table below; a rule that needs more should name a better context.
//
// A Judge belongs to one goroutine, as its graph does.
package behaviour

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// Judged is a finding with its place in the graph.
type Judged struct {
	Finding *verdict.Finding
	Subject graph.NodeID
	Path    trace.Path
	T       int64 // steady

	convicted []graph.NodeID // by this finding and nothing before it
}

// Judge owns a graph and says what is odd in it.
type Judge struct {
	g      *graph.Graph
	rules  *rules
	board  map[string]*health.Board // per host: what its sensors lost
	told   told
	places places
	funnel *funnel.Funnel[*deed]
}

// New makes a judge over an empty graph. Correlations among the rules are followed
// where rules is a *sigma.Set.
func New(g *graph.Graph, rules Matcher) *Judge {
	j := &Judge{g: g, rules: newRules(g, rules), board: map[string]*health.Board{}, told: newTold(), places: newPlaces()}
	j.funnel = funnel.New("behaviour", funnel.Func("sigma", j.named), funnel.Func("trace", j.placed))
	return j
}

// SetRules puts other rules in place of those in use. What a correlation had gathered
// begins anew.
func (j *Judge) SetRules(rules Matcher) { j.rules = newRules(j.g, rules) }

// Graph is the memory behind the judge, for traces.
func (j *Judge) Graph() *graph.Graph { return j.g }

// See takes one event and gives what it amounts to.
func (j *Judge) See(ev *event.Event) []Judged {
	switch p := ev.Payload.(type) {
	case *event.Event_Loss:
		j.boardOf(ev.Host).Lost(p.Loss)
		return nil
	case *event.Event_State:
		if len(p.State.Stages) > 0 {
			return nil // counters, no component
		}
		j.boardOf(ev.Host).Set(p.State.Component, stateOf(p.State.State), p.State.Reason)
		return nil
	case *event.Event_Finding:
		j.g.Hear(ev)
		return j.Place(ev, p.Finding)
	}
	d := &deed{ev: ev, fact: j.g.Add(ev)}
	j.funnel.Judge(context.Background(), d)
	return d.out
}

func stateOf(s string) health.State {
	switch s {
	case "on":
		return health.On
	case "degraded":
		return health.Degraded
	}
	return health.Off
}

func (j *Judge) boardOf(host string) *health.Board {
	b := j.board[host]
	if b == nil {
		b = health.NewBoard()
		j.board[host] = b
	}
	return b
}

// local makes a finding of the rules that spoke over one event: the gravest names it,
// all are evidence, and together they are one witness.
func (j *Judge) local(ev *event.Event, fact graph.Fact, hits []hit) []Judged {
	subject := fact.Actor
	if subject == 0 {
		subject = fact.Object
	}
	best := slices.MaxFunc(hits, func(a, b hit) int {
		return cmp.Or(a.rule.Severity()-b.rule.Severity(), a.particular()-b.particular())
	})
	if !j.told.first(j.g, best.rule.ID, subject, fact.Object) || best.rule.Severity() <= quietLevel && !j.told.few(j.g, best.rule.ID, subject) {
		return nil
	}
	path := j.back(subject, fact)
	out := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "behaviour", Stage: "sigma",
		Rule: best.rule.ID, RuleVersion: best.rule.Version, Title: best.rule.Title, Events: best.events,
	}
	if len(out.Events) == 0 {
		out.Events = []*verdict.EventID{ev.ID()}
	}
	root, where := ev.ID().Text(), describe(j.g, fact)
	for _, h := range hits {
		out.Techniques = append(out.Techniques, h.rule.Techniques...)
		what := h.rule.Title
		if h.count > 1 {
			what = fmt.Sprintf("%s (%d)", what, h.count)
		}
		out.Evidence = append(out.Evidence, &verdict.Evidence{What: what, Where: where, Weight: levelWeight[h.rule.Level], Engine: "sigma/" + h.rule.ID, Root: root})
	}
	slices.Sort(out.Techniques)
	out.Techniques = slices.Compact(out.Techniques)
	return j.weigh(out, Judged{Finding: out, Subject: subject, Path: path, T: fact.T}, fact)
}

// deed traces what a process did to something: the edge knows thread and goroutine.
// The path starts at the process all the same.
func (j *Judge) deed(subject graph.NodeID, fact graph.Fact) trace.Path {
	n := j.g.Node(subject)
	if n == nil || n.Process == nil || n.Process.Service == nil {
		return trace.Path{}
	}
	p := trace.Back(j.g, fact.Object, fact.T)
	if len(p.Hops) < 2 || p.Hops[1].Node != subject {
		return trace.Path{}
	}
	p.Hops = p.Hops[1:]
	return p
}

// Place takes a finding of another layer, made from ev: it stands as it is, gets its
// place in the graph and its trace. The caller's finding is not changed.
func (j *Judge) Place(ev *event.Event, f *verdict.Finding) []Judged {
	if len(f.Subjects) == 0 {
		return nil
	}
	f = f.CloneVT()
	t := j.g.Steady(ev.Host, ev.BootNs, f.WallNs)
	var subject graph.NodeID
	for _, s := range f.Subjects {
		if subject = j.g.Resolve(s, ev.Host, t); subject != 0 {
			break
		}
	}
	out := Judged{Finding: f, Subject: subject, Path: j.back(subject, graph.Fact{Actor: subject, T: t}), T: t}
	j.places.keep(f.Id, place{subject: subject, t: t})
	if f.Black() {
		out.convicted = j.convict(out, graph.Fact{})
		if n := j.g.Node(subject); n != nil && n.File != nil {
			f.Subjects = append(f.Subjects, j.way(out.Path, subject, 0)...)
		}
	}
	return []Judged{out}
}

// Retrace follows a finding's chain again, now that more of it is known; it tells
// whether an entry was found.
func (j *Judge) Retrace(old *Judged) bool {
	old.Path = j.Trace(old.Finding)
	return old.Path.Entry != 0
}

// Acquit takes back what a finding convicted: an exception says that it was ordinary,
// so nothing that follows from it may weigh more for it.
func (j *Judge) Acquit(x Judged) {
	for _, id := range x.convicted {
		j.g.Acquit(id)
	}
}

// settle lets a verdict on a file, made at its close, see the writer whose open was
// told a moment later.
const settle = int64(5e6)

// subjects names who did it, to what, and the way it came.
func (j *Judge) subjects(x Judged, fact graph.Fact) []*entity.Sighting {
	role := "actor"
	if j.worker(x.Subject) {
		role = "worker" // serves others too: never the one to kill
	}
	out := []*entity.Sighting{j.g.Sighting(x.Subject, role)}
	if fact.Object != x.Subject && fact.Object != 0 {
		out = append(out, j.g.Sighting(fact.Object, "object"))
	}
	return append(out, j.way(x.Path, x.Subject, fact.Object)...)
}

// way names the entry, the requests on the way to it (role "via") and, where such a
// request carried the very words of what was done, its sender as a source.
func (j *Judge) way(path trace.Path, subject, object graph.NodeID) []*entity.Sighting {
	var out []*entity.Sighting
	if path.Entry != 0 && path.Entry != subject && path.Entry != object {
		out = append(out, j.g.Sighting(path.Entry, "entry"))
	}
	for _, id := range path.Passing(j.g) {
		if id == subject || id == object {
			continue
		}
		via := j.g.Sighting(id, "via")
		out = append(out, via)
		if from := via.GetRequest().GetFlow().Src().Addr(); from.IsValid() && !path.Guess && trace.Shares(j.g, id, subject) {
			out = append(out, &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: from.String(), Host: via.Host})
		}
	}
	return out
}

// worker tells whether a process acts for others too.
func (j *Judge) worker(id graph.NodeID) bool {
	n := j.g.Node(id)
	return n != nil && n.Process != nil && (n.Process.Service != nil || n.Process.Snapshot)
}

func label(g *graph.Graph, id graph.NodeID) string {
	if s := g.Sighting(id, ""); s != nil {
		return s.Label()
	}
	return ""
}

// describe says in a few words what was done: the command and its object.
func describe(g *graph.Graph, f graph.Fact) string {
	n := g.Node(f.Actor)
	if n == nil || n.Process == nil {
		return label(g, f.Object)
	}
	text := command(n)
	if o := label(g, f.Object); o != "" && f.Object != f.Actor {
		return fmt.Sprintf("%s: %s", text, o)
	}
	return text
}

func command(n *graph.Node) string {
	if len(n.Process.Argv) == 0 {
		return n.Process.Exe
	}
	return strings.Join(n.Process.Argv, " ")
}
