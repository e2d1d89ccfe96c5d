// SPDX-License-Identifier: Apache-2.0

// Package exposure knows what each host shows to whom, and who tries the rest.
//
// In come connection attempts to closed ports, answered requests and log-ins; out come
// grey findings: an address that knocks on many closed ports, asks for many things that
// are not there, or fails to log in again and again. It believes that one such knock is
// ordinary and twenty in a minute are not, but convicts nobody for looking: a crawler
// with an old site map looks alike, so the finding is context that an incident from the
// same address takes up. Only who guesses the passwords of many names, or logs in after
// guessing, is convicted.
//
// The worst trap: memory that strangers can fill. Addresses and what they asked for
// are bounded, and a full table forgets everything rather than growing.
package exposure

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Bounds of the recogniser: network.md asks that a scan of usual speed is recognised
// within 20 probes.
const (
	probes  = 20
	window  = int64(60e9)
	sources = 8192
)

// Probing recognises scans and content discovery. It belongs to one goroutine and
// decides by the time of events alone.
type Probing struct {
	seen map[source]*tries
}

type source struct {
	host string
	addr netip.Addr
	kind string
}

type tries struct {
	from   int64
	what   map[string]bool
	events []*verdict.EventID
	told   bool
}

// NewProbing makes an empty recogniser.
func NewProbing() *Probing { return &Probing{seen: map[source]*tries{}} }

// See takes one event and gives the finding that it completes, or nil. An address is
// told once per window.
func (p *Probing) See(ev *event.Event) *verdict.Finding {
	switch n := ev.GetNetwork(); {
	case n.GetOp() == event.NetworkActivity_RESET,
		// On the wire: a SYN that was refused, or that a firewall swallowed.
		n.GetOp() == event.NetworkActivity_FLOW_CLOSE && n.Failed && n.Inbound:
		fl := ev.GetNetwork().GetFlow()
		return p.count(ev, fl.Src().Addr(), "port", fmt.Sprint(fl.GetDstPort()), "Scan of closed ports", "T1046")
	case ev.GetHttp().GetOp() == event.HttpActivity_RESPONSE:
		a := ev.GetHttp()
		if a.Status != 404 && a.Status != 403 {
			return nil
		}
		path, _, _ := strings.Cut(a.Request.GetUri(), "?")
		return p.count(ev, a.Request.GetFlow().Src().Addr(), "path", path, "Search for hidden content", "T1595.003")
	}
	return nil
}

func (p *Probing) count(ev *event.Event, addr netip.Addr, kind, what, title, technique string) *verdict.Finding {
	if !addr.IsValid() || addr.IsLoopback() {
		return nil
	}
	if len(p.seen) >= sources {
		clear(p.seen)
	}
	k := source{ev.Host, addr, kind}
	t := p.seen[k]
	if t == nil || ev.WallNs-t.from > window {
		t = &tries{from: ev.WallNs, what: map[string]bool{}}
		p.seen[k] = t
	}
	if t.told || t.what[what] {
		return nil
	}
	t.what[what] = true
	t.events = append(t.events, ev.ID())
	if len(t.what) < probes {
		return nil
	}
	t.told = true
	f := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "exposure", Rule: "probing-" + kind, Title: title,
		Colour: verdict.Colour_GREY, Score: 0.5, Techniques: []string{technique}, Events: t.events,
		Subjects: []*entity.Sighting{{Kind: entity.Kind_ADDRESS, Role: "source", Text: addr.String(), Host: ev.Host}},
		Evidence: []*verdict.Evidence{{What: fmt.Sprintf("%d different %ss in %d s", len(t.what), kind, (ev.WallNs-t.from)/1e9), Where: addr.String(), Weight: 2, Engine: "exposure", Root: kind + "/" + addr.String()}},
	}
	f.SetID()
	t.what, t.events = nil, nil
	return f
}
