// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"sync"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/verdict"
)

// newsLen is how far a follower may lag before updates pass it by.
const newsLen = 1024

// news hands what changes to whoever follows. Safe for many goroutines.
type news struct {
	mu   sync.Mutex
	subs map[chan Update]string
}

// follow gives a channel of a tenant's updates that is closed when ctx ends.
func (n *news) follow(ctx context.Context, tenant string) <-chan Update {
	c := make(chan Update, newsLen)
	n.mu.Lock()
	if n.subs == nil {
		n.subs = map[chan Update]string{}
	}
	n.subs[c] = tenant
	n.mu.Unlock()
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.subs, c)
		close(c)
	})
	return c
}

// tell passes one update on; a follower that lags misses it.
func (n *news) tell(tenant string, f *verdict.Finding, inc *verdict.Incident, a *action.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c, t := range n.subs {
		if t != tenant {
			continue
		}
		select {
		case c <- Update{Finding: f, Incident: inc, Action: a}:
		default:
		}
	}
}
