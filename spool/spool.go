// SPDX-License-Identifier: Apache-2.0

// Package spool is the agent's bounded queue on disk. In go events as opaque bytes, in
// two classes; out come the same bytes in order, each with the position that is its id
// for ever, until the archive has stored them and Trim lets them go.
//
// It believes the disk only after fdatasync: that, and nothing earlier, is what
// "acknowledged" means. Precious events can be read before it, so that a slow disk does
// not delay an alert; this is safe because an id is never given twice: whenever the
// last run did not end cleanly, the epoch rises.
//
// When space runs out the newcomer is dropped, counted and told (Losses), never
// something older; bulk runs out first, because part of the space is for precious.
//
// Worst trap: Append never blocks and does not wait for the disk. What must survive a
// power cut from here on needs Sync. docs/formats/spool.md has the bytes.
package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/identity"
)

// MaxEvent is the longest event, in bytes.
const MaxEvent = 256 << 10

// Config of a spool; zero values take the defaults.
type Config struct {
	Dir             string        // of this spool alone; made 0700
	MaxBytes        int64         // on disk, both classes; default 512 MiB, at least 1 MiB
	PreciousReserve int64         // of MaxBytes, closed to bulk; default a quarter
	SegmentBytes    int64         // at which a segment is closed; default MaxBytes/64, 64 KiB to 8 MiB
	MaxPending      int           // bytes per class that wait for the disk; default 4 MiB
	PreciousSync    time.Duration // least time between two syncs; default 250 ms (readers do not wait for it): each costs some 300 us of CPU in a guest
	BulkSync        time.Duration // and of bulk; default 50 ms
}

// Validate fills in defaults and refuses what cannot be meant.
func (c *Config) Validate() error {
	if c.Dir == "" {
		return errors.New("spool: no folder given")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 512 << 20
	}
	if c.MaxBytes < 1<<20 {
		return fmt.Errorf("spool: max_bytes %d is under 1 MiB", c.MaxBytes)
	}
	if c.PreciousReserve == 0 {
		c.PreciousReserve = c.MaxBytes / 4
	}
	if c.PreciousReserve < 0 || c.PreciousReserve > c.MaxBytes {
		return fmt.Errorf("spool: precious_reserve %d is not within max_bytes %d", c.PreciousReserve, c.MaxBytes)
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = min(max(c.MaxBytes/64, 64<<10), 8<<20)
	}
	if c.MaxPending == 0 {
		c.MaxPending = 4 << 20
	}
	if c.PreciousSync == 0 {
		c.PreciousSync = 250 * time.Millisecond
	}
	if c.BulkSync == 0 {
		c.BulkSync = 50 * time.Millisecond
	}
	return nil
}

// Errors to test for with errors.Is.
var (
	ErrClosed = errors.New("spool is closed")
	ErrEvent  = errors.New("event is empty or too long")
	ErrBeyond = errors.New("watermark beyond what was ever spooled")
	ErrFormat = errors.New("spool was written by a newer version")
	ErrInUse  = errors.New("spool is in use by another process")
)

// Spool is an open spool. Safe for many goroutines.
type Spool struct {
	cfg    Config
	lock   *os.File
	used   atomic.Int64 // bytes on disk and on their way there
	queues [2]*queue
	losses lossBook

	closing sync.Once
	counter uint64 // of epochs; the class is added below it
}

// Open takes the folder, cuts torn tails off and begins a new epoch if the last run did
// not end cleanly. Nothing is written or synced until Run; Append and readers work.
func Open(cfg Config) (*Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Spool{cfg: cfg}
	if err := s.open(); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, fmt.Errorf("open spool %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func (s *Spool) open() error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(s.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	before, err := readState(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.counter = before.Counter
	for _, class := range identity.Classes {
		q := newQueue(s, class)
		if err := q.recover(); err != nil {
			return err
		}
		s.queues[class] = q
		if n := len(q.segments); n > 0 {
			s.counter = max(s.counter, q.segments[n-1].epoch>>1)
		}
	}
	if !before.Clean {
		s.counter = nextCounter(s.counter)
	}
	for _, q := range s.queues {
		q.resume(s.counter, before)
	}
	return writeState(s.cfg.Dir, state{Counter: s.counter})
}

// Run writes and syncs until ctx ends, then does so once more, marks the folder as
// cleanly closed and gives it up. A disk that is full or failing is tried again for as
// long as it takes.
func (s *Spool) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, q := range s.queues {
		wg.Go(func() { q.run(ctx) })
	}
	wg.Wait()
	return s.Close()
}

// Close ends a spool whose Run was never called, or has returned. It may be called
// twice. Unwritten events are written if the disk lets them.
func (s *Spool) Close() (err error) {
	s.closing.Do(func() {
		after := state{Counter: s.counter, Clean: true, Trimmed: map[uint64]uint64{}, Closed: time.Now().UTC()}
		for _, q := range s.queues {
			err = errors.Join(err, q.close())
			for _, c := range q.pending {
				after.Lost[q.class] += c.count
				after.Clean = false // the ids of these are spent
			}
			after.Next[q.class] = q.next
			for epoch, seq := range q.trimmed {
				after.Trimmed[epoch] = seq
			}
		}
		err = errors.Join(err, writeState(s.cfg.Dir, after), s.lock.Close())
		if err != nil {
			err = fmt.Errorf("close spool %s: %w", s.cfg.Dir, err)
		}
	})
	return err
}

// Append takes events in order and gives them consecutive positions, the first of which
// it returns, and how many it kept: those behind kept were dropped for want of space
// and are told by Losses. It copies and never blocks. An event that is empty or over
// MaxEvent is an error, and then none is taken.
func (s *Spool) Append(class identity.Class, events ...[]byte) (first identity.Position, kept int, err error) {
	for i, e := range events {
		if len(e) == 0 || len(e) > MaxEvent {
			return first, 0, fmt.Errorf("spool %s event %d of %d bytes: %w", class, i, len(e), ErrEvent)
		}
	}
	return s.queues[class].append(events)
}

// Sync returns when everything appended before it is on disk, of both classes; or the
// disk's error if it tried and failed, with the events still waiting.
func (s *Spool) Sync(ctx context.Context) error {
	for _, q := range s.queues {
		if err := q.sync(ctx); err != nil {
			return fmt.Errorf("sync spool %s: %w", s.cfg.Dir, err)
		}
	}
	return nil
}

// Trim tells that everything of the position's epoch up to it is stored: it is given no
// more, and its segments are deleted once whole. Unknown and old epochs are ignored;
// a position beyond what was appended is refused with ErrBeyond.
func (s *Spool) Trim(p identity.Position) error {
	return s.queues[p.Class()].trim(p)
}

// Losses returns what was lost since it was last called, one window per class and
// reason. Put each on record as an event: loss is normal, silence about it is not.
func (s *Spool) Losses() []Loss { return s.losses.take() }

// Stats of one class.
type Stats struct {
	Appended, Dropped uint64 // events since the start
	Syncs, SyncErrors uint64
	Pending           int   // bytes that wait for the disk
	Disk              int64 // bytes of its segments
	Segments          int
	Epoch, Next       uint64 // the position that the next event gets
	Waiting           uint64 // events of this epoch that are not known to be stored
	DiskError         error  // why the last sync failed; nil when it did not
}

// Stats counts one class.
func (s *Spool) Stats(class identity.Class) Stats { return s.queues[class].stats() }
