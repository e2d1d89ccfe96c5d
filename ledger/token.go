// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is a secret by which a program acts for its owner; only its hash is kept.
type Token struct {
	Tenant  string    `json:"-"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Role    string    `json:"role"` // the owner's when it was made: it never grows past that
	Scopes  []string  `json:"scopes"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"` // the last time, to the minute
	Revoked time.Time `json:"revoked,omitzero"`
}

// AddToken keeps the hash of secret.
func (t *Tx) AddToken(k Token, secret []byte) error {
	if len(secret) < 16 || k.Tenant == "" || k.ID == "" || k.Name == "" || k.Owner == "" || k.Role == "" || k.Expires.IsZero() {
		return fmt.Errorf("add token %q: want tenant, id, name, owner, role, expiry and at least 16 random bytes", k.Name)
	}
	_, err := t.exec("INSERT INTO tokens (hash, tenant, id, name, owner, role, scopes, made_ns, expires_ns, revoked_ns, used_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
		digest(secret), k.Tenant, k.ID, k.Name, k.Owner, k.Role, strings.Join(k.Scopes, " "), ns(k.Made), ns(k.Expires))
	if err != nil {
		return fmt.Errorf("add token %q: %w", k.Name, err)
	}
	return nil
}

// Token gives what a secret stands for; ErrSpent when it is unknown, revoked or expired.
func (t *Tx) Token(secret []byte, now time.Time) (Token, error) {
	return t.token("hash = ?", now, digest(secret))
}

// TokenByID gives a live one by its public name.
func (t *Tx) TokenByID(tenant, id string, now time.Time) (Token, error) {
	return t.token("tenant = ? AND id = ?", now, tenant, id)
}

func (t *Tx) token(where string, now time.Time, args ...any) (Token, error) {
	out, err := t.tokens(where+" AND revoked_ns = 0 AND expires_ns > ?", append(args, ns(now))...)
	if err == nil && len(out) == 0 {
		err = ErrSpent
	}
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	return out[0], nil
}

// Tokens lists those of an owner, or of all with owner "", the newest first; revoked and
// expired ones too.
func (t *Tx) Tokens(tenant, owner string) ([]Token, error) {
	out, err := t.tokens("tenant = ? AND (? = '' OR owner = ?) ORDER BY made_ns DESC, id LIMIT ?", tenant, owner, owner, most)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return out, nil
}

func (t *Tx) tokens(where string, args ...any) (out []Token, err error) {
	err = t.rows("SELECT tenant, id, name, owner, role, scopes, made_ns, expires_ns, revoked_ns, used_ns FROM tokens WHERE "+where, args, func(r *sql.Rows) error {
		var k Token
		var scopes string
		var made, expires, revoked, used int64
		if err := r.Scan(&k.Tenant, &k.ID, &k.Name, &k.Owner, &k.Role, &scopes, &made, &expires, &revoked, &used); err != nil {
			return err
		}
		k.Scopes, k.Made, k.Expires, k.Revoked, k.Used = strings.Fields(scopes), at(made), at(expires), at(revoked), at(used)
		out = append(out, k)
		return nil
	})
	return out, err
}

// UseToken notes the last use.
func (t *Tx) UseToken(tenant, id string, now time.Time) error {
	_, err := t.exec("UPDATE tokens SET used_ns = ? WHERE tenant = ? AND id = ? AND used_ns < ?", ns(now), tenant, id, ns(now))
	if err != nil {
		return fmt.Errorf("use token %s: %w", id, err)
	}
	return nil
}

// RevokeToken ends one; ErrNotFound when it is unknown or ended.
func (t *Tx) RevokeToken(tenant, id string, now time.Time) error {
	return t.one("revoke token "+id, "UPDATE tokens SET revoked_ns = ? WHERE tenant = ? AND id = ? AND revoked_ns = 0", ns(now), tenant, id)
}

// RevokeTokens ends all of an owner and says how many.
func (t *Tx) RevokeTokens(tenant, owner string, now time.Time) (int, error) {
	n, err := t.many("UPDATE tokens SET revoked_ns = ? WHERE tenant = ? AND owner = ? AND revoked_ns = 0", ns(now), tenant, owner)
	if err != nil {
		return 0, fmt.Errorf("revoke tokens of %q: %w", owner, err)
	}
	return n, nil
}

// many runs a change and says how many rows it met.
func (t *Tx) many(query string, args ...any) (int, error) {
	res, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// Link is a secret that lets somebody in once: the first admin ("setup"), a new user
// ("invite") or one who lost their way in ("recover").
type Link struct {
	Tenant  string    `json:"-"`
	Purpose string    `json:"purpose"`
	Name    string    `json:"name,omitempty"` // "" lets the opener choose
	Role    string    `json:"role"`
	Raw     bool      `json:"raw"`
	By      string    `json:"by"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
}

// AddLink keeps the hash of secret. Unused links of the same purpose and name end: only
// the newest works.
func (t *Tx) AddLink(k Link, secret []byte) error {
	if len(secret) < 16 || k.Tenant == "" || k.Purpose == "" || k.Role == "" || k.By == "" || k.Expires.IsZero() {
		return fmt.Errorf("add %s link: want tenant, purpose, role, maker, expiry and at least 16 random bytes", k.Purpose)
	}
	_, err := t.exec("UPDATE access_links SET used_ns = ? WHERE tenant = ? AND purpose = ? AND name = ? AND used_ns = 0", ns(k.Made), k.Tenant, k.Purpose, k.Name)
	if err == nil {
		_, err = t.exec("INSERT INTO access_links (hash, tenant, purpose, name, role, raw, made_by, made_ns, expires_ns, used_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
			digest(secret), k.Tenant, k.Purpose, k.Name, k.Role, bit(k.Raw), k.By, ns(k.Made), ns(k.Expires))
	}
	if err != nil {
		return fmt.Errorf("add %s link: %w", k.Purpose, err)
	}
	return nil
}

// Link gives what a secret opens, unspent; ErrSpent when it is unknown, used or expired.
func (t *Tx) Link(secret []byte, now time.Time) (Link, error) {
	var k Link
	var raw, made, expires int64
	err := t.row("SELECT tenant, purpose, name, role, raw, made_by, made_ns, expires_ns FROM access_links WHERE hash = ? AND used_ns = 0 AND expires_ns > ?", []any{digest(secret), ns(now)},
		&k.Tenant, &k.Purpose, &k.Name, &k.Role, &raw, &k.By, &made, &expires)
	if errors.Is(err, ErrNotFound) {
		err = ErrSpent
	}
	if err != nil {
		return Link{}, fmt.Errorf("one-time link: %w", err)
	}
	k.Raw, k.Made, k.Expires = raw != 0, at(made), at(expires)
	return k, nil
}

// SpendLink uses a link up.
func (t *Tx) SpendLink(secret []byte, now time.Time) (Link, error) {
	k, err := t.Link(secret, now)
	if err == nil {
		_, err = t.exec("UPDATE access_links SET used_ns = ? WHERE hash = ?", ns(now), digest(secret))
	}
	return k, err
}

// CancelLinks ends the unused links of a name and says how many there were.
func (t *Tx) CancelLinks(tenant, name string, now time.Time) (int, error) {
	n, err := t.many("UPDATE access_links SET used_ns = ? WHERE tenant = ? AND name = ? AND used_ns = 0 AND expires_ns > ?", ns(now), tenant, name, ns(now))
	if err != nil {
		return 0, fmt.Errorf("cancel links of %q: %w", name, err)
	}
	return n, nil
}

// CancelLinksBy ends the unused links that somebody made, in person or by a token, and
// says how many there were.
func (t *Tx) CancelLinksBy(tenant, by string, now time.Time) (int, error) {
	token := by + " by token "
	n, err := t.many("UPDATE access_links SET used_ns = ? WHERE tenant = ? AND (made_by = ? OR substr(made_by, 1, ?) = ?) AND used_ns = 0 AND expires_ns > ?",
		ns(now), tenant, by, len([]rune(token)), token, ns(now))
	if err != nil {
		return 0, fmt.Errorf("cancel links made by %q: %w", by, err)
	}
	return n, nil
}

// Links lists those that still work, the newest first.
func (t *Tx) Links(tenant string, now time.Time) (out []Link, err error) {
	err = t.rows("SELECT purpose, name, role, raw, made_by, made_ns, expires_ns FROM access_links WHERE tenant = ? AND used_ns = 0 AND expires_ns > ? ORDER BY made_ns DESC, name LIMIT ?", []any{tenant, ns(now), most}, func(r *sql.Rows) error {
		k := Link{Tenant: tenant}
		var raw, made, expires int64
		if err := r.Scan(&k.Purpose, &k.Name, &k.Role, &raw, &k.By, &made, &expires); err != nil {
			return err
		}
		k.Raw, k.Made, k.Expires = raw != 0, at(made), at(expires)
		out = append(out, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list one-time links: %w", err)
	}
	return out, nil
}

// digest is how secrets and tokens are kept: they are long and random, so a plain
// hash is enough and lets one be looked up.
func digest(secret []byte) []byte {
	h := sha256.Sum256(secret)
	return h[:]
}
