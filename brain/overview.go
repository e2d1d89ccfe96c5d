// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"time"

	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/ledger"
)

// Layers are the funnels there are, in the order in which an event meets them.
var Layers = []string{"network", "file", "behaviour", "intel"}

// Funnel is how the stages that judge in one place have counted since its start.
type Funnel struct {
	Host   string // empty: in the brain, for all hosts
	Stages []funnel.StageCounts
}

// Funnels lists the counters of a tenant's stages: the brain's own first, then those that
// each host's agent last told.
func (b *Brain) Funnels(_ context.Context, tenant string) []Funnel {
	var out []Funnel
	if w := b.workers[tenant]; w != nil {
		out = append(out, Funnel{Stages: w.stages()})
	}
	return append(out, b.hosts.funnels(tenant)...)
}

// Overview is what a person asks first.
type Overview struct {
	Waiting  []ledger.Tally
	Activity []ledger.Burst
}

// Overview tallies what waits for people, and counts findings in steps of time.
func (b *Brain) Overview(ctx context.Context, tenant string, since, until time.Time, step time.Duration) (o Overview, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		if o.Waiting, err = tx.Tally(tenant); err != nil {
			return err
		}
		o.Activity, err = tx.Activity(tenant, Layers, since, until, step)
		return err
	})
	return o, err
}
