// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/ringwall/ringwall/identity"
)

// TestBrainRestart ends a brain that has stored only half of what it took. The next
// life knows the archive's watermark and gets the other half at once, in order.
func TestBrainRestart(t *testing.T) {
	auth := authority(t, "acme")
	broker := ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: auth.ServerTLS(), MaxStore: 1 << 30}
	h, err := OpenHub(within(t), HubConfig{Server: broker, MaxBytes: 256 << 20}, auth)
	if err != nil {
		t.Fatal(err)
	}
	url := h.Server().URL()
	broker.Listen = url[len("tls://"):]
	s, _ := spooling(t, agent(t, auth, h, url, "acme", "h"), t.TempDir(), 0)
	c, err := h.NewConsumer(ConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var archive []string // what is stored, and how far
	var mark identity.Position
	taken := 0
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx, func(d *Delivery) {
			if taken += len(d.Batch.Events); taken <= 500 {
				for _, e := range d.Batch.Events {
					archive = append(archive, string(e))
				}
				d.Ack()
				mark = d.Through
				if err := h.PublishStored(ctx, d.Tenant, d.Host, d.Through); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
			if taken == 1000 {
				cancel()
			}
		})
	}()
	for i := 0; i < 1000; i += 50 {
		appendEvents(t, s, identity.Precious, i, i+50)
		if err := s.Sync(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	h.Close()
	if len(archive) == 0 || len(archive) == 1000 {
		t.Fatalf("%d stored; want some", len(archive))
	}

	h = hub(t, auth, HubConfig{Server: broker})
	seen := NewSeen()
	seen.Stored("acme", "h", mark)
	got, _ := consuming(t, h, ConsumerConfig{Seen: seen}, nil)
	rest := got.wait(t, "acme/h/precious", 1000-len(archive))
	inOrder(t, append(archive, rest...), 1000)
	got.noDoubles(t)
}

// TestNak gives a batch back: it comes again, whole, and nothing else does.
func TestNak(t *testing.T) {
	auth := authority(t, "acme")
	h := hub(t, auth, HubConfig{})
	s, _ := spooling(t, agent(t, auth, h, "", "acme", "h"), t.TempDir(), 0)
	c, err := h.NewConsumer(ConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	refused, got := 0, []string{}
	var last *Delivery
	lowest := uint64(0) // refused and not yet stored
	go func() {
		for i := range 10 {
			appendEvents(t, s, identity.Precious, i, i+1)
			s.Sync(ctx)
		}
	}()
	c.Run(ctx, func(d *Delivery) {
		if refused < 3 {
			refused++
			if lowest == 0 {
				lowest = d.Batch.FirstSeq
			}
			if err := d.Nak(); err != nil {
				t.Error(err)
			}
			return
		}
		for _, e := range d.Batch.Events {
			got = append(got, string(e))
		}
		last = d
		d.Ack()
		if d.Batch.FirstSeq == lowest {
			lowest = 0
		} else if lowest > 0 && d.Through.Seq >= lowest {
			t.Errorf("watermark %d passes %d, which was refused", d.Through.Seq, lowest)
		}
		if len(got) >= 10 {
			cancel()
		}
	})
	cancel()
	slices.Sort(got)
	inOrder(t, got, 10)
	if last.Through.Seq != 10 {
		t.Errorf("stored through %v", last.Through)
	}
}

// TestRestartInPlace: the broker is begun anew under its clients, which come back, and
// what was on it is there.
func TestRestartInPlace(t *testing.T) {
	auth := authority(t, "acme")
	h := hub(t, auth, HubConfig{})
	url := h.Server().URL()
	s, _ := spooling(t, agent(t, auth, h, url, "acme", "far"), t.TempDir(), 0)
	near, _ := spooling(t, agent(t, auth, h, "", "acme", "near"), t.TempDir(), 0)
	got, _ := consuming(t, h, ConsumerConfig{}, nil)
	for i := range 3 {
		appendEvents(t, s, identity.Precious, i*10, i*10+10)
		appendEvents(t, near, identity.Precious, i*10, i*10+10)
		got.wait(t, "acme/far/precious", i*10+10)
		got.wait(t, "acme/near/precious", i*10+10)
		if err := h.Server().Fault(); err != nil {
			t.Errorf("a good broker: %v", err)
		}
		if err := h.Server().Restart(); err != nil {
			t.Fatal(err)
		}
		if h.Server().URL() != url {
			t.Errorf("it listens on %s, was %s", h.Server().URL(), url)
		}
	}
	got.noDoubles(t)
}
