// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
)

// ordered takes one signed command. What is not signed by the brain, for this host,
// in its time and for the first time is refused and told.
func (a *Agent) ordered(ctx context.Context, signed []byte) {
	s, err := a.opt.Self.Verifier(a.nonces).Verify(identity.KindOrder, signed, time.Now())
	if err != nil {
		a.refuse(err)
		return
	}
	var c action.Command
	if err := json.Unmarshal(s.Payload, &c); err != nil {
		a.refuse(err)
		return
	}
	switch {
	case len(c.Orders) > 0:
		a.carryOut(ctx, c.Orders)
	case a.enforce == nil:
		a.opt.Log.Warn("nothing can be undone: this host has no enforcer")
	case c.Undo != "":
		if _, err := a.enforce.Undo(ctx, c.Undo, c.Who); err != nil {
			a.opt.Log.Warn("undo", "action", c.Undo, "error", err)
		}
	case c.Off:
		if err := a.enforce.Off(ctx); err != nil {
			a.opt.Log.Warn("off", "error", err)
		}
	}
}

// carryOut hands the orders of one decision to the enforcer, which tells of every step
// itself; without one they are refused with the reason.
func (a *Agent) carryOut(ctx context.Context, orders []action.Order) {
	orders = slices.DeleteFunc(orders, func(o action.Order) bool {
		err := o.Validate()
		if err != nil {
			a.opt.Log.Warn("order refused", "error", err)
		}
		return err != nil
	})
	if a.enforce != nil {
		a.enforce.DoAll(ctx, orders)
		return
	}
	for _, o := range orders {
		a.emitNow(&event.Event{Sensor: event.Sensor_ENFORCER, Payload: &event.Event_Action{Action: &event.ActionRecord{
			Id: o.ID, Kind: string(o.Kind), State: string(action.Refused), Target: o.Subject.Label(), Incident: o.Incident,
			Reason: "this host has no enforcer", Stage: o.Stage.String(), DeadlineNs: o.Deadline.UnixNano(), Subject: o.Subject,
		}}})
	}
}

// refuse counts and tells of an order that is not obeyed. One that was seen before or
// is over is routine after a restart; any other means that someone else speaks on the
// bus in the brain's place.
func (a *Agent) refuse(err error) {
	if errors.Is(err, identity.ErrReplayed) || errors.Is(err, identity.ErrExpired) {
		a.opt.Log.Info("order refused", "error", err)
		return
	}
	n := a.refused.Add(1)
	a.opt.Log.Warn("order refused", "error", err)
	a.opt.Board.Set(ordersName, health.Degraded, fmt.Sprintf("%d orders refused since start, the last: %v; whoever runs the bus plays foreign orders", n, err))
}
