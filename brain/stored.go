// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"sync"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// storedEvery is how often hosts are told what is stored. One flush of the archive
// settles hundreds of batches; a message for each would flood the slowest host.
const storedEvery = 100 * time.Millisecond

// marks gathers watermarks until the next telling. Safe for many goroutines.
type marks struct {
	mu   sync.Mutex
	wait map[sender]map[uint64]identity.Position // by epoch
}

type sender struct {
	tenant identity.Tenant
	host   identity.Host
}

func (m *marks) stored(t identity.Tenant, h identity.Host, p identity.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wait == nil {
		m.wait = map[sender]map[uint64]identity.Position{}
	}
	of := m.wait[sender{t, h}]
	if of == nil {
		of = map[uint64]identity.Position{}
		m.wait[sender{t, h}] = of
	}
	if of[p.Epoch].Seq < p.Seq {
		of[p.Epoch] = p
	}
}

// tell publishes what has gathered until ctx ends.
func (m *marks) tell(ctx context.Context, publish func(context.Context, identity.Tenant, identity.Host, ...identity.Position) error, failed func(identity.Host, error)) {
	tick := time.NewTicker(storedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		wait := m.wait
		m.wait = nil
		m.mu.Unlock()
		for s, of := range wait {
			positions := make([]identity.Position, 0, len(of))
			for _, p := range of {
				positions = append(positions, p)
			}
			if err := publish(ctx, s.tenant, s.host, positions...); err != nil && ctx.Err() == nil {
				failed(s.host, err)
			}
		}
	}
}
