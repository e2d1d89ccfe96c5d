// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

func (w *window) end() int64 { return w.opened + int64(w.rule.related.span) }

// total is the count of a window whose end decides.
func (w *window) total() int64 {
	if w.values != nil {
		return int64(len(w.values))
	}
	return w.count
}

func (w *window) match(at time.Time, first int64, refs []uint64, count int) Match {
	return Match{Rule: w.rule, At: at, First: time.Unix(0, first).UTC(), Group: w.group, Count: count, Refs: refs}
}

// feed adds an event to the window it belongs to, and says whether that completes a match.
func (s *Stream) feed(u use, st stamp, ev Fields) (Match, bool) {
	c := u.rule.related
	group, ok := values(ev, c.keys[u.place])
	if !ok {
		s.stats.Ungrouped++
		return Match{}, false
	}
	var value [16]byte
	if c.kind == "value_count" {
		vs, ok := values(ev, c.fields)
		if !ok {
			s.stats.Ungrouped++
			return Match{}, false
		}
		value = digest(vs)
	}
	w := s.window(u.rule, group, st)
	before := w.size
	refs, first, count, full := s.add(w, u.place, st, value)
	s.stats.Bytes += w.size - before
	if !full {
		return Match{}, false
	}
	s.drop(w)
	return w.match(time.Unix(0, st.t).UTC(), first, refs, count), true
}

func (s *Stream) add(w *window, place int, st stamp, value [16]byte) (refs []uint64, first int64, count int, full bool) {
	c := w.rule.related
	switch {
	case !c.cond.open():
		s.addClosed(w, st, value)
		return nil, 0, 0, false
	case c.kind == "value_count":
		return s.addValue(w, st, value)
	case c.kind == "event_count":
		if !s.keep(w, 0, st, int(c.cond.lo)) || len(w.stamps[0]) < int(c.cond.lo) {
			return nil, 0, 0, false
		}
		return refsOf(w.stamps[0]), w.stamps[0][0].t, len(w.stamps[0]), true
	}
	if !s.keep(w, place, st, stampsKept) {
		return nil, 0, 0, false
	}
	var found []stamp
	if c.ordered() {
		found = w.inOrder(int64(c.span))
	} else {
		found = w.together(int64(c.span), int(c.cond.lo))
	}
	if found == nil {
		return nil, 0, 0, false
	}
	first = found[0].t
	for _, f := range found {
		first = min(first, f.t)
	}
	return refsOf(found), first, len(found), true
}

// addClosed counts into a window that its end decides; it never holds more than the bounds can tell apart.
func (s *Stream) addClosed(w *window, st stamp, value [16]byte) {
	if st.t < w.opened {
		s.stats.Late++
		return
	}
	b := w.rule.related.cond
	limit := max(b.lo, b.except) + 1
	if b.hi < 1<<62 {
		limit = max(limit, b.hi+1)
	}
	if w.rule.related.kind == "value_count" {
		if _, seen := w.values[value]; seen || int64(len(w.values)) >= limit {
			return
		}
		if w.values == nil {
			w.values = map[[16]byte]stamp{}
		}
		w.values[value] = st
		w.size += valueBytes
	}
	w.count++
	if len(w.refs) < maxRefs {
		w.refs = append(w.refs, st.ref)
		w.size += 8
	}
}

func (s *Stream) addValue(w *window, st stamp, value [16]byte) (refs []uint64, first int64, count int, full bool) {
	c := w.rule.related
	if w.values == nil {
		w.values = map[[16]byte]stamp{}
	}
	w.opened = max(w.opened, st.t) // newest, for this kind
	if st.t < w.opened-int64(c.span) {
		s.stats.Late++
		return nil, 0, 0, false
	}
	if old, ok := w.values[value]; !ok {
		w.size += valueBytes
		w.values[value] = st
	} else if old.t < st.t {
		w.values[value] = st
	}
	if len(w.values) < int(c.cond.lo) {
		return nil, 0, 0, false
	}
	all := make([]stamp, 0, len(w.values))
	for k, v := range w.values {
		if v.t < w.opened-int64(c.span) {
			delete(w.values, k)
			w.size -= valueBytes
			continue
		}
		all = append(all, v)
	}
	if len(all) < int(c.cond.lo) {
		return nil, 0, 0, false
	}
	sortStamps(all)
	return refsOf(all), all[0].t, len(all), true
}

// keep inserts by time, and lets go of what is older than the span or beyond the number.
func (s *Stream) keep(w *window, place int, st stamp, most int) bool {
	w.opened = max(w.opened, st.t)
	oldest := w.opened - int64(w.rule.related.span)
	if st.t < oldest {
		s.stats.Late++
		return false
	}
	list := append(w.stamps[place], st)
	sortStamps(list)
	from := max(0, len(list)-most)
	for from < len(list) && list[from].t < oldest {
		from++
	}
	list = list[from:]
	w.size += stampBytes * (len(list) - len(w.stamps[place]))
	w.stamps[place] = list
	return true
}

// sortStamps sorts a list that is nearly sorted by time, then arrival.
func sortStamps(l []stamp) {
	for i := 1; i < len(l); i++ {
		for j := i; j > 0 && (l[j].t < l[j-1].t || l[j].t == l[j-1].t && l[j].seq < l[j-1].seq); j-- {
			l[j], l[j-1] = l[j-1], l[j]
		}
	}
}

// together finds a span in which enough of the rules have an event: it may begin at any event that is kept.
func (w *window) together(span int64, need int) []stamp {
	for _, starts := range w.stamps {
		for _, from := range starts {
			var found []stamp
			for _, l := range w.stamps {
				for _, st := range l {
					if st.t >= from.t && st.t <= from.t+span {
						found = append(found, st)
						break
					}
				}
			}
			if len(found) >= need {
				return found
			}
		}
	}
	return nil
}

// inOrder finds one event for each rule, in the order of the rules, within the span. From a given first event the
// earliest possible next ones are best.
func (w *window) inOrder(span int64) []stamp {
	for _, first := range w.stamps[0] {
		found := []stamp{first}
		for _, l := range w.stamps[1:] {
			last := found[len(found)-1]
			for _, st := range l {
				if st.t <= first.t+span && (st.t > last.t || st.t == last.t && st.seq > last.seq) {
					found = append(found, st)
					break
				}
			}
		}
		if len(found) == len(w.stamps) {
			return found
		}
	}
	return nil
}

func refsOf(l []stamp) []uint64 {
	l = l[max(0, len(l)-maxRefs):]
	refs := make([]uint64, len(l))
	for i, st := range l {
		refs[i] = st.ref
	}
	return refs
}

// values reads the fields; ok is false when one is absent.
func values(ev Fields, names []string) ([]string, bool) {
	out := make([]string, len(names))
	for i, n := range names {
		v, ok := ev.Field(n)
		if !ok {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// digest makes a key of values that an attacker cannot make collide.
func digest(vs []string) [16]byte {
	h := sha256.New()
	var n [8]byte
	for _, v := range vs {
		binary.LittleEndian.PutUint64(n[:], uint64(len(v)))
		h.Write(n[:])
		h.Write([]byte(v))
	}
	return [16]byte(h.Sum(nil)[:16])
}

func (s *Stream) window(r *Rule, group []string, st stamp) *window {
	key := windowKey{r.index, digest(group)}
	if w := s.windows[key]; w != nil {
		// A window that its end decides takes no event behind its end, even while it waits for late ones.
		if w.heapAt < 0 || st.t <= w.end() {
			s.recent.MoveToFront(w.at)
			return w
		}
		s.settle(w)
	}
	w := &window{key: key, rule: r, stamps: make([][]stamp, len(r.related.rules)), opened: st.t, size: windowBytes, heapAt: -1}
	for _, g := range group {
		g = strings.Clone(g[:min(len(g), groupBytes)])
		w.group = append(w.group, g)
		w.size += len(g) + 16
	}
	w.size += 24 * len(w.stamps)
	s.windows[key] = w
	w.at = s.recent.PushFront(w)
	s.stats.Bytes += w.size
	if !r.related.cond.open() {
		heap.Push(&s.closing, w)
	}
	return w
}

// settle takes a window out of the way of its successor; it stays in closing until it is judged.
func (s *Stream) settle(w *window) { delete(s.windows, w.key) }

func (s *Stream) drop(w *window) {
	if s.windows[w.key] == w {
		delete(s.windows, w.key)
	}
	s.recent.Remove(w.at)
	s.stats.Bytes -= w.size
	if w.heapAt >= 0 {
		heap.Remove(&s.closing, w.heapAt)
	}
}

func (s *Stream) evict() {
	for s.stats.Bytes > s.cfg.Budget && s.recent.Len() > 0 {
		s.drop(s.recent.Back().Value.(*window))
		s.stats.Evicted++
	}
}

// closeHeap orders windows by their end, then by rule and group, so that a replay ends them in the same order.
type closeHeap []*window

func (h closeHeap) Len() int { return len(h) }
func (h closeHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.end() != b.end() {
		return a.end() < b.end()
	}
	if a.key.rule != b.key.rule {
		return a.key.rule < b.key.rule
	}
	return string(a.key.group[:]) < string(b.key.group[:])
}
func (h closeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}

// Push implements heap.Interface.
func (h *closeHeap) Push(x any) {
	w := x.(*window)
	w.heapAt = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *closeHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	w.heapAt = -1
	*h = old[:len(old)-1]
	return w
}
