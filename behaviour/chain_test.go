// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/behaviour"
	"github.com/ringwall/ringwall/behaviour/incident"
	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata")

// heart is graph, judge, incidents and decisions, joined as the brain joins them.
type heart struct {
	g      *graph.Graph
	judge  *behaviour.Judge
	fold   *incident.Builder
	decide *decide.Decider
	except *decide.Exceptions

	loose    []behaviour.Judged
	findings []*verdict.Finding
	orders   []action.Order
	hidden   int
}

func ownRules(t testing.TB) *sigma.Set {
	set, report, err := sigma.Compile([]sigma.Source{sigma.Own()}, sigma.Options{Sensors: sigma.Sensors()})
	if err != nil || len(report.Refused) > 0 {
		t.Fatal(err, report)
	}
	return set
}

func newHeart(t testing.TB, rules behaviour.Matcher, cfg graph.Config, excepts []*decide.Exception) *heart {
	for _, e := range excepts {
		e.Hits = 0
	}
	ex, err := decide.NewExceptions(excepts)
	if err != nil {
		t.Fatal(err)
	}
	g := graph.New("default", cfg)
	return &heart{g: g, judge: behaviour.New(g, rules), fold: incident.New("default", g, incident.Config{}), decide: decide.New(decide.Policy{}), except: ex}
}

// see does what brain's worker does with one event.
func (h *heart) see(ev *event.Event) {
	judged := h.judge.See(ev)
	if ev.GetHttp() != nil || ev.GetProcess() != nil || ev.GetFile() != nil || ev.GetAuth() != nil {
		h.loose = slices.DeleteFunc(h.loose, func(j behaviour.Judged) bool {
			if h.judge.Retrace(&j) {
				h.foldIn(j, ev)
				return true
			}
			return ev.WallNs-j.Finding.WallNs > 3e9
		})
	}
	for _, j := range judged {
		if h.except.Match(j.Finding, ev.Wall()) != nil {
			h.hidden++
			h.judge.Acquit(j)
			continue
		}
		h.findings = append(h.findings, j.Finding)
		if j.Finding.Black() && j.Path.Entry == 0 {
			h.loose = append(h.loose, j)
		}
		h.foldIn(j, ev)
	}
}

func (h *heart) foldIn(j behaviour.Judged, ev *event.Event) {
	if inc := h.fold.Add(j.Finding, j.Subject, j.Path, j.T); inc != nil {
		h.orders = append(h.orders, h.decide.Decide(inc, j.Finding, ev.Wall())...)
	}
}

// report is what the cases compare.
func (h *heart) report(p *play) string {
	var b strings.Builder
	for _, a := range p.asks {
		fmt.Fprintf(&b, "%s: %s\n", a.text, h.answer(a))
	}
	for _, f := range h.findings {
		where, entry := "", ""
		for _, e := range f.Evidence {
			if e.Engine != "trace" && where == "" {
				where = ": " + e.Where
			}
		}
		for _, s := range f.Subjects {
			if s.Role == "entry" {
				entry = " <- " + s.Label()
			}
		}
		fmt.Fprintf(&b, "%s %.2f %s %s.%s %s%s%s\n", strings.ToLower(f.Colour.String()), f.Score, f.Host, f.Layer, f.Stage, f.Title, where, entry)
	}
	for i, inc := range h.fold.Incidents() {
		entry := "unknown"
		if inc.Entry != nil {
			entry = fmt.Sprintf("%s at %s by %s", inc.Entry.Label(), inc.Entry.Host, cmp.Or(inc.EntryRule, "itself"))
		}
		fmt.Fprintf(&b, "incident %d: %.2f, %d findings on %s, %d aliases, entry %s\n", i+1, inc.Score, len(inc.Findings), strings.Join(inc.Hosts, " "), len(inc.Aliases), entry)
		for _, e := range inc.Entities {
			fmt.Fprintf(&b, "  %s %s %s %s\n", e.Role, e.Host, strings.ToLower(e.Kind.String()), e.Label())
		}
		if n := len(inc.GetCompleteness().GetLosses()); n > 0 {
			fmt.Fprintf(&b, "  %d loss windows\n", n)
		}
	}
	for _, o := range h.orders {
		fmt.Fprintf(&b, "order %s %s on %s\n", o.Kind, o.Subject.Label(), o.Host)
	}
	if h.hidden > 0 {
		fmt.Fprintf(&b, "excepted %d\n", h.hidden)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func (h *heart) answer(a ask) string {
	t := h.g.Steady(a.at.Host, a.at.BootNs, a.at.WallNs)
	id := h.g.Resolve(a.what, a.at.Host, t)
	if a.forward {
		var out []string
		for _, hop := range trace.Forward(h.g, id, 100) {
			s := h.g.Sighting(hop.Node, "")
			out = append(out, "\n  "+strings.ToLower(s.Kind.String())+" "+s.Label())
		}
		return fmt.Sprint(len(out), strings.Join(out, ""))
	}
	path := trace.Back(h.g, id, t)
	s := h.g.Sighting(path.Entry, "")
	if s == nil {
		return "unknown"
	}
	out := fmt.Sprintf("%s %s by %s", strings.ToLower(s.Kind.String()), s.Label(), cmp.Or(string(path.Rule), "itself"))
	if path.Guess {
		out += ", a guess"
	}
	return out
}

type testCase struct{ name, in, want string }

func readCases(t *testing.T, file string) []testCase {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []testCase
	for _, part := range strings.Split("\n"+string(raw), "\n=== ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		in, want, _ := strings.Cut(body+"\n", "\n----\n")
		out = append(out, testCase{name, in, strings.TrimSpace(want) + "\n"})
	}
	return out
}

func caseFiles(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	return files
}

func TestCases(t *testing.T) {
	rules := ownRules(t)
	for _, file := range caseFiles(t) {
		var rewritten strings.Builder
		for _, c := range readCases(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, func(t *testing.T) {
				got := c.want
				defer func() {
					fmt.Fprintf(&rewritten, "=== %s\n%s\n----\n%s\n", c.name, strings.TrimSpace(c.in), got)
				}()
				p, err := parsePlay(c.in)
				if err != nil {
					t.Fatal(err)
				}
				h := newHeart(t, rules, graph.Config{}, p.excepts)
				for _, ev := range p.events {
					h.see(ev)
				}
				got = h.report(p)
				if got != c.want && !*update {
					t.Errorf("want\n%s\ngot\n%s", c.want, got)
				}
			})
		}
		if *update && !t.Failed() {
			if err := os.WriteFile(file, []byte(strings.TrimSpace(rewritten.String())+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// bytesOf is everything a run said, as it would be stored.
func bytesOf(t *testing.T, h *heart) []byte {
	var b bytes.Buffer
	opt := proto.MarshalOptions{Deterministic: true}
	put := func(m proto.Message) {
		raw, err := opt.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d:%s", len(raw), raw)
	}
	for _, f := range h.findings {
		put(f)
	}
	for _, inc := range h.fold.Incidents() {
		put(inc)
	}
	for _, o := range h.orders {
		fmt.Fprintln(&b, o.ID, o.Kind, o.Host, o.Ordered.UnixNano(), o.Deadline.UnixNano())
	}
	return b.Bytes()
}

// copies decodes fresh copies, as an archive would give them.
func copies(t *testing.T, events []*event.Event) []*event.Event {
	out := make([]*event.Event, len(events))
	for i, ev := range events {
		raw, err := ev.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = &event.Event{}
		if err := out[i].UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestReplayIsExact plays every case twenty times, each time with other map seeds (Go
// draws one per map), and once killed in the middle and begun again.
func TestReplayIsExact(t *testing.T) {
	rules := ownRules(t)
	for _, file := range caseFiles(t) {
		for _, c := range readCases(t, file) {
			p, err := parsePlay(c.in)
			if err != nil {
				t.Fatal(err)
			}
			play := func(h *heart, events []*event.Event) []byte {
				for _, ev := range copies(t, events) {
					h.see(ev)
				}
				return bytesOf(t, h)
			}
			want := play(newHeart(t, rules, graph.Config{}, p.excepts), p.events)
			for range 20 {
				if got := play(newHeart(t, rules, graph.Config{}, p.excepts), p.events); !bytes.Equal(got, want) {
					t.Fatalf("%s: a second play of %q says something else", file, c.name)
				}
			}
			killed := newHeart(t, rules, graph.Config{}, p.excepts)
			play(killed, p.events[:len(p.events)/2])
			again := newHeart(t, rules, graph.Config{}, p.excepts)
			if got := play(again, p.events); !bytes.Equal(got, want) {
				t.Fatalf("%s: %q says something else after a kill and a replay", file, c.name)
			}
			for _, before := range killed.fold.Incidents() {
				if !slices.ContainsFunc(again.fold.Incidents(), func(i *verdict.Incident) bool { return i.Id == before.Id || slices.Contains(i.Aliases, before.Id) }) {
					t.Errorf("%s: %q: incident %s was told before the kill and is gone after it", file, c.name, before.Id)
				}
			}
		}
	}
}

// TestSeeDoesNotChangeTheEvent: what is archived must be what came.
func TestSeeDoesNotChangeTheEvent(t *testing.T) {
	rules := ownRules(t)
	for _, file := range caseFiles(t) {
		for _, c := range readCases(t, file) {
			p, err := parsePlay(c.in)
			if err != nil {
				t.Fatal(err)
			}
			h := newHeart(t, rules, graph.Config{}, p.excepts)
			events := copies(t, p.events)
			for i, ev := range events {
				h.see(ev)
				if !proto.Equal(ev, p.events[i]) {
					t.Fatalf("%s: %q: event %d was changed", file, c.name, i+1)
				}
			}
		}
	}
}
