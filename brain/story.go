// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// effectsTold bounds the effects in one story.
const effectsTold = 200

// story leads a finding back to its entry and forward to the effects, in sentences.
func story(g *graph.Graph, id string, path trace.Path, inc *verdict.Incident) *Story {
	st := &Story{ID: id, Result: "unknown", Rule: string(path.Rule), Guess: path.Guess}
	for _, h := range slices.Backward(path.Hops) {
		st.Path = append(st.Path, hopOf(g, h))
	}
	entry := path.Entry
	if entry == 0 && inc.GetEntry() != nil {
		entry = g.Resolve(inc.Entry, inc.Entry.Host, inc.Entry.WallNs)
	}
	if s := g.Sighting(entry, "entry"); s != nil {
		st.Result = "found"
		st.Entry = s
		for _, h := range trace.Forward(g, entry, effectsTold) {
			if n := g.Node(h.Node); n != nil && trace.Telling(n.Kind) {
				st.Effects = append(st.Effects, hopOf(g, h))
			}
		}
	}
	st.Text = sentences(g, st, entry, inc)
	return st
}

func hopOf(g *graph.Graph, h trace.Hop) StoryHop {
	n := g.Node(h.Node)
	if n == nil {
		return StoryHop{}
	}
	return StoryHop{
		Time: time.Unix(0, h.T), Host: g.HostName(n.Host), Kind: strings.ToLower(n.Kind.String()),
		Label: tell(g, h.Node), Rule: string(h.Rule), Guess: h.Guess, Key: n.Key.String(),
	}
}

// tell names a node for people: a process by what it was asked to do.
func tell(g *graph.Graph, id graph.NodeID) string {
	n := g.Node(id)
	if n.Process != nil {
		argv := strings.Join(n.Process.Argv, " ")
		if argv == "" {
			argv = n.Process.Exe
		}
		if len(argv) > 160 {
			argv = argv[:160] + "…"
		}
		return fmt.Sprintf("%s (pid %d, uid %d)", argv, n.Process.Ref.Pid, n.Process.Ref.Uid)
	}
	return g.Sighting(id, "").Label()
}

// sentences is the story for someone who knows nothing else.
func sentences(g *graph.Graph, st *Story, entry graph.NodeID, inc *verdict.Incident) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	clock := func(ns int64) string { return time.Unix(0, ns).Format("15:04:05.000") }
	if inc != nil {
		say("Incident %s: %s (score %.2f, %s).", inc.Id, inc.Title, inc.Score, inc.State)
	}
	switch n := g.Node(entry); {
	case n == nil:
		say("Where it came in is unknown: the chain ends in something that was there before Ringwall.")
	case n.Request != nil:
		r := n.Request.Ref
		say("It came in at %s on %s by the request %s %s from %s.", clock(n.First), g.HostName(n.Host), r.Method, r.Uri, r.GetFlow().Src())
		for _, u := range n.Request.Uploads {
			say("That request brought the file %q.", u.Filename)
		}
	case n.Kind == entity.Kind_LOGIN:
		say("It came in at %s on %s by the log-in of %s.", clock(n.First), g.HostName(n.Host), n.Text)
	default:
		say("It came in at %s by %s.", clock(n.First), tell(g, entry))
	}
	if inc != nil {
		say("What was found:")
		for _, s := range inc.Story {
			guess := ""
			if s.Guess {
				guess = " (a guess)"
			}
			rule := ""
			if s.Rule != "" {
				rule = fmt.Sprintf(" [tied to the entry by %s%s]", s.Rule, guess)
			}
			say("  %s %s: %s %s%s", clock(s.WallNs), s.Host, s.Text, strings.Join(s.Techniques, " "), rule)
		}
	}
	if len(st.Effects) > 0 {
		say("What came of it:")
		for _, e := range st.Effects {
			say("  %s %s: %s %s", e.Time.Format("15:04:05.000"), e.Host, verb(e.Kind), e.Label)
		}
	}
	if c := inc.GetCompleteness(); len(c.GetLosses()) > 0 {
		say("Sensors lost events in that time; the story may lack steps.")
	}
	return out
}

func verb(kind string) string {
	switch kind {
	case "process":
		return "ran"
	case "file":
		return "wrote"
	case "flow":
		return "connected"
	}
	return kind
}
