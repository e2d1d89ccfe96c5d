// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"slices"
	"sync"

	"github.com/ringwall/ringwall/action"
)

// turns lets one action run at a time. Of those that wait, the one whose kind comes
// first in action.Sequence goes next: an address is blocked before the connections are
// cut before the processes die, in whatever order the bus brought them.
type turns struct {
	mu      sync.Mutex // guards what is below
	busy    bool
	arrived uint64
	waiting []waiter
}

type waiter struct {
	rank int
	at   uint64
	go_  chan struct{}
}

// takingBack goes before every order: what a person takes back must not wait.
const takingBack = -1

func rank(k action.Kind) int {
	if i := slices.Index(action.Sequence, k); i >= 0 {
		return i
	}
	return len(action.Sequence)
}

// take waits for the turn. The caller calls the function it gets exactly once.
func (t *turns) take(ctx context.Context, rank int) (func(), error) {
	t.mu.Lock()
	if !t.busy {
		t.busy = true
		t.mu.Unlock()
		return t.pass, nil
	}
	t.arrived++
	w := waiter{rank, t.arrived, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.go_:
		return t.pass, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.IndexFunc(t.waiting, func(x waiter) bool { return x.at == w.at })
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // the turn came at the same moment
		t.pass()
	}
	return nil, ctx.Err()
}

func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.busy = false
		return
	}
	first := 0
	for i, w := range t.waiting {
		if f := t.waiting[first]; w.rank < f.rank || w.rank == f.rank && w.at < f.at {
			first = i
		}
	}
	w := t.waiting[first]
	t.waiting = slices.Delete(t.waiting, first, first+1)
	close(w.go_)
}
