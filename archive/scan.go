// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ringwall/ringwall/event"
)

// Order of a scan. The same stored events give the same sequence, whatever was merged.
type Order int

const (
	// ByTime: wall time, then id.
	ByTime Order = iota
	// ByArrival: the order in which the brain judged them (Event.Arrival), which a
	// replay must follow; then wall time, then id.
	ByArrival
	// BySeq: host, spool life, sequence: what one host saw, whatever its clock did. All
	// that matches is held at once, so narrow it by host and time.
	BySeq
)

// Range chooses events to see again.
type Range struct {
	Host     string    // empty: all hosts
	From, To time.Time // wall, both included; zero: open
	Kinds    []string  // event.Kind; empty: all
	Order    Order
}

// scanRow is what a scan reads of a row: the columns that choose and order, and the blob.
type scanRow struct {
	Host    string `parquet:"host,dict"`
	Epoch   int64  `parquet:"epoch,delta"`
	Seq     int64  `parquet:"seq,delta"`
	TimeNs  int64  `parquet:"time_ns,delta"`
	Kind    string `parquet:"kind,dict"`
	Event   []byte `parquet:"event"`
	Arrival int64  `parquet:"arrival,delta"`
}

var scanTable = table[scanRow]{name: Events}

func byTime(a, b scanRow) int {
	return cmp.Or(cmp.Compare(a.TimeNs, b.TimeNs), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

func byArrival(a, b scanRow) int { return cmp.Or(cmp.Compare(a.Arrival, b.Arrival), byTime(a, b)) }

func bySeq(a, b scanRow) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

// windowRows is about how many rows a scan holds at once: at 300 B an event, 60 MB.
const windowRows = 200_000

// span is what a segment holds along the axis that a scan is cut on.
type span struct {
	Segment
	min, max, rows int64
}

// Scan implements Facts. It holds about 200,000 events at once (see BySeq), and keeps
// the files it reads from being removed until it ends.
func (s *Store) Scan(ctx context.Context, tenant string, r Range) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		t := s.known(tenant)
		if t == nil {
			return
		}
		segs, release := t.pin()
		defer release()
		if err := t.scan(ctx, segs, r, yield); err != nil {
			yield(nil, fmt.Errorf("scan tenant %s: %w", tenant, err))
		}
	}
}

func (t *tenant) scan(ctx context.Context, segs []Segment, r Range, yield func(*event.Event, error) bool) error {
	p := &picker{Range: r, lo: math.MinInt64, hi: math.MaxInt64}
	if !r.From.IsZero() {
		p.lo = r.From.UnixNano()
	}
	if !r.To.IsZero() {
		p.hi = r.To.UnixNano()
	}
	segs = slices.DeleteFunc(segs, func(g Segment) bool {
		return g.Table != Events || g.MaxNs < p.lo || g.MinNs > p.hi
	})
	spans, err := t.spans(segs, r.Order)
	if err != nil {
		return err
	}
	cuts := []int64{math.MinInt64, math.MaxInt64}
	order := map[Order]func(a, b scanRow) int{ByTime: byTime, ByArrival: byArrival, BySeq: bySeq}[r.Order]
	if r.Order != BySeq {
		cuts = windows(spans, math.MinInt64, math.MaxInt64, t.store.window)
	}
	for i := 1; i < len(cuts); i++ {
		p.from, p.to = cuts[i-1], cuts[i]
		if i > 1 {
			p.from++
		}
		rows, err := t.collect(ctx, spans, p)
		if err != nil {
			return err
		}
		slices.SortFunc(rows, order)
		for j := range rows {
			e := &event.Event{}
			if err := e.UnmarshalVT(rows[j].Event); err != nil {
				return fmt.Errorf("event %s/%d/%d: %w", rows[j].Host, rows[j].Epoch, rows[j].Seq, err)
			}
			if !yield(e, nil) {
				return nil
			}
		}
	}
	return nil
}

// spans tells where each segment lies on the axis of an order. For arrival the file's
// footer knows; a segment older than that column lies at 0.
func (t *tenant) spans(segs []Segment, o Order) ([]span, error) {
	out := make([]span, 0, len(segs))
	for _, g := range segs {
		s := span{g, g.MinNs, g.MaxNs, g.Rows}
		if o == ByArrival {
			s.min, s.max = 0, 0
			if err := t.arrivals(&s); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (t *tenant) arrivals(s *span) error {
	f, err := os.Open(t.file(s.Segment))
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	pf, err := parquet.OpenFile(f, st.Size(), parquet.SkipMagicBytes(true))
	if err != nil {
		return fmt.Errorf("read segment %s: %w", f.Name(), err)
	}
	for i, g := range pf.RowGroups() {
		lo, hi, ok := bounds(g, "arrival")
		if !ok {
			return nil // written before there was such a column
		}
		if i == 0 {
			s.min = lo.Int64()
		}
		s.min, s.max = min(s.min, lo.Int64()), max(s.max, hi.Int64())
	}
	return nil
}

// windows cuts [lo, hi] so that each piece holds about most rows, taking each span's
// rows as spread evenly over it. Pieces are (cut[i-1], cut[i]].
func windows(spans []span, lo, hi, most int64) []int64 {
	cuts := []int64{lo}
	type point struct {
		at   int64
		rows float64
	}
	const pieces = 64
	var points []point
	for _, s := range spans {
		for i := range int64(pieces) {
			points = append(points, point{s.min + (s.max-s.min)/pieces*i, float64(s.rows) / pieces})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	sum := 0.0
	for _, p := range points {
		if sum += p.rows; sum >= float64(most) && p.at > cuts[len(cuts)-1] && p.at < hi {
			cuts, sum = append(cuts, p.at), 0
		}
	}
	return append(cuts, hi)
}

// picker is a Range in numbers, and the window of the order's axis at hand.
type picker struct {
	Range
	lo, hi   int64 // wall ns
	from, to int64 // time or arrival
}

func (p *picker) wants(g parquet.RowGroup) bool {
	if a, b, ok := bounds(g, "time_ns"); ok && (b.Int64() < p.lo || a.Int64() > p.hi) {
		return false
	}
	if a, b, ok := bounds(g, "arrival"); ok && p.Order == ByArrival && (b.Int64() < p.from || a.Int64() > p.to) {
		return false
	}
	if p.Host == "" {
		return true
	}
	a, b, ok := bounds(g, "host")
	return !ok || (string(a.ByteArray()) <= p.Host && p.Host <= string(b.ByteArray()))
}

func (p *picker) takes(r *scanRow) bool {
	axis := r.TimeNs
	if p.Order == ByArrival {
		axis = r.Arrival
	}
	return r.TimeNs >= p.lo && r.TimeNs <= p.hi && axis >= p.from && axis <= p.to &&
		(p.Host == "" || r.Host == p.Host) && (len(p.Kinds) == 0 || slices.Contains(p.Kinds, r.Kind))
}

// collect reads what p takes.
func (t *tenant) collect(ctx context.Context, spans []span, p *picker) ([]scanRow, error) {
	var out []scanRow
	for _, s := range spans {
		if s.max < p.from || s.min > p.to {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for row, err := range scanTable.read(t.file(s.Segment), p.wants) {
			if err != nil {
				return nil, err
			}
			if p.takes(row) {
				keep := *row
				keep.Event = slices.Clone(row.Event)
				out = append(out, keep)
			}
		}
	}
	return out, nil
}
