// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"fmt"
	"net/netip"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Bounds of what counts as guessing. sshd lets one connection fail six times and people
// mistype twice or thrice; a job with an old password fails often, but with one name.
const (
	failsGrey  = 6
	failsBlack = 12 // with two names or more
	failsMost  = 40 // whatever the names
	afterwards = int64(600e9)
)

// Guessing recognises passwords that are guessed, and the log-in that ends it. It belongs
// to one goroutine and decides by the time of events alone.
type Guessing struct {
	seen map[source]*fails
}

type fails struct {
	from, last int64
	count      int
	names      map[string]bool
	events     []*verdict.EventID
	told       verdict.Colour // of what was told, where anything was
	grey       bool
}

// namesKept and eventsKept bound what is kept of one address.
const (
	namesKept  = 32
	eventsKept = 64
)

// NewGuessing makes an empty recogniser.
func NewGuessing() *Guessing { return &Guessing{seen: map[source]*fails{}} }

// See takes one event and gives what it completes, or nil: grey for a handful of
// failures, black for many names or very many tries, and black for a log-in from an
// address that had been guessing.
func (g *Guessing) See(ev *event.Event) *verdict.Finding {
	a := ev.GetAuth()
	if a == nil {
		return nil
	}
	addr := a.Flow.Src().Addr()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsLoopback() {
		return nil
	}
	k := source{ev.Host, addr, a.Service}
	f := g.seen[k]
	switch a.Outcome {
	case event.Authentication_FAILURE:
		return g.failed(ev, a, k, f)
	case event.Authentication_SUCCESS:
		if f == nil || f.count < failsGrey || ev.WallNs-f.last > afterwards {
			delete(g.seen, k) // who knows the password had mistyped it
			return nil
		}
		return loggedIn(ev, a, addr, f)
	}
	return nil
}

func (g *Guessing) failed(ev *event.Event, a *event.Authentication, k source, f *fails) *verdict.Finding {
	if len(g.seen) >= sources {
		clear(g.seen)
	}
	if f == nil || ev.WallNs-f.last > window {
		f = &fails{from: ev.WallNs, names: map[string]bool{}}
		g.seen[k] = f
	}
	f.last = ev.WallNs
	f.count++
	if len(f.names) < namesKept {
		f.names[a.User] = true
	}
	if len(f.events) < eventsKept {
		f.events = append(f.events, ev.ID())
	}
	black := f.count >= failsBlack && len(f.names) > 1 || f.count >= failsMost
	switch {
	case black && f.told != verdict.Colour_BLACK:
		f.told, f.grey = verdict.Colour_BLACK, true
		return f.finding(ev, k.addr, verdict.Colour_BLACK, 0.96)
	case f.count >= failsGrey && !f.grey:
		f.grey = true
		return f.finding(ev, k.addr, verdict.Colour_GREY, 0.5)
	}
	return nil
}

func (f *fails) finding(ev *event.Event, addr netip.Addr, c verdict.Colour, score float64) *verdict.Finding {
	a := ev.GetAuth()
	out := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "exposure", Rule: "guessing", Title: "Passwords guessed", Colour: c, Score: score,
		Techniques: []string{"T1110.001"}, Events: f.events,
		Subjects: []*entity.Sighting{{Kind: entity.Kind_ADDRESS, Role: "source", Text: addr.String(), Host: ev.Host}},
		Evidence: []*verdict.Evidence{{What: fmt.Sprintf("%d failed log-ins of %d names by %s in %d s", f.count, len(f.names), a.Service, (f.last-f.from)/1e9),
			Where: addr.String(), Weight: float64(verdict.Odds(score)), Engine: "exposure", Root: "guessing/" + addr.String()}},
	}
	out.SetID()
	return out
}

// loggedIn is the guess that was right.
func loggedIn(ev *event.Event, a *event.Authentication, addr netip.Addr, f *fails) *verdict.Finding {
	const score = 0.97
	out := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "exposure", Rule: "guessed", Title: "Log-in after guessed passwords",
		Colour: verdict.Colour_BLACK, Score: score, Techniques: []string{"T1078", "T1110.001"}, Events: append([]*verdict.EventID{ev.ID()}, f.events...),
		Subjects: []*entity.Sighting{
			{Kind: entity.Kind_LOGIN, Role: "object", Text: a.User, Host: ev.Host, WallNs: ev.WallNs, Flow: a.Flow},
			{Kind: entity.Kind_ADDRESS, Role: "source", Text: addr.String(), Host: ev.Host},
		},
		Evidence: []*verdict.Evidence{{What: fmt.Sprintf("log-in of %s after %d failed ones of %d names", a.User, f.count, len(f.names)),
			Where: addr.String(), Weight: float64(verdict.Odds(score)), Engine: "exposure", Root: ev.ID().Text()}},
	}
	out.SetID()
	return out
}
