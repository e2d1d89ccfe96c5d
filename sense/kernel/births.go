// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"container/list"
	"sync"
	"time"

	"github.com/ringwall/ringwall/event"
)

// Descendant is a process that was born below another one.
type Descendant struct {
	PID     uint32
	StartNs uint64 // whole ticks since boot, as in events
	Under   uint32 // pid of the nearest above it that lives, or of the one that was asked for
}

type life struct {
	pid   uint32
	start uint64
}

// birth is one process and whom it made. Those that have ended stay while one below them
// lives: they are what leads to it.
type birth struct {
	life
	parent   *birth // nil: not known
	children map[*birth]struct{}
	ended    bool
	at       *list.Element // in one of the two lists
}

// births knows who made whom, also when those between have ended and /proc calls the
// child init's. It holds what lives and what leads to it; of more than max the longest
// unused go, the ended first, and their children count as their parent's. Safe for many
// goroutines.
type births struct {
	mu            sync.Mutex
	byLife        map[life]*birth
	living, ended *list.List // of *birth, the last used in front
	max           int        // measured: 184 bytes each of many children, 341 in a chain
	seen          uint64
	forgotten     uint64 // for want of room
}

func newBirths(limit int) *births {
	return &births{byLife: map[life]*birth{}, living: list.New(), ended: list.New(), max: limit}
}

func (t *births) get(l life) *birth {
	if b := t.byLife[l]; b != nil {
		if b.ended {
			t.ended.MoveToFront(b.at)
		} else {
			t.living.MoveToFront(b.at)
		}
		return b
	}
	b := &birth{life: l}
	b.at = t.living.PushFront(b)
	t.byLife[l] = b
	return b
}

// born takes a fork, or what /proc says of one before our time. Who has a parent keeps it.
func (t *births) born(parent, child life) {
	if parent.pid == 0 || child.pid == 0 || parent == child {
		return // one of them lies outside our pid namespace
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c, p := t.get(child), t.get(parent)
	if c.parent == nil && (len(c.children) == 0 || !p.below(c)) {
		c.under(p)
		t.seen++
	}
	for len(t.byLife) > max(t.max, 2) {
		oldest := t.ended.Back()
		if oldest == nil {
			oldest = t.living.Back()
		}
		t.forget(oldest.Value.(*birth))
		t.forgotten++
	}
}

// below guards against circles, which only records that are not true could make.
func (b *birth) below(top *birth) bool {
	for ; b != nil; b = b.parent {
		if b == top {
			return true
		}
	}
	return false
}

func (b *birth) under(p *birth) {
	b.parent = p
	if p == nil {
		return
	}
	if p.children == nil {
		p.children = map[*birth]struct{}{}
	}
	p.children[b] = struct{}{}
}

// forget takes one out; its children become its parent's.
func (t *births) forget(b *birth) {
	for c := range b.children {
		c.under(b.parent)
	}
	if b.parent != nil {
		delete(b.parent.children, b)
	}
	if b.ended {
		t.ended.Remove(b.at)
	} else {
		t.living.Remove(b.at)
	}
	delete(t.byLife, b.life)
}

// died keeps a process only for the sake of those below it.
func (t *births) died(l life) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.byLife[l]
	if b == nil || b.ended {
		return
	}
	t.living.Remove(b.at)
	b.ended, b.at = true, t.ended.PushFront(b)
	for b != nil && b.ended && len(b.children) == 0 {
		up := b.parent
		t.forget(b)
		b = up
	}
}

// descendants lists who lives below one, parents before their children.
func (t *births) descendants(l life) []Descendant {
	t.mu.Lock()
	defer t.mu.Unlock()
	top := t.byLife[l]
	if top == nil {
		return nil
	}
	type step struct {
		b     *birth
		under uint32
	}
	var out []Descendant
	for queue := []step{{top, l.pid}}; len(queue) > 0; queue = queue[1:] {
		for c := range queue[0].b.children {
			next := step{c, queue[0].under}
			if !c.ended {
				out = append(out, Descendant{c.pid, c.start, next.under})
				next.under = c.pid
			}
			queue = append(queue, next)
		}
	}
	return out
}

func (t *births) counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Counts{Seen: t.seen, Lost: t.forgotten}
}

// settleLong is the longest wait for records that lie in the ring. Reading is late only
// where the machine has no processor to spare.
const settleLong = time.Second

// Told waits, at most so long, until what the kernel had told when it was called is
// decoded and handed to Emit, and gives the boot time up to which all is, in ns. Safe for
// many goroutines.
func (s *Sensor) Told(most time.Duration) uint64 {
	s.settle(most)
	return s.seen.Load()
}

// settle waits until what the kernel had told when it was called is decoded.
func (s *Sensor) settle(most time.Duration) {
	now := event.BootNow()
	for end := time.Now().Add(most); s.seen.Load() < now && time.Now().Before(end); time.Sleep(time.Millisecond) {
		r := s.wake.Load()
		if r == nil {
			return // nothing more will be decoded
		}
		_ = r.Flush() // closed meanwhile: the next look says so
		select {
		case s.hurry <- struct{}{}:
		default:
		}
	}
}

// Lineage gives the living processes that descend from one by birth, whatever became of
// those between, parents before their children. It knows the births that the kernel told
// of before it was called, for which it may wait (at most settleLong), those
// of what ran when the sensor started, and at most MaxProcesses lives; Stats tells under
// "lineage" how many births were seen and how many lives were forgotten (Lost). start is
// the StartNs of an event's actor. Safe for many goroutines.
func (s *Sensor) Lineage(pid uint32, start uint64) []Descendant {
	s.settle(settleLong)
	return s.dec.births.descendants(life{pid, startNs(start)})
}
