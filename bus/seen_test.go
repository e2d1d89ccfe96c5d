// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"math/rand/v2"
	"testing"

	"github.com/ringwall/ringwall/identity"
)

// TestSeenAgainstAMap compares Seen with a map that cannot be wrong.
func TestSeenAgainstAMap(t *testing.T) {
	src := Source{"t", "h", 4}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		seen, truth := NewSeen(), map[uint64]bool{}
		stored := uint64(0)
		for range 400 {
			first, n := rng.Uint64N(300)+1, rng.IntN(12)+1
			switch rng.IntN(12) {
			case 0:
				stored = max(stored, first)
				seen.Stored("t", "h", identity.Position{Epoch: 4, Seq: first})
				for i := uint64(1); i <= first; i++ {
					truth[i] = true
				}
				continue
			case 1:
				gone := Span{first, first + uint64(n) - 1}
				seen.forget(src, gone)
				for i := gone.From; i <= gone.To; i++ {
					if i > stored {
						delete(truth, i)
					}
				}
				continue
			}
			b := Batch{Epoch: 4, FirstSeq: first, Events: make([][]byte, n)}
			if rng.IntN(4) == 0 {
				b.Skipped = rng.Uint64N(first)
			}
			for i := first - b.Skipped; i < first; i++ {
				truth[i] = true
			}
			fresh, through, isStored := seen.add(src, &b)
			isNew := map[uint64]bool{}
			for _, f := range fresh {
				for i := f.From; i <= f.To; i++ {
					isNew[i] = true
				}
			}
			for i := first; i < first+uint64(n); i++ {
				if isNew[i] == truth[i] {
					t.Fatalf("seed %d: sequence %d new %v, known %v; fresh %v of %d+%d", seed, i, isNew[i], truth[i], fresh, first, n)
				}
				delete(isNew, i)
				truth[i] = true
			}
			if len(isNew) > 0 {
				t.Fatalf("seed %d: fresh %v beyond the batch %d+%d", seed, fresh, first, n)
			}
			whole := uint64(0)
			for truth[whole+1] {
				whole++
			}
			if through != whole || isStored != (b.Last().Seq <= stored) {
				t.Fatalf("seed %d: whole through %d, stored %v; want %d, %d", seed, through, isStored, whole, stored)
			}
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	seen := NewSeen()
	for i := range uint64(3 * maxSpans) {
		seen.add(Source{"t", "h", 2}, &Batch{Epoch: 2, FirstSeq: 3*i + 3, Events: make([][]byte, 1)})
	}
	if n := len(seen.runs[Source{"t", "h", 2}].above); n > maxSpans {
		t.Errorf("%d holes", n)
	}
	for i := range uint64(maxSources + 1000) {
		seen.add(Source{"t", "h", i}, &Batch{Epoch: i, FirstSeq: 1, Events: make([][]byte, 1)})
	}
	if n := len(seen.runs); n > maxSources {
		t.Errorf("%d runs", n)
	}
}
