// SPDX-License-Identifier: Apache-2.0

// Package decide is the one judgement: what is to be done about an incident, to
// which entity, for how long and why.
//
// In come incidents with the finding that changed them, and the policy; out come orders.
// Exceptions are asked before a finding joins an incident. It believes the incident's
// calibrated score and the policy's costs; layers never block by themselves.
//
// The worst trap: an order is only a wish. The last guard rail stands in the
// enforcer (package respond), which refuses what would cut the operator or a
// declared peer whatever is decided here.
package decide

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

// Policy is what may be done. The zero Stage is observe.
type Policy struct {
	Stage    action.Stage   `yaml:"stage"`    // observe (default), shadow, enforce
	Act      float64        `yaml:"act"`      // incident score from which actions are ordered; default 0.95: cutting an ordinary peer costs 19 times what one more step of an intruder does
	Lifetime time.Duration  `yaml:"lifetime"` // of every action; default 1 h
	Allow    []netip.Prefix `yaml:"allow"`    // never acted against
	Kinds    []action.Kind  `yaml:"actions"`  // permitted kinds; default all but isolate_host
	Reach    int            `yaml:"reach"`    // hosts and peers one incident may touch; default 16
}

// DefaultPolicy observes.
func DefaultPolicy() Policy {
	return Policy{
		Act: 0.95, Lifetime: time.Hour, Reach: 16,
		Kinds: []action.Kind{action.BlockAddress, action.CutConnection, action.KillTree, action.QuarantineFile},
	}
}

// Decider turns incidents into orders. It belongs to one goroutine.
type Decider struct {
	policy  Policy
	ordered map[string]bool               // ids given already
	reach   map[string]map[string]bool    // per incident: hosts and addresses touched
	waiting map[string][]*verdict.Finding // per incident: what was found before it was sure enough to act
}

// waitingEach and waitingAll bound what waits: an incident becomes sure within a few
// findings, and those that never do are many and small.
const (
	waitingEach = 16
	waitingAll  = 1024
)

// orderedKept bounds the memory of what was ordered; the ledger drops doubles too.
const orderedKept = 1 << 14

// New makes a decider.
func New(p Policy) *Decider {
	d := &Decider{ordered: map[string]bool{}, reach: map[string]map[string]bool{}, waiting: map[string][]*verdict.Finding{}}
	d.Set(p)
	return d
}

// Set puts another policy in force. What was ordered stays ordered, and reach stays
// used up.
func (d *Decider) Set(p Policy) {
	def := DefaultPolicy()
	if p.Act == 0 {
		p.Act = def.Act
	}
	if p.Lifetime == 0 {
		p.Lifetime = def.Lifetime
	}
	if p.Kinds == nil {
		p.Kinds = def.Kinds
	}
	if p.Reach == 0 {
		p.Reach = def.Reach
	}
	d.policy = p
}

// Decide gives the orders that follow from the finding that changed the incident, and
// from those before it that were not enough to act on, in the order that leaves no gap.
// now is the time of the decision.
func (d *Decider) Decide(inc *verdict.Incident, f *verdict.Finding, now time.Time) []action.Order {
	if !f.Black() {
		return nil
	}
	if inc.Score < d.policy.Act {
		d.wait(inc.Id, f)
		return nil
	}
	if len(d.ordered) > orderedKept {
		clear(d.ordered)
		clear(d.reach)
	}
	var out []action.Order
	for _, before := range d.waited(inc) {
		out = d.things(out, inc, before, now)
	}
	for _, host := range inc.Hosts {
		for _, addr := range d.addresses(inc, f) {
			s := &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: addr.String()}
			out = d.order(out, inc, f, host, action.BlockAddress, s, now)
			out = d.order(out, inc, f, host, action.CutConnection, s, now)
		}
	}
	out = d.things(out, inc, f, now)
	slices.SortStableFunc(out, func(a, b action.Order) int {
		return slices.Index(action.Sequence, a.Kind) - slices.Index(action.Sequence, b.Kind)
	})
	return out
}

// things orders what is to be done to the processes and files of one finding.
func (d *Decider) things(out []action.Order, inc *verdict.Incident, f *verdict.Finding, now time.Time) []action.Order {
	for _, s := range f.Subjects {
		switch {
		case s.Kind == entity.Kind_PROCESS && s.Role == "actor":
			out = d.order(out, inc, f, f.Host, action.KillTree, s, now)
		case s.Kind == entity.Kind_FILE && f.Layer == "file":
			out = d.order(out, inc, f, f.Host, action.QuarantineFile, s, now)
		}
	}
	return out
}

func (d *Decider) wait(inc string, f *verdict.Finding) {
	if len(d.waiting) >= waitingAll {
		clear(d.waiting)
	}
	if w := d.waiting[inc]; len(w) < waitingEach && !slices.ContainsFunc(w, func(o *verdict.Finding) bool { return o.Id == f.Id }) {
		d.waiting[inc] = append(w, f)
	}
}

// waited gives what waited for the incident, or for one that was merged into it.
func (d *Decider) waited(inc *verdict.Incident) []*verdict.Finding {
	var out []*verdict.Finding
	for _, id := range append([]string{inc.Id}, inc.Aliases...) {
		out = append(out, d.waiting[id]...)
		delete(d.waiting, id)
	}
	return out
}

// addresses are the outside peers of the incident: the client behind its entry and
// peers that a finding names as source.
func (d *Decider) addresses(inc *verdict.Incident, f *verdict.Finding) []netip.Addr {
	var out []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() && !slices.Contains(out, a) && !d.allowed(a) {
			out = append(out, a)
		}
	}
	switch e := inc.GetEntry(); e.GetKind() {
	case entity.Kind_REQUEST:
		add(e.GetRequest().GetFlow().Src().Addr())
	case entity.Kind_FLOW, entity.Kind_LOGIN:
		add(e.GetFlow().Src().Addr())
	}
	for _, s := range f.Subjects {
		if s.Kind == entity.Kind_ADDRESS && s.Role == "source" {
			if a, err := netip.ParseAddr(s.Text); err == nil {
				add(a)
			}
		}
	}
	return out
}

func (d *Decider) allowed(a netip.Addr) bool {
	return slices.ContainsFunc(d.policy.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (d *Decider) order(out []action.Order, inc *verdict.Incident, f *verdict.Finding, host string, kind action.Kind, s *entity.Sighting, now time.Time) []action.Order {
	if !slices.Contains(d.policy.Kinds, kind) {
		return out
	}
	for _, old := range inc.Aliases { // ordered before the incidents were known to be one
		if d.ordered[orderID(old, host, kind, s)] {
			return out
		}
	}
	id := orderID(inc.Id, host, kind, s)
	if d.ordered[id] || !d.within(inc.Id, host, kind, s) {
		return out
	}
	d.ordered[id] = true
	return append(out, action.Order{
		ID: id, Tenant: inc.Tenant, Host: host, Kind: kind, Subject: s, Incident: inc.Id,
		Findings: []string{f.Id}, Reason: f.Title, Policy: f.Bundle, Stage: d.policy.Stage,
		Ordered: now, Deadline: now.Add(d.policy.Lifetime),
	})
}

func orderID(inc, host string, kind action.Kind, s *entity.Sighting) string {
	what := s.Label()
	if p := s.GetProcess(); p.GetStartNs() != 0 { // one life, whatever it has become by exec
		what = fmt.Sprint(p.Pid, "/", p.StartNs)
	}
	sum := xxh3.HashString128(inc + "/" + host + "/" + string(kind) + "/" + what).Bytes()
	return "a-" + hex.EncodeToString(sum[:8])
}

// within keeps an incident to its reach: so many hosts and outside peers, and no more.
func (d *Decider) within(inc, host string, kind action.Kind, s *entity.Sighting) bool {
	touched := d.reach[inc]
	if touched == nil {
		touched = map[string]bool{}
		d.reach[inc] = touched
	}
	want := []string{"host " + host}
	if kind == action.BlockAddress || kind == action.CutConnection {
		want = append(want, "peer "+s.Text)
	}
	more := 0
	for _, w := range want {
		if !touched[w] {
			more++
		}
	}
	if len(touched)+more > d.policy.Reach {
		return false
	}
	for _, w := range want {
		touched[w] = true
	}
	return true
}
