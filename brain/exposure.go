// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall/network/exposure"
)

// saveEvery is how much learning a kill may cost.
const saveEvery = time.Minute

func (b *Brain) exposureFile(tenant string) string {
	return filepath.Join(b.opt.Data, "exposure-"+tenant+".json")
}

// learnOn saves what the workers learn, and what exceptions hid, until ctx ends.
func (b *Brain) learnOn(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for t, w := range b.workers {
			b.keepHits(ctx, t)
			var err error
			if w.do(ctx, func() { err = w.shown.Learner().Save(b.exposureFile(t)) }) == nil && err != nil {
				b.opt.Log.Warn("learned exposure not saved", "tenant", t, "error", err)
			}
		}
	}
}

// Exposure lists what was learned of a host, or of all.
func (b *Brain) Exposure(ctx context.Context, tenant, host string) (out []exposure.Entry, err error) {
	w := b.workers[tenant]
	if w == nil {
		return nil, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	err = w.do(ctx, func() { out = w.shown.Learner().Policy(host, time.Now()) })
	return out, err
}

// ExposureSum is what the learned policy of one host would have meant for what it did.
// Nothing enforces that policy yet.
type ExposureSum struct {
	Host              string
	Since, Until      time.Time // it was, or is, only watched
	Learning          bool
	Inbound, Outbound int    // things learned
	Outside           int    // things that came later: cut at first
	Cut, Spared       uint64 // connections
}

// ExposureSums tries each host's learned policy on all that it was learned from.
func (b *Brain) ExposureSums(ctx context.Context, tenant string) ([]ExposureSum, error) {
	w := b.workers[tenant]
	if w == nil {
		return nil, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	now := time.Now()
	var entries []exposure.Entry
	var first map[string]time.Time
	var learn time.Duration
	err := w.do(ctx, func() {
		entries = w.shown.Learner().Policy("", now)
		first, learn = w.shown.Learner().Hosts()
	})
	if err != nil {
		return nil, err
	}
	by := map[string]*ExposureSum{}
	for host, since := range first {
		by[host] = &ExposureSum{Host: host, Since: since.UTC(), Until: since.Add(learn).UTC(), Learning: now.Before(since.Add(learn))}
	}
	for _, e := range entries {
		s := by[e.Host]
		switch {
		case s == nil:
		case !e.Learned:
			s.Outside++
			s.Cut += e.Count
		default:
			s.Spared += e.Count
			if e.Inbound {
				s.Inbound++
			} else {
				s.Outbound++
			}
		}
	}
	out := make([]ExposureSum, 0, len(by))
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b ExposureSum) int { return cmp.Compare(a.Host, b.Host) })
	return out, nil
}
