// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

// Run first looks at what the last life left, then ends every action at its deadline,
// until ctx ends. It closes the enforcer; what was done stays.
func (e *Enforcer) Run(ctx context.Context) error {
	defer e.Close()
	for {
		pass, err := e.turns.take(ctx, takingBack)
		if err != nil {
			return nil
		}
		e.settle(ctx)
		next := e.expire(ctx)
		pass()
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			if pass, err := e.turns.take(context.WithoutCancel(ctx), takingBack); err == nil {
				defer pass() // nobody acts while everything is closed
			}
			return nil
		case <-e.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// again is how soon an inverse that failed is tried once more.
const again = 30 * time.Second

// expire ends what is due and tells how long nothing will be. It belongs to the turn.
func (e *Enforcer) expire(ctx context.Context) time.Duration {
	next := time.Minute
	for _, rec := range e.Records() {
		if !rec.State.Live() {
			continue
		}
		left := e.left(&rec)
		if left <= 0 {
			if since := time.Since(e.troubled[rec.ID]); since < again {
				next = min(next, again-since)
				continue
			}
			if _, err := e.takeBack(ctx, rec.ID, action.Expired, "its time is over"); err != nil {
				e.troubled[rec.ID] = time.Now()
				e.opt.Board.Set(Name, health.Degraded, err.Error())
				next = min(next, again)
				continue
			}
			delete(e.troubled, rec.ID)
			continue
		}
		next = min(next, left)
	}
	return max(next, time.Millisecond)
}

// left is the lifetime that remains: by boot time within the same start of the machine,
// so that a stepped clock ends nothing early, else by the wall clock.
func (e *Enforcer) left(r *action.Record) time.Duration {
	var inv inverse
	if json.Unmarshal(r.Inverse, &inv) == nil && inv.Boot == e.boot {
		return time.Duration(inv.UntilNs) - time.Duration(event.BootNow())
	}
	return r.Deadline.Sub(e.now())
}

// settle looks, once, at what the last life left. What was ordered and not said to be
// done is finished if the guard rails still let it, else taken back; what should hold is
// put up again where a reboot took it down. It belongs to the turn.
func (e *Enforcer) settle(ctx context.Context) {
	if e.settled {
		return
	}
	e.settled = true
	e.host.look()
	live := e.live()
	for _, a := range e.acts {
		if err := a.resume(live[a.kind()]); err != nil {
			e.opt.Board.Set(Name, health.Degraded, err.Error())
		}
	}
	for _, recs := range live {
		for _, rec := range recs {
			if rec.State == action.Ordered && e.acts[rec.Kind] != nil && e.left(&rec.Record) > 0 {
				e.finish(ctx, rec)
			}
		}
	}
}

// held is a live action with what it still has.
type held struct {
	action.Record
	inv  inverse
	left time.Duration
}

func (e *Enforcer) live() map[action.Kind][]held {
	out := map[action.Kind][]held{}
	for _, rec := range e.Records() {
		var inv inverse
		if rec.State.Live() && json.Unmarshal(rec.Inverse, &inv) == nil {
			out[rec.Kind] = append(out[rec.Kind], held{rec, inv, e.left(&rec)})
		}
	}
	return out
}

// finish brings an action to an end that a kill interrupted.
func (e *Enforcer) finish(ctx context.Context, h held) {
	e.mu.Lock()
	x := *e.entries[h.ID]
	e.mu.Unlock()
	e.host.look()
	why := e.refuse(ctx, &x.Record.Order)
	if why == "" && h.inv.Boot != e.boot && (h.Kind == action.KillTree || h.Kind == action.CutConnection) {
		why = "the machine was started anew since; what it names is gone"
	}
	if why != "" {
		if _, err := e.takeBack(ctx, h.ID, action.Undone, "found unfinished at start: "+why); err != nil {
			e.opt.Board.Set(Name, health.Degraded, err.Error())
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patienceOfOne)
	defer cancel()
	e.act(ctx, &x, e.acts[h.Kind], &h.inv)
}

// Off takes every live action back, removes what is ours from the kernel, and refuses
// to act until the enforcer is started anew. The panic switch: it goes on after an error
// and gives all of them.
func (e *Enforcer) Off(ctx context.Context) error {
	e.switched.Store(true)
	pass, err := e.turns.take(ctx, takingBack)
	if err != nil {
		return fmt.Errorf("off: %w", err)
	}
	defer pass()
	var errs []error
	e.settled = true // nothing is finished or put up again now
	// Last done, first undone: each then finds the world as it left it, such as the time
	// of a folder out of which it took a file. When a record last changed is no measure:
	// the sensors confirm in an order of their own.
	for _, rec := range slices.Backward(e.Records()) {
		if !rec.State.Live() {
			continue
		}
		if _, err := e.takeBack(ctx, rec.ID, action.Undone, "undone by off"); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range e.acts {
		errs = append(errs, a.off())
	}
	if err := errors.Join(errs...); err != nil {
		e.opt.Board.Set(Name, health.Degraded, err.Error())
		return err
	}
	e.opt.Board.Set(Name, health.Off, "switched off; start it anew to act again")
	return nil
}

// Off takes back everything that the journal in a folder says is held, without an agent.
// A folder without a journal has nothing to take back. ErrRunning is wrapped when the
// enforcer runs: ask it, or stop it first.
func Off(ctx context.Context, dir string, cfg Config) error {
	if _, err := os.Stat(filepath.Join(dir, journalName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	j, entries, err := openJournal(dir)
	if err != nil {
		return err
	}
	j.close()
	opt := Options{Data: dir}
	for _, x := range entries {
		if x.Place != nil {
			opt.Root, opt.Netns, opt.Host = x.Place.Root, x.Place.Netns, x.Place.Host
		}
	}
	e, err := New(cfg, opt)
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Off(ctx)
}
