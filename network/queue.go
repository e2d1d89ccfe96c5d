// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// queue holds requests for the rules, in order, with a CPU quota behind it.
type queue struct {
	waiting chan *work
	share   float64 // of one core
	each    int     // places that one address may hold

	mu    sync.Mutex // guards holds
	holds map[netip.Addr]int

	dropped, busy, waited atomic.Uint64
}

func newQueue(places int, share float64) *queue {
	return &queue{waiting: make(chan *work, places), share: share, each: max(1, places/4), holds: map[netip.Addr]int{}}
}

// put adds a request or drops it. It never blocks.
func (q *queue) put(w *work) {
	from := source(w)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holds[from] >= q.each {
		q.dropped.Add(1)
		return
	}
	select {
	case q.waiting <- w:
		q.holds[from]++
	default:
		q.dropped.Add(1)
	}
}

func source(w *work) netip.Addr { return w.ev.GetHttp().GetRequest().GetFlow().Src().Addr() }

func (q *queue) took(w *work) {
	from := source(w)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holds[from]--; q.holds[from] <= 0 {
		delete(q.holds, from)
	}
}

// credit is the CPU time that a burst may use at once: at 1 to 3 ms a request, the
// requests of a page or of a scan are judged without delay.
const credit = 2 * time.Second

// run works the queue until ctx ends. It holds one thread, whose CPU time it measures.
func (q *queue) run(ctx context.Context, judge func(*work)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	have, last := credit, time.Now()
	for {
		var w *work
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w = <-q.waiting:
		}
		q.took(w)
		before := threadCPU()
		judge(w)
		used := threadCPU() - before
		q.busy.Add(uint64(max(used, 0)))
		now := time.Now()
		have = min(credit, have+time.Duration(float64(now.Sub(last))*q.share)) - used
		last = now
		if have >= 0 {
			continue
		}
		wait := time.Duration(float64(-have) / q.share)
		q.waited.Add(uint64(wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// threadCPU is the CPU time of the calling thread.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// quiet bounds the findings of one address, so that a scanner does not bury the rest.
type quiet struct {
	most int
	mu   sync.Mutex // guards told
	told map[netip.Addr]minute
}

type minute struct {
	from int64
	n    int
}

const addresses = 4096

// may tells whether one more finding of the address is told at a wall time.
func (q *quiet) may(from netip.Addr, wall int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.told == nil || len(q.told) >= addresses {
		q.told = map[netip.Addr]minute{}
	}
	m := q.told[from]
	if d := wall - m.from; m.n == 0 || d >= int64(time.Minute) || d < -int64(time.Minute) {
		m = minute{from: wall}
	}
	m.n++
	q.told[from] = m
	return m.n <= q.most
}
