// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"
)

// mergeRest is how long merging pauses after it failed: on a full disk each try would
// read and write a million rows for nothing.
const mergeRest = 30 * time.Second

// maintain removes what has had its grace, expires what is too old or too much, and
// merges small segments.
func (t *tenant) maintain(ctx context.Context) error {
	now := t.store.cfg.Now()
	t.bury(now)
	if err := t.expire(now); err != nil {
		return fmt.Errorf("expire segments of tenant %s: %w", t.name, typed(err))
	}
	if now.Before(t.rest) {
		return nil
	}
	for {
		group := choose(t.segments(), t.store.cfg, now)
		if len(group) == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := t.merge(ctx, group); err != nil {
			t.rest = now.Add(mergeRest)
			return fmt.Errorf("merge %d segments of tenant %s: %w", len(group), t.name, typed(err))
		}
	}
}

// bury removes replaced files whose grace has passed.
func (t *tenant) bury(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers > 0 {
		return
	}
	t.doomed = slices.DeleteFunc(t.doomed, func(d doomed) bool {
		if now.Sub(d.at) < t.store.cfg.Grace {
			return false
		}
		os.Remove(d.file)
		return true
	})
}

// drop commits r and lets the files of gone go after the grace.
func (t *tenant) drop(r *record, gone []Segment) (wrote bool, err error) {
	for _, g := range gone {
		r.Del = append(r.Del, g.Path())
	}
	if wrote, err = t.commit(r); err != nil {
		return wrote, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range gone {
		t.doomed = append(t.doomed, doomed{t.file(g), t.store.cfg.Now()})
	}
	return false, nil
}

// expire drops segments past MaxAge (by when they were stored, so that no host's
// clock can keep or lose its events), then the oldest until MaxBytes holds.
func (t *tenant) expire(now time.Time) error {
	segs := t.segments()
	slices.SortFunc(segs, func(a, b Segment) int { return cmp.Compare(a.MadeNs, b.MadeNs) })
	var total int64
	for _, g := range segs {
		total += g.Bytes
	}
	var gone []Segment
	for _, g := range segs {
		old := t.store.cfg.MaxAge > 0 && now.Sub(time.Unix(0, g.MadeNs)) > t.store.cfg.MaxAge
		much := t.store.cfg.MaxBytes > 0 && total > t.store.cfg.MaxBytes
		if old || much {
			gone = append(gone, g)
			total -= g.Bytes
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if _, err := t.drop(&record{}, gone); err != nil {
		return err
	}
	for _, g := range gone {
		t.store.Stats.ExpiredSegments.Add(1)
		t.store.Stats.ExpiredBytes.Add(uint64(g.Bytes))
		t.store.Stats.ExpiredRows.Add(uint64(g.Rows))
	}
	return nil
}

const day = int64(24 * time.Hour)

// choose picks segments to merge: FanIn of one level, table and day; or all the small
// ones of a day that ended over two hours ago. Segments of MaxRows grow no more.
func choose(segs []Segment, cfg Config, now time.Time) []Segment {
	type bucket struct {
		table Table
		day   int64
		level int // -1: the day is over, all levels together
	}
	groups := map[bucket][]Segment{}
	for _, g := range segs {
		if g.Rows >= cfg.MaxRows*3/4 {
			continue
		}
		b := bucket{g.Table, g.MadeNs / day, g.Level}
		if now.UnixNano() > (b.day+1)*day+int64(2*time.Hour) {
			b.level = -1
		}
		groups[b] = append(groups[b], g)
	}
	var best []Segment
	for b, group := range groups {
		slices.SortFunc(group, func(x, y Segment) int { return cmp.Compare(x.MadeNs, y.MadeNs) })
		need := cfg.FanIn
		if b.level < 0 {
			need = 2
		}
		if len(group) < need {
			continue
		}
		group = upTo(group, cfg.MaxRows, 8*cfg.FanIn)
		// The group that saves most files first; names break ties so that the choice is the same every time.
		if len(group) >= 2 && (len(group) > len(best) || len(group) == len(best) && group[0].Path() < best[0].Path()) {
			best = group
		}
	}
	return best
}

// upTo takes from the front while rows and count stay within bounds.
func upTo(group []Segment, maxRows int64, most int) []Segment {
	var rows int64
	for i, g := range group {
		if rows += g.Rows; i >= most || (i >= 2 && rows > maxRows) {
			return group[:i]
		}
	}
	return group
}

// merge writes the rows of group, in order, as one segment of the next level.
func (t *tenant) merge(ctx context.Context, group []Segment) error {
	if group[0].Table == Edges {
		return mergeInto(ctx, t, edgesTable, group)
	}
	return mergeInto(ctx, t, eventsTable, group)
}

func mergeInto[T any](ctx context.Context, t *tenant, tab table[T], group []Segment) error {
	level, made := 0, int64(0)
	for _, g := range group {
		level, made = max(level, g.Level+1), max(made, g.MadeNs)
	}
	var failed error
	seg, err := tab.write(t, merged(ctx, t, tab, group, &failed), made, level)
	if err == nil {
		err = failed
	}
	var wrote bool
	if err == nil {
		wrote, err = t.drop(&record{Add: []Segment{seg}}, group)
	}
	if err != nil {
		if !wrote {
			os.Remove(t.file(seg))
		}
		return err
	}
	t.store.Stats.Merges.Add(1)
	t.store.Stats.MergedRows.Add(uint64(seg.Rows))
	return nil
}

// merged yields the rows of sorted segments in order, with one read buffer per segment.
func merged[T any](ctx context.Context, t *tenant, tab table[T], group []Segment, failed *error) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		h := &mergeHeap[T]{compare: tab.compare}
		defer func() {
			for _, c := range h.cursors {
				c.stop()
			}
		}()
		for _, g := range group {
			next, stop := iter.Pull2(tab.read(t.file(g), nil))
			c := &cursor[T]{next: next, stop: stop}
			if ok, err := c.advance(); err != nil {
				*failed = err
				stop()
				return
			} else if ok {
				h.cursors = append(h.cursors, c)
			} else {
				stop()
			}
		}
		heap.Init(h)
		for n := 0; len(h.cursors) > 0; n++ {
			if n%4096 == 0 && ctx.Err() != nil {
				*failed = ctx.Err()
				return
			}
			c := h.cursors[0]
			if !yield(c.row) {
				return
			}
			ok, err := c.advance()
			switch {
			case err != nil:
				*failed = err
				return
			case ok:
				heap.Fix(h, 0)
			default:
				c.stop()
				heap.Pop(h)
			}
		}
	}
}

type cursor[T any] struct {
	row  *T
	next func() (*T, error, bool)
	stop func()
}

func (c *cursor[T]) advance() (bool, error) {
	r, err, ok := c.next()
	if !ok || err != nil {
		return false, err
	}
	c.row = r
	return true, nil
}

type mergeHeap[T any] struct {
	cursors []*cursor[T]
	compare func(a, b *T) int
}

func (h *mergeHeap[T]) Len() int { return len(h.cursors) }
func (h *mergeHeap[T]) Less(i, j int) bool {
	return h.compare(h.cursors[i].row, h.cursors[j].row) < 0
}
func (h *mergeHeap[T]) Swap(i, j int) { h.cursors[i], h.cursors[j] = h.cursors[j], h.cursors[i] }
func (h *mergeHeap[T]) Push(x any)    { h.cursors = append(h.cursors, x.(*cursor[T])) }
func (h *mergeHeap[T]) Pop() any {
	last := len(h.cursors) - 1
	c := h.cursors[last]
	h.cursors = h.cursors[:last]
	return c
}
