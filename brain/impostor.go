// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"fmt"
	"time"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// claims remembers who spoke in another's name, so that a flood of such events, of
// whatever names, is one finding an hour for each sender; the count tells of the rest.
// It is used under Brain.mu, and no larger than the list of enrolled hosts.
type claims map[[2]string]time.Time

// first tells whether a claim is worth a finding, by the broker's clock.
func (c claims) first(tenant, host string, at time.Time) bool {
	k := [2]string{tenant, host}
	if last, ok := c[k]; ok && at.Sub(last) < time.Hour {
		return false
	}
	c[k] = at
	return true
}

// impostor refuses an event that names another sender than the subject it came on,
// which the broker has proved. In its place stands a finding about who sent it, or
// nothing when that was said already. The time is the broker's: the sender's own words
// are worth nothing here.
func (b *Brain) impostor(d *bus.Delivery, ev *event.Event) *event.Event {
	claimed := ev.Tenant + "/" + ev.Host
	if f := ev.GetFinding(); f != nil && f.Host != "" {
		claimed = ev.Tenant + "/" + f.Host
	}
	b.workers[string(d.Tenant)].counts.foreign.Add(1)
	b.opt.Log.Warn("event refused: it names another sender than its subject", "tenant", d.Tenant, "host", d.Host, "claims", claimed)
	b.mu.Lock()
	first := b.claims.first(string(d.Tenant), string(d.Host), d.Arrived)
	b.mu.Unlock()
	if !first {
		return nil
	}
	host := string(d.Host)
	f := &verdict.Finding{
		Host: host, WallNs: d.Arrived.UnixNano(), Layer: "behaviour", Stage: "identity", Rule: "foreign-sender",
		Title: "A host speaks in the name of another", Score: 0.95, Colour: verdict.Colour_BLACK, Techniques: []string{"T1036"},
		Subjects: []*entity.Sighting{{Kind: entity.Kind_HOST, Role: "actor", Host: host, Text: host}},
		Evidence: []*verdict.Evidence{{What: fmt.Sprintf("its agent's key sent an event of %.100q", claimed), Where: host, Weight: float64(verdict.Odds(0.95)), Engine: "identity"}},
	}
	out := &event.Event{
		Tenant: string(d.Tenant), Host: host, WallNs: f.WallNs, Schema: event.Schema, Sensor: event.Sensor_JUDGE,
		Payload: &event.Event_Finding{Finding: f},
	}
	return out
}
