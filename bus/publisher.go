// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// Reader is one class of the agent's spool, as the publisher reads it. Only Rewind may
// be called while Next waits.
type Reader interface {
	// Next waits for events behind those it gave last and returns at most so many of
	// them, consecutive, at their position, and how many sequences right before will
	// never come. They are valid until the next call.
	Next(ctx context.Context, maxEvents, maxBytes int) (at identity.Position, skipped uint64, events [][]byte, err error)
	// Rewind makes Next begin again behind what is stored. It wakes a waiting Next.
	Rewind()
}

// PublisherConfig joins a spool to the bus.
type PublisherConfig struct {
	Precious, Bulk Reader
	// Trim is told how far the archive has stored; positions may be unknown or old.
	Trim func(identity.Position) error
	// Resend is how long published events may stay unstored before they are sent again;
	// the time doubles, up to an hour, while nothing moves. Default 2 min, which is past
	// the broker's own memory of batch ids.
	Resend time.Duration
}

// PublisherStats are counts since the start, both classes together.
type PublisherStats struct {
	Batches, Events uint64 // taken by the broker
	Bytes           uint64 // of those, as sent
	Again           uint64 // batches sent again after a fault
	Rewinds         uint64 // times that all of the unstored was sent again
	Refused         uint64 // batches that the broker did not take, at first
}

// Publisher sends what a spool holds. It publishes before the broker has stored or
// even the spool has synced: neither decides what may be trimmed.
type Publisher struct {
	link  *Link
	cfg   PublisherConfig
	lanes [2]*lane

	batches, events, bytes, again, rewinds, refused atomic.Uint64
}

// NewPublisher makes a publisher for this agent's events.
func (l *Link) NewPublisher(cfg PublisherConfig) *Publisher {
	if cfg.Resend == 0 {
		cfg.Resend = dedupWindow
	}
	p := &Publisher{link: l, cfg: cfg}
	for class, reader := range []Reader{cfg.Precious, cfg.Bulk} {
		p.lanes[class] = newLane(p, identity.Class(class), reader)
	}
	return p
}

// Stats counts so far.
func (p *Publisher) Stats() PublisherStats {
	return PublisherStats{p.batches.Load(), p.events.Load(), p.bytes.Load(), p.again.Load(), p.rewinds.Load(), p.refused.Load()}
}

// Run publishes until ctx ends. A broker that is away, full or refuses is waited for;
// only a reader that fails ends it early.
func (p *Publisher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	run(p.watchStored)
	for _, l := range p.lanes {
		run(l.send)
		run(l.settle)
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("publish events of %s/%s: %w", p.link.agent.Tenant, p.link.agent.Host, err)
	}
	return nil
}

// watchStored trims behind the archive's watermarks and sends again what stays behind.
func (p *Publisher) watchStored(ctx context.Context) error {
	a := p.link.agent
	stalled := time.NewTicker(max(p.cfg.Resend/8, 10*time.Millisecond))
	defer stalled.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-stalled.C:
				for _, l := range p.lanes {
					l.resendUnstored(now)
				}
			}
		}
	})
	return p.link.watch(ctx, identity.StoredSubject(a.Tenant, a.Host), func(data []byte) {
		positions, err := decodeStored(data)
		if err != nil {
			p.link.warn("unreadable watermark", err)
			return
		}
		for _, at := range positions {
			if err := p.cfg.Trim(at); err != nil {
				p.link.warn("cannot trim spool", err)
				continue
			}
			p.lanes[at.Class()].noteStored(at, time.Now())
		}
	})
}

func (l *Link) warn(what string, err error) {
	if l.log != nil {
		l.log.Warn("bus: "+what, "error", err)
	}
}
