// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Session is one browser that signed in; only the hash of its secret is kept.
type Session struct {
	Tenant  string    `json:"-"`
	ID      string    `json:"id"` // names it in lists; opens nothing
	Name    string    `json:"name"`
	Way     string    `json:"way"` // "password", "password+totp", "password+recovery", "passkey", "oidc", "link"
	Address string    `json:"address"`
	Agent   string    `json:"agent"` // what the browser calls itself; hostile text
	Made    time.Time `json:"made"`
	Proved  time.Time `json:"proved"` // the last time its user proved who they are
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
}

// AddSession keeps the hash of secret.
func (t *Tx) AddSession(s Session, secret []byte) error {
	if len(secret) < 16 || s.Tenant == "" || s.ID == "" || s.Name == "" || s.Expires.IsZero() {
		return fmt.Errorf("add session of %q: want tenant, id, name, expiry and at least 16 random bytes", s.Name)
	}
	_, err := t.exec("INSERT INTO sessions (hash, tenant, id, name, way, address, agent, made_ns, proved_ns, seen_ns, expires_ns, ended_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
		digest(secret), s.Tenant, s.ID, s.Name, s.Way, s.Address, s.Agent, ns(s.Made), ns(s.Proved), ns(s.Seen), ns(s.Expires))
	if err != nil {
		return fmt.Errorf("add session of %q: %w", s.Name, err)
	}
	return nil
}

const sessionColumns = "SELECT tenant, id, name, way, address, agent, made_ns, proved_ns, seen_ns, expires_ns FROM sessions WHERE ended_ns = 0 AND expires_ns > ? AND "

// Session gives what a secret stands for; ErrSpent when it is unknown, ended or expired.
func (t *Tx) Session(secret []byte, now time.Time) (Session, error) {
	return t.session("hash = ?", ns(now), digest(secret))
}

// SessionByID gives a live one by its public name.
func (t *Tx) SessionByID(tenant, id string, now time.Time) (Session, error) {
	return t.session("tenant = ? AND id = ?", ns(now), tenant, id)
}

func (t *Tx) session(where string, args ...any) (Session, error) {
	out, err := t.sessions(where, args...)
	if err == nil && len(out) == 0 {
		err = ErrSpent
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return out[0], nil
}

// Sessions lists the live ones of a user, or of all with name "", the newest first.
func (t *Tx) Sessions(tenant, name string, now time.Time) ([]Session, error) {
	out, err := t.sessions("tenant = ? AND (? = '' OR name = ?) ORDER BY made_ns DESC, id LIMIT ?", ns(now), tenant, name, name, most)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return out, nil
}

func (t *Tx) sessions(where string, args ...any) (out []Session, err error) {
	err = t.rows(sessionColumns+where, args, func(r *sql.Rows) error {
		var s Session
		var made, proved, seen, expires int64
		if err := r.Scan(&s.Tenant, &s.ID, &s.Name, &s.Way, &s.Address, &s.Agent, &made, &proved, &seen, &expires); err != nil {
			return err
		}
		s.Made, s.Proved, s.Seen, s.Expires = at(made), at(proved), at(seen), at(expires)
		out = append(out, s)
		return nil
	})
	return out, err
}

// TouchSession notes that a session was used.
func (t *Tx) TouchSession(tenant, id string, now time.Time) error {
	if _, err := t.exec("UPDATE sessions SET seen_ns = ? WHERE tenant = ? AND id = ? AND seen_ns < ?", ns(now), tenant, id, ns(now)); err != nil {
		return fmt.Errorf("touch session %s: %w", id, err)
	}
	return nil
}

// ProveSession notes that its user proved anew who they are.
func (t *Tx) ProveSession(tenant, id string, now time.Time) error {
	return t.one("prove session "+id, "UPDATE sessions SET proved_ns = ? WHERE tenant = ? AND id = ? AND ended_ns = 0", ns(now), tenant, id)
}

// EndSession ends one; ErrNotFound when it is unknown or ended.
func (t *Tx) EndSession(tenant, id string, now time.Time) error {
	return t.one("end session "+id, "UPDATE sessions SET ended_ns = ? WHERE tenant = ? AND id = ? AND ended_ns = 0", ns(now), tenant, id)
}

// EndSessions ends all of a user but the one named keep, and says how many.
func (t *Tx) EndSessions(tenant, name, keep string, now time.Time) (int, error) {
	n, err := t.many("UPDATE sessions SET ended_ns = ? WHERE tenant = ? AND name = ? AND id <> ? AND ended_ns = 0 AND expires_ns > ?", ns(now), tenant, name, keep, ns(now))
	if err != nil {
		return 0, fmt.Errorf("end sessions of %q: %w", name, err)
	}
	return n, nil
}

// ForgetAccess deletes sessions and one-time links that ended before then. Tokens stay to be read.
func (t *Tx) ForgetAccess(before time.Time) error {
	_, err := t.exec("DELETE FROM sessions WHERE expires_ns < ? OR (ended_ns > 0 AND ended_ns < ?)", ns(before), ns(before))
	_, err2 := t.exec("DELETE FROM access_links WHERE expires_ns < ? OR (used_ns > 0 AND used_ns < ?)", ns(before), ns(before))
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("forget ended sessions and links: %w", err)
	}
	return nil
}
