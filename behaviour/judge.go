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
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// Matcher runs compiled rules over one event (package sigma in production).
type Matcher interface {
	Match(ev sigma.Fields, emit func(*sigma.Rule))
}

// Weights in nats. The prior says that of a hundred deeds that any rule names one is
// part of an intrusion; levels are Sigma's.
const (
	prior        = -4.6
	fromRequest  = 1.5 // brought by a web request
	fromUpload   = 4.0 // the page that ran was itself written by an earlier request
	fromConvict  = 3.0 // descends from something already convicted
	sureFrom     = 2.2 // odds of 0.9: above it a finding is black
	keepFrom     = -3.5
	lossDiscount = 0.8 // per finding whose sensors lost something then
)

var levelWeight = map[string]float64{"informational": 0.5, "low": 1.5, "medium": 3, "high": 5, "critical": 7}

// Judged is a finding with its place in the graph.
type Judged struct {
	Finding *verdict.Finding
	Subject graph.NodeID
	Path    trace.Path
	T       int64 // steady
}

// Judge owns a graph and says what is odd in it.
type Judge struct {
	g      *graph.Graph
	rules  Matcher
	board  map[string]*health.Board // per host: what its sensors lost
	bundle string

	convicted map[entity.Key]bool
	told      map[told]bool
}

type told struct {
	rule string
	node entity.Key
}

// toldKept bounds the memory of what was said already.
const toldKept = 1 << 16

// New makes a judge over an empty graph.
func New(g *graph.Graph, rules Matcher, bundle string) *Judge {
	return &Judge{g: g, rules: rules, bundle: bundle, board: map[string]*health.Board{}, convicted: map[entity.Key]bool{}, told: map[told]bool{}}
}

// Graph is the memory behind the judge, for traces.
func (j *Judge) Graph() *graph.Graph { return j.g }

// See takes one event and gives what it amounts to.
func (j *Judge) See(ev *event.Event) []Judged {
	switch p := ev.Payload.(type) {
	case *event.Event_Loss:
		j.boardOf(ev.Host).Lost(p.Loss)
		return nil
	case *event.Event_State:
		j.boardOf(ev.Host).Set(p.State.Component, stateOf(p.State.State), p.State.Reason)
		return nil
	case *event.Event_Finding:
		return j.Place(ev, p.Finding)
	}
	fact := j.g.Add(ev)
	return j.local(ev, fact)
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

// local runs the rules over one event of our own sensors.
func (j *Judge) local(ev *event.Event, fact graph.Fact) []Judged {
	f := fields{g: j.g, ev: ev, fact: fact}
	if f.LogSource() == (sigma.LogSource{}) {
		return nil
	}
	var hits []*sigma.Rule
	j.rules.Match(&f, func(r *sigma.Rule) { hits = append(hits, r) })
	if len(hits) == 0 {
		return nil
	}
	subject := fact.Actor
	if subject == 0 {
		subject = fact.Object
	}
	best := slices.MaxFunc(hits, func(a, b *sigma.Rule) int { return a.Severity() - b.Severity() })
	if !j.first(best.ID, subject) {
		return nil
	}
	path := trace.Back(j.g, subject, fact.T)
	out := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "behaviour", Stage: "sigma",
		Rule: best.ID, Title: best.Title, Events: []*verdict.EventID{ev.ID()}, Bundle: j.bundle,
	}
	root := ev.ID().Text()
	for _, r := range hits {
		out.Techniques = append(out.Techniques, r.Techniques...)
		out.Evidence = append(out.Evidence, &verdict.Evidence{What: r.Title, Where: describe(j.g, fact), Weight: levelWeight[r.Level], Engine: "sigma/" + r.ID, Root: root})
	}
	slices.Sort(out.Techniques)
	out.Techniques = slices.Compact(out.Techniques)
	out.Subjects = j.subjects(subject, fact.Object, path)
	return j.weigh(out, subject, path, fact.T)
}

// first tells whether the rule has not yet spoken of this node.
func (j *Judge) first(rule string, id graph.NodeID) bool {
	n := j.g.Node(id)
	if n == nil {
		return true
	}
	if len(j.told) > toldKept {
		clear(j.told)
	}
	k := told{rule, n.Key}
	if j.told[k] {
		return false
	}
	j.told[k] = true
	return true
}

// weigh adds the context to a finding, scores it and remembers a conviction.
func (j *Judge) weigh(f *verdict.Finding, subject graph.NodeID, path trace.Path, t int64) []Judged {
	f.Evidence = append(f.Evidence, j.context(path)...)
	odds, kept := verdict.Join(prior, f.Evidence)
	f.Evidence = kept
	f.Completeness = j.boardOf(f.Host).Completeness(f.WallNs-2e9, f.WallNs+1e9)
	if len(f.Completeness.Losses) > 0 {
		odds *= lossDiscount
	}
	if odds < keepFrom {
		return nil
	}
	f.Score = odds.Probability()
	if odds >= sureFrom {
		f.Colour = verdict.Colour_BLACK
		j.convict(subject)
	}
	f.SetID()
	return []Judged{{f, subject, path, t}}
}

// convictedKept bounds the memory of convictions.
const convictedKept = 1 << 14

func (j *Judge) convict(id graph.NodeID) {
	if len(j.convicted) > convictedKept {
		clear(j.convicted)
	}
	if n := j.g.Node(id); n != nil {
		j.convicted[n.Key] = true
	}
}

// context is what the way to the entry says for or against.
func (j *Judge) context(path trace.Path) []*verdict.Evidence {
	trust := 1.0
	if path.Guess {
		trust = 0.5
	}
	var out []*verdict.Evidence
	say := func(what string, weight float64, node graph.NodeID, root string) {
		out = append(out, &verdict.Evidence{What: what, Where: label(j.g, node), Weight: weight * trust, Engine: "trace", Root: root})
	}
	if n := j.g.Node(path.Entry); n != nil && n.Kind == entity.Kind_REQUEST {
		say("brought by a web request", fromRequest, path.Entry, "entry")
	}
	for i, h := range path.Hops {
		if h.Rule == trace.ScriptOf {
			say("the page that ran was written by an earlier request", fromUpload, h.Node, "script")
		}
		if n := j.g.Node(h.Node); i > 0 && n != nil && j.convicted[n.Key] {
			say("descends from what is already convicted", fromConvict, h.Node, "convict")
		}
	}
	return out
}

// Place takes a finding of another layer, made from ev: it stands as it is, gets its
// place in the graph and its trace.
func (j *Judge) Place(ev *event.Event, f *verdict.Finding) []Judged {
	if len(f.Subjects) == 0 {
		return nil
	}
	t := j.g.Steady(ev.Host, ev.BootNs, f.WallNs)
	var subject graph.NodeID
	for _, s := range f.Subjects {
		if subject = j.g.Resolve(s, ev.Host, t); subject != 0 {
			break
		}
	}
	path := trace.Back(j.g, subject, t+settle)
	if f.Black() {
		j.convict(subject)
		if n := j.g.Node(subject); n != nil && n.File != nil && path.Entry != 0 {
			f.Subjects = append(f.Subjects, j.g.Sighting(path.Entry, "entry"))
		}
	}
	return []Judged{{f, subject, path, t}}
}

// Retrace follows a finding's chain again, now that more of it is known; it tells
// whether an entry was found.
func (j *Judge) Retrace(old *Judged) bool {
	old.Path = trace.Back(j.g, old.Subject, old.T+settle)
	return old.Path.Entry != 0
}

// settle lets a verdict on a file, made at its close, see the writer whose open was
// told a moment later.
const settle = int64(5e6)

func (j *Judge) subjects(actor, object graph.NodeID, path trace.Path) []*entity.Sighting {
	var out []*entity.Sighting
	add := func(id graph.NodeID, role string) {
		if s := j.g.Sighting(id, role); s != nil {
			out = append(out, s)
		}
	}
	role := "actor"
	if n := j.g.Node(actor); n != nil && n.Process != nil && (len(n.Process.Serving) > 0 || n.Process.Snapshot) {
		role = "worker" // serves others too: never the one to kill
	}
	add(actor, role)
	if object != actor {
		add(object, "object")
	}
	if path.Entry != 0 && path.Entry != actor && path.Entry != object {
		add(path.Entry, "entry")
	}
	return out
}

func label(g *graph.Graph, id graph.NodeID) string {
	if s := g.Sighting(id, ""); s != nil {
		return s.Label()
	}
	return ""
}

// describe says in a few words what was done.
func describe(g *graph.Graph, f graph.Fact) string {
	n := g.Node(f.Actor)
	if n == nil || n.Process == nil {
		return label(g, f.Object)
	}
	text := strings.Join(n.Process.Argv, " ")
	if text == "" {
		text = n.Process.Exe
	}
	if o := label(g, f.Object); o != "" && f.Object != f.Actor {
		return fmt.Sprintf("%s: %s", text, o)
	}
	return text
}
