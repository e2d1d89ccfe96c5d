// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/ledger"
)

// The ledger is where exceptions live, each tenant's own, with their hits. The
// configuration is one way to say them, and the only one without a console: what stands
// there is in force for every tenant, what is gone from it ends.

// configured marks the ids of those that the configuration says.
const configured = "configuration/"

// exceptions brings the ledger in line with the configuration and gives what is in force
// for a tenant.
func (b *Brain) exceptions(ctx context.Context, tenant string, said []*decide.Exception) (*decide.Exceptions, error) {
	now := time.Now()
	var list []*decide.Exception
	err := b.ledger.Update(ctx, func(tx *ledger.Tx) error {
		list = nil
		if err := sayExceptions(tx, tenant, said, now); err != nil {
			return err
		}
		kept, err := tx.Exceptions(tenant, now)
		if err != nil {
			return err
		}
		for _, k := range kept {
			e := &decide.Exception{ID: k.ID, Reason: k.Reason, Owner: k.Owner, Expires: k.Expires, Hits: k.Hits}
			if err := json.Unmarshal(k.Scope, &e.Scope); err != nil {
				return fmt.Errorf("exception %q of tenant %s: scope: %w", k.ID, tenant, err)
			}
			list = append(list, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return decide.NewExceptions(list)
}

// sayExceptions writes what the configuration says and ends what it says no more. Only a
// change is audited.
func sayExceptions(tx *ledger.Tx, tenant string, said []*decide.Exception, now time.Time) error {
	all, err := tx.Exceptions(tenant, time.Time{})
	if err != nil {
		return err
	}
	before := map[string]ledger.Exception{}
	for _, e := range all {
		if e.Removed.IsZero() {
			before[e.ID] = e
		}
	}
	audit := func(verb, id string) error {
		_, err := tx.Audit(tenant, ledger.Entry{At: now, Actor: "configuration", Verb: verb, Object: id})
		return err
	}
	wanted := map[string]bool{}
	for i, e := range said {
		id := configured + e.ID
		if e.ID == "" {
			id = fmt.Sprint(configured, i+1)
		}
		wanted[id] = true
		scope, err := json.Marshal(e.Scope)
		if err != nil {
			return err
		}
		if old, is := before[id]; is && string(old.Scope) == string(scope) && old.Reason == e.Reason && old.Owner == e.Owner && old.Expires.Equal(e.Expires) {
			continue
		}
		if err := tx.PutException(tenant, ledger.Exception{ID: id, Scope: scope, Reason: e.Reason, Owner: e.Owner, Made: now, Expires: e.Expires}); err != nil {
			return err
		}
		if err := audit("except", id); err != nil {
			return err
		}
	}
	for id := range before {
		if strings.HasPrefix(id, configured) && !wanted[id] {
			if err := tx.RemoveException(tenant, id, now); err != nil {
				return err
			}
			if err := audit("end exception", id); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepHits adds to the ledger what the exceptions of a tenant hid since the last time.
func (b *Brain) keepHits(ctx context.Context, tenant string) {
	w := b.workers[tenant]
	var x *decide.Exceptions
	if w.do(ctx, func() { x = w.except }) == nil {
		b.keepTaken(ctx, tenant, x)
	}
}

// keepTaken is keepHits of exceptions that are in hand.
func (b *Brain) keepTaken(ctx context.Context, tenant string, x *decide.Exceptions) {
	hits := x.TakeHits()
	if len(hits) == 0 {
		return
	}
	now := time.Now()
	err := b.ledger.Update(ctx, func(tx *ledger.Tx) error {
		for id, n := range hits {
			if err := tx.HitException(tenant, id, n, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		x.GiveBack(hits)
		b.opt.Log.Warn("hits of exceptions not kept", "tenant", tenant, "error", err)
	}
}
