// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"math/rand/v2"
	"testing"

	"github.com/ringwall/ringwall/identity"
)

// TestSeenAgainstAMap compares Seen with two maps that cannot be wrong.
func TestSeenAgainstAMap(t *testing.T) {
	src := Source{"t", "h", 4}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		memory, seen, stored := NewSeen(), map[uint64]bool{}, map[uint64]bool{}
		whole := func() (n uint64) {
			for stored[n+1] {
				n++
			}
			return n
		}
		store := func(in Span) {
			for i := in.From; i <= in.To; i++ {
				seen[i], stored[i] = true, true
			}
		}
		for range 400 {
			first, n := rng.Uint64N(300)+1, rng.IntN(12)+1
			in := Span{first, first + uint64(n) - 1}
			switch rng.IntN(12) {
			case 0:
				memory.Stored("t", "h", identity.Position{Epoch: 4, Seq: first / 4})
				store(Span{1, first / 4})
				continue
			case 1, 2, 3:
				store(in)
				if through := memory.store(src, in); through != whole() {
					t.Fatalf("seed %d: stored through %d, want %d", seed, through, whole())
				}
				continue
			case 4:
				memory.forget(src, in)
				for i := in.From; i <= in.To; i++ {
					seen[i] = stored[i]
				}
				continue
			}
			b := Batch{Epoch: 4, FirstSeq: first, Events: make([][]byte, n)}
			if rng.IntN(4) == 0 {
				b.Skipped = rng.Uint64N(min(first, 20))
				store(Span{first - b.Skipped, first - 1})
			}
			fresh, through, isStored := memory.add(src, &b)
			isNew, all := map[uint64]bool{}, true
			for _, f := range fresh {
				for i := f.From; i <= f.To; i++ {
					isNew[i] = true
				}
			}
			for i := in.From; i <= in.To; i++ {
				if isNew[i] == seen[i] {
					t.Fatalf("seed %d: sequence %d new %v, known %v; fresh %v of %v", seed, i, isNew[i], seen[i], fresh, in)
				}
				delete(isNew, i)
				seen[i] = true
				all = all && stored[i]
			}
			if len(isNew) > 0 {
				t.Fatalf("seed %d: fresh %v beyond %v", seed, fresh, in)
			}
			if through != whole() || isStored != all {
				t.Fatalf("seed %d: stored through %d, all of it %v; want %d, %v", seed, through, isStored, whole(), all)
			}
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	seen := NewSeen()
	for i := range uint64(3 * maxSpans) {
		seen.add(Source{"t", "h", 2}, &Batch{Epoch: 2, FirstSeq: 3*i + 3, Events: make([][]byte, 1)})
	}
	if n := len(seen.runs[Source{"t", "h", 2}].seen.above); n > maxSpans {
		t.Errorf("%d holes", n)
	}
	for i := range uint64(maxSources + 1000) {
		seen.add(Source{"t", "h", i}, &Batch{Epoch: i, FirstSeq: 1, Events: make([][]byte, 1)})
	}
	if n := len(seen.runs); n > maxSources {
		t.Errorf("%d runs", n)
	}
}
