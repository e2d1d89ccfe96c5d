// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ringwall/ringwall/entity"
)

// Edge is one dated relation between two entities, as the graph resolved it. The
// graph hands each edge in once per end, so that a trace finds it from either side.
type Edge struct {
	Key    entity.Key // the end it is found by
	TimeNs int64      // wall
	Type   uint32     // the graph's own number; on disk, so never reuse one
	Other  entity.Key
	Host   string // with Epoch and Seq: the event it rests on
	Epoch  uint64
	Seq    uint64
}

// edgeSize is about what one edge costs while it waits.
const edgeSize = 96

// edgeRow is an edge on disk; its tags are the truth about the columns, as row's are.
type edgeRow struct {
	Key    [16]byte `parquet:"key" sql:"BLOB" doc:"entity it is found by, 16 bytes"`
	TimeNs int64    `parquet:"time_ns,delta" sql:"BIGINT" doc:"wall time, ns since 1970"`
	Type   int32    `parquet:"type,dict" sql:"INTEGER" doc:"the graph's number of the relation"`
	Other  [16]byte `parquet:"other" sql:"BLOB" doc:"entity at the other end"`
	Host   string   `parquet:"host,dict" sql:"VARCHAR" doc:"host of the event it rests on"`
	Epoch  int64    `parquet:"epoch,dict" sql:"BIGINT" doc:"its spool life"`
	Seq    int64    `parquet:"seq,delta" sql:"BIGINT" doc:"its number"`
}

func newEdgeRow(e Edge) *edgeRow {
	return &edgeRow{Key: e.Key, TimeNs: e.TimeNs, Type: int32(e.Type), Other: e.Other, Host: e.Host, Epoch: int64(e.Epoch), Seq: int64(e.Seq)}
}

func (r *edgeRow) edge() Edge {
	return Edge{Key: r.Key, TimeNs: r.TimeNs, Type: uint32(r.Type), Other: r.Other, Host: r.Host, Epoch: uint64(r.Epoch), Seq: uint64(r.Seq)}
}

// compareEdges is the order in a segment: entity, time, then all the rest, so that an
// edge handed in twice lies beside its double.
func compareEdges(a, b *edgeRow) int {
	return cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.TimeNs, b.TimeNs), cmp.Compare(a.Type, b.Type),
		bytes.Compare(a.Other[:], b.Other[:]), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

// Edges implements Facts. An edge handed in more than once is yielded once.
func (s *Store) Edges(ctx context.Context, tenant string, key entity.Key, from, to time.Time) iter.Seq2[Edge, error] {
	return func(yield func(Edge, error) bool) {
		t := s.known(tenant)
		if t == nil {
			return
		}
		lo, hi := from.UnixNano(), to.UnixNano()
		var found []edgeRow
		segs, release := t.pin()
		defer release()
		for _, g := range segs {
			if g.Table != Edges || g.MaxNs < lo || g.MinNs > hi {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(Edge{}, err)
				return
			}
			for r, err := range edgesTable.read(t.file(g), holdsKey(key)) {
				if err != nil {
					yield(Edge{}, err)
					return
				}
				if c := bytes.Compare(r.Key[:], key[:]); c > 0 {
					break
				} else if c == 0 && r.TimeNs >= lo && r.TimeNs <= hi {
					found = append(found, *r)
				}
			}
		}
		slices.SortFunc(found, func(a, b edgeRow) int { return compareEdges(&a, &b) })
		for _, r := range slices.Compact(found) {
			if !yield(r.edge(), nil) {
				return
			}
		}
	}
}

// holdsKey asks limits and bloom filter whether a row group can hold key.
func holdsKey(key entity.Key) func(parquet.RowGroup) bool {
	v := parquet.ValueOf([16]byte(key))
	return func(g parquet.RowGroup) bool {
		leaf, ok := g.Schema().Lookup("key")
		if !ok {
			return true
		}
		if lo, hi, told := bounds(g, "key"); told && (bytes.Compare(key[:], lo.ByteArray()) < 0 || bytes.Compare(key[:], hi.ByteArray()) > 0) {
			return false
		}
		if f := g.ColumnChunks()[leaf.ColumnIndex].BloomFilter(); f != nil {
			if may, err := f.Check(v); err == nil && !may {
				return false
			}
		}
		return true
	}
}
