// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// What the desk asks and says: lists of the ledger, and people's words about incidents.

// index brings findings into the ledger's lists, many in one commit. Safe for many
// goroutines.
type index struct {
	wake   chan struct{} // holds one
	passed atomic.Uint64 // findings that no list shows, since start

	mu   sync.Mutex // guards wait
	wait []indexed
}

type indexed struct {
	tenant  string
	finding *verdict.Finding
}

// indexEvery is how long findings gather for one commit, and indexMost how many wait:
// those of a storm past that are counted, and stand in the archive alone.
const (
	indexEvery = 20 * time.Millisecond
	indexMost  = 100_000
)

func newIndex() *index { return &index{wake: make(chan struct{}, 1)} }

func (x *index) put(tenant string, f *verdict.Finding) {
	x.mu.Lock()
	if len(x.wait) < indexMost {
		x.wait = append(x.wait, indexed{tenant, f})
	} else {
		x.passed.Add(1)
	}
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *index) take() []indexed {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.wait
	x.wait = nil
	return out
}

// keepIndex writes the index until ctx ends, and what is left then.
func (b *Brain) keepIndex(ctx context.Context) {
	forget := time.NewTicker(time.Hour)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), scribeLast)
			defer cancel()
			b.writeIndex(last)
			return
		case <-forget.C:
			b.forgetFindings(ctx)
		case <-b.index.wake:
			b.writeIndex(ctx)
			select {
			case <-time.After(indexEvery):
			case <-ctx.Done():
			}
		}
	}
}

// writeIndex lists what waits.
func (b *Brain) writeIndex(ctx context.Context) {
	list := b.index.take()
	if err := b.list(ctx, list); err != nil {
		b.index.passed.Add(uint64(len(list)))
		b.opt.Log.Error("findings are not listed", "count", len(list), "error", err)
	}
}

// list makes findings ones that lists show, in one commit.
func (b *Brain) list(ctx context.Context, findings []indexed) error {
	if len(findings) == 0 {
		return nil
	}
	return b.commit(ctx, "list findings", func(tx *ledger.Tx) error {
		for _, x := range findings {
			if err := tx.PutFinding(x.tenant, x.finding); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillIndex lists again what the archive holds, when a tenant has no list: that of an
// older version, or one that was lost.
func (b *Brain) fillIndex(ctx context.Context, tenant string) error {
	if list, _, err := b.Findings(ctx, tenant, ledger.FindingQuery{Grey: true, Page: ledger.Page{Limit: 1}}); err != nil || len(list) > 0 {
		return err
	}
	var some []indexed
	for ev, err := range b.store.Scan(ctx, tenant, archive.Range{Kinds: []string{"finding"}}) {
		if err != nil {
			return err
		}
		if f := ev.GetFinding(); ev.Host == judgeHost && f.GetId() != "" {
			some = append(some, indexed{tenant, f})
		}
		if len(some) == 1000 {
			if err := b.list(ctx, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return b.list(ctx, some)
}

// forgetFindings drops from the lists what the archive no longer keeps.
func (b *Brain) forgetFindings(ctx context.Context) {
	err := b.commit(ctx, "forget findings", func(tx *ledger.Tx) error {
		for _, t := range b.cfg.Tenants {
			if _, err := tx.DropFindings(t, time.Now().Add(-b.cfg.Retention.Age)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		b.opt.Log.Error("old findings stay listed", "error", err)
	}
}

// Findings lists, with the cursor of the next page.
func (b *Brain) Findings(ctx context.Context, tenant string, q ledger.FindingQuery) (out []ledger.ListedFinding, next string, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		out, next, err = tx.Findings(tenant, q)
		return err
	})
	return out, next, err
}

// Finding gives one.
func (b *Brain) Finding(ctx context.Context, tenant, id string) (ledger.ListedFinding, error) {
	return look(ctx, b, func(tx *ledger.Tx) (ledger.ListedFinding, error) { return tx.Finding(tenant, id) })
}

// Incidents lists, with the cursor of the next page.
func (b *Brain) Incidents(ctx context.Context, tenant string, q ledger.IncidentQuery) (out []ledger.ListedIncident, next string, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		out, next, err = tx.Incidents(tenant, q)
		return err
	})
	return out, next, err
}

// Incident finds one by its id or by that of an incident merged into it.
func (b *Brain) Incident(ctx context.Context, tenant, id string) (ledger.ListedIncident, error) {
	return look(ctx, b, func(tx *ledger.Tx) (ledger.ListedIncident, error) { return tx.OnDesk(tenant, id) })
}

// History tells how the judge came to see an incident as it is, oldest first.
func (b *Brain) History(ctx context.Context, tenant, id string) ([]ledger.Change, error) {
	return look(ctx, b, func(tx *ledger.Tx) ([]ledger.Change, error) { return tx.History(tenant, id) })
}

// Notes lists what people wrote beside an incident.
func (b *Brain) Notes(ctx context.Context, tenant, incident string) ([]ledger.Note, error) {
	return look(ctx, b, func(tx *ledger.Tx) ([]ledger.Note, error) { return tx.Notes(tenant, incident) })
}

// SetDesk changes status and assignee; of is the version that the change rests on.
func (b *Brain) SetDesk(ctx context.Context, tenant, id, who string, of int64, status, assignee string) (inc ledger.ListedIncident, err error) {
	err = b.update(ctx, func(tx *ledger.Tx) error {
		if inc, err = tx.OnDesk(tenant, id); err != nil {
			return err
		}
		now := time.Now()
		if err := tx.SetDesk(tenant, inc.Id, of, ledger.Desk{Status: status, Assignee: assignee, At: now}); err != nil {
			return err
		}
		if _, err := tx.Audit(tenant, ledger.Entry{At: now, Actor: who, Verb: "incident " + status, Object: inc.Id, Detail: "assignee " + assignee}); err != nil {
			return err
		}
		inc, err = tx.OnDesk(tenant, inc.Id)
		return err
	})
	if err == nil {
		b.news.tell(tenant, nil, inc.Incident, nil)
	}
	return inc, err
}

// AddNote writes beside an incident.
func (b *Brain) AddNote(ctx context.Context, tenant, id, who, text string) (n ledger.Note, err error) {
	err = b.update(ctx, func(tx *ledger.Tx) error {
		inc, err := tx.OnDesk(tenant, id)
		if err != nil {
			return err
		}
		n = ledger.Note{ID: nuid.Next(), Incident: inc.Id, At: time.Now().UTC(), Author: who, Text: text}
		if err := tx.AddNote(tenant, n); err != nil {
			return err
		}
		_, err = tx.Audit(tenant, ledger.Entry{At: n.At, Actor: who, Verb: "note", Object: inc.Id, Detail: n.ID})
		return err
	})
	return n, err
}

// Actions lists, with the cursor of the next page.
func (b *Brain) Actions(ctx context.Context, tenant string, q ledger.ActionQuery) (out []action.Record, next string, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		out, next, err = tx.Actions(tenant, q)
		return err
	})
	return out, next, err
}

// Action gives one with its steps.
func (b *Brain) Action(ctx context.Context, tenant, id string) (rec *action.Record, steps []ledger.ActionStep, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		if rec, err = tx.Action(tenant, id); err != nil {
			return err
		}
		steps, err = tx.ActionHistory(tenant, id)
		return err
	})
	return rec, steps, err
}

// Hunts lists the saved ones.
func (b *Brain) Hunts(ctx context.Context, tenant string) ([]ledger.Hunt, error) {
	return look(ctx, b, func(tx *ledger.Tx) ([]ledger.Hunt, error) { return tx.Hunts(tenant) })
}

// SaveHunt keeps a query under a name; an empty id makes a new one.
func (b *Brain) SaveHunt(ctx context.Context, tenant, who string, h ledger.Hunt) (ledger.Hunt, error) {
	if h.ID == "" {
		h.ID = nuid.Next()
	}
	h.Owner, h.Made = who, time.Now().UTC()
	return h, b.update(ctx, func(tx *ledger.Tx) error {
		if err := tx.PutHunt(tenant, h); err != nil {
			return err
		}
		_, err := tx.Audit(tenant, ledger.Entry{At: h.Made, Actor: who, Verb: "save hunt", Object: h.ID, Detail: h.Name})
		return err
	})
}

// DropHunt forgets a saved one.
func (b *Brain) DropHunt(ctx context.Context, tenant, who, id string) error {
	return b.update(ctx, func(tx *ledger.Tx) error {
		if err := tx.DropHunt(tenant, id); err != nil {
			return err
		}
		_, err := tx.Audit(tenant, ledger.Entry{At: time.Now(), Actor: who, Verb: "drop hunt", Object: id})
		return err
	})
}

// Audit lists entries of the audit chain, with the cursor of the next page.
func (b *Brain) Audit(ctx context.Context, tenant string, q ledger.AuditQuery) (out []ledger.Entry, next string, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		out, next, err = tx.AuditEntries(tenant, q)
		return err
	})
	return out, next, err
}

// VerifyAudit walks the whole chain; an error that wraps ledger.ErrBroken names the first
// link that does not hold.
func (b *Brain) VerifyAudit(ctx context.Context, tenant string, known ledger.Head) (ledger.Head, error) {
	return look(ctx, b, func(tx *ledger.Tx) (ledger.Head, error) { return tx.VerifyAudit(tenant, known) })
}

// look reads one thing of the ledger.
func look[T any](ctx context.Context, b *Brain, f func(*ledger.Tx) (T, error)) (out T, err error) {
	err = b.view(ctx, func(tx *ledger.Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

// view and update run on the ledger; what it does not know is ErrNotFound, a wrong
// cursor ErrInput.
func (b *Brain) view(ctx context.Context, f func(*ledger.Tx) error) error {
	return ledgerFault(b.ledger.View(ctx, f))
}

func (b *Brain) update(ctx context.Context, f func(*ledger.Tx) error) error {
	return ledgerFault(b.ledger.Update(ctx, f))
}

func ledgerFault(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, ledger.ErrCursor):
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	return err
}
