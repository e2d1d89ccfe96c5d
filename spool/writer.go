// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// run is the group commit of one class: it writes what waits, syncs, and waits again.
func (q *queue) run(ctx context.Context) {
	interval := q.spool.cfg.PreciousSync
	if q.class != 0 {
		interval = q.spool.cfg.BulkSync
	}
	const least, most = 100 * time.Millisecond, 2 * time.Second
	backoff := least
	var last time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-q.dirty:
		}
		// Precious leaves at once unless the last sync was just now; bulk always gathers.
		wait := interval
		if q.class == 0 {
			wait -= time.Since(last)
		}
		q.wait(ctx, wait, q.hurry)
		last = time.Now()
		if q.flush() == nil {
			backoff = least
			continue
		}
		q.wait(ctx, backoff, nil)
		backoff = min(2*backoff, most)
		hint(q.dirty)
	}
}

func (q *queue) wait(ctx context.Context, d time.Duration, hurry chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-hurry:
	case <-t.C:
	}
}

// flush writes and syncs all that waits. On any error the segment is cut back to what
// was synced and closed, and the same events are written to a new one next time: after
// a failed fsync the kernel may have dropped what it failed to write.
func (q *queue) flush() error {
	q.mu.Lock()
	if q.diskErr != nil {
		q.forgetStored()
	}
	batch := slices.Clone(q.pending)
	for _, c := range batch {
		c.frozen = true
	}
	q.mu.Unlock()
	for len(batch) > 0 {
		n, err := q.write(batch)
		if err != nil {
			q.abandon()
			q.mu.Lock()
			q.diskErr = fmt.Errorf("write %s spool: %w", q.class, err)
			q.count.SyncErrors++
			q.announce()
			err = q.diskErr
			q.mu.Unlock()
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// forgetStored drops what waits and was stored meanwhile, so that an agent whose disk is
// full goes on as long as its brain is there; q.mu is held.
func (q *queue) forgetStored() {
	for len(q.pending) > 0 {
		c := q.pending[0]
		if c.first+c.count-1 > q.trimmed[q.epoch] {
			return
		}
		q.pending = q.pending[1:]
		q.pendingBytes -= len(c.data)
		q.spool.used.Add(-int64(len(c.data)))
		q.announce() // sync waits for it
	}
}

// write puts the first chunks that fit one segment on disk, and returns how many.
func (q *queue) write(batch []*chunk) (int, error) {
	if a := q.active; a != nil && (a.size >= q.spool.cfg.SegmentBytes || a.end() != batch[0].first) {
		q.seal()
	}
	if q.active == nil {
		if err := q.begin(batch[0].first); err != nil {
			return 0, err
		}
	}
	var size int64
	var records uint64
	n := 0
	for n < len(batch) && (n == 0 || q.active.size+size < q.spool.cfg.SegmentBytes) {
		if _, err := q.file.WriteAt(batch[n].data, q.active.size+size); err != nil {
			return 0, err
		}
		size += int64(len(batch[n].data))
		records += batch[n].count
		n++
	}
	if err := unix.Fdatasync(int(q.file.Fd())); err != nil {
		return 0, os.NewSyscallError("fdatasync", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active.size += size
	q.active.count += records
	for _, c := range q.pending[:n] {
		if len(q.spare) < maxSpare && cap(c.data) <= 2*chunkBytes {
			q.spare = append(q.spare, c.data[:0])
		}
	}
	q.pending = slices.Delete(q.pending, 0, n)
	q.pendingBytes -= int(size)
	q.diskErr = nil
	q.count.Syncs++
	q.announce()
	return n, nil
}

// begin makes a segment and its header durable.
func (q *queue) begin(first uint64) error {
	path := segmentPath(q.dir, q.epoch, first)
	// O_TRUNC: a try before this one may have left a file without a synced record.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(encodeHeader(q.class, q.epoch, first, time.Now()))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(q.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	q.spool.used.Add(headerBytes)
	q.file = f
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active = &segment{path: path, epoch: q.epoch, first: first, size: headerBytes, active: true}
	q.segments = append(q.segments, q.active)
	return nil
}

// seal closes the active segment and lets trim have it.
func (q *queue) seal() error {
	if q.active == nil {
		return nil
	}
	err := q.file.Close()
	q.mu.Lock()
	s := q.active
	s.active = false
	stored := s.count == 0 || s.end() <= q.trimmed[s.epoch]+1
	if stored {
		q.segments = slices.DeleteFunc(q.segments, func(o *segment) bool { return o == s })
	}
	q.file, q.active = nil, nil
	q.mu.Unlock()
	if stored {
		q.spool.used.Add(-s.size)
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

// abandon cuts the active segment back to what is synced and closes it.
func (q *queue) abandon() {
	if q.active == nil {
		return
	}
	q.file.Truncate(q.active.size) // if this fails too, recovery cuts the rest off
	q.seal()                       // an empty one is removed
}

// close writes what waits, if the disk lets it, and closes.
func (q *queue) close() error {
	err := q.flush()
	err = errors.Join(err, q.seal())
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.announce()
	return err
}
