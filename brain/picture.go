// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/behaviour"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// Picture is the attack graph of an incident: from its entry, by what is known to have
// brought what, to its effects.
type Picture struct {
	At    time.Time     `json:"at"`
	Nodes []PictureNode `json:"nodes"`
	Edges []PictureEdge `json:"edges"`
	Cut   int           `json:"cut"` // nodes past the bound
}

// PictureNode is one entity.
type PictureNode struct {
	ID       string            `json:"id"` // its key
	Kind     string            `json:"kind"`
	Host     string            `json:"host"`
	Label    string            `json:"label"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Entry    bool              `json:"entry,omitempty"`
	Depth    int               `json:"depth"` // deeds from the entry; -1: not reached from it
	Findings []string          `json:"findings,omitempty"`
	Facts    map[string]string `json:"facts,omitempty"`
	Target   string            `json:"target,omitempty"` // what an action names it by: PID/START_NS, a path
}

// PictureEdge is one deed, from cause to effect.
type PictureEdge struct {
	From  string    `json:"from"`
	To    string    `json:"to"`
	Deed  string    `json:"deed"`
	Time  time.Time `json:"time"`
	Count int       `json:"count"`
	Rule  string    `json:"rule,omitempty"` // of the trace that walked it
	Guess bool      `json:"guess,omitempty"`
	Event string    `json:"event,omitempty"` // id of the event it rests on
}

const (
	pictureNodes   = 5000 // bound of one picture
	pictureEffects = 4000 // of what came of the entry
	pictureRests   = 500  // findings whose ways back are drawn
)

// sketch is a picture in the making.
type sketch struct {
	judge *behaviour.Judge
	g     *graph.Graph
	nodes map[graph.NodeID]*PictureNode
	order []graph.NodeID
	ways  map[[2]graph.NodeID]trace.Hop // cause, effect: how a trace went
	cut   int
}

func (s *sketch) node(id graph.NodeID) *PictureNode {
	if p := s.nodes[id]; p != nil {
		return p
	}
	n := s.g.Node(id)
	if n == nil {
		return nil
	}
	if len(s.nodes) >= pictureNodes {
		s.cut++
		return nil
	}
	p := &PictureNode{
		ID: n.Key.String(), Kind: strings.ToLower(n.Kind.String()), Host: s.g.HostName(n.Host), Label: tell(s.g, id),
		First: time.Unix(0, n.First).UTC(), Last: time.Unix(0, n.Last).UTC(), Depth: -1, Facts: facts(s.g, n),
	}
	switch {
	case n.Process != nil:
		p.Target = fmt.Sprint(n.Process.Ref.Pid, "/", n.Process.Ref.StartNs)
	case n.File != nil:
		p.Target = n.File.Path()
	}
	s.nodes[id] = p
	s.order = append(s.order, id)
	return p
}

// draw makes the picture of an incident from its findings.
func draw(j *behaviour.Judge, inc *verdict.Incident, findings []*verdict.Finding) *Picture {
	g := j.Graph()
	s := sketch{judge: j, g: g, nodes: map[graph.NodeID]*PictureNode{}, ways: map[[2]graph.NodeID]trace.Hop{}}
	entry := graph.NodeID(0)
	if inc.Entry != nil {
		entry = g.Resolve(inc.Entry, inc.Entry.Host, inc.Entry.WallNs)
	}
	for _, f := range findings[:min(len(findings), pictureRests)] {
		s.rest(f, &entry)
	}
	for _, h := range trace.Forward(g, entry, pictureEffects) {
		if n := g.Node(h.Node); n != nil && trace.Telling(n.Kind) {
			s.node(h.Node)
		}
	}
	p := &Picture{At: time.Now().UTC(), Edges: s.edges(), Cut: s.cut}
	if n := s.node(entry); n != nil {
		n.Entry = true
	}
	s.depths(entry, p.Edges)
	for _, id := range s.order {
		p.Nodes = append(p.Nodes, *s.nodes[id])
	}
	slices.SortStableFunc(p.Nodes, func(a, b PictureNode) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.ID, b.ID))
	})
	return p
}

// rest adds what a finding is about and the way back from there.
func (s *sketch) rest(f *verdict.Finding, entry *graph.NodeID) {
	path := s.judge.Trace(f)
	for j, h := range path.Hops {
		n := s.node(h.Node)
		if j == 0 && n != nil {
			n.Findings = append(n.Findings, f.Id)
		}
		if j > 0 {
			s.ways[[2]graph.NodeID{h.Node, path.Hops[j-1].Node}] = h
		}
	}
	for _, g := range f.Subjects {
		s.node(s.g.Resolve(g, f.Host, f.WallNs))
	}
	if *entry == 0 {
		*entry = path.Entry
	}
}

// edges are the deeds between the nodes, and the steps of traces that are no deed.
func (s *sketch) edges() (out []PictureEdge) {
	walked := map[[2]graph.NodeID]bool{}
	for _, id := range s.order {
		for _, e := range s.g.Node(id).Out {
			to := s.nodes[e.Peer]
			if to == nil {
				continue
			}
			x := PictureEdge{From: s.nodes[id].ID, To: to.ID, Deed: e.Type.String(), Time: time.Unix(0, e.T).UTC(), Count: int(e.N)}
			if ev := s.g.EventID(e.By); ev != nil {
				x.Event = ev.Text()
			}
			if h, ok := s.ways[[2]graph.NodeID{id, e.Peer}]; ok {
				x.Rule, x.Guess = string(h.Rule), h.Guess
			}
			walked[[2]graph.NodeID{id, e.Peer}] = true
			out = append(out, x)
		}
	}
	for way, h := range s.ways {
		from, to := s.nodes[way[0]], s.nodes[way[1]]
		if walked[way] || from == nil || to == nil {
			continue
		}
		x := PictureEdge{From: from.ID, To: to.ID, Deed: "led to", Time: time.Unix(0, h.T).UTC(), Count: 1, Rule: string(h.Rule), Guess: h.Guess}
		if ev := s.g.EventID(h.By); ev != nil {
			x.Event = ev.Text()
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b PictureEdge) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Deed, b.Deed))
	})
	return out
}

// depths counts the deeds from the entry, breadth first.
func (s *sketch) depths(entry graph.NodeID, edges []PictureEdge) {
	first := s.nodes[entry]
	if first == nil {
		return
	}
	byID := map[string]*PictureNode{}
	for _, n := range s.nodes {
		byID[n.ID] = n
	}
	next := map[string][]string{}
	for _, e := range edges {
		next[e.From] = append(next[e.From], e.To)
	}
	first.Depth = 0
	for queue := []*PictureNode{first}; len(queue) > 0; queue = queue[1:] {
		for _, id := range next[queue[0].ID] {
			if n := byID[id]; n.Depth < 0 {
				n.Depth = queue[0].Depth + 1
				queue = append(queue, n)
			}
		}
	}
}

// facts are what a person asks of a node first.
func facts(g *graph.Graph, n *graph.Node) map[string]string {
	out := map[string]string{}
	put := func(name, value string) {
		if value != "" && value != "0" {
			out[name] = value
		}
	}
	switch {
	case n.Process != nil:
		p := n.Process
		put("exe", p.Exe)
		put("command line", strings.Join(p.Argv, " "))
		put("pid", strconv.Itoa(int(p.Ref.Pid)))
		out["uid"] = strconv.Itoa(int(p.Ref.Uid))
		put("working directory", p.CWD)
		put("container", p.Ref.Container)
		if p.Exited != 0 {
			put("ended", time.Unix(0, p.Exited).UTC().Format(time.RFC3339Nano))
		}
	case n.File != nil:
		put("path", n.File.Path())
		put("sha256", n.File.Ref.Sha256)
		put("size", strconv.FormatUint(n.File.Ref.Size, 10))
		if len(n.File.Paths) > 1 {
			put("earlier names", strings.Join(n.File.Paths[:len(n.File.Paths)-1], ", "))
		}
	case n.Flow != nil:
		put("from", n.Flow.Ref.Src().String())
		put("to", n.Flow.Ref.Dst().String())
	case n.Request != nil:
		r := n.Request
		put("method", r.Ref.Method)
		put("target", r.Ref.Uri)
		put("site", r.Ref.Host)
		put("client", r.Ref.GetFlow().Src().String())
		put("status", strconv.Itoa(int(r.Status)))
		put("user agent", r.UA)
		put("script", r.Script)
		for _, u := range r.Uploads {
			put("upload", u.Filename)
		}
	case n.Kind == entity.Kind_LOGIN, n.Kind == entity.Kind_ADDRESS:
		put("name", n.Text)
	}
	return out
}

// Picture gives an incident's attack graph, at most drawEvery old: the judge, whose
// goroutine draws, is not there for whoever asks often.
func (b *Brain) Picture(ctx context.Context, tenant, id string) (*Picture, error) {
	inc, err := b.Incident(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	kept, err := b.keptPicture(ctx, tenant, inc.Id)
	if err != nil || kept != nil && time.Since(kept.At) < drawEvery {
		return kept, err
	}
	return b.redraw(ctx, tenant, inc.Incident, kept)
}

// keptPicture is the last one; nil when there is none that can be read.
func (b *Brain) keptPicture(ctx context.Context, tenant, incident string) (*Picture, error) {
	body, err := look(ctx, b, func(tx *ledger.Tx) ([]byte, error) { return tx.Picture(tenant, incident) })
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	p := &Picture{}
	if err != nil || json.Unmarshal(body, p) != nil {
		return nil, err
	}
	return p, nil
}

// redraw draws what the graph knows now and keeps it, unless the graph has forgotten
// some of what is kept.
func (b *Brain) redraw(ctx context.Context, tenant string, inc *verdict.Incident, kept *Picture) (*Picture, error) {
	p, err := b.drawNow(ctx, tenant, inc)
	if err != nil {
		return nil, err
	}
	if kept != nil && len(kept.Nodes) > len(p.Nodes) {
		kept.At, p = p.At, kept
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return p, b.commit(ctx, "picture", func(tx *ledger.Tx) error { return tx.PutPicture(tenant, inc.Id, p.At, body) })
}

func (b *Brain) drawNow(ctx context.Context, tenant string, inc *verdict.Incident) (p *Picture, err error) {
	var findings []*verdict.Finding
	err = b.view(ctx, func(tx *ledger.Tx) error {
		list, _, err := tx.Findings(tenant, ledger.FindingQuery{Grey: true, Incident: inc.Id, Page: ledger.Page{Limit: pictureRests, Ascending: true}})
		for _, f := range list {
			findings = append(findings, f.Finding)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	w := b.workers[tenant]
	if w == nil {
		return nil, ErrNotFound
	}
	err = w.do(ctx, func() { p = draw(w.judge, inc, findings) })
	return p, err
}

// drawEvery is how long an incident must be at rest, or how long it may change, before
// its picture is kept.
const drawEvery = 2 * time.Second

// keepPictures keeps a picture of every incident that changed, until ctx ends.
func (b *Brain) keepPictures(ctx context.Context, tenant string) {
	changed := map[string]bool{}
	updates := b.news.follow(ctx, tenant)
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return
			}
			if u.Incident != nil {
				changed[u.Incident.Id] = true
			}
		case <-tick.C:
			for id := range changed {
				delete(changed, id)
				if err := b.keepPicture(ctx, tenant, id); err != nil && ctx.Err() == nil {
					b.opt.Log.Warn("picture not kept", "incident", id, "error", err)
				}
			}
		}
	}
}

func (b *Brain) keepPicture(ctx context.Context, tenant, id string) error {
	inc, err := b.Incident(ctx, tenant, id)
	if err != nil {
		return err
	}
	kept, err := b.keptPicture(ctx, tenant, inc.Id)
	if err == nil {
		_, err = b.redraw(ctx, tenant, inc.Incident, kept)
	}
	return err
}
