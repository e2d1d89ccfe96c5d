// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ringwall/ringwall/event"
)

// Range chooses events to see again.
type Range struct {
	Host     string    // empty: all hosts
	From, To time.Time // wall, both included; zero: open
	Kinds    []string  // event.Kind; empty: all
	// BySeq orders by (host, epoch, sequence), which is the order in which one host's
	// pipeline saw them, whatever its clock did. Otherwise by wall time, then id.
	BySeq bool
}

// scanRow is what a scan reads of a row: the columns that choose and order, and the blob.
type scanRow struct {
	Host   string `parquet:"host,dict"`
	Epoch  int64  `parquet:"epoch,delta"`
	Seq    int64  `parquet:"seq,delta"`
	TimeNs int64  `parquet:"time_ns,delta"`
	Kind   string `parquet:"kind,dict"`
	Event  []byte `parquet:"event"`
}

var scanTable = table[scanRow]{name: Events}

func byTime(a, b scanRow) int {
	return cmp.Or(cmp.Compare(a.TimeNs, b.TimeNs), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

func bySeq(a, b scanRow) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

// windowRows is about how many rows a scan by time holds at once: at 300 B an event, 60 MB.
const windowRows = 200_000

// Scan implements Facts. The same stored events give the same sequence. By time it
// holds about 200,000 events at once; by sequence all that match, so give a host and a time.
func (s *Store) Scan(ctx context.Context, tenant string, r Range) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		s.mu.Lock()
		t := s.tenants[tenant]
		s.mu.Unlock()
		if t == nil {
			return
		}
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		if !r.From.IsZero() {
			lo = r.From.UnixNano()
		}
		if !r.To.IsZero() {
			hi = r.To.UnixNano()
		}
		pinned, release := t.pin()
		defer release()
		segs := slices.DeleteFunc(pinned, func(g Segment) bool {
			return g.Table != Events || g.MaxNs < lo || g.MinNs > hi
		})
		order := byTime
		cuts := windows(segs, lo, hi)
		if r.BySeq {
			order, cuts = bySeq, []int64{lo, hi}
		}
		for i := 1; i < len(cuts); i++ {
			from := cuts[i-1]
			if i > 1 {
				from++
			}
			rows, err := t.collect(ctx, segs, r, from, cuts[i])
			if err != nil {
				yield(nil, fmt.Errorf("scan tenant %s: %w", tenant, err))
				return
			}
			slices.SortFunc(rows, order)
			for j := range rows {
				e := &event.Event{}
				if err := e.UnmarshalVT(rows[j].Event); err != nil {
					err = fmt.Errorf("scan tenant %s: event %s/%d/%d: %w", tenant, rows[j].Host, rows[j].Epoch, rows[j].Seq, err)
					if !yield(nil, err) {
						return
					}
					continue
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// windows cuts [lo, hi] so that each piece holds about windowRows, taking each
// segment's rows as spread evenly over its span. Pieces are (cut[i-1], cut[i]].
func windows(segs []Segment, lo, hi int64) []int64 {
	cuts := []int64{lo}
	type point struct {
		at   int64
		rows float64
	}
	const pieces = 64
	var points []point
	for _, g := range segs {
		for i := range int64(pieces) {
			points = append(points, point{g.MinNs + (g.MaxNs-g.MinNs)/pieces*i, float64(g.Rows) / pieces})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	sum := 0.0
	for _, p := range points {
		if sum += p.rows; sum >= windowRows && p.at > cuts[len(cuts)-1] && p.at < hi {
			cuts, sum = append(cuts, p.at), 0
		}
	}
	return append(cuts, hi)
}

// collect reads what matches of [lo, hi].
func (t *tenant) collect(ctx context.Context, segs []Segment, r Range, lo, hi int64) ([]scanRow, error) {
	var out []scanRow
	want := func(g parquet.RowGroup) bool {
		if a, b, ok := bounds(g, "time_ns"); ok && (b.Int64() < lo || a.Int64() > hi) {
			return false
		}
		if r.Host == "" {
			return true
		}
		a, b, ok := bounds(g, "host")
		return !ok || (string(a.ByteArray()) <= r.Host && r.Host <= string(b.ByteArray()))
	}
	for _, g := range segs {
		if g.MaxNs < lo || g.MinNs > hi {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for row, err := range scanTable.read(t.file(g), want) {
			if err != nil {
				return nil, err
			}
			if row.TimeNs < lo || row.TimeNs > hi || (r.Host != "" && row.Host != r.Host) ||
				(len(r.Kinds) > 0 && !slices.Contains(r.Kinds, row.Kind)) {
				continue
			}
			keep := *row
			keep.Event = slices.Clone(row.Event)
			out = append(out, keep)
		}
	}
	return out, nil
}
