// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// Bounds of what is on its way: enough for 50,000 events a second at 100 ms to the
// broker and back, and no more memory than a lane should cost.
const (
	maxWindow      = 64
	maxWindowBytes = 4 << 20
)

// lane publishes one class in order: send reads and publishes, settle waits for the
// broker's answers in the same order and, on a fault, publishes the whole window again
// with the same batch ids, so that the broker drops what it has.
type lane struct {
	p       *Publisher
	class   identity.Class
	subject string
	reader  Reader
	room    chan struct{} // a hint that the window has shrunk
	more    chan struct{} // a hint that the window has grown

	mu     sync.Mutex // guards what follows, and the order of publishing
	window []*flight
	bytes  int
	broken bool // a publish failed: only settle publishes until the window is sent again

	lastStream uint64 // the highest stream sequence that was acknowledged
	taken      identity.Position
	stored     identity.Position
	progress   time.Time     // when stored last moved, or taken went ahead of it
	patience   time.Duration // until the unstored is sent again
}

// flight is a batch on its way.
type flight struct {
	id     string
	data   []byte
	events int
	last   identity.Position
	answer jetstream.PubAckFuture // nil: could not be published
}

func newLane(p *Publisher, class identity.Class, reader Reader) *lane {
	a := p.link.agent
	return &lane{
		p: p, class: class, subject: identity.EventsSubject(a.Tenant, class, a.Host), reader: reader,
		room: make(chan struct{}, 1), more: make(chan struct{}, 1), patience: p.cfg.Resend,
	}
}

func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send reads the spool, which gathers what comes in bursts, and publishes.
func (l *lane) send(ctx context.Context) error {
	a := l.p.link.agent
	for {
		at, skipped, events, err := l.reader.Next(ctx, MaxBatchEvents, MaxBatchBytes)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s spool: %w", l.class, err)
		}
		b := Batch{Epoch: at.Epoch, FirstSeq: at.Seq, Skipped: skipped, Events: events}
		data, err := b.Encode(nil)
		if err != nil {
			return err
		}
		f := &flight{
			id:   fmt.Sprintf("%s/%s/%d/%d-%d", a.Tenant, a.Host, at.Epoch, at.Seq, b.Last().Seq),
			data: data, events: len(events), last: b.Last(),
		}
		if !l.waitRoom(ctx, len(data)) {
			return nil
		}
		l.mu.Lock()
		l.window = append(l.window, f)
		l.bytes += len(data)
		if !l.broken {
			l.publish(f)
		}
		l.mu.Unlock()
		hint(l.more)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// waitRoom waits until n more bytes may be on their way; false if ctx ended.
func (l *lane) waitRoom(ctx context.Context, n int) bool {
	for {
		l.mu.Lock()
		fits := len(l.window) < maxWindow && (l.bytes+n <= maxWindowBytes || l.bytes == 0)
		l.mu.Unlock()
		if fits {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-l.room:
		}
	}
}

// publish sends a batch; l.mu is held.
func (l *lane) publish(f *flight) bool {
	m := &nats.Msg{Subject: l.subject, Data: f.data, Header: nats.Header{}}
	var err error
	// No retries in the library: they would overtake.
	f.answer, err = l.p.link.js.PublishMsgAsync(m, jetstream.WithMsgID(f.id), jetstream.WithRetryAttempts(0))
	if err != nil {
		f.answer, l.broken = nil, true
	}
	return err == nil
}

// settle waits for the broker's answer to the oldest batch.
func (l *lane) settle(ctx context.Context) error {
	const least, most = 50 * time.Millisecond, 5 * time.Second
	backoff := least
	for {
		l.mu.Lock()
		var f *flight
		var answer jetstream.PubAckFuture
		if len(l.window) > 0 {
			f = l.window[0]
			answer = f.answer
		}
		l.mu.Unlock()
		if f == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-l.more:
			}
			continue
		}
		if answer != nil {
			select {
			case <-ctx.Done():
				return nil
			case ack := <-answer.Ok():
				l.landed(f, ack)
				backoff = least
				continue
			case err := <-answer.Err():
				l.p.link.warn("batch not taken, sending again", err)
			}
		}
		l.p.refused.Add(1)
		l.mu.Lock()
		l.broken = true
		l.mu.Unlock()
		sleep(ctx, backoff)
		if ctx.Err() != nil {
			return nil
		}
		backoff = min(2*backoff, most)
		l.again()
	}
}

// landed takes an acknowledged batch out of the window.
func (l *lane) landed(f *flight, ack *jetstream.PubAck) {
	l.p.batches.Add(1)
	l.p.events.Add(uint64(f.events))
	l.p.bytes.Add(uint64(len(f.data)))
	l.mu.Lock()
	l.window = l.window[1:]
	l.bytes -= len(f.data)
	if !l.stored.Less(l.taken) {
		l.progress = time.Now()
	}
	if l.taken.Less(f.last) {
		l.taken = f.last
	}
	// A stream whose sequence falls back has lost what it had acknowledged.
	fell := !ack.Duplicate && ack.Sequence <= l.lastStream
	if !ack.Duplicate {
		l.lastStream = ack.Sequence
	}
	l.mu.Unlock()
	if fell {
		l.rewind()
	}
	hint(l.room)
}

// again publishes the whole window anew, oldest first.
func (l *lane) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
	for _, f := range l.window {
		l.p.again.Add(1)
		if !l.publish(f) {
			return
		}
	}
}

func (l *lane) rewind() {
	l.p.rewinds.Add(1)
	l.reader.Rewind()
}

// noteStored notes how far the archive is.
func (l *lane) noteStored(at identity.Position, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stored.Less(at) {
		l.stored, l.progress, l.patience = at, now, l.p.cfg.Resend
	}
}

// resendUnstored rewinds when the broker took events long ago that are not stored.
func (l *lane) resendUnstored(now time.Time) {
	l.mu.Lock()
	late := l.stored.Less(l.taken) && now.Sub(l.progress) > l.patience
	if late {
		l.progress = now
		l.patience = min(2*l.patience, max(time.Hour, l.p.cfg.Resend))
	}
	l.mu.Unlock()
	if late {
		l.rewind()
	}
}
