// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"fmt"
	"path/filepath"
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
