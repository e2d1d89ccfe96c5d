// SPDX-License-Identifier: Apache-2.0

// Package intel is the vertical: what is known of addresses, names, hashes and
// fingerprints, from lists and from our own incidents, held against every event.
//
// In come events; out come findings of the stages reputation (lists) and risk (own
// sightings). It believes a list only as far as its source is trusted, and knows that
// a listed address is a reason to look, not a verdict: only what the library calls
// malicious, under no veto, is black.
//
// The worst trap: volume. One value is told once an hour per host, however often it
// is seen.
package intel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/intel/risk"
	"github.com/ringwall/ringwall/verdict"
)

// again is how long a value is not told again of one host.
const again = int64(time.Hour)

// toldKept bounds the memory of what was told.
const toldKept = 1 << 16

// Stage looks values up. It belongs to one goroutine; the libraries behind it may be
// shared and reloaded meanwhile.
type Stage struct {
	lists *reputation.Library
	own   *risk.Memory
	told  map[string]int64
}

// NewStage joins the libraries; lists may be nil.
func NewStage(lists *reputation.Library, own *risk.Memory) *Stage {
	return &Stage{lists: lists, own: own, told: map[string]int64{}}
}

// See looks up what the event names.
func (s *Stage) See(ev *event.Event) []*verdict.Finding {
	var out []*verdict.Finding
	for _, v := range values(ev) {
		if f := s.look(ev, v); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// value is one thing to look up and the sighting that named it.
type value struct {
	kind  string // feed's kinds: ip, domain, url, hash, fingerprint
	text  string
	addr  netip.Addr
	about *entity.Sighting
}

// values lists what an event names: the other side of its flow, names, hashes and
// fingerprints.
func values(ev *event.Event) []value {
	var out []value
	peer := func(f *entity.Flow, inbound bool) {
		a := f.Dst().Addr()
		if inbound {
			a = f.Src().Addr()
		}
		if a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() {
			out = append(out, value{"ip", a.String(), a, &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: a.String()}})
		}
	}
	named := func(kind string, k entity.Kind, text string) {
		if text != "" {
			out = append(out, value{kind: kind, text: text, about: &entity.Sighting{Kind: k, Text: text}})
		}
	}
	switch p := ev.Payload.(type) {
	case *event.Event_Http:
		if p.Http.Op == event.HttpActivity_REQUEST {
			peer(p.Http.Request.GetFlow(), true)
		}
	case *event.Event_Network:
		switch p.Network.Op {
		case event.NetworkActivity_ACCEPT:
			peer(p.Network.Flow, true)
		case event.NetworkActivity_CONNECT:
			peer(p.Network.Flow, false)
		}
	case *event.Event_Dns:
		named("domain", entity.Kind_DOMAIN, entity.Domain(p.Dns.Name))
	case *event.Event_Tls:
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("ja3:", p.Tls.Ja3))
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("ja4:", p.Tls.Ja4))
		named("domain", entity.Kind_DOMAIN, entity.Domain(p.Tls.Sni))
	case *event.Event_Ssh:
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("hassh:", p.Ssh.Hassh))
	case *event.Event_File:
		named("hash", entity.Kind_CONTENT, p.File.File.GetSha256())
	case *event.Event_Finding:
		for _, s := range p.Finding.Subjects {
			if s.Kind == entity.Kind_CONTENT {
				named("hash", entity.Kind_CONTENT, s.Text)
			}
		}
	}
	return out
}

func prefixed(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

func (s *Stage) look(ev *event.Event, v value) *verdict.Finding {
	key := ev.Host + "/" + v.kind + "/" + v.text
	if at, ok := s.told[key]; ok && ev.WallNs-at < again {
		return nil
	}
	f := s.listed(ev, v)
	if f == nil {
		f = s.remembered(ev, v)
	}
	if f == nil {
		return nil
	}
	if len(s.told) >= toldKept {
		clear(s.told)
	}
	s.told[key] = ev.WallNs
	f.Host, f.WallNs, f.Layer = ev.Host, ev.WallNs, "intel"
	f.Events = []*verdict.EventID{ev.ID()}
	f.Subjects = []*entity.Sighting{v.about}
	f.SetID()
	return f
}

// listed asks the lists.
func (s *Stage) listed(ev *event.Event, v value) *verdict.Finding {
	if s.lists == nil {
		return nil
	}
	a, ok := s.lists.Lookup(v.kind, v.text, ev.Wall())
	if !ok || a.Level < reputation.Suspicious {
		return nil
	}
	f := &verdict.Finding{Stage: "reputation", Rule: "listed-" + v.kind, Score: a.Confidence, Title: "Listed " + v.kind}
	for _, m := range a.Matches {
		f.Evidence = append(f.Evidence, &verdict.Evidence{
			What: fmt.Sprintf("list %s names %s (%s)", m.Source, m.Value, strings.Join(m.Tags, ", ")), Where: v.text,
			Weight: float64(verdict.Odds(m.Confidence)), Engine: "intel/" + m.Source, Root: v.text,
		})
	}
	if a.Level >= reputation.Malicious && a.Veto == "" {
		f.Colour = verdict.Colour_BLACK
	}
	return f
}

// remembered asks our own incidents.
func (s *Stage) remembered(ev *event.Event, v value) *verdict.Finding {
	if !v.addr.IsValid() || s.own == nil {
		return nil
	}
	seen, ok := s.own.Lookup(ev.Tenant, v.addr, ev.Wall())
	if !ok || seen.Score < 0.6 {
		return nil
	}
	return &verdict.Finding{
		Stage: "risk", Rule: "own-sighting", Score: min(seen.Score, 0.85), Title: "Address known from an incident",
		Evidence: []*verdict.Evidence{{
			What: fmt.Sprintf("incident %s led back to this address, last on %s", seen.Incident, seen.Last.UTC().Format(time.RFC3339)), Where: v.text,
			Weight: min(2, float64(verdict.Odds(seen.Score))), Engine: "intel/risk", Root: "incident/" + seen.Incident,
		}},
	}
}
