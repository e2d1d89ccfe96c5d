// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Done receives every result of a Queue, from its one goroutine: what it does
// holds up the queue. err as of Judge.Path.
type Done func(r Result, err error)

// QueueStats counts since start.
type QueueStats struct {
	Submitted, Judged, Failed, Merged, Dropped uint64
	Waiting                                    int
	Waits                                      uint64        // times the CPU quota made it wait
	Waited, Busy                               time.Duration // wall time waited for quota; CPU time used
}

// Queue judges files in the background within a CPU quota: 10 % of a core by
// default, with a second of credit, so that a burst of small files is judged
// at once and a tree of large ones slowly. Files that were just written go
// before those a sweep found. A path that already waits is not added again;
// when the queue is full, what comes is dropped and counted.
type Queue struct {
	judge *Judge
	done  Done

	mu      sync.Mutex // guards pending
	pending map[string]bool
	live    chan string
	sweep   chan string

	bucket                                           bucket
	submitted, judged, failed, merged, dropped, busy atomic.Uint64
	waits, waited                                    atomic.Uint64
}

// NewQueue builds a queue; Run works it.
func NewQueue(j *Judge, done Done) *Queue {
	return &Queue{
		judge: j, done: done, pending: map[string]bool{},
		live: make(chan string, j.cfg.QueueMax), sweep: make(chan string, j.cfg.QueueMax),
		bucket: bucket{share: j.cfg.CPU, credit: time.Second, most: time.Second},
	}
}

// Submit adds a path; live says that it was just written rather than found.
// It never blocks and reports false when the path was dropped.
func (q *Queue) Submit(path string, live bool) bool {
	q.submitted.Add(1)
	lane := q.sweep
	if live {
		lane = q.live
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending[path] {
		q.merged.Add(1)
		return true
	}
	select {
	case lane <- path:
		q.pending[path] = true
		return true
	default:
		q.dropped.Add(1)
		return false
	}
}

// Run judges until ctx ends. It holds one thread, whose CPU time it measures.
func (q *Queue) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	refresh := time.NewTicker(5 * time.Second)
	defer refresh.Stop()
	for {
		path, ok := q.next(ctx, refresh.C)
		if !ok {
			return ctx.Err()
		}
		if path == "" {
			continue
		}
		q.mu.Lock()
		delete(q.pending, path) // from here on a new write is a new look
		q.mu.Unlock()
		before := threadCPU()
		r, err := q.judge.Path(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			q.failed.Add(1)
		} else {
			q.judged.Add(1)
		}
		q.done(r, err)
		if !q.pay(ctx, threadCPU()-before) {
			return ctx.Err()
		}
	}
}

// next takes a live path if there is one. An empty path is a turn without work.
func (q *Queue) next(ctx context.Context, refresh <-chan time.Time) (string, bool) {
	select {
	case p := <-q.live:
		return p, true
	default:
	}
	select {
	case <-ctx.Done():
		return "", false
	case p := <-q.live:
		return p, true
	case p := <-q.sweep:
		return p, true
	case <-refresh:
		// An error leaves the old manifest in place and is counted there.
		_, _ = q.judge.known.Refresh()
		return "", true
	}
}

// pay waits until the quota allows more work.
func (q *Queue) pay(ctx context.Context, used time.Duration) bool {
	q.busy.Add(uint64(max(used, 0)))
	wait := q.bucket.spend(used, time.Now())
	if wait <= 0 {
		return true
	}
	q.waits.Add(1)
	q.waited.Add(uint64(wait))
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Stats counts since start.
func (q *Queue) Stats() QueueStats {
	return QueueStats{
		Submitted: q.submitted.Load(), Judged: q.judged.Load(), Failed: q.failed.Load(), Merged: q.merged.Load(),
		Dropped: q.dropped.Load(), Waiting: len(q.live) + len(q.sweep), Waits: q.waits.Load(),
		Waited: time.Duration(q.waited.Load()), Busy: time.Duration(q.busy.Load()),
	}
}

func (s QueueStats) String() string {
	return fmt.Sprintf("%d judged, %d failed, %d waiting, %d merged, %d dropped; %v CPU, waited %v for quota",
		s.Judged, s.Failed, s.Waiting, s.Merged, s.Dropped, s.Busy, s.Waited)
}

// bucket is a token bucket of CPU time: share of a core flows in, most is
// what it holds. For one goroutine.
type bucket struct {
	share        float64
	credit, most time.Duration
	last         time.Time
}

// spend takes used out at time now and tells how long to wait until the
// bucket is no longer in debt.
func (b *bucket) spend(used time.Duration, now time.Time) time.Duration {
	if !b.last.IsZero() && now.After(b.last) {
		b.credit = min(b.most, b.credit+time.Duration(float64(now.Sub(b.last))*b.share))
	}
	b.last = now
	b.credit -= used
	if b.credit >= 0 {
		return 0
	}
	return time.Duration(float64(-b.credit) / b.share)
}

// threadCPU is the CPU time of the calling thread.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
