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
// on once, and tells how far a run is whole. It is bounded: the run that was quiet for
// longest is forgotten first, and then doubles of it pass; the archive drops those too.
// Safe for many goroutines.
type Seen struct {
	mu   sync.Mutex // guards runs and tick
	runs map[Source]*run
	tick uint64
}

// run: all up to through were seen; above it only the spans, ascending and apart.
type run struct {
	stored, through uint64
	above           []Span
	used            uint64 // tick of the last use
}

// NewSeen makes an empty memory. Fill it from the archive's watermarks with Stored
// before the first delivery.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.run(Source{t, h, p.Epoch})
	r.stored = max(r.stored, p.Seq)
	r.add(Span{1, p.Seq})
}

// add notes a batch and returns the spans of it that are new, how far the run is now
// whole, and whether all of the batch is stored.
func (s *Seen) add(src Source, b *Batch) (fresh []Span, through uint64, stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.run(src)
	last := b.Last().Seq
	if b.Skipped > 0 {
		r.add(Span{b.FirstSeq - b.Skipped, b.FirstSeq - 1})
	}
	fresh = r.add(Span{b.FirstSeq, last})
	return fresh, r.through, last <= r.stored
}

// forget takes a span back that was delivered and could not be worked on.
func (s *Seen) forget(src Source, gone Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[src]
	if r == nil || gone.To <= r.stored {
		return
	}
	gone.From = max(gone.From, r.stored+1)
	all := append([]Span{{1, r.through}}, r.above...)
	r.through, r.above = 0, nil
	for _, a := range all {
		if a.From < gone.From {
			r.add(Span{a.From, min(a.To, gone.From-1)})
		}
		if a.To > gone.To {
			r.add(Span{max(a.From, gone.To+1), a.To})
		}
	}
}

// add puts a span in and returns the parts of it that were not there.
func (r *run) add(in Span) (fresh []Span) {
	from := max(in.From, r.through+1)
	if from > in.To {
		return nil
	}
	i, _ := slices.BinarySearchFunc(r.above, from, func(a Span, from uint64) int {
		if a.To+1 < from { // ends before in begins, and does not touch it
			return -1
		}
		return 1
	})
	j, merged := i, Span{from, in.To}
	for ; j < len(r.above) && r.above[j].From <= in.To+1; j++ {
		a := r.above[j]
		if a.From > from {
			fresh = append(fresh, Span{from, min(a.From-1, in.To)})
		}
		from = max(from, a.To+1)
		merged = Span{min(merged.From, a.From), max(merged.To, a.To)}
	}
	if from <= in.To {
		fresh = append(fresh, Span{from, in.To})
	}
	if merged.From == r.through+1 {
		r.through = merged.To
		r.above = slices.Delete(r.above, 0, j)
		return fresh
	}
	if j == i && len(r.above) >= maxSpans {
		return fresh // too many holes: let it pass unremembered
	}
	r.above = slices.Replace(r.above, i, j, merged)
	return fresh
}
