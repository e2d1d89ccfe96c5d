// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// stepLife is how long a log-in may take from one step to the next.
const stepLife = 5 * time.Minute

// PasswordRequest begins a log-in, or is all of it when the code is given along.
type PasswordRequest struct {
	Tenant   string `json:"tenant,omitempty" maxLength:"64"`
	Name     string `json:"name" maxLength:"128"`
	Password string `json:"password" maxLength:"1024"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"of the authenticator app, or a recovery code"`
}

// CodeRequest is a second step.
type CodeRequest struct {
	Code string `json:"code" maxLength:"64"`
}

type codeStep struct {
	Tenant string `json:"t"`
	Name   string `json:"n"`
	Proof  string `json:"p"` // of the password hash: a new password ends the step
}

// whoIs is a user by name with what they must prove beside a password.
type whoIs struct {
	user ledger.User
	next []string
}

func lookUp(tx *ledger.Tx, tenant, name string) (whoIs, error) {
	// All is asked for whether the user exists or not: it shall take the same.
	u, err := tx.User(tenant, name)
	w := whoIs{user: u}
	keys, err2 := tx.Passkeys(tenant, name)
	left, err3 := tx.RecoveryCodes(tenant, name)
	// With any second factor set up, a password alone opens nothing.
	if u.TOTP != "" || (len(keys) > 0 && left > 0) {
		w.next = append(w.next, "code")
	}
	if len(keys) > 0 {
		w.next = append(w.next, "passkey")
	}
	return w, errors.Join(err, err2, err3)
}

// LogIn checks name and password. The Welcome holds either a session or, for a user with
// a second factor, what is to follow: LogInCode or a passkey. Every failure reads and
// takes the same, whether the user exists or not (but for a hash of older parameters,
// until its user's next log-in).
func (g *Guard) LogIn(ctx context.Context, from Caller, q PasswordRequest) (*Welcome, error) {
	tenant, name := cmp.Or(q.Tenant, DefaultTenant), plainName(q.Name)
	now := g.now()
	try, err := g.limits.try(from.Address, tenant, name, g.device(from, tenant, name), now)
	if err != nil {
		return nil, err
	}
	who, err := g.checkPassword(ctx, from, tenant, name, q.Password)
	if err != nil {
		return nil, err
	}
	if len(who.next) > 0 && q.Code == "" {
		try.right()
		step, err := g.box.seal("code", codeStep{tenant, name, g.proof(who.user)}, now, stepLife)
		if err != nil {
			return nil, err
		}
		return &Welcome{Next: who.next, Cookies: []*http.Cookie{from.cookie("-step", step, stepLife)}}, nil
	}
	w, err := g.finish(ctx, from, tenant, name, g.proof(who.user), q.Code)
	if err == nil {
		try.right()
	}
	return w, err
}

// LogInCode is the second step after LogIn said "code".
func (g *Guard) LogInCode(ctx context.Context, from Caller, q CodeRequest) (*Welcome, error) {
	var step codeStep
	now := g.now()
	if _, err := g.box.open("code", from.step, now, &step); err != nil {
		return nil, because(ErrUnauthenticated, "the log-in took too long; begin again")
	}
	try, err := g.limits.try(from.Address, step.Tenant, step.Name, g.device(from, step.Tenant, step.Name), now)
	if err != nil {
		return nil, err
	}
	w, err := g.finish(ctx, from, step.Tenant, step.Name, step.Proof, q.Code)
	if err == nil {
		try.right()
	}
	return w, err
}

// proof stands for the password a user had when they proved it.
func (g *Guard) proof(u ledger.User) string {
	return hex.EncodeToString(g.box.sum("password", u.PasswordHash)[:16])
}

// checkPassword gives the user whose password this is. A hash of older parameters is
// made anew.
func (g *Guard) checkPassword(ctx context.Context, from Caller, tenant, name, password string) (whoIs, error) {
	var who whoIs
	err := g.ledger.View(ctx, func(tx *ledger.Tx) (err error) { who, err = lookUp(tx, tenant, name); return err })
	exists := err == nil
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return who, err
	}
	stored := who.user.PasswordHash
	if !who.user.Disabled.IsZero() || len(password) > maxPassword {
		stored = ""
	}
	right, old, err := g.hash.check(ctx, stored, password[:min(len(password), maxPassword)])
	if err != nil {
		return who, err
	}
	if !right {
		g.refuse(tenant, name, exists, from.Address)
		return who, errWrong
	}
	if old {
		if err := g.rehash(ctx, tenant, &who.user, password); err != nil {
			return who, err
		}
	}
	return who, nil
}

func (g *Guard) rehash(ctx context.Context, tenant string, u *ledger.User, password string) error {
	fresh, err := g.hash.make(ctx, password)
	if err != nil {
		return err
	}
	return g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		now, err := tx.User(tenant, u.Name)
		if err != nil || now.PasswordHash != u.PasswordHash {
			return err
		}
		now.PasswordHash, u.PasswordHash = fresh, fresh
		return tx.PutUser(tenant, now)
	})
}

// finish makes the session of a user whose password was right, with the code when one is needed.
func (g *Guard) finish(ctx context.Context, from Caller, tenant, name, proof, code string) (w *Welcome, err error) {
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		who, err := lookUp(tx, tenant, name)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			return errWrong
		case err != nil:
			return err
		case !who.user.Disabled.IsZero() || g.proof(who.user) != proof:
			return errWrong
		}
		way := "password"
		if len(who.next) > 0 {
			second, err := g.spendCode(tx, tenant, &who.user, code, now)
			if err != nil {
				return err
			}
			way += "+" + second
		}
		w, err = g.signIn(tx, from, tenant, who.user, way, now)
		return err
	})
	if errors.Is(err, errWrong) {
		g.refuse(tenant, name, true, from.Address)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// ConfirmRequest proves anew who the caller is.
type ConfirmRequest struct {
	Password string `json:"password" maxLength:"1024"`
	Code     string `json:"code,omitempty" maxLength:"64"`
}

// Confirm makes the caller's log-in fresh again, after ErrStale. Users without a
// password log in again instead.
func (g *Guard) Confirm(ctx context.Context, from Caller, p *Principal, q ConfirmRequest) error {
	if p == nil || p.Via != ViaSession {
		return ErrUnauthenticated
	}
	now := g.now()
	try, err := g.limits.try(from.Address, p.Tenant, p.Name, g.device(from, p.Tenant, p.Name), now)
	if err != nil {
		return err
	}
	who, err := g.checkPassword(ctx, from, p.Tenant, p.Name, q.Password)
	if err != nil {
		return err
	}
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		u, err := tx.User(p.Tenant, p.Name)
		if err != nil {
			return err
		}
		if len(who.next) > 0 {
			if _, err := g.spendCode(tx, p.Tenant, &u, q.Code, now); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutUser(p.Tenant, u), tx.ProveSession(p.Tenant, p.Session, now), audit(tx, p.Tenant, p.Actor(), "confirm", p.Name, p.Session, now))
	})
	if errors.Is(err, errWrong) {
		g.refuse(p.Tenant, p.Name, true, from.Address)
	}
	if err == nil {
		try.right()
	}
	return missing(err)
}

// NewPasswordRequest changes the caller's own password.
type NewPasswordRequest struct {
	Old string `json:"old" maxLength:"1024"`
	New string `json:"new" minLength:"12" maxLength:"1024"`
}

// NewPassword changes the caller's password; their other sessions end.
func (g *Guard) NewPassword(ctx context.Context, from Caller, p *Principal, q NewPasswordRequest) (out *Renewed, err error) {
	if p == nil || p.Via != ViaSession {
		return nil, ErrUnauthenticated
	}
	if err := acceptable(q.New, p.Name); err != nil {
		return nil, err
	}
	now := g.now()
	try, err := g.limits.try(from.Address, p.Tenant, p.Name, g.device(from, p.Tenant, p.Name), now)
	if err != nil {
		return nil, err
	}
	who, err := g.checkPassword(ctx, from, p.Tenant, p.Name, q.Old)
	if err != nil {
		return nil, err
	}
	try.right()
	fresh, err := g.hash.make(ctx, q.New)
	if err != nil {
		return nil, err
	}
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		s, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		if u.PasswordHash != who.user.PasswordHash {
			return errWrong
		}
		u.PasswordHash = fresh
		if out, err = g.renew(tx, from, s, now); err != nil {
			return err
		}
		return errors.Join(tx.PutUser(p.Tenant, u), audit(tx, p.Tenant, p.Actor(), "change password", p.Name, "", now))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// plainName is a name as it is looked up.
func plainName(s string) string { return strings.ToLower(strings.TrimSpace(cut(s, 128))) }
