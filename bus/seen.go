// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"slices"
	"sync"

	"github.com/ringwall/ringwall/identity"
)

// Span is the sequences From to To, both included.
type Span struct{ From, To uint64 }

// Source names one run of sequences: one epoch of one host.
type Source struct {
	Tenant identity.Tenant
	Host   identity.Host
	Epoch  uint64
}

// Bounds of a Seen: 64 Ki runs of about 150 bytes, each with at most 1,024 holes.
const (
	maxSources = 1 << 16
	maxSpans   = 1 << 10
)

// Seen remembers which sequences were delivered, so that an event sent twice is worked
// on once, and which of them are stored, so that a watermark never passes one that is
// not. It is bounded: the run that was quiet for longest is forgotten first, and then
// doubles of it pass; the archive drops those too. Safe for many goroutines.
type Seen struct {
	mu   sync.Mutex // guards runs and tick
	runs map[Source]*run
	tick uint64
}

type run struct {
	seen, stored spans
	used         uint64 // tick of the last use
}

// NewSeen makes an empty memory. Fill it from the archive's watermarks with Stored
// before the first delivery: until a run is whole from its beginning, or the agent says
// what of it will never come, its watermark stays where it is.
func NewSeen() *Seen { return &Seen{runs: make(map[Source]*run)} }

func (s *Seen) run(src Source) *run {
	s.tick++
	r := s.runs[src]
	if r == nil {
		if len(s.runs) >= maxSources {
			s.forgetOldest()
		}
		r = new(run)
		s.runs[src] = r
	}
	r.used = s.tick
	return r
}

// forgetOldest looks at a handful and forgets the one longest unused: close enough to
// the oldest, and never slow.
func (s *Seen) forgetOldest() {
	var oldest Source
	least, looked := ^uint64(0), 0
	for src, r := range s.runs {
		if r.used < least {
			oldest, least = src, r.used
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(s.runs, oldest)
}

// Stored tells that the archive holds everything up to p.
func (s *Seen) Stored(t identity.Tenant, h identity.Host, p identity.Position) {
	s.store(Source{t, h, p.Epoch}, Span{1, p.Seq})
}

// store notes that a span is stored, and returns how far the run is stored whole.
func (s *Seen) store(src Source, in Span) (through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.run(src)
	r.seen.add(in)
	if _, kept := r.stored.add(in); !kept {
		r.forget(in) // so that it is taken again when it is sent again
	}
	return r.stored.through
}

// add notes a batch and returns the spans of it that are new, how far the run is stored
// whole, and whether all of the batch is stored.
func (s *Seen) add(src Source, b *Batch) (fresh []Span, through uint64, stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.run(src)
	in := Span{b.FirstSeq, b.Last().Seq}
	if b.Skipped > 0 {
		never := Span{b.FirstSeq - b.Skipped, b.FirstSeq - 1}
		r.seen.add(never)
		r.stored.add(never)
	}
	fresh, _ = r.seen.add(in)
	return fresh, r.stored.through, r.stored.contain(in)
}

// forget takes a span back that was delivered and could not be worked on.
func (s *Seen) forget(src Source, gone Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.runs[src]; r != nil {
		r.forget(gone)
	}
}

func (r *run) forget(gone Span) {
	var left spans
	for _, a := range r.seen.list() {
		if a.From < gone.From {
			left.add(Span{a.From, min(a.To, gone.From-1)})
		}
		if a.To > gone.To {
			left.add(Span{max(a.From, gone.To+1), a.To})
		}
	}
	for _, a := range r.stored.list() {
		left.add(a)
	}
	r.seen = left
}

// spans is a set of sequences: all up to through, and above it a bounded list of
// ranges, ascending and apart.
type spans struct {
	through uint64
	above   []Span
}

func (s *spans) list() []Span {
	if s.through == 0 {
		return s.above
	}
	return append([]Span{{1, s.through}}, s.above...)
}

func (s *spans) contain(in Span) bool {
	if in.To <= s.through {
		return true
	}
	for _, a := range s.above {
		if a.From <= in.From {
			if in.To <= a.To {
				return true
			}
		}
	}
	return false
}

// add puts a span in and returns the parts of it that were not there. It is not kept
// when it would be one range too many.
func (s *spans) add(in Span) (fresh []Span, kept bool) {
	from := max(in.From, s.through+1)
	if from > in.To {
		return nil, true
	}
	i, _ := slices.BinarySearchFunc(s.above, from, func(a Span, from uint64) int {
		if a.To+1 < from { // ends before in begins, and does not touch it
			return -1
		}
		return 1
	})
	j, merged := i, Span{from, in.To}
	for ; j < len(s.above) && s.above[j].From <= in.To+1; j++ {
		a := s.above[j]
		if a.From > from {
			fresh = append(fresh, Span{from, min(a.From-1, in.To)})
		}
		from = max(from, a.To+1)
		merged = Span{min(merged.From, a.From), max(merged.To, a.To)}
	}
	if from <= in.To {
		fresh = append(fresh, Span{from, in.To})
	}
	if merged.From == s.through+1 {
		s.through = merged.To
		s.above = slices.Delete(s.above, 0, j)
		return fresh, true
	}
	if j == i && len(s.above) >= maxSpans {
		return fresh, false
	}
	s.above = slices.Replace(s.above, i, j, merged)
	return fresh, true
}
