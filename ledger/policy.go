// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
)

// Stage is how far a policy may go within a scope (a layer, a rule, a kind of action;
// "" is the tenant), who said so and why.
type Stage struct {
	Scope  string       `json:"scope"`
	Stage  action.Stage `json:"stage"`
	Actor  string       `json:"actor"`
	Reason string       `json:"reason"`
	At     time.Time    `json:"at"`
}

// SetStage stores one. What was never set is observe.
func (t *Tx) SetStage(tenant string, s Stage) error {
	if tenant == "" || s.Actor == "" || s.Stage < action.Observe || s.Stage > action.Enforce {
		return fmt.Errorf("set stage of %q to %s: tenant, actor and a known stage are required", s.Scope, s.Stage)
	}
	_, err := t.exec(`INSERT INTO policy_stages (tenant, scope, stage, actor, reason, at_ns) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant, scope) DO UPDATE SET stage = excluded.stage, actor = excluded.actor, reason = excluded.reason, at_ns = excluded.at_ns`,
		tenant, s.Scope, s.Stage.String(), s.Actor, s.Reason, ns(s.At))
	if err != nil {
		return fmt.Errorf("set stage of %q: %w", s.Scope, err)
	}
	return nil
}

// Stages lists those of a tenant by scope.
func (t *Tx) Stages(tenant string) (out []Stage, err error) {
	err = t.rows("SELECT scope, stage, actor, reason, at_ns FROM policy_stages WHERE tenant = ? ORDER BY scope", []any{tenant}, func(r *sql.Rows) error {
		var s Stage
		var name string
		var when int64
		if err := r.Scan(&s.Scope, &name, &s.Actor, &s.Reason, &when); err != nil {
			return err
		}
		if err := s.Stage.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		s.At = at(when)
		out = append(out, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list policy stages: %w", err)
	}
	return out, nil
}

// Alias is one join of the resolver: from At on, Alias means Entity, by Rule, because of
// Event (verdict.EventID.Text), until it is undone.
type Alias struct {
	Alias  entity.Key `json:"alias"`
	Entity entity.Key `json:"entity"`
	Rule   string     `json:"rule"`
	Event  string     `json:"event"`
	At     time.Time  `json:"at"`
	Undone time.Time  `json:"undone,omitzero"`
}

// AddAlias stores a join; the same again changes nothing.
func (t *Tx) AddAlias(tenant string, a Alias) error {
	if tenant == "" || a.Alias.IsZero() || a.Entity.IsZero() || a.Alias == a.Entity || a.At.IsZero() {
		return errors.New("add alias: want a tenant, two different keys and a time")
	}
	_, err := t.exec("INSERT INTO aliases (tenant, alias, entity, rule, event, at_ns, undone_ns) VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (tenant, alias, entity, at_ns) DO NOTHING",
		tenant, a.Alias[:], a.Entity[:], a.Rule, a.Event, ns(a.At))
	if err != nil {
		return fmt.Errorf("add alias of %s: %w", a.Alias, err)
	}
	return nil
}

// UndoAlias ends every join of two keys that holds.
func (t *Tx) UndoAlias(tenant string, alias, entity entity.Key, now time.Time) error {
	return t.one("undo alias of "+alias.String(), "UPDATE aliases SET undone_ns = ? WHERE tenant = ? AND alias = ? AND entity = ? AND undone_ns = 0", ns(now), tenant, alias[:], entity[:])
}

// Aliases lists the joins that a key is part of, on either side, undone ones too, by time.
func (t *Tx) Aliases(tenant string, key entity.Key) (out []Alias, err error) {
	err = t.rows("SELECT alias, entity, rule, event, at_ns, undone_ns FROM aliases WHERE tenant = ? AND (alias = ? OR entity = ?) ORDER BY at_ns, alias", []any{tenant, key[:], key[:]}, func(r *sql.Rows) error {
		var a Alias
		var alias, ent []byte
		var when, undone int64
		if err := r.Scan(&alias, &ent, &a.Rule, &a.Event, &when, &undone); err != nil {
			return err
		}
		if len(alias) != len(a.Alias) || len(ent) != len(a.Entity) {
			return fmt.Errorf("key of %d bytes", len(alias))
		}
		copy(a.Alias[:], alias)
		copy(a.Entity[:], ent)
		a.At, a.Undone = at(when), at(undone)
		out = append(out, a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("aliases of %s: %w", key, err)
	}
	return out, nil
}
