// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// running opens a spool and runs it; the returned function ends it cleanly.
func running(t testing.TB, cfg Config) (*Spool, func()) {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func event(i int) []byte { return fmt.Appendf(nil, "event %d", i) }

func add(t testing.TB, s *Spool, class identity.Class, from, to int) identity.Position {
	t.Helper()
	var all [][]byte
	for i := from; i < to; i++ {
		all = append(all, event(i))
	}
	at, kept, err := s.Append(class, all...)
	if err != nil || kept != len(all) {
		t.Fatalf("append: kept %d of %d, %v", kept, len(all), err)
	}
	return at
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// expect reads events from to to-1 and returns where the first lay and what the reader
// said was skipped before it.
func expect(t testing.TB, r *Reader, from, to int) (first identity.Position, skipped uint64) {
	t.Helper()
	for i := from; i < to; {
		at, skip, events, err := r.Next(within(t), 7, 1<<20)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if i == from {
			first, skipped = at, skip
		}
		for _, e := range events {
			if !bytes.Equal(e, event(i)) {
				t.Fatalf("got %q, want %q", e, event(i))
			}
			i++
		}
	}
	return first, skipped
}

func nothing(t testing.TB, r *Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if at, _, events, err := r.Next(ctx, 10, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %d events at %v, %v; want none", len(events), at, err)
	}
}

func TestCleanRestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	for _, class := range identity.Classes {
		t.Run(class.String(), func(t *testing.T) {
			cfg := Config{Dir: filepath.Join(dir, class.String())}
			s, stop := running(t, cfg)
			first := add(t, s, class, 0, 100)
			if first.Class() != class || first.Seq != 1 {
				t.Fatalf("first position %v", first)
			}
			r := s.Reader(class)
			expect(t, r, 0, 100)
			nothing(t, r)
			r.Close()
			stop()
			if _, _, err := s.Append(class, event(0)); !errors.Is(err, ErrClosed) {
				t.Fatalf("append after the end: %v", err)
			}

			s, _ = running(t, cfg)
			if next := add(t, s, class, 100, 200); next.Epoch != first.Epoch || next.Seq != 101 {
				t.Fatalf("after a clean end: %v, want %d/101", next, first.Epoch)
			}
			r = s.Reader(class)
			defer r.Close()
			expect(t, r, 0, 200)
			if l := s.Losses(); len(l) > 0 {
				t.Fatalf("losses %v", l)
			}
		})
	}
}

func TestTrimBehindTheWatermarkOnly(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 1000}
	s, stop := running(t, cfg)
	first := add(t, s, identity.Bulk, 0, 50)
	for i := 50; i < 1000; i += 50 {
		if err := s.Sync(within(t)); err != nil { // a segment or so each
			t.Fatal(err)
		}
		add(t, s, identity.Bulk, i, i+50)
	}
	if err := s.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	before := s.Stats(identity.Bulk)
	if before.Segments < 10 {
		t.Fatalf("only %d segments", before.Segments)
	}
	for _, p := range []identity.Position{{Epoch: first.Epoch, Seq: 1001}, {Epoch: first.Epoch + 2, Seq: 1}} {
		if err := s.Trim(p); !errors.Is(err, ErrBeyond) {
			t.Fatalf("trim at %v: %v", p, err)
		}
	}
	if err := s.Trim(identity.Position{Epoch: first.Epoch - 2, Seq: 900}); err != nil {
		t.Fatalf("an old epoch: %v", err)
	}
	if err := s.Trim(identity.Position{Epoch: first.Epoch, Seq: 700}); err != nil {
		t.Fatal(err)
	}
	after := s.Stats(identity.Bulk)
	if after.Segments >= before.Segments || after.Disk >= before.Disk || after.Waiting != 300 {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	r := s.Reader(identity.Bulk)
	defer r.Close()
	if _, skipped := expect(t, r, 700, 1000); skipped != 700 {
		t.Fatalf("skipped %d, want 700", skipped)
	}
	r.Rewind()
	expect(t, r, 700, 1000)
	stop()
	s, _ = running(t, cfg) // the watermark is kept over a clean end
	r2 := s.Reader(identity.Bulk)
	defer r2.Close()
	expect(t, r2, 700, 1000)
}

func TestFullDropsBulkFirstAndTells(t *testing.T) {
	s, _ := running(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20, PreciousReserve: 256 << 10})
	big := make([]byte, 10000)
	fill := func(class identity.Class) (kept int) {
		for range 200 {
			_, n, err := s.Append(class, big)
			if err != nil {
				t.Fatal(err)
			}
			kept += n
		}
		if err := s.Sync(within(t)); err != nil {
			t.Fatal(err)
		}
		return kept
	}
	bulk, precious := fill(identity.Bulk), fill(identity.Precious)
	if bulk < 70 || bulk > 79 || precious < 24 || precious > 27 {
		t.Fatalf("kept %d bulk and %d precious", bulk, precious)
	}
	losses := s.Losses()
	if len(losses) != 2 {
		t.Fatalf("losses %+v", losses)
	}
	for _, l := range losses {
		want := uint64(200 - bulk)
		if l.Class == identity.Precious {
			want = uint64(200 - precious)
		}
		if l.Count != want || l.Reason != LossFull || l.To.Before(l.From) {
			t.Errorf("loss %+v, want %d", l, want)
		}
	}
	if len(s.Losses()) != 0 {
		t.Error("a loss is told twice")
	}
	// What the archive has stored makes room again.
	st := s.Stats(identity.Bulk)
	if err := s.Trim(identity.Position{Epoch: st.Epoch, Seq: st.Next - 1}); err != nil {
		t.Fatal(err)
	}
	if _, n, _ := s.Append(identity.Bulk, big); n != 1 {
		t.Error("no room after trim")
	}
}

func TestEventsOfImpossibleLength(t *testing.T) {
	s, _ := running(t, Config{Dir: t.TempDir()})
	for _, e := range [][]byte{nil, {}, make([]byte, MaxEvent+1)} {
		if _, kept, err := s.Append(identity.Bulk, event(0), e); !errors.Is(err, ErrEvent) || kept != 0 {
			t.Errorf("%d bytes: kept %d, %v", len(e), kept, err)
		}
	}
	longest := bytes.Repeat([]byte("x"), MaxEvent)
	s.Append(identity.Bulk, event(0), longest, event(1))
	r := s.Reader(identity.Bulk)
	defer r.Close()
	for _, want := range [][]byte{event(0), longest, event(1)} {
		if _, _, events, err := r.Next(within(t), 100, 100); err != nil || len(events) != 1 || !bytes.Equal(events[0], want) {
			t.Fatalf("got %d events, %v", len(events), err)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	s, _ := running(t, Config{Dir: t.TempDir()})
	if _, err := Open(s.cfg); !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
}

func TestPreciousIsReadBeforeItIsSynced(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	add(t, s, identity.Precious, 0, 10) // Run was not called: nothing can be synced
	add(t, s, identity.Bulk, 0, 10)
	p, b := s.Reader(identity.Precious), s.Reader(identity.Bulk)
	defer p.Close()
	defer b.Close()
	expect(t, p, 0, 10)
	nothing(t, b)
}

// TestAgainstASlice compares the spool with a slice that cannot be wrong, under random
// appends, syncs, trims, rewinds and restarts of both kinds.
func TestAgainstASlice(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		type kept struct {
			at   identity.Position
			data []byte
		}
		var truth []kept
		var r *Reader
		s, stop := running(t, Config{Dir: dir, SegmentBytes: 2000})
		i := 0
		for range 60 {
			switch rng.IntN(8) {
			default:
				var all [][]byte
				for range rng.IntN(40) + 1 {
					all = append(all, bytes.Repeat([]byte{byte(i)}, rng.IntN(300)+1))
					i++
				}
				at, n, err := s.Append(identity.Precious, all...)
				if err != nil || n != len(all) {
					t.Fatal(n, err)
				}
				for j, e := range all {
					truth = append(truth, kept{identity.Position{Epoch: at.Epoch, Seq: at.Seq + uint64(j)}, e})
				}
			case 5:
				if err := s.Sync(within(t)); err != nil {
					t.Fatal(err)
				}
			case 6:
				if len(truth) > 0 {
					n := rng.IntN(len(truth))
					if err := s.Trim(truth[n].at); err != nil {
						t.Fatal(err)
					}
					// Only this epoch is trimmed; older ones wait for a watermark of their own.
					truth = append([]kept(nil), truth...)
					var left []kept
					for _, k := range truth {
						if k.at.Epoch != truth[n].at.Epoch || k.at.Seq > truth[n].at.Seq {
							left = append(left, k)
						}
					}
					truth = left
				}
			case 7:
				stop()
				if rng.IntN(2) == 0 { // as after a crash that lost nothing
					os.Remove(filepath.Join(dir, "state"))
				}
				s, stop = running(t, Config{Dir: dir, SegmentBytes: 2000})
				if rng.IntN(2) == 0 {
					continue
				}
			}
			r = s.Reader(identity.Precious)
			for n := 0; n < len(truth); {
				at, _, events, err := r.Next(within(t), rng.IntN(50)+1, rng.IntN(3000)+1)
				if err != nil {
					t.Fatal(err)
				}
				// Epochs whose watermark was forgotten in a crash may be given again.
				for j, e := range events {
					p := identity.Position{Epoch: at.Epoch, Seq: at.Seq + uint64(j)}
					if p.Less(truth[n].at) {
						continue
					}
					if p != truth[n].at || !bytes.Equal(e, truth[n].data) {
						t.Fatalf("seed %d: got %v, want %v", seed, p, truth[n].at)
					}
					n++
				}
			}
			r.Close()
		}
		stop()
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, class := range identity.Classes {
		b.Run(class.String(), func(b *testing.B) {
			s, _ := running(b, Config{Dir: b.TempDir(), MaxBytes: 64 << 30, MaxPending: 1 << 30})
			e := make([]byte, 250)
			b.SetBytes(250)
			for b.Loop() {
				s.Append(class, e)
			}
			s.Sync(context.Background())
		})
	}
}
