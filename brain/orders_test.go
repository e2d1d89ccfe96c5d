// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
)

// opened is a brain over fresh data whose parts are run by the test.
func opened(t *testing.T) *Brain {
	t.Helper()
	b, err := Open(t.Context(), DefaultConfig(), Options{Data: t.TempDir(), Board: health.NewBoard(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.hub.Close()
		_ = b.ledger.Close()
		ctx, stop := context.WithCancel(context.Background())
		stop()
		_ = b.store.Run(ctx) // closes it
	})
	return b
}

// listening gives what a host is commanded, its signature proved.
func listening(t *testing.T, b *Brain, host identity.Host) <-chan action.Command {
	t.Helper()
	self, err := b.auth.NewAgent("default", host, "default", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PushTenant(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	link, err := bus.Dial(bus.LinkConfig{Agent: self, Server: b.hub.Server()})
	if err != nil {
		t.Fatal(err)
	}
	nonces, err := identity.OpenNonces(filepath.Join(t.TempDir(), "nonces"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan action.Command, 16)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = link.Orders(ctx, func(signed []byte) {
			s, err := self.Verifier(nonces).Verify(identity.KindOrder, signed, time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			var c action.Command
			if err := json.Unmarshal(s.Payload, &c); err != nil {
				t.Error(err)
			}
			out <- c
		})
	})
	t.Cleanup(func() { stop(); wg.Wait(); link.Close(); nonces.Close() })
	return out
}

func someOrders(at time.Time, hosts ...string) (out []action.Order) {
	for _, kind := range []action.Kind{action.BlockAddress, action.CutConnection} {
		for _, h := range hosts {
			out = append(out, action.Order{
				ID: fmt.Sprint("a-", h, "-", kind), Tenant: "default", Host: h, Kind: kind, Incident: "i-1", Reason: "test", Ordered: at, Deadline: at.Add(time.Hour),
				Subject: &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "203.0.113.9"},
			})
		}
	}
	return out
}

func (b *Brain) told(t *testing.T, c <-chan action.Command, want string) {
	t.Helper()
	select {
	case got := <-c:
		text := ""
		for _, o := range got.Orders {
			text += o.ID + " "
		}
		if text != want {
			t.Errorf("one command holds %q, want %q", text, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("no command; want %q", want)
	}
}

// TestOneDecisionIsOneCommand: what is decided together goes to each host together, is
// in the ledger before, and is sent again, together, when a kill came between.
func TestOneDecisionIsOneCommand(t *testing.T) {
	b := opened(t)
	web, data := listening(t, b, "web"), listening(t, b, "data")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.scribe.run(ctx) })
	now := time.Now()
	b.tellOrders(someOrders(now, "web", "data"))
	b.told(t, web, "a-web-block_address a-web-cut_connection ")
	b.told(t, data, "a-data-block_address a-data-cut_connection ")

	// Half of it stands already: only the rest goes out.
	later := now.Add(time.Second)
	b.tellOrders(append(someOrders(later, "web")[:1], func() []action.Order {
		o := someOrders(later, "web")
		o[1].ID = "a-new"
		return o[1:]
	}()...))
	b.told(t, web, "a-new ")
	stop()
	wg.Wait()

	// Killed between the ledger and the bus: the next start sends the last decision.
	last := someOrders(later.Add(time.Second), "web")
	for i := range last {
		last[i].ID += "-killed"
	}
	if err := b.ledger.Update(t.Context(), func(tx *ledger.Tx) error {
		for _, o := range last {
			if err := tx.Order(o, nil); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.finishOrders(t.Context(), "default")
	b.told(t, web, "a-web-block_address-killed a-web-cut_connection-killed ")
}

// TestReports: the ledger has what an enforcer says of an action, with its inverse and
// the deadline that the host permits; what another host says of it is refused.
func TestReports(t *testing.T) {
	b := opened(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.scribe.run(ctx) })
	now := time.Now()
	o := someOrders(now, "web")[0]
	b.tellOrders([]action.Order{o})
	report := func(host string, state action.State, reason string, life time.Duration) {
		b.tellAction(&event.Event{Tenant: "default", Host: host, WallNs: time.Now().UnixNano(), Payload: &event.Event_Action{Action: &event.ActionRecord{
			Id: o.ID, Kind: string(o.Kind), State: string(state), Reason: reason, DeadlineNs: now.Add(life).UnixNano(), Inverse: []byte(`{"boot":"b"}`)}}})
	}
	report("data", action.Undone, "forged", time.Hour)
	report("web", action.Ordered, "test", time.Minute)
	report("web", action.Done, "dropped", time.Minute)
	report("web", action.Verified, "dropped; seen", time.Minute)
	report("web", action.Done, "dropped", time.Minute) // told again after a restart
	stop()
	wg.Wait()
	var rec *action.Record
	var steps []ledger.ActionStep
	if err := b.ledger.View(t.Context(), func(tx *ledger.Tx) (err error) {
		if rec, err = tx.Action("default", o.ID); err == nil {
			steps, err = tx.ActionHistory("default", o.ID)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if rec.State != action.Verified || rec.Result != "dropped; seen" || string(rec.Inverse) != `{"boot":"b"}` || !rec.Deadline.Equal(now.Add(time.Minute)) {
		t.Errorf("%s %q, inverse %s, until %v", rec.State, rec.Result, rec.Inverse, rec.Deadline.Sub(now))
	}
	for _, s := range steps {
		if s.State == action.Undone {
			t.Error("another host's word was believed")
		}
	}
}
