// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// scribeLen is how many entries may wait for the ledger. A worker waits when it is
// full: an order that is not written down must not go out.
const scribeLen = 4096

// scribe writes to the ledger in the order things happened, away from the judges: a
// commit is an fsync.
type scribe struct{ queue chan func(context.Context) }

func newScribe() scribe { return scribe{make(chan func(context.Context), scribeLen)} }

func (s scribe) run(ctx context.Context) {
	for {
		select {
		case f := <-s.queue:
			f(ctx)
		case <-ctx.Done():
			for { // what was judged is written, even when we end
				select {
				case f := <-s.queue:
					f(context.WithoutCancel(ctx))
				default:
					return
				}
			}
		}
	}
}

// write queues one change of the ledger; a failure is logged and shown.
func (b *Brain) write(what string, f func(*ledger.Tx) error, then func(context.Context)) {
	b.scribe.queue <- func(ctx context.Context) {
		err := b.ledger.Update(ctx, f)
		if errors.Is(err, ledger.ErrExists) {
			return // an order of an earlier life: it stands already
		}
		if err != nil {
			b.opt.Log.Error("ledger", "what", what, "error", err)
			return
		}
		if then != nil {
			then(ctx)
		}
	}
}

func (b *Brain) keepIncident(inc *verdict.Incident) *verdict.Incident {
	snap := inc.CloneVT()
	b.write("incident "+snap.Id, func(tx *ledger.Tx) error {
		return tx.PutIncident(snap, "finding", time.Unix(0, snap.UpdatedNs))
	}, nil)
	return snap
}

func (b *Brain) tellIncident(inc *verdict.Incident) {
	b.news.tell(inc.Tenant, nil, b.keepIncident(inc), nil)
}

// tellOrder writes an order down and only then sends it, signed, to its host.
func (b *Brain) tellOrder(o action.Order) {
	b.write("order "+o.ID, func(tx *ledger.Tx) error {
		if err := tx.Order(o, nil); err != nil {
			return err
		}
		_, err := tx.Audit(o.Tenant, ledger.Entry{At: o.Ordered, Actor: "decide", Verb: "order " + string(o.Kind), Object: o.Subject.Label(), Detail: o.ID + " " + o.Incident})
		return err
	}, func(ctx context.Context) {
		b.news.tell(o.Tenant, nil, nil, &action.Record{Order: o, State: action.Ordered, Updated: o.Ordered})
		b.send(ctx, o.Tenant, o.Host, action.Command{Order: &o, Who: "decide"}, time.Until(o.Deadline))
	})
}

// send signs a command for one host and publishes it.
func (b *Brain) send(ctx context.Context, tenant, host string, c action.Command, life time.Duration) {
	payload, err := json.Marshal(c)
	if err == nil {
		var signed []byte
		now := time.Now()
		to := identity.Target{Tenant: identity.Tenant(tenant), Host: identity.Host(host)}
		if signed, err = b.auth.Signer().Sign(identity.KindOrder, to, now, life, payload); err == nil {
			err = b.hub.SendOrder(ctx, to.Tenant, to.Host, signed, now)
		}
	}
	if err != nil {
		b.opt.Log.Error("order not sent", "host", host, "error", err)
	}
}

// tellAction takes what an enforcer reports into the ledger.
func (b *Brain) tellAction(ev *event.Event) {
	a := ev.GetAction()
	at := ev.Wall()
	var record *action.Record
	b.write("action "+a.Id, func(tx *ledger.Tx) error {
		err := tx.Advance(ev.Tenant, a.Id, action.State(a.State), a.Reason, nil, at)
		if errors.Is(err, ledger.ErrTransition) || errors.Is(err, ledger.ErrNotFound) {
			return nil // told again after a restart, or an action of the host's own making
		}
		if err != nil {
			return err
		}
		if record, err = tx.Action(ev.Tenant, a.Id); err != nil {
			return err
		}
		_, err = tx.Audit(ev.Tenant, ledger.Entry{At: at, Actor: "enforcer " + ev.Host, Verb: a.State, Object: a.Target, Detail: a.Id})
		return err
	}, func(context.Context) {
		if record != nil {
			b.news.tell(ev.Tenant, nil, nil, record)
		}
	})
}
