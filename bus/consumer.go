// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// Delivery is a batch, or the part of one that is new, and who really sent it: Tenant,
// Host and Class are the subject's, which the broker checked against the user's token.
type Delivery struct {
	Tenant    identity.Tenant
	Host      identity.Host
	Class     identity.Class
	Batch     Batch
	Partition int
	Arrived   time.Time // at the broker
	// Through is the watermark: everything of the host's epoch up to it is stored. It
	// moves when this delivery is acknowledged; read it after Ack.
	Through identity.Position

	settle *settle
	source Source
	seen   *Seen
}

// settle acknowledges a message when all deliveries cut from it are done.
type settle struct {
	msg    jetstream.Msg
	open   atomic.Int32
	failed atomic.Bool
}

// Ack tells that the batch is stored: this group needs it no more, and Through may rise.
// A delivery that was not stored must be refused with Nak: the spool deletes what lies
// behind the watermark. Each delivery is acknowledged or refused once.
func (d *Delivery) Ack() error {
	d.Through.Seq = d.seen.store(d.source, Span{d.Batch.FirstSeq, d.Batch.Last().Seq})
	if d.settle.open.Add(-1) > 0 || d.settle.failed.Load() {
		return nil
	}
	return d.settle.msg.Ack()
}

// Nak gives the batch back; it is delivered again after a second.
func (d *Delivery) Nak() error {
	d.seen.forget(d.source, Span{d.Batch.FirstSeq, d.Batch.Last().Seq})
	d.settle.open.Add(-1)
	if d.settle.failed.Swap(true) {
		return nil
	}
	return d.settle.msg.NakWithDelay(time.Second)
}

// ConsumerConfig says which events to take.
type ConsumerConfig struct {
	Group      string // one of HubConfig.Groups; default the first
	Partitions []int  // default all
	Seen       *Seen  // default an empty one
	// Refused is told of a message that is no batch, and where it came from; it is not
	// delivered again. It may be nil; the message is counted either way.
	Refused func(t identity.Tenant, h identity.Host, why error)
}

// ConsumerStats are counts since the start.
type ConsumerStats struct {
	Messages, Events uint64 // delivered
	Doubles          uint64 // events dropped because they were delivered before
	Refused          uint64 // messages that were no batch
}

// Consumer takes events off the bus for one group.
type Consumer struct {
	hub *Hub
	cfg ConsumerConfig

	messages, events, doubles, refused atomic.Uint64
}

// NewConsumer makes a consumer of a group that OpenHub was told of.
func (h *Hub) NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Group == "" {
		cfg.Group = h.cfg.Groups[0]
	}
	known := false
	for _, g := range h.cfg.Groups {
		known = known || g == cfg.Group
	}
	if !known {
		return nil, fmt.Errorf("consumer group %q is not among HubConfig.Groups %q", cfg.Group, h.cfg.Groups)
	}
	if cfg.Partitions == nil {
		for p := range h.partitions {
			cfg.Partitions = append(cfg.Partitions, p)
		}
	}
	if cfg.Seen == nil {
		cfg.Seen = NewSeen()
	}
	return &Consumer{hub: h, cfg: cfg}, nil
}

// Stats counts so far.
func (c *Consumer) Stats() ConsumerStats {
	return ConsumerStats{c.messages.Load(), c.events.Load(), c.doubles.Load(), c.refused.Load()}
}

// Run takes events until ctx ends. handle is called from one goroutine per partition,
// in the order of the host's publishing; a batch that comes again after a fault comes
// late. handle owns the delivery and may acknowledge it after it returns.
func (c *Consumer) Run(ctx context.Context, handle func(*Delivery)) error {
	var wg sync.WaitGroup
	for _, p := range c.cfg.Partitions {
		wg.Go(func() {
			c.reclaim(ctx, p)
			for ctx.Err() == nil {
				err := c.partition(ctx, p, handle)
				if ctx.Err() != nil {
					return
				}
				if log := c.hub.cfg.Log; log != nil {
					log.Warn("bus: partition interrupted, trying again", "partition", p, "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// reclaim makes the broker deliver at once, and in order, what a former life of a lone
// brain took and did not acknowledge, instead of after ackWait. A broker older than
// NATS 2.14 cannot: then it comes late.
func (c *Consumer) reclaim(ctx context.Context, p int) {
	if c.hub.cfg.Shared {
		return // another brain may hold it
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := c.hub.js.ResetConsumer(ctx, identity.EventsStream, consumerName(c.cfg.Group, p)); err != nil && c.hub.cfg.Log != nil {
		c.hub.cfg.Log.Info("bus: unacknowledged events will come late", "partition", p, "error", err)
	}
}

func (c *Consumer) partition(ctx context.Context, p int, handle func(*Delivery)) error {
	consumer, err := c.hub.partitionConsumer(ctx, c.cfg.Group, p)
	if err != nil {
		return err
	}
	options := []jetstream.PullMessagesOpt{jetstream.PullMaxMessagesWithBytesLimit(256, 8<<20), jetstream.PullExpiry(pullAlone)}
	if c.hub.cfg.Shared {
		options = []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(256), jetstream.PullExpiry(pullShared), jetstream.PullPriorityGroup(ownerGroup)}
	}
	messages, err := consumer.Messages(options...)
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			return err // the broker is away, or forgot the consumer: begin anew
		}
		if err != nil {
			return err
		}
		c.take(m, p, handle)
	}
}

// take turns a message into deliveries.
func (c *Consumer) take(m jetstream.Msg, p int, handle func(*Delivery)) {
	tenant, class, host, err := identity.ParseEventsSubject(m.Subject())
	var b Batch
	if err == nil {
		b, err = DecodeBatch(m.Data())
	}
	if err == nil && (identity.Position{Epoch: b.Epoch}).Class() != class {
		err = fmt.Errorf("%w: epoch %d is not of class %s", ErrBatch, b.Epoch, class)
	}
	if err != nil {
		c.refused.Add(1)
		if c.cfg.Refused != nil {
			c.cfg.Refused(tenant, host, err)
		}
		m.Term() // if this is lost it comes again and is refused again
		return
	}
	source := Source{tenant, host, b.Epoch}
	fresh, through, stored := c.cfg.Seen.add(source, &b)
	c.doubles.Add(uint64(len(b.Events)))
	if len(fresh) == 0 {
		if stored {
			m.Ack()
		} else {
			// Its first delivery is still being stored: look again when that is surely done.
			m.NakWithDelay(ackWait)
		}
		return
	}
	s := &settle{msg: m}
	s.open.Store(int32(len(fresh)))
	var arrived time.Time
	if meta, err := m.Metadata(); err == nil {
		arrived = meta.Timestamp
	}
	for _, f := range fresh {
		part := Batch{Epoch: b.Epoch, FirstSeq: f.From, Events: b.Events[f.From-b.FirstSeq : f.To-b.FirstSeq+1]}
		if f.From == b.FirstSeq {
			part.Skipped = b.Skipped
		}
		n := uint64(len(part.Events))
		c.events.Add(n)
		c.doubles.Add(-n)
		handle(&Delivery{
			Tenant: tenant, Host: host, Class: class, Batch: part, Partition: p, Arrived: arrived,
			Through: identity.Position{Epoch: b.Epoch, Seq: through},
			settle:  s, source: source, seen: c.cfg.Seen,
		})
	}
	c.messages.Add(1)
}
