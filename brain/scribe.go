// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
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

// run writes until ctx ends, and then what was judged by then, the entry in hand included.
func (s scribe) run(ctx context.Context) {
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(scribeLast, cancel) })()
	for {
		select {
		case f := <-s.queue:
			f(writing)
		case <-ctx.Done():
			for {
				select {
				case f := <-s.queue:
					f(writing)
				default:
					return
				}
			}
		}
	}
}

// scribeLast bounds the writing of what was judged when the brain ends: of a disk that
// does not write the next life judges again.
const scribeLast = 5 * time.Second

// commit changes the ledger. While the disk is full or fails it waits, shows why, and
// with it what is judged waits: an order that is not written down must not go out.
func (b *Brain) commit(ctx context.Context, what string, f func(*ledger.Tx) error) error {
	for wait, failing := 100*time.Millisecond, false; ; wait = min(2*wait, 2*time.Second) {
		err := b.ledger.Update(ctx, f)
		if !diskFault(err) {
			if failing && err == nil {
				b.opt.Board.Set("ledger", health.On, "")
			}
			return err
		}
		failing = true
		b.opt.Board.Set("ledger", health.Degraded, fmt.Sprintf("%s: %v; it is tried again", what, err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// diskFault tells whether SQLite failed for the disk's or another process's sake, by
// its primary result code (https://www.sqlite.org/rescode.html): busy, locked, out of
// memory, read-only, I/O error, full, cannot open.
func diskFault(err error) bool {
	var coded interface{ Code() int }
	if !errors.As(err, &coded) {
		return false
	}
	switch coded.Code() & 0xff {
	case 5, 6, 7, 8, 10, 13, 14:
		return true
	}
	return false
}

// write queues one change of the ledger; a failure is logged and shown.
func (b *Brain) write(what string, f func(*ledger.Tx) error, then func(context.Context)) {
	b.scribe.queue <- func(ctx context.Context) {
		err := b.commit(ctx, what, f)
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

// tellOrders writes the orders of one decision down, all or none, and only then sends
// them: those of one host in one signed command, so that no gap opens between them.
func (b *Brain) tellOrders(orders []action.Order) {
	var fresh []action.Order
	b.write("order "+orders[0].ID, func(tx *ledger.Tx) error {
		fresh = fresh[:0]
		for _, o := range orders {
			err := tx.Order(o, nil)
			if errors.Is(err, ledger.ErrExists) {
				continue // of an earlier life: it stands already
			}
			if err != nil {
				return err
			}
			fresh = append(fresh, o)
			if _, err := tx.Audit(o.Tenant, ledger.Entry{At: o.Ordered, Actor: "decide", Verb: "order " + string(o.Kind), Object: o.Subject.Label(), Detail: o.ID + " " + o.Incident}); err != nil {
				return err
			}
		}
		return nil
	}, func(ctx context.Context) {
		for _, o := range fresh {
			b.news.tell(o.Tenant, nil, nil, &action.Record{Order: o, State: action.Ordered, Updated: o.Ordered})
		}
		b.sendOrders(ctx, fresh)
	})
}

// sendOrders sends each host its part of a decision, as one command that is good until
// the last of its orders ends.
func (b *Brain) sendOrders(ctx context.Context, orders []action.Order) {
	for len(orders) > 0 {
		to := orders[0]
		var own, others []action.Order
		for _, o := range orders {
			if o.Tenant != to.Tenant || o.Host != to.Host {
				others = append(others, o)
				continue
			}
			own = append(own, o)
			if o.Deadline.After(to.Deadline) {
				to.Deadline = o.Deadline
			}
		}
		b.send(ctx, to.Tenant, to.Host, action.Command{Orders: own, Who: "decide"}, time.Until(to.Deadline))
		orders = others
	}
}

// send signs a command for one host and publishes it; when the bus does not take it,
// again until its life is over.
func (b *Brain) send(ctx context.Context, tenant, host string, c action.Command, life time.Duration) {
	payload, err := json.Marshal(c)
	if err != nil {
		b.opt.Log.Error("order not sent", "host", host, "error", err)
		return
	}
	x := letter{identity.Target{Tenant: identity.Tenant(tenant), Host: identity.Host(host)}, payload, time.Now().Add(life)}
	if err := b.deliverOrder(ctx, x); err != nil {
		b.opt.Log.Warn("order not sent yet", "host", host, "error", err)
		b.unsent.add(x)
	}
}

// deliverOrder signs and publishes.
func (b *Brain) deliverOrder(ctx context.Context, x letter) error {
	now := time.Now()
	signed, err := b.auth.Signer().Sign(identity.KindOrder, x.to, now, x.until.Sub(now), x.payload)
	if err == nil {
		err = b.hub.SendOrder(ctx, x.to.Tenant, x.to.Host, signed, now)
	}
	return err
}

// letter is a command that is not on the bus yet.
type letter struct {
	to      identity.Target
	payload []byte
	until   time.Time
}

// unsent holds letters that the bus did not take. Safe for many goroutines.
type unsent struct {
	mu   sync.Mutex // guards wait
	wait []letter
}

// unsentKept bounds them; the ledger has all orders, and a host that is told of none
// of a thousand has other troubles.
const unsentKept = 1024

func (u *unsent) add(x ...letter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wait = append(u.wait, x...)
	u.wait = u.wait[max(0, len(u.wait)-unsentKept):]
}

// run tries every two seconds until ctx ends.
func (u *unsent) run(ctx context.Context, deliver func(context.Context, letter) error) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u.mu.Lock()
		wait := u.wait
		u.wait = nil
		u.mu.Unlock()
		for _, x := range wait {
			if time.Now().Before(x.until) && deliver(ctx, x) != nil {
				u.add(x)
			}
		}
	}
}

// finishOrders sends the decision again that was written down last and not said to be
// carried out: a kill may have come between the ledger and the bus. Earlier ones were
// sent, because the scribe sends each before it writes the next; an enforcer does no
// order twice.
func (b *Brain) finishOrders(ctx context.Context, tenant string) {
	var open []action.Record
	err := b.ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		open, _, err = tx.Reconcile(tenant, "", time.Now())
		return err
	})
	if err != nil && ctx.Err() == nil {
		b.opt.Log.Warn("orders of the last life not looked at", "tenant", tenant, "error", err)
		return
	}
	var last []action.Order
	for i := range open {
		o := open[i].Order
		if o.Ordered.Equal(open[len(open)-1].Ordered) && time.Now().Before(o.Deadline) {
			last = append(last, o)
		}
	}
	b.sendOrders(ctx, last)
}

// tellAction takes what an enforcer reports into the ledger: of its own host's actions,
// once.
func (b *Brain) tellAction(ev *event.Event) {
	a := ev.GetAction()
	at := ev.Wall()
	var record *action.Record
	b.write("action "+a.Id, func(tx *ledger.Tx) error {
		record = nil
		was, err := tx.Action(ev.Tenant, a.Id)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil // of the host's own making
		}
		if err != nil {
			return err
		}
		if was.Host != ev.Host {
			b.opt.Log.Warn("report refused: the action is another host's", "action", a.Id, "host", ev.Host, "of", was.Host)
			return nil
		}
		if was.State == action.State(a.State) && was.Result == a.Reason {
			return nil // told again after a restart
		}
		err = tx.Advance(ev.Tenant, a.Id, action.State(a.State), a.Reason, a.Inverse, at)
		if errors.Is(err, ledger.ErrTransition) {
			return nil // told again after a restart
		}
		if end := time.Unix(0, a.DeadlineNs); err == nil && action.State(a.State).Live() && !end.Equal(was.Deadline) && end.After(at) {
			err = tx.Prolong(ev.Tenant, a.Id, end, at) // this host permits less than was ordered
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
