// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// Reader reads one class from the oldest event that is not stored. Bulk events appear
// when they are synced, precious ones when they are appended; while the disk fails,
// both do. One goroutine at a time may call Next; Rewind any.
type Reader struct {
	q      *queue
	rewind atomic.Bool

	at     identity.Position // of the next event, or one at or before it
	expect identity.Position // behind the last that was given; zero: nothing was
	file   *os.File          // of the segment read last
	path   string            // of file
	seq    uint64            // of the record at off
	off    int64             // in file
	buf    []byte
	events [][]byte
	gave   time.Time // when Next last gave some
}

// An event that comes alone is given at once. Where events were given a moment ago more
// come with this one (sensors emit in bursts), and are gathered into one batch.
const (
	gatherWithin = 250 * time.Millisecond
	gatherFor    = 2 * time.Millisecond
)

// Reader makes a reader of one class. Close it.
func (s *Spool) Reader(class identity.Class) *Reader { return &Reader{q: s.queues[class]} }

// Rewind makes Next begin again at the oldest event that is not stored. A Next that
// waits begins anew.
func (r *Reader) Rewind() {
	r.rewind.Store(true)
	r.q.mu.Lock()
	r.q.announce()
	r.q.mu.Unlock()
}

// Close frees the open file. Next must not be called after it.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Next waits for events and returns as many as there are, at most maxEvents and, beyond
// the first, maxBytes of them: consecutive, the first at position at. skipped is how
// many sequences of the epoch right before at will never come, because they were stored
// and trimmed, or are lost. The events are valid until the next call. A closed spool
// gives what it has and then ErrClosed.
func (r *Reader) Next(ctx context.Context, maxEvents, maxBytes int) (at identity.Position, skipped uint64, events [][]byte, err error) {
	for {
		if r.rewind.Swap(false) {
			r.at, r.expect = identity.Position{}, identity.Position{}
		}
		r.q.mu.Lock()
		seg, changed, closed := r.find(maxEvents, maxBytes)
		r.q.mu.Unlock()
		if seg != nil {
			if err := r.readSegment(*seg, maxEvents, maxBytes); err != nil {
				if err := r.damaged(seg, err); err != nil {
					return at, 0, nil, err
				}
				continue
			}
		}
		if len(r.events) > 0 {
			return r.give()
		}
		if closed {
			return at, 0, nil, ErrClosed
		}
		select {
		case <-ctx.Done():
			return at, 0, nil, ctx.Err()
		case <-changed:
		}
		if r.q.class == identity.Precious && time.Since(r.gave) < gatherWithin {
			time.Sleep(gatherFor)
		}
	}
}

// give hands out r.events, which begin at r.at.
func (r *Reader) give() (at identity.Position, skipped uint64, events [][]byte, err error) {
	r.gave = time.Now()
	skipped = r.at.Seq - 1
	if r.expect.Epoch == r.at.Epoch {
		skipped = r.at.Seq - r.expect.Seq
	}
	at = r.at
	r.at.Seq += uint64(len(r.events))
	r.expect = r.at
	return at, skipped, r.events, nil
}

// find sets r.at to the next event and returns the segment that has it (a copy), or
// fills r.events from memory, or neither; q.mu is held.
func (r *Reader) find(maxEvents, maxBytes int) (seg *segment, changed chan struct{}, closed bool) {
	q := r.q
	r.events = r.events[:0]
	for _, s := range q.segments {
		at := max(s.first, q.trimmed[s.epoch]+1)
		if s.epoch == r.at.Epoch {
			at = max(at, r.at.Seq)
		}
		if s.epoch >= r.at.Epoch && at < s.end() {
			r.at = identity.Position{Epoch: s.epoch, Seq: at}
			c := *s
			return &c, nil, false
		}
	}
	if q.class == identity.Precious || q.diskErr != nil {
		r.readPending(maxEvents, maxBytes)
	}
	return nil, q.await(), q.closed
}

// readPending copies from what waits for the disk; q.mu is held.
func (r *Reader) readPending(maxEvents, maxBytes int) {
	q := r.q
	at := q.trimmed[q.epoch] + 1
	if r.at.Epoch == q.epoch {
		at = max(at, r.at.Seq)
	}
	r.buf = r.buf[:0]
	size := 0
	for _, c := range q.pending {
		if at >= c.first+c.count {
			continue
		}
		if len(r.events) == 0 {
			at = max(at, c.first)
			r.at = identity.Position{Epoch: q.epoch, Seq: at}
		}
		rest := c.data
		for seq := c.first; seq < c.first+c.count; seq++ {
			var event []byte
			event, rest, _ = nextRecord(rest) // ours, in memory
			if seq < at {
				continue
			}
			if len(r.events) >= maxEvents || len(r.events) > 0 && size+len(event) > maxBytes {
				return
			}
			size += len(event)
			start := len(r.buf)
			r.buf = append(r.buf, event...) // a buffer that moves leaves older slices as they are
			r.events = append(r.events, r.buf[start:len(r.buf):len(r.buf)])
			at = seq + 1
		}
	}
}

// readSegment fills r.events from the record at r.at.
func (r *Reader) readSegment(s segment, maxEvents, maxBytes int) error {
	if r.path != s.path || r.seq > r.at.Seq {
		if err := r.open(s); err != nil {
			return err
		}
	}
	want := maxBytes + recordHead*maxEvents
	for {
		n := min(int64(want), s.size-r.off)
		if int64(cap(r.buf)) < n {
			r.buf = make([]byte, n)
		}
		r.buf = r.buf[:n]
		if _, err := r.file.ReadAt(r.buf, r.off); err != nil {
			return err
		}
		rest, size := r.buf, 0
		for len(rest) > 0 {
			event, next, err := nextRecord(rest)
			if errors.Is(err, errShort) && n < s.size-r.off {
				break // the buffer ends here, not the segment
			}
			if err != nil {
				if len(r.events) > 0 {
					return nil // give the good ones first
				}
				return err
			}
			if r.seq >= r.at.Seq {
				if len(r.events) >= maxEvents || len(r.events) > 0 && size+len(event) > maxBytes {
					return nil
				}
				r.events = append(r.events, event)
				size += len(event)
			}
			r.off += int64(len(rest) - len(next))
			r.seq++
			n -= int64(len(rest) - len(next))
			rest = next
		}
		if len(r.events) > 0 || r.off >= s.size {
			return nil
		}
		if len(rest) == len(r.buf) {
			want = recordHead + MaxEvent // a single record is longer than the buffer
		}
	}
}

func (r *Reader) open(s segment) error {
	if r.file != nil {
		r.file.Close()
		r.file, r.path = nil, ""
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	r.file, r.path, r.seq, r.off = f, s.path, s.first, headerBytes
	return nil
}

// damaged books the rest of a segment that does not read back as lost and ends the
// segment there. A segment that was trimmed meanwhile is no damage; one that cannot be
// opened for another reason than that it is gone may be well, and is an error.
func (r *Reader) damaged(seg *segment, cause error) error {
	opened := r.path == seg.path
	r.path = ""
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.segments {
		if s.path != seg.path {
			continue
		}
		gone := errors.Is(cause, os.ErrNotExist)
		if s.active || !opened && !gone {
			return fmt.Errorf("read %s spool at %s: %w", q.class, r.at, cause)
		}
		from := r.at.Seq
		if opened {
			from = r.seq
		}
		if from >= s.end() {
			return nil
		}
		q.spool.losses.add(q.class, LossCorrupt, s.end()-from, time.Now())
		s.count = from - s.first
		return nil
	}
	return nil
}
