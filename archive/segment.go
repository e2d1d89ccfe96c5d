// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// rowGroup is DuckDB's own vector-friendly size (platform.md §3).
const rowGroup = 122_880

// bloomBits per value give about 1 % false answers (Parquet split block filter).
const bloomBits = 10

// table knows how one kind of row is written, read and ordered.
type table[T any] struct {
	name    Table
	options []parquet.WriterOption
	compare func(a, b *T) int
	span    func(r *T) int64 // wall ns, for the segment's limits
}

var eventsTable = table[row]{
	name:    Events,
	compare: compareRows,
	span:    func(r *row) int64 { return r.TimeNs },
	options: []parquet.WriterOption{
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("host"), parquet.Ascending("time"))),
		parquet.BloomFilters(
			parquet.SplitBlockFilter(bloomBits, "sha256"),
			parquet.SplitBlockFilter(bloomBits, "start_ns"),
			parquet.SplitBlockFilter(bloomBits, "dst_ip"),
		),
		parquet.SkipPageBounds("event"), parquet.SkipPageBounds("detail"), parquet.SkipPageBounds("argv"),
	},
}

var edgesTable = table[edgeRow]{
	name:    Edges,
	compare: compareEdges,
	span:    func(r *edgeRow) int64 { return r.TimeNs },
	options: []parquet.WriterOption{
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("key"), parquet.Ascending("time_ns"))),
		parquet.BloomFilters(parquet.SplitBlockFilter(bloomBits, "key")),
	},
}

// compareRows is the order in a segment: by host, then time, then id.
func compareRows(a, b *row) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.TimeNs, b.TimeNs),
		cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

// write makes one segment file of sorted rows, durable when it returns without error.
// The Segment names the file even when an error left it half written.
func (t table[T]) write(n *tenant, rows iter.Seq[*T], madeNs int64, level int) (Segment, error) {
	seg := Segment{Table: t.name, File: n.number(), Schema: Schema, Level: level, MadeNs: madeNs, MinNs: math.MaxInt64, MaxNs: math.MinInt64}
	name := n.file(seg)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return seg, fmt.Errorf("make segment: %w", err)
	}
	defer f.Close()
	if err := t.encode(f, rows, &seg); err != nil {
		return seg, fmt.Errorf("write segment %s: %w", name, err)
	}
	if err := n.store.share(name, 0o640); err != nil {
		return seg, err
	}
	if err := f.Sync(); err != nil {
		return seg, fmt.Errorf("sync segment %s: %w", name, err)
	}
	return seg, syncDir(filepath.Dir(name))
}

// encode streams rows to w as Parquet and fills in the counts of seg.
func (t table[T]) encode(w io.Writer, rows iter.Seq[*T], seg *Segment) error {
	count := &counter{w: w}
	opts := append([]parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(rowGroup),
		parquet.KeyValueMetadata("ringwall.schema", fmt.Sprint(Schema)),
		parquet.CreatedBy("ringwall", fmt.Sprint(Schema), "archive"),
	}, t.options...)
	pw := parquet.NewGenericWriter[T](count, opts...)
	buf := make([]T, 0, 1024)
	put := func() error {
		_, err := pw.Write(buf)
		buf = buf[:0]
		return err
	}
	for r := range rows {
		ns := t.span(r)
		seg.Rows, seg.MinNs, seg.MaxNs = seg.Rows+1, min(seg.MinNs, ns), max(seg.MaxNs, ns)
		if buf = append(buf, *r); len(buf) == cap(buf) {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if err := put(); err != nil {
		return err
	}
	if err := pw.Close(); err != nil {
		return err
	}
	seg.Bytes = count.n
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// read yields the rows of a segment in its order. Columns that the segment's schema
// did not have yet come as zero values. want tells which row groups to open; nil: all.
func (t table[T]) read(name string, want func(parquet.RowGroup) bool) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		f, err := os.Open(name)
		if err != nil {
			yield(nil, fmt.Errorf("open segment: %w", err))
			return
		}
		defer f.Close()
		if err := t.readFrom(f, want, yield); err != nil {
			yield(nil, fmt.Errorf("read segment %s: %w", name, err))
		}
	}
}

var errStop = errors.New("caller stopped")

func (t table[T]) readFrom(f *os.File, want func(parquet.RowGroup) bool, yield func(*T, error) bool) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	pf, err := parquet.OpenFile(f, st.Size(), parquet.SkipMagicBytes(true))
	if err != nil {
		return err
	}
	for _, g := range pf.RowGroups() {
		if want != nil && !want(g) {
			continue
		}
		if err := readGroup(g, yield); err != nil {
			if err == errStop {
				return nil
			}
			return err
		}
	}
	return nil
}

func readGroup[T any](g parquet.RowGroup, yield func(*T, error) bool) error {
	r := parquet.NewGenericRowGroupReader[T](g)
	defer r.Close()
	buf := make([]T, 256)
	for {
		clear(buf)
		n, err := r.Read(buf)
		for i := range n {
			if !yield(&buf[i], nil) {
				return errStop
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bounds gives the least and greatest value of a column in a row group, and whether
// the file tells.
func bounds(g parquet.RowGroup, column string) (lo, hi parquet.Value, ok bool) {
	leaf, found := g.Schema().Lookup(column)
	if !found {
		return lo, hi, false
	}
	type bounded interface {
		Bounds() (parquet.Value, parquet.Value, bool)
	}
	if c, is := g.ColumnChunks()[leaf.ColumnIndex].(bounded); is {
		return c.Bounds()
	}
	return lo, hi, false
}
