// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/action"
)

// steps are the states that may follow each. What is not here is an end.
var steps = map[action.State][]action.State{
	action.Ordered:  {action.Shadowed, action.Done, action.Refused, action.Failed, action.Undone, action.Expired},
	action.Done:     {action.Verified, action.Undone, action.Expired, action.Failed},
	action.Verified: {action.Undone, action.Expired, action.Failed},
}

// Order writes down an order before anything is touched. inverse is what will undo it,
// as far as it is known by then. An id that is there already gives ErrExists.
func (t *Tx) Order(o action.Order, inverse []byte) error {
	if err := o.Validate(); err != nil {
		return err
	}
	rec := action.Record{Order: o, State: action.Ordered, Inverse: inverse, Updated: o.Ordered}
	var state string
	err := t.row("SELECT state FROM actions WHERE tenant = ? AND id = ?", []any{o.Tenant, o.ID}, &state)
	if err == nil {
		return fmt.Errorf("order %s: %w (%s)", o.ID, ErrExists, state)
	}
	if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("order %s: %w", o.ID, err)
	}
	return t.putAction(&rec)
}

// Advance takes an action to its next state with what came of it. inverse replaces the
// one kept unless it is nil. The same state again with the same result changes nothing,
// so that a step may be repeated after a kill; another step than the life of an action
// knows gives ErrTransition.
func (t *Tx) Advance(tenant, id string, to action.State, result string, inverse []byte, now time.Time) error {
	rec, err := t.Action(tenant, id)
	if err != nil {
		return err
	}
	if rec.State == to {
		if inverse == nil && (result == "" || result == rec.Result) {
			return nil
		}
	} else if !slices.Contains(steps[rec.State], to) {
		return fmt.Errorf("action %s: %w: %s to %s", id, ErrTransition, rec.State, to)
	}
	rec.State, rec.Result, rec.Updated = to, result, now
	if inverse != nil {
		rec.Inverse = inverse
	}
	return t.putAction(rec)
}

// Prolong moves the deadline of a live action.
func (t *Tx) Prolong(tenant, id string, deadline, now time.Time) error {
	rec, err := t.Action(tenant, id)
	if err != nil {
		return err
	}
	if !rec.State.Live() || !deadline.After(now) {
		return fmt.Errorf("action %s: %w: it is %s, and the new deadline %v must lie ahead", id, ErrTransition, rec.State, deadline)
	}
	rec.Deadline, rec.Updated = deadline, now
	return t.putAction(rec)
}

func (t *Tx) putAction(rec *action.Record) error {
	body, err := json.Marshal(rec)
	if err == nil {
		_, err = t.exec(`INSERT INTO actions (tenant, id, host, kind, state, incident, ordered_ns, deadline_ns, updated_ns, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, deadline_ns = excluded.deadline_ns, updated_ns = excluded.updated_ns, body = excluded.body`,
			rec.Tenant, rec.ID, rec.Host, string(rec.Kind), string(rec.State), rec.Incident, ns(rec.Ordered), ns(rec.Deadline), ns(rec.Updated), body)
	}
	if err == nil {
		_, err = t.exec(`INSERT INTO action_history (tenant, id, step, at_ns, state, result)
			SELECT ?, ?, COALESCE(MAX(step), 0) + 1, ?, ?, ? FROM action_history WHERE tenant = ? AND id = ?`,
			rec.Tenant, rec.ID, ns(rec.Updated), string(rec.State), rec.Result, rec.Tenant, rec.ID)
	}
	if err != nil {
		return fmt.Errorf("put action %s: %w", rec.ID, err)
	}
	return nil
}

// Action gives one.
func (t *Tx) Action(tenant, id string) (*action.Record, error) {
	rec, err := only(t.actions("WHERE tenant = ? AND id = ?", tenant, id))
	if err != nil {
		return nil, fmt.Errorf("action %s: %w", id, err)
	}
	return &rec, nil
}

// ActionQuery chooses actions; an empty field does not narrow.
type ActionQuery struct {
	Host, Incident string
	Kind           action.Kind
	States         []action.State
	Since, Until   time.Time // ordered then
	Page
}

// Actions lists, the newest order first unless the page asks otherwise, with the
// cursor of the next page.
func (t *Tx) Actions(tenant string, q ActionQuery) (out []action.Record, next string, err error) {
	f := filter{}
	f.and("tenant = ?", tenant)
	f.equal("host", q.Host)
	f.equal("incident", q.Incident)
	f.equal("kind", string(q.Kind))
	if len(q.States) > 0 {
		marks, vals := in(q.States)
		f.and("state IN ("+marks+")", vals...)
	}
	f.between("ordered_ns", ns(q.Since), ns(q.Until))
	query, args, err := f.page("", "ordered_ns", "id", q.Page)
	if err == nil {
		out, err = t.actions(query, args...)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list actions: %w", err)
	}
	out, next = cut(out, q.Page, func(r action.Record) cursor {
		return cursor{json.Number(strconv.FormatInt(r.Ordered.UnixNano(), 10)), r.ID}
	})
	return out, next, nil
}

func (t *Tx) actions(where string, args ...any) (out []action.Record, err error) {
	err = t.rows("SELECT incident, body FROM actions "+where, args, func(r *sql.Rows) error {
		var rec action.Record
		var incident string
		var body []byte
		if err := r.Scan(&incident, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &rec); err != nil {
			return fmt.Errorf("decode action: %w", err)
		}
		rec.Incident = incident // moved by a merge
		out = append(out, rec)
		return nil
	})
	return out, err
}

// Reconcile is what an enforcer must look at when it starts, and from time to time:
// unfinished were ordered and nobody said what became of them (done, half done or
// not begun: the enforcer looks, then undoes or finishes); overdue still hold
// something past their deadline. Oldest first. Host "" is all hosts of the tenant.
func (t *Tx) Reconcile(tenant, host string, now time.Time) (unfinished, overdue []action.Record, err error) {
	where, args := "WHERE tenant = ?", []any{tenant}
	if host != "" {
		where, args = where+" AND host = ?", append(args, host)
	}
	end := " ORDER BY ordered_ns, id"
	unfinished, err = t.actions(where+" AND state = ?"+end, append(slices.Clone(args), string(action.Ordered))...)
	if err == nil {
		overdue, err = t.actions(where+" AND state IN (?, ?) AND deadline_ns <= ?"+end, append(slices.Clone(args), string(action.Done), string(action.Verified), ns(now))...)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reconcile actions: %w", err)
	}
	return unfinished, overdue, nil
}

// ActionStep is one entry of an action's history.
type ActionStep struct {
	At     time.Time    `json:"at"`
	State  action.State `json:"state"`
	Result string       `json:"result,omitempty"`
}

// ActionHistory gives the steps of an action, oldest first.
func (t *Tx) ActionHistory(tenant, id string) (out []ActionStep, err error) {
	err = t.rows("SELECT at_ns, state, result FROM action_history WHERE tenant = ? AND id = ? ORDER BY step", []any{tenant, id}, func(r *sql.Rows) error {
		var s ActionStep
		var when int64
		if err := r.Scan(&when, &s.State, &s.Result); err != nil {
			return err
		}
		s.At = at(when)
		out = append(out, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("history of action %s: %w", id, err)
	}
	return out, nil
}
