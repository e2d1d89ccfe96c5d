// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// BenchmarkLatency measures from Append to the consumer at 2,000 precious events a
// second. Run it with -benchtime 4000x.
func BenchmarkLatency(b *testing.B) {
	for _, way := range []string{"in-process", "tls"} {
		b.Run(way, func(b *testing.B) {
			auth := authority(b, "acme")
			h := hub(b, auth, HubConfig{})
			url := ""
			if way == "tls" {
				url = h.Server().URL()
			}
			s, p := spooling(b, agent(b, auth, h, url, "acme", "h"), b.TempDir(), 0)
			took := make([]time.Duration, 0, b.N)
			consume(b, h, b.N, func(e []byte) {
				var sent int64
				fmt.Sscan(string(e), &sent)
				took = append(took, time.Since(time.Unix(0, sent)))
			}, func() {
				tick := time.NewTicker(500 * time.Microsecond)
				defer tick.Stop()
				for range b.N {
					<-tick.C
					s.Append(identity.Precious, fmt.Append(nil, time.Now().UnixNano()))
				}
			})
			slices.Sort(took)
			for name, part := range map[string]int{"p50": 50, "p99": 99} {
				b.ReportMetric(float64(took[b.N*part/100].Microseconds())/1000, name+"-ms")
			}
			b.ReportMetric(float64(b.N)/float64(p.Stats().Batches), "events/batch")
		})
	}
}

// BenchmarkThroughput moves events of 250 bytes as fast as they go.
func BenchmarkThroughput(b *testing.B) {
	auth := authority(b, "acme")
	h := hub(b, auth, HubConfig{})
	s, _ := spooling(b, agent(b, auth, h, "", "acme", "h"), b.TempDir(), 0)
	b.SetBytes(250)
	batch := make([][]byte, 100)
	for i := range batch {
		batch[i] = fmt.Appendf(nil, "%0250d", i)
	}
	consume(b, h, b.N, func([]byte) {}, func() {
		for n := 0; n < b.N; {
			_, kept, err := s.Append(identity.Bulk, batch[:min(len(batch), b.N-n)]...)
			if err != nil {
				b.Error(err)
				return
			}
			if n += kept; kept == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
}

// consume runs a consumer until n events came, while produce runs.
func consume(b *testing.B, h *Hub, n int, each func([]byte), produce func()) {
	c, err := h.NewConsumer(ConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	b.ResetTimer()
	wg.Go(produce)
	got := 0
	c.Run(ctx, func(d *Delivery) {
		for _, e := range d.Batch.Events {
			each(e)
		}
		d.Ack()
		h.PublishStored(ctx, d.Tenant, d.Host, d.Through)
		if got += len(d.Batch.Events); got >= n {
			cancel()
		}
	})
	b.StopTimer()
	wg.Wait()
}
