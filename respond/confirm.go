// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"time"

	"github.com/ringwall/ringwall/action"
)

// seen asks the sensors for what they saw of an action; nil where none can tell.
type seen func(context.Context) (string, error)

// confirmLong bounds the waiting for the sensors: they tell within a second, and a loaded
// machine has other things to do.
const confirmLong = 5 * time.Second

// watched tells the sensors of an order.
func (e *Enforcer) watched(o *action.Order) seen {
	if e.opt.Witness == nil {
		return nil
	}
	return e.opt.Witness(o)
}

// drop lets go of what was not done.
func (s seen) drop() {
	if s != nil {
		ctx, stop := context.WithCancel(context.Background())
		stop()
		_, _ = s(ctx)
	}
}

// confirm waits for the sensors beside the turn, so that the next action of a decision
// does not wait for them, and says in the record what they saw. An action that was
// taken back meanwhile stays so.
func (e *Enforcer) confirm(id, what string, s seen) {
	e.confirming.Go(func() {
		ctx, cancel := context.WithTimeout(e.life, confirmLong)
		defer cancel()
		saw, err := s(ctx)
		pass, terr := e.turns.take(e.life, len(action.Sequence))
		if terr != nil {
			return // it ends; the action stays done, and is in the journal
		}
		defer pass()
		e.mu.Lock()
		x := *e.entries[id]
		e.mu.Unlock()
		switch {
		case e.life.Err() != nil || x.Record.State != action.Done:
		case err != nil:
			e.end(&x, action.Done, what+"; not verified by the sensors: "+err.Error())
		case saw != "":
			e.end(&x, action.Verified, what+"; "+saw)
		default:
			e.end(&x, action.Verified, what)
		}
	})
}
