// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/health"
)

// keeper hands batches to the archive and holds on to those it could not store: a full
// disk must cost neither an event nor a second judgement of one. While anything waits,
// deliveries wait too, so that the bus, and behind it the spools, hold what comes.
// Safe for many goroutines.
type keeper struct {
	store *archive.Store
	board *health.Board

	mu   sync.Mutex // guards what follows
	wait []kept
	calm chan struct{} // closed while nothing waits
}

type kept struct {
	batch archive.Batch
	done  func() // when it is durable; must not block
}

// keepAgain is how often what waits is offered again.
const keepAgain = time.Second

func newKeeper(store *archive.Store, board *health.Board) *keeper {
	k := &keeper{store: store, board: board, calm: make(chan struct{})}
	close(k.calm)
	return k
}

// ready waits until the archive stores again; an error is that of ctx.
func (k *keeper) ready(ctx context.Context) error {
	k.mu.Lock()
	calm := k.calm
	k.mu.Unlock()
	select {
	case <-calm:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offer stores a batch some time; done is called when it is durable, and never when
// the archive is closed before.
func (k *keeper) offer(ctx context.Context, b archive.Batch, done func()) error {
	x := kept{b, done}
	return k.store.Offer(ctx, b, func(err error) {
		if err == nil {
			done()
			return
		}
		k.failed(err, x)
	})
}

func (k *keeper) failed(err error, x ...kept) {
	if errors.Is(err, archive.ErrClosed) {
		return // nobody was told that it is stored: the next life gets it again
	}
	k.board.Set("archive", health.Degraded, err.Error())
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wait) == 0 {
		k.calm = make(chan struct{})
	}
	k.wait = append(k.wait, x...)
}

// run offers again what waits, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(keepAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.again(ctx)
		}
	}
}

// again offers all that waits and lets deliveries go on when all of it is stored.
func (k *keeper) again(ctx context.Context) {
	k.mu.Lock()
	wait := append([]kept(nil), k.wait...)
	k.mu.Unlock()
	if len(wait) == 0 {
		return
	}
	failures := make([]error, len(wait))
	var told sync.WaitGroup
	for i, x := range wait {
		told.Add(1)
		err := k.store.Offer(ctx, x.batch, func(err error) { failures[i] = err; told.Done() })
		if err != nil {
			failures[i] = err
			told.Done()
		}
	}
	told.Wait()
	var left []kept
	for i, err := range failures {
		switch {
		case err == nil:
			wait[i].done()
		case errors.Is(err, archive.ErrClosed), ctx.Err() != nil:
			return
		default:
			left = append(left, wait[i])
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wait = append(left, k.wait[len(wait):]...)
	if len(k.wait) == 0 {
		close(k.calm)
		k.board.Set("archive", health.On, "")
	}
}
