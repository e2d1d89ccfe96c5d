// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/identity"
)

// chunkBytes is how much of what waits for the disk lies in one piece.
const chunkBytes = 64 << 10

// maxSpare is how many emptied chunks are kept for the next: 512 KiB.
const maxSpare = 8

// queue is one class of a spool.
type queue struct {
	spool *Spool
	class identity.Class
	dir   string
	dirty chan struct{} // a hint: something waits for the disk
	hurry chan struct{} // a hint: do not wait for the interval

	mu           sync.Mutex // guards what follows
	epoch, next  uint64     // position of the next event
	segments     []*segment // on disk, oldest first
	pending      []*chunk   // not synced, oldest first
	pendingBytes int
	spare        [][]byte          // emptied chunks, at most maxSpare
	trimmed      map[uint64]uint64 // by epoch: all up to it is stored
	changed      chan struct{}     // closed when there is more to read, or an answer for sync
	awaited      bool              // someone took changed since it was made
	diskErr      error             // of the last try; nil when it went well
	closed       bool
	count        Stats

	file   *os.File // of the active segment; only the goroutine of run uses it
	active *segment
}

// chunk is encoded records that wait for the disk.
type chunk struct {
	first  uint64
	count  uint64
	data   []byte
	frozen bool // being written: append to the next one
}

func newQueue(s *Spool, class identity.Class) *queue {
	return &queue{
		spool: s, class: class, dir: filepath.Join(s.cfg.Dir, class.String()),
		dirty: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		trimmed: make(map[uint64]uint64), changed: make(chan struct{}),
	}
}

func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// announce wakes readers and waiters; q.mu is held.
func (q *queue) announce() {
	if q.awaited {
		close(q.changed)
		q.changed, q.awaited = make(chan struct{}), false
	}
}

// await returns what announce will close; q.mu is held.
func (q *queue) await() chan struct{} {
	q.awaited = true
	return q.changed
}

// limit is how many bytes the spool may hold for this class to get more.
func (q *queue) limit() int64 {
	if q.class == identity.Bulk {
		return q.spool.cfg.MaxBytes - q.spool.cfg.PreciousReserve
	}
	return q.spool.cfg.MaxBytes
}

func (q *queue) append(events [][]byte) (first identity.Position, kept int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return first, 0, ErrClosed
	}
	first = identity.Position{Epoch: q.epoch, Seq: q.next}
	for i, e := range events {
		if reason := q.refuse(recordHead + len(e)); reason != "" {
			lost := uint64(len(events) - i)
			q.count.Dropped += lost
			q.spool.losses.add(q.class, reason, lost, time.Now())
			break
		}
		q.put(e)
		kept++
	}
	q.count.Appended += uint64(kept)
	if kept > 0 {
		if q.class == identity.Precious || q.diskErr != nil {
			q.announce()
		}
		hint(q.dirty)
		if q.pendingBytes > q.spool.cfg.MaxPending/8 {
			hint(q.hurry)
		}
	}
	return first, kept, nil
}

// refuse books n bytes, or says why there is no room for them; q.mu is held.
func (q *queue) refuse(n int) (reason string) {
	if q.pendingBytes+n > q.spool.cfg.MaxPending {
		if errors.Is(q.diskErr, unix.ENOSPC) || errors.Is(q.diskErr, unix.EDQUOT) {
			return LossDiskFull
		}
		return LossDisk
	}
	if q.spool.used.Add(int64(n)) > q.limit() {
		q.spool.used.Add(-int64(n))
		return LossFull
	}
	return ""
}

// put encodes an event behind what waits; q.mu is held.
func (q *queue) put(event []byte) {
	var c *chunk
	if n := len(q.pending); n > 0 {
		c = q.pending[n-1]
	}
	if c == nil || c.frozen || len(c.data)+recordHead+len(event) > chunkBytes {
		c = &chunk{first: q.next}
		if n := len(q.spare); n > 0 {
			c.data, q.spare = q.spare[n-1], q.spare[:n-1]
		}
		q.pending = append(q.pending, c)
	}
	before := len(c.data)
	c.data = appendRecord(c.data, event)
	c.count++
	q.pendingBytes += len(c.data) - before
	q.next++
}

func (q *queue) trim(p identity.Position) error {
	q.mu.Lock()
	if p.Epoch > q.epoch || p.Epoch == q.epoch && p.Seq >= q.next {
		q.mu.Unlock()
		return fmt.Errorf("trim %s spool at %s, which is at %d/%d: %w", q.class, p, q.epoch, q.next, ErrBeyond)
	}
	known := p.Epoch == q.epoch
	var keep, gone []*segment
	for _, s := range q.segments {
		known = known || s.epoch == p.Epoch
		if s.epoch == p.Epoch && !s.active && s.end() <= p.Seq+1 {
			gone = append(gone, s)
		} else {
			keep = append(keep, s)
		}
	}
	if known {
		q.segments = keep
		q.trimmed[p.Epoch] = max(q.trimmed[p.Epoch], p.Seq)
		for epoch := range q.trimmed {
			if epoch != q.epoch && (len(keep) == 0 || epoch < keep[0].epoch) {
				delete(q.trimmed, epoch)
			}
		}
	}
	q.mu.Unlock()
	var err error
	for _, s := range gone {
		if rerr := os.Remove(s.path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		q.spool.used.Add(-s.size)
	}
	return err
}

// sync waits until all that was appended is on disk, or stored.
func (q *queue) sync(ctx context.Context) error {
	q.mu.Lock()
	target, tries := q.next, q.count.Syncs+q.count.SyncErrors
	for {
		if len(q.pending) == 0 || q.pending[0].first >= target {
			q.mu.Unlock()
			return nil
		}
		// A try that was under way when we came may not have had our events.
		if q.diskErr != nil && q.count.Syncs+q.count.SyncErrors > tries+1 {
			defer q.mu.Unlock()
			return q.diskErr
		}
		if q.closed {
			q.mu.Unlock()
			return ErrClosed
		}
		changed := q.await()
		q.mu.Unlock()
		hint(q.dirty)
		hint(q.hurry)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		q.mu.Lock()
	}
}

func (q *queue) stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.count
	st.Pending, st.Segments, st.Epoch, st.Next, st.DiskError = q.pendingBytes, len(q.segments), q.epoch, q.next, q.diskErr
	for _, s := range q.segments {
		st.Disk += s.size
	}
	st.Waiting = q.next - 1 - q.trimmed[q.epoch]
	return st
}
