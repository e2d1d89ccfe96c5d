// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// User is a person who may sign in. What proves who they are is the door's own format
// and not part of any JSON.
type User struct {
	Name         string    `json:"name"`
	Role         string    `json:"role"`
	Raw          bool      `json:"raw"`              // may read raw content
	Issuer       string    `json:"issuer,omitempty"` // single sign-on: who vouches, "" for a local user
	Subject      string    `json:"-"`                // their unchanging name there
	Handle       string    `json:"-"`                // their opaque name towards passkeys
	PasswordHash string    `json:"-"`                // "" has no password
	TOTP         string    `json:"-"`                // sealed secret, "" has none
	TOTPStep     int64     `json:"-"`                // the last 30 s step whose code was used
	Made         time.Time `json:"made"`
	Login        time.Time `json:"login,omitzero"` // the last
	Disabled     time.Time `json:"disabled,omitzero"`
}

// PutUser stores or changes one; Made stays as it first was.
func (t *Tx) PutUser(tenant string, u User) error {
	if tenant == "" || u.Name == "" || u.Role == "" {
		return fmt.Errorf("put user %q: tenant, name and role are required", u.Name)
	}
	_, err := t.exec(`INSERT INTO users (tenant, name, role, raw, issuer, subject, handle, password_hash, totp, totp_step, made_ns, login_ns, disabled_ns)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant, name) DO UPDATE SET role = excluded.role, raw = excluded.raw, issuer = excluded.issuer, subject = excluded.subject, handle = excluded.handle,
			password_hash = excluded.password_hash, totp = excluded.totp, totp_step = excluded.totp_step, login_ns = excluded.login_ns, disabled_ns = excluded.disabled_ns`,
		tenant, u.Name, u.Role, bit(u.Raw), u.Issuer, u.Subject, u.Handle, u.PasswordHash, u.TOTP, u.TOTPStep, ns(u.Made), ns(u.Login), ns(u.Disabled))
	if err != nil {
		return fmt.Errorf("put user %q: %w", u.Name, err)
	}
	return nil
}

// User gives one, disabled or not.
func (t *Tx) User(tenant, name string) (User, error) {
	_, u, err := t.user("tenant = ? AND name = ?", tenant, name)
	if err != nil {
		return User{}, fmt.Errorf("user %q: %w", name, err)
	}
	return u, nil
}

// UserByHandle finds the owner of a passkey in any tenant.
func (t *Tx) UserByHandle(handle string) (tenant string, u User, err error) {
	if handle == "" {
		return "", User{}, fmt.Errorf("user by handle: %w", ErrNotFound)
	}
	if tenant, u, err = t.user("handle = ?", handle); err != nil {
		return "", User{}, fmt.Errorf("user by handle: %w", err)
	}
	return tenant, u, nil
}

// UserBySubject finds who an issuer vouches for.
func (t *Tx) UserBySubject(tenant, issuer, subject string) (User, error) {
	if issuer == "" || subject == "" {
		return User{}, fmt.Errorf("user of issuer %q: %w", issuer, ErrNotFound)
	}
	_, u, err := t.user("tenant = ? AND issuer = ? AND subject = ?", tenant, issuer, subject)
	if err != nil {
		return User{}, fmt.Errorf("user of issuer %q: %w", issuer, err)
	}
	return u, nil
}

// Users lists all of a tenant by name, disabled ones too.
func (t *Tx) Users(tenant string) (out []User, err error) {
	err = t.users("tenant = ? ORDER BY name", []any{tenant}, func(_ string, u User) { out = append(out, u) })
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return out, nil
}

func (t *Tx) user(where string, args ...any) (tenant string, u User, err error) {
	found := false
	err = t.users(where, args, func(in string, one User) { tenant, u, found = in, one, true })
	if err == nil && !found {
		err = ErrNotFound
	}
	return tenant, u, err
}

func (t *Tx) users(where string, args []any, each func(tenant string, u User)) error {
	return t.rows("SELECT tenant, name, role, raw, issuer, subject, handle, password_hash, totp, totp_step, made_ns, login_ns, disabled_ns FROM users WHERE "+where, args, func(r *sql.Rows) error {
		var tenant string
		var u User
		var raw, made, login, disabled int64
		if err := r.Scan(&tenant, &u.Name, &u.Role, &raw, &u.Issuer, &u.Subject, &u.Handle, &u.PasswordHash, &u.TOTP, &u.TOTPStep, &made, &login, &disabled); err != nil {
			return err
		}
		u.Raw, u.Made, u.Login, u.Disabled = raw != 0, at(made), at(login), at(disabled)
		each(tenant, u)
		return nil
	})
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Passkey is one WebAuthn credential. Body is the door's own format.
type Passkey struct {
	ID    string    `json:"id"` // the credential's, base64url
	Name  string    `json:"-"`  // its owner
	Site  string    `json:"site"`
	Label string    `json:"label"`
	Body  []byte    `json:"-"`
	Made  time.Time `json:"made"`
	Used  time.Time `json:"used,omitzero"`
}

// AddPasskey stores a new one; ErrExists when its id is known, whoever owns it.
func (t *Tx) AddPasskey(tenant string, k Passkey) error {
	if tenant == "" || k.ID == "" || k.Name == "" || len(k.Body) == 0 {
		return errors.New("add passkey: tenant, id, owner and body are required")
	}
	var owner string
	err := t.row("SELECT name FROM passkeys WHERE id = ?", []any{k.ID}, &owner)
	if err == nil {
		return fmt.Errorf("add passkey of %q: %w", k.Name, ErrExists)
	}
	if errors.Is(err, ErrNotFound) {
		_, err = t.exec("INSERT INTO passkeys (id, tenant, name, site, label, body, made_ns, used_ns) VALUES (?, ?, ?, ?, ?, ?, ?, 0)", k.ID, tenant, k.Name, k.Site, k.Label, k.Body, ns(k.Made))
	}
	if err != nil {
		return fmt.Errorf("add passkey of %q: %w", k.Name, err)
	}
	return nil
}

// UsePasskey notes a use, with the body that came of it (its counter).
func (t *Tx) UsePasskey(tenant, id string, body []byte, now time.Time) error {
	return t.one("use passkey", "UPDATE passkeys SET body = ?, used_ns = ? WHERE tenant = ? AND id = ?", body, ns(now), tenant, id)
}

// DropPasskey takes one from its owner.
func (t *Tx) DropPasskey(tenant, name, id string) error {
	return t.one("drop passkey of "+name, "DELETE FROM passkeys WHERE tenant = ? AND name = ? AND id = ?", tenant, name, id)
}

// Passkeys lists those of a user, the oldest first.
func (t *Tx) Passkeys(tenant, name string) (out []Passkey, err error) {
	err = t.rows("SELECT id, site, label, body, made_ns, used_ns FROM passkeys WHERE tenant = ? AND name = ? ORDER BY made_ns, id", []any{tenant, name}, func(r *sql.Rows) error {
		k := Passkey{Name: name}
		var made, used int64
		if err := r.Scan(&k.ID, &k.Site, &k.Label, &k.Body, &made, &used); err != nil {
			return err
		}
		k.Made, k.Used = at(made), at(used)
		out = append(out, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys of %q: %w", name, err)
	}
	return out, nil
}

// SetRecoveryCodes replaces a user's recovery codes; hashes are the door's own.
func (t *Tx) SetRecoveryCodes(tenant, name string, hashes [][]byte) error {
	_, err := t.exec("DELETE FROM recovery_codes WHERE tenant = ? AND name = ?", tenant, name)
	for _, h := range hashes {
		if err == nil {
			_, err = t.exec("INSERT INTO recovery_codes (tenant, name, hash, used_ns) VALUES (?, ?, ?, 0)", tenant, name, h)
		}
	}
	if err != nil {
		return fmt.Errorf("set recovery codes of %q: %w", name, err)
	}
	return nil
}

// SpendRecoveryCode uses one up; ErrSpent when it is unknown or was used.
func (t *Tx) SpendRecoveryCode(tenant, name string, hash []byte, now time.Time) error {
	err := t.one("recovery code of "+name, "UPDATE recovery_codes SET used_ns = ? WHERE tenant = ? AND name = ? AND hash = ? AND used_ns = 0", ns(now), tenant, name, hash)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("recovery code of %q: %w", name, ErrSpent)
	}
	return err
}

// RecoveryCodes counts those left.
func (t *Tx) RecoveryCodes(tenant, name string) (left int, err error) {
	err = t.row("SELECT COUNT(*) FROM recovery_codes WHERE tenant = ? AND name = ? AND used_ns = 0", []any{tenant, name}, &left)
	if err != nil {
		return 0, fmt.Errorf("recovery codes of %q: %w", name, err)
	}
	return left, nil
}
