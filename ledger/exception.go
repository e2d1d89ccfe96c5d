// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Exception is one that a person made: what it covers, why, whose it is and until when.
// Scope is package decide's, as JSON; the ledger does not read it.
type Exception struct {
	ID      string          `json:"id"`
	Scope   json.RawMessage `json:"scope"`
	Reason  string          `json:"reason"`
	Owner   string          `json:"owner"`
	Made    time.Time       `json:"made"`
	Expires time.Time       `json:"expires"`
	Removed time.Time       `json:"removed,omitzero"`
	Hits    uint64          `json:"hits"`
	LastHit time.Time       `json:"last_hit,omitzero"`
}

// PutException stores or changes one; its hits stay.
func (t *Tx) PutException(tenant string, e Exception) error {
	var errs []error
	if e.ID == "" || tenant == "" {
		errs = append(errs, errors.New("no id or no tenant"))
	}
	if e.Reason == "" || e.Owner == "" || e.Expires.IsZero() {
		errs = append(errs, errors.New("reason, owner and expiry are required"))
	}
	if !json.Valid(e.Scope) {
		errs = append(errs, errors.New("scope is not JSON"))
	}
	err := errors.Join(errs...)
	if err == nil {
		_, err = t.exec(`INSERT INTO exceptions (tenant, id, scope, reason, owner, made_ns, expires_ns, removed_ns, hits, hit_ns) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0)
			ON CONFLICT (tenant, id) DO UPDATE SET scope = excluded.scope, reason = excluded.reason, owner = excluded.owner, expires_ns = excluded.expires_ns, removed_ns = 0`,
			tenant, e.ID, []byte(e.Scope), e.Reason, e.Owner, ns(e.Made), ns(e.Expires))
	}
	if err != nil {
		return fmt.Errorf("put exception %q: %w", e.ID, err)
	}
	return nil
}

// RemoveException ends one at once; it stays to be read.
func (t *Tx) RemoveException(tenant, id string, now time.Time) error {
	return t.one("remove exception "+id, "UPDATE exceptions SET removed_ns = ? WHERE tenant = ? AND id = ? AND removed_ns = 0", ns(now), tenant, id)
}

// HitException adds hits that the judge counted.
func (t *Tx) HitException(tenant, id string, hits uint64, now time.Time) error {
	return t.one("count hits of exception "+id, "UPDATE exceptions SET hits = hits + ?, hit_ns = ? WHERE tenant = ? AND id = ?", int64(hits), ns(now), tenant, id)
}

// one runs a change that must touch a row.
func (t *Tx) one(what, query string, args ...any) error {
	res, err := t.exec(query, args...)
	if err == nil {
		var n int64
		if n, err = res.RowsAffected(); err == nil && n == 0 {
			err = ErrNotFound
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Exceptions lists those in force at now; all that ever were when now is zero.
func (t *Tx) Exceptions(tenant string, now time.Time) (out []Exception, err error) {
	where, args := "WHERE tenant = ?", []any{tenant}
	if !now.IsZero() {
		where, args = where+" AND removed_ns = 0 AND expires_ns > ?", append(args, ns(now))
	}
	err = t.rows("SELECT id, scope, reason, owner, made_ns, expires_ns, removed_ns, hits, hit_ns FROM exceptions "+where+" ORDER BY made_ns, id", args, func(r *sql.Rows) error {
		var e Exception
		var scope []byte
		var made, expires, removed, hit int64
		if err := r.Scan(&e.ID, &scope, &e.Reason, &e.Owner, &made, &expires, &removed, &e.Hits, &hit); err != nil {
			return err
		}
		e.Scope, e.Made, e.Expires, e.Removed, e.LastHit = scope, at(made), at(expires), at(removed), at(hit)
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list exceptions: %w", err)
	}
	return out, nil
}
