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
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
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

	funnel *funnel.Funnel[*sight]
}

// sight is one value on its way through the stages.
type sight struct {
	ev    *event.Event
	value value
	found *verdict.Finding
}

// NewStage joins the libraries; lists may be nil.
func NewStage(lists *reputation.Library, own *risk.Memory) *Stage {
	s := &Stage{lists: lists, own: own, told: map[string]int64{}}
	s.funnel = funnel.New("intel", funnel.Func("risk", s.remembered), funnel.Func("reputation", s.listed))
	return s
}

// SetLists puts other lists in place of those in use; what they say may be told anew.
func (s *Stage) SetLists(lists *reputation.Library) {
	s.lists = lists
	clear(s.told)
}

// Counts reports the stages, in the order of cost. Safe for many goroutines.
func (s *Stage) Counts() []funnel.StageCounts { return s.funnel.Counts() }

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
	kind      string // feed's kinds: ip, domain, url, hash, fingerprint
	text      string
	addr      netip.Addr
	about     *entity.Sighting
	technique string // ATT&CK: the least that seeing it here says
}

// Techniques by where a value is seen. Who comes to us from a listed address looks for a
// way in at least; whom we talk to may be a channel of command; a file was brought here.
const (
	comesIn  = "T1595" // Active Scanning
	goesOut  = "T1071" // Application Layer Protocol
	wasMoved = "T1105" // Ingress Tool Transfer
)

// values lists what an event names: the other side of its flow, names, hashes and
// fingerprints.
func values(ev *event.Event) []value {
	var out []value
	peer := func(f *entity.Flow, inbound bool) {
		a, technique := f.Dst().Addr(), goesOut
		if inbound {
			a, technique = f.Src().Addr(), comesIn
		}
		if a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() {
			out = append(out, value{"ip", a.String(), a, &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: a.String()}, technique})
		}
	}
	named := func(kind string, k entity.Kind, text, technique string) {
		if text != "" {
			out = append(out, value{kind: kind, text: text, about: &entity.Sighting{Kind: k, Text: text}, technique: technique})
		}
	}
	switch p := ev.Payload.(type) {
	case *event.Event_Http:
		if p.Http.Op == event.HttpActivity_REQUEST {
			peer(p.Http.Request.GetFlow(), true)
			named("url", entity.Kind_URL, address(p.Http.Request), goesOut)
		}
	case *event.Event_Network:
		switch p.Network.Op {
		case event.NetworkActivity_ACCEPT:
			peer(p.Network.Flow, true)
		case event.NetworkActivity_CONNECT:
			peer(p.Network.Flow, false)
		}
	case *event.Event_Dns:
		named("domain", entity.Kind_DOMAIN, entity.Domain(p.Dns.Name), goesOut)
	case *event.Event_Tls:
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("ja3:", p.Tls.Ja3), goesOut)
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("ja4:", p.Tls.Ja4), goesOut)
		named("domain", entity.Kind_DOMAIN, entity.Domain(p.Tls.Sni), goesOut)
	case *event.Event_Ssh:
		named("fingerprint", entity.Kind_FINGERPRINT, prefixed("hassh:", p.Ssh.Hassh), goesOut)
	case *event.Event_File:
		named("hash", entity.Kind_CONTENT, p.File.File.GetSha256(), wasMoved)
	case *event.Event_Finding:
		for _, s := range p.Finding.Subjects {
			if s.Kind == entity.Kind_CONTENT {
				named("hash", entity.Kind_CONTENT, s.Text, wasMoved)
			}
		}
	}
	return out
}

// address is the URL that a request asks for; "" where its host is not known. The
// scheme is not seen; lists are asked without it.
func address(r *entity.Request) string {
	uri := r.GetUri()
	if strings.HasPrefix(uri, "http://") { // to a proxy
		return uri
	}
	if r.GetHost() == "" || !strings.HasPrefix(uri, "/") {
		return ""
	}
	return "http://" + r.Host + uri
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
	it := &sight{ev: ev, value: v}
	s.funnel.Judge(context.Background(), it)
	f := it.found
	if f == nil {
		return nil
	}
	if len(s.told) >= toldKept {
		clear(s.told)
	}
	s.told[key] = ev.WallNs
	f.Host, f.WallNs, f.Layer = ev.Host, ev.WallNs, "intel"
	f.Techniques = []string{v.technique}
	f.Events = []*verdict.EventID{ev.ID()}
	f.Subjects = []*entity.Sighting{v.about}
	f.SetID()
	return f
}

// listed asks the lists, whose word goes before our own memory. What a hard allow-list
// covers is white as far as lists go.
func (s *Stage) listed(_ context.Context, it *sight) (v verdict.Verdict, _ error) {
	v.Engine = "reputation"
	if s.lists == nil {
		return v, nil
	}
	a, ok := s.lists.Lookup(it.value.kind, it.value.text, it.ev.Wall())
	if a.Level == reputation.Allowed {
		v.Colour = verdict.Colour_WHITE
	}
	if !ok || a.Level < reputation.Suspicious {
		return v, nil
	}
	f := &verdict.Finding{Stage: "reputation", Rule: "listed-" + it.value.kind, Score: a.Confidence, Title: "Listed " + it.value.kind}
	for _, m := range a.Matches {
		f.Evidence = append(f.Evidence, &verdict.Evidence{
			What: fmt.Sprintf("list %s names %s (%s)", m.Source, m.Value, strings.Join(m.Tags, ", ")), Where: it.value.text,
			Weight: float64(verdict.Odds(m.Confidence)), Engine: "intel/" + m.Source, Root: it.value.text,
		})
	}
	// A listed URL convicts nobody: whether it is asked of us, by visitors of one bad page
	// on a shared server, or by us, the request does not say.
	if a.Level >= reputation.Malicious && a.Veto == "" && it.value.kind != "url" {
		f.Colour = verdict.Colour_BLACK
	}
	it.found = f
	v.Colour, v.Score = f.Colour, f.Score
	return v, nil
}

// remembered asks our own incidents. It convicts nobody, so the lists are asked too.
func (s *Stage) remembered(_ context.Context, it *sight) (v verdict.Verdict, _ error) {
	v.Engine = "risk"
	if !it.value.addr.IsValid() || s.own == nil {
		return v, nil
	}
	seen, ok := s.own.Lookup(it.ev.Tenant, it.value.addr, it.ev.Wall())
	if !ok || seen.Score < 0.6 {
		return v, nil
	}
	it.found = &verdict.Finding{
		Stage: "risk", Rule: "own-sighting", Score: min(seen.Score, 0.85), Title: "Address known from an incident",
		Evidence: []*verdict.Evidence{{
			What: fmt.Sprintf("incident %s led back to this address, last on %s", seen.Incident, seen.Last.UTC().Format(time.RFC3339)), Where: it.value.text,
			Weight: min(2, float64(verdict.Odds(seen.Score))), Engine: "intel/risk", Root: "incident/" + seen.Incident,
		}},
	}
	v.Score = it.found.Score
	return v, nil
}
