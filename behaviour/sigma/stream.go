// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"container/list"
	"time"
)

// StreamConfig bounds a Stream; zero values mean the defaults.
type StreamConfig struct {
	// Budget is the memory for open windows in bytes (estimate); beyond it the window that was touched longest
	// ago is forgotten and counted. Default 16 MiB.
	Budget int
	// Lateness is how far behind the newest event a window whose end decides stays open. Default 10 s.
	Lateness time.Duration
}

// StreamStats counts what a Stream could not take into account; all grow only.
type StreamStats struct {
	Windows   int    // open now
	Bytes     int    // estimated size of them
	Evicted   uint64 // windows forgotten for lack of room
	Late      uint64 // events older than the window they belong to
	Ungrouped uint64 // events without a field that the correlation groups or counts by
}

// Match is one match: of a single event, or of a correlation over several.
type Match struct {
	Rule  *Rule
	At    time.Time // event time of what completed the match
	First time.Time // earliest event in it
	Group []string  // values of the group-by fields, cut at 256 bytes each
	Count int       // events or distinct values counted; 1 for a single event
	Refs  []uint64  // the caller's numbers of the events, at most 64, oldest first
}

const (
	maxRefs     = 64
	stampsKept  = 8 // per rule of a temporal correlation
	windowBytes = 256
	stampBytes  = 24
	valueBytes  = 64
	groupBytes  = 256
)

// Stream matches events one after the other and follows correlations. All windows run on the time of the events,
// never on the clock, so a replay gives the same matches. It is not safe for several goroutines.
type Stream struct {
	set     *Set
	cfg     StreamConfig
	uses    map[*Rule][]use
	windows map[windowKey]*window
	recent  *list.List // of *window, front is newest
	closing closeHeap
	newest  int64 // latest event time, ns
	seq     uint64
	stats   StreamStats
	fired   []*Rule
	all     bool // emit Quiet rules too, for cases that ask about one
}

// use is a place in a correlation that a rule feeds.
type use struct {
	rule  *Rule
	place int
}

type windowKey struct {
	rule  int
	group [16]byte
}

// stamp is one event in a window.
type stamp struct {
	t   int64
	seq uint64 // order of arrival; equal for one event
	ref uint64
}

type window struct {
	key    windowKey
	rule   *Rule
	group  []string
	stamps [][]stamp          // by place, sorted by time; counts use place 0
	values map[[16]byte]stamp // value_count
	opened int64
	count  int64
	refs   []uint64 // of windows whose end decides
	size   int
	at     *list.Element
	heapAt int // place in closing, -1: not there
}

// NewStream starts with no memory. Several streams may share a Set.
func NewStream(set *Set, cfg StreamConfig) *Stream {
	if cfg.Budget <= 0 {
		cfg.Budget = 16 << 20
	}
	if cfg.Lateness <= 0 {
		cfg.Lateness = 10 * time.Second
	}
	s := &Stream{set: set, cfg: cfg, uses: map[*Rule][]use{}, windows: map[windowKey]*window{}, recent: list.New(), newest: -1 << 62}
	for _, r := range set.multi {
		for i, of := range r.related.rules {
			s.uses[of] = append(s.uses[of], use{r, i})
		}
	}
	return s
}

// Stats tells what the stream holds and what it lost.
func (s *Stream) Stats() StreamStats {
	st := s.stats
	st.Windows = len(s.windows)
	return st
}

// Match takes the next event. ref is the caller's number for it and comes back in Match.Refs. Rules that serve
// only correlations (Rule.Quiet) are not emitted. A correlation that has fired begins anew for its group.
func (s *Stream) Match(at time.Time, ref uint64, ev Fields, emit func(Match)) {
	s.Advance(at, emit)
	s.seq++
	s.fired = s.fired[:0]
	s.set.Match(ev, func(r *Rule) { s.fired = append(s.fired, r) })
	for _, r := range s.fired {
		if !r.Quiet || s.all {
			emit(Match{Rule: r, At: at, First: at, Count: 1, Refs: []uint64{ref}})
		}
	}
	st := stamp{t: at.UnixNano(), seq: s.seq, ref: ref}
	// Correlations that fire are appended and feed those that name them; the loader refuses circles.
	for i := 0; i < len(s.fired); i++ {
		for _, u := range s.uses[s.fired[i]] {
			m, ok := s.feed(u, st, ev)
			if !ok {
				continue
			}
			s.fired = append(s.fired, u.rule)
			if !u.rule.Quiet || s.all {
				emit(m)
			}
		}
	}
	s.evict()
}

// Advance tells the stream that event time has come this far, which ends windows whose count has an upper bound.
func (s *Stream) Advance(at time.Time, emit func(Match)) {
	s.newest = max(s.newest, at.UnixNano())
	for len(s.closing) > 0 && s.closing[0].end()+int64(s.cfg.Lateness) < s.newest {
		w := s.closing[0]
		if w.rule.related.cond.meet(w.total()) && (!w.rule.Quiet || s.all) {
			emit(w.match(time.Unix(0, w.end()).UTC(), w.opened, w.refs, int(w.total())))
		}
		s.drop(w)
	}
}
