// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/archive/synth"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// store opens an archive and serves it until the test ends.
func store(t testing.TB, cfg Config) *Store {
	t.Helper()
	def(&cfg.FlushEvery, 5*time.Millisecond)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s
}

func serve(t testing.TB, s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fill appends n batches of 100 synthetic events and gives all of them.
func fill(t testing.TB, s *Store, src *synth.Source, tenant string, n int) (all []*event.Event) {
	t.Helper()
	for range n {
		host, events := src.Batch(100)
		if err := s.Append(t.Context(), Batch{Tenant: tenant, Host: host, Epoch: 1, Events: events}); err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
	return all
}

func collect(t testing.TB, s *Store, tenant string, r Range) (out []*event.Event) {
	t.Helper()
	for e, err := range s.Scan(t.Context(), tenant, r) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func sameEvents(t *testing.T, got, want []*event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		a, _ := got[i].MarshalVT()
		b, _ := want[i].MarshalVT()
		if string(a) != string(b) {
			t.Fatalf("event %d: got %v\nwant %v", i, got[i], want[i])
		}
	}
}

func byWall(events []*event.Event) []*event.Event {
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b *event.Event) int {
		return byTime(scanRow{Host: a.Host, Epoch: int64(a.Epoch), Seq: int64(a.Seq), TimeNs: a.WallNs}, scanRow{Host: b.Host, Epoch: int64(b.Epoch), Seq: int64(b.Seq), TimeNs: b.WallNs})
	})
	return out
}

func TestStoredEventsComeBackWhole(t *testing.T) {
	s := store(t, Config{Dir: t.TempDir(), FanIn: 3})
	want := byWall(fill(t, s, synth.New("acme", 7, 1, 1e6), "acme", 60))
	sameEvents(t, collect(t, s, "acme", Range{}), want)

	mid := want[len(want)/2]
	in := func(f func(e *event.Event) bool) (out []*event.Event) {
		for _, e := range want {
			if f(e) {
				out = append(out, e)
			}
		}
		return out
	}
	sameEvents(t, collect(t, s, "acme", Range{Host: mid.Host, From: mid.Wall()}),
		in(func(e *event.Event) bool { return e.Host == mid.Host && e.WallNs >= mid.WallNs }))
	sameEvents(t, collect(t, s, "acme", Range{To: mid.Wall(), Kinds: []string{"process.exec"}}),
		in(func(e *event.Event) bool { return e.Kind() == "process.exec" && e.WallNs <= mid.WallNs }))
	if got := collect(t, s, "other", Range{}); len(got) != 0 {
		t.Errorf("another tenant sees %d events", len(got))
	}
}

// However a scan is cut, it gives what one piece gives.
func TestScanWindowsCutWithoutLossOrDouble(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		var spans []span
		for range 1 + rng.IntN(5) {
			lo := rng.Int64N(1000)
			spans = append(spans, span{min: lo, max: lo + rng.Int64N(1000), rows: rng.Int64N(2 * windowRows)})
		}
		cuts := windows(spans, 0, 1500, windowRows)
		if cuts[0] != 0 || cuts[len(cuts)-1] != 1500 || !slices.IsSorted(cuts) || len(slices.Compact(slices.Clone(cuts))) != len(cuts) {
			t.Fatalf("cuts %v of %v", cuts, spans)
		}
	}
	s := store(t, Config{Dir: t.TempDir()})
	s.window = 150 // pieces, so that their seams are crossed
	src := synth.New("acme", 5, 9, 1e6)
	var want []*event.Event
	for i := range 20 {
		host, events := src.Batch(100)
		for j, e := range events {
			e.Arrival = uint64(100*i+j)/3 + 1 // some share a place
		}
		if err := s.Append(t.Context(), Batch{Tenant: "acme", Host: host, Epoch: 1, Events: events}); err != nil {
			t.Fatal(err)
		}
		want = append(want, events...)
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(want))
	got := collect(t, s, "acme", Range{Order: ByArrival})
	slices.SortStableFunc(want, func(a, b *event.Event) int {
		return cmp.Or(cmp.Compare(a.Arrival, b.Arrival), cmp.Compare(a.WallNs, b.WallNs), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Seq, b.Seq))
	})
	sameEvents(t, got, want)
}

func TestDoublesAreDroppedAndWatermarkIsContiguous(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, FlushEvery: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ev := func(seqs ...uint64) (out []*event.Event) {
		for _, n := range seqs {
			out = append(out, &event.Event{Tenant: "acme", Host: "web", Epoch: 9, Seq: n, WallNs: int64(n)})
		}
		return out
	}
	steps := []struct {
		batch Batch
		mark  uint64
		total int
	}{
		{Batch{Events: ev(3, 4)}, 0, 2},                       // 1 and 2 are on the other lane
		{Batch{Events: ev(1, 2)}, 4, 4},                       // now all to 4
		{Batch{Events: ev(2, 4, 5, 5)}, 5, 5},                 // redelivered, and twice in one batch
		{Batch{First: 6, Last: 10, Events: ev(6, 10)}, 10, 7}, // 7 to 9 were dropped by the spool, and said so
		{Batch{Events: ev(8)}, 10, 8},                         // late all the same: kept
		{Batch{First: 11, Last: 20}, 20, 8},                   // nothing but the news that they are gone
		{Batch{Oldest: 31, Events: ev(31)}, 31, 9},            // the spool begins at 31
		{Batch{Events: ev(40)}, 31, 10},                       // a hole that may still come
		{Batch{Oldest: 35}, 34, 10},
	}
	for i, c := range steps {
		c.batch.Tenant, c.batch.Host, c.batch.Epoch = "acme", "web", 9
		if err := s.Append(t.Context(), c.batch); err != nil {
			t.Fatal(err)
		}
		if mark := s.Watermark("acme", "web", 9); mark != c.mark || s.Watermarks("acme", "web")[9] != mark {
			t.Errorf("step %d: watermark %d, want %d", i, mark, c.mark)
		}
		if got := collect(t, s, "acme", Range{}); len(got) != c.total {
			t.Errorf("step %d: %d events, want %d", i, len(got), c.total)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s = store(t, Config{Dir: dir})
	if mark := s.Watermark("acme", "web", 9); mark != 34 {
		t.Errorf("after reopening the watermark is %d, want 34", mark)
	}
	if err := s.Append(t.Context(), Batch{Tenant: "acme", Host: "web", Epoch: 9, Events: ev(1, 5, 40)}); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, s, "acme", Range{}); len(got) != 10 || s.Stats.Doubles.Load() != 3 {
		t.Errorf("after reopening %d events and %d doubles, want 10 and 3", len(got), s.Stats.Doubles.Load())
	}
}

func TestForeignEventsAreRefused(t *testing.T) {
	s := store(t, Config{Dir: t.TempDir()})
	for name, b := range map[string]Batch{
		"tenant": {Tenant: "acme", Host: "web", Epoch: 1, Events: []*event.Event{{Tenant: "evil", Host: "web", Epoch: 1, Seq: 1}}},
		"host":   {Tenant: "acme", Host: "web", Epoch: 1, Events: []*event.Event{{Tenant: "acme", Host: "db", Epoch: 1, Seq: 1}}},
		"epoch":  {Tenant: "acme", Host: "web", Epoch: 1, Events: []*event.Event{{Tenant: "acme", Host: "web", Epoch: 2, Seq: 1}}},
		"span":   {Tenant: "acme", Host: "web", Epoch: 1, First: 2, Last: 3, Events: []*event.Event{{Tenant: "acme", Host: "web", Epoch: 1, Seq: 1}}},
		"order":  {Tenant: "acme", Host: "web", Epoch: 1, First: 4, Last: 3},
		"nobody": {Tenant: "acme", Last: 3},
	} {
		if err := s.Append(t.Context(), b); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", name, err)
		}
	}
	for _, tenant := range []string{"", ".", "..", "../x", "a/b", "a\x00b", strings.Repeat("x", 65)} {
		if err := s.Append(t.Context(), Batch{Tenant: tenant, Host: "web"}); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
}

// The set of runs against its slow twin.
func TestRunsAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var r runs
		twin := map[uint64]bool{}
		for range 60 {
			from := rng.Uint64N(120)
			to := from + rng.Uint64N(6)
			r.add(from, to)
			for n := from; n <= to; n++ {
				twin[n] = true
			}
			for n := range uint64(130) {
				if r.has(n) != twin[n] {
					t.Fatalf("has(%d) is %v of %v", n, r.has(n), r)
				}
			}
			for i := 1; i < len(r); i++ {
				if r[i-1][1]+1 >= r[i][0] {
					t.Fatalf("touching runs %v", r)
				}
			}
		}
	}
	var big runs
	for n := range uint64(3 * maxRuns) {
		big.add(2*n, 2*n)
	}
	if len(big) > maxRuns || !big.has(0) || !big.has(6*maxRuns-2) {
		t.Errorf("%d runs past the bound", len(big))
	}
	big.add(0, ^uint64(0))
	if len(big) != 1 || !big.has(^uint64(0)) {
		t.Errorf("the whole range is %v", big)
	}
}

func TestMergeKeepsEveryRowInOrder(t *testing.T) {
	now := time.Unix(0, synth.Start)
	s, err := Open(Config{Dir: t.TempDir(), FanIn: 4, FlushEvery: time.Hour, Now: func() time.Time { return now }, Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	src := synth.New("acme", 5, 2, 1e6)
	var want []*event.Event
	key := entity.Key{1}
	for i := range 17 {
		host, events := src.Batch(300)
		want = append(want, events...)
		edges := []Edge{{Key: key, TimeNs: int64(i), Other: entity.Key{2}, Host: host, Seq: 1}, {Key: entity.Key{byte(i)}, TimeNs: 5}}
		if err := s.Offer(t.Context(), Batch{Tenant: "acme", Host: host, Epoch: 1, Events: events, Edges: edges}, func(error) {}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	tn, _ := s.tenant("acme")
	before := len(tn.segments())
	if err := tn.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := len(tn.segments()); after >= before || s.Stats.Merges.Load() == 0 {
		t.Errorf("%d segments, %d before", after, before)
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(want))
	var times []int64
	for e, err := range s.Edges(t.Context(), "acme", key, time.Unix(0, 2), time.Unix(0, 9)) {
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, e.TimeNs)
	}
	if !slices.Equal(times, []int64{2, 3, 4, 5, 5, 6, 7, 8, 9}) {
		t.Errorf("edges at %v", times)
	}
	files := func() int {
		names, _ := filepath.Glob(filepath.Join(tn.dir, "segments", "*", "*.parquet"))
		return len(names)
	}
	if files() <= len(tn.segments()) {
		t.Error("replaced files went without their grace")
	}
	now = now.Add(2 * time.Minute)
	if err := tn.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files() != len(tn.segments()) {
		t.Errorf("%d files for %d segments after the grace", files(), len(tn.segments()))
	}
}

func TestRetentionByAgeAndBytes(t *testing.T) {
	now := time.Unix(0, synth.Start)
	s, err := Open(Config{Dir: t.TempDir(), FlushEvery: time.Hour, MaxAge: 24 * time.Hour, FanIn: 100, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	src := synth.New("acme", 1, 2, 1e6)
	for range 5 {
		host, events := src.Batch(200)
		s.Offer(t.Context(), Batch{Tenant: "acme", Host: host, Epoch: 1, Events: events}, func(error) {})
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(7 * time.Hour)
	}
	tn, _ := s.tenant("acme")
	if err := tn.expire(now); err != nil {
		t.Fatal(err)
	}
	if _, rows, _ := s.Size("acme"); rows != 600 || s.Stats.ExpiredRows.Load() != 400 {
		t.Errorf("%d rows kept, %d expired; want 600 and 400", rows, s.Stats.ExpiredRows.Load())
	}
	_, _, bytes := s.Size("acme")
	s.cfg.MaxBytes = bytes - 1
	if err := tn.expire(now); err != nil {
		t.Fatal(err)
	}
	if _, rows, _ := s.Size("acme"); rows != 400 {
		t.Errorf("%d rows under the byte bound, want 400", rows)
	}
	if got := collect(t, s, "acme", Range{}); got[0].Seq != 601 {
		t.Errorf("the oldest kept is %d, want 601: the oldest must go first", got[0].Seq)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	store(t, Config{Dir: dir})
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("second open: %v", err)
	}
}

func TestFullDiskAcknowledgesNothingAndRecovers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s := store(t, Config{Dir: dir, Grace: time.Nanosecond})
	src := synth.New("acme", 3, 5, 1e6)
	var acked, refused []*event.Event
	for len(refused) < 1000 && len(acked) < 500_000 {
		host, events := src.Batch(500)
		err := s.Append(t.Context(), Batch{Tenant: "acme", Host: host, Epoch: 1, Events: events})
		switch {
		case err == nil:
			acked = append(acked, events...)
		case errors.Is(err, ErrDiskFull):
			refused = append(refused, events...)
		default:
			t.Fatal(err)
		}
	}
	if len(refused) == 0 || s.Stats.Failed.Load() == 0 {
		t.Fatal("the disk never filled")
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(acked))
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for _, e := range refused {
		if err := s.Offer(t.Context(), Batch{Tenant: "acme", Host: e.Host, Epoch: 1, Events: []*event.Event{e}}, func(error) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatalf("room again, and still: %v", err)
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(append(acked, refused...)))
	if s.Stats.Doubles.Load() != 0 {
		t.Errorf("%d doubles", s.Stats.Doubles.Load())
	}
}

func TestUnknownFieldsAndKindsSurvive(t *testing.T) {
	s := store(t, Config{Dir: t.TempDir()})
	known, _ := (&event.Event{Tenant: "acme", Host: "web", Epoch: 1, Seq: 1, WallNs: 5}).MarshalVT()
	raw := append(known, 0xf2, 0x3f, 3, 'n', 'e', 'w') // field 1022, bytes
	e := &event.Event{}
	if err := e.UnmarshalVT(raw); err != nil {
		t.Fatal(err)
	}
	newer := &event.Event{Tenant: "acme", Host: "web", Epoch: 1, Seq: 2, WallNs: 6,
		Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: 999}}}
	if err := s.Append(t.Context(), Batch{Tenant: "acme", Host: "web", Epoch: 1, Events: []*event.Event{e, newer}}); err != nil {
		t.Fatal(err)
	}
	got := collect(t, s, "acme", Range{})
	if len(got) != 2 {
		t.Fatalf("%d events", len(got))
	}
	if back, _ := got[0].MarshalVT(); string(back) != string(raw) {
		t.Errorf("unknown field: %x, want %x", back, raw)
	}
	if got[1].GetProcess().GetOp() != 999 {
		t.Errorf("operation %v", got[1].GetProcess().GetOp())
	}
	for _, kind := range []string{"unknown", "process.unknown"} {
		if kinds := collect(t, s, "acme", Range{Kinds: []string{kind}}); len(kinds) != 1 {
			t.Errorf("%d of kind %s", len(kinds), kind)
		}
	}
}

func TestTornAndDamagedManifest(t *testing.T) {
	line := func(next uint64) string {
		b, err := (&record{Next: next}).encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	whole := line(2) + line(3)
	for cut := range len(line(3)) {
		s, good, err := replayJournal([]byte(whole[:len(line(2))+cut]))
		if err != nil || good != int64(len(line(2))) || s.next != 2 {
			t.Fatalf("cut at %d: %d, %v", cut, good, err)
		}
	}
	bad := []byte(whole)
	bad[12] ^= 1
	if _, _, err := replayJournal(bad); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("damage in line 1: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	b, _ := (&record{Next: 4, Add: []Segment{{Table: Events, File: "1.parquet"}}, Cover: []cover{{Host: "a", Stored: runs{{1, 2}}}}}).encode()
	f.Add(b)
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, good, err := replayJournal(data)
		if err == nil && (good < 0 || good > int64(len(data))) {
			t.Fatalf("good %d of %d", good, len(data))
		}
		if err == nil {
			for _, g := range s.segments {
				if strings.Contains(g.File, "/") {
					t.Fatalf("file %q leaves its folder", g.File)
				}
			}
		}
	})
}
