// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/archive/synth"
	"github.com/ringwall/ringwall/event"
)

// BenchmarkAppend is events in, durable, from many hosts; then the merge to large
// segments. Reports rows a second in and bytes an event on disk before and after.
func BenchmarkAppend(b *testing.B) {
	src := synth.New("acme", 100, 1, 1e6)
	type piece struct {
		host   string
		events []*event.Event
	}
	var pieces []piece
	for range (b.N + 499) / 500 {
		host, events := src.Batch(500)
		pieces = append(pieces, piece{host, events})
	}
	s, err := Open(Config{Dir: b.TempDir(), FlushEvery: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	serve(b, s)
	b.ResetTimer()
	for _, p := range pieces {
		if err := s.Offer(b.Context(), Batch{Tenant: "acme", Host: p.host, Epoch: 1, Events: p.events}, func(err error) {
			if err != nil {
				b.Error(err)
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	in := b.Elapsed()
	b.StopTimer()
	_, rows, bytes := s.Size("acme")
	b.ReportMetric(float64(rows)/in.Seconds(), "rows/s")
	b.ReportMetric(float64(bytes)/float64(rows), "B/event")
	t, _ := s.tenant("acme")
	from := time.Now()
	if err := t.merge(b.Context(), t.segments()); err != nil {
		b.Fatal(err)
	}
	_, _, bytes = s.Size("acme")
	b.ReportMetric(float64(rows)/time.Since(from).Seconds(), "merged_rows/s")
	b.ReportMetric(float64(bytes)/float64(rows), "merged_B/event")
}
