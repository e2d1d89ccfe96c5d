// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/ringwall/ringwall/ledger"
)

var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// validName: plain letters, so that no two names look the same.
func validName(name string) error {
	if !userName.MatchString(name) {
		return input("a user name has 1 to 64 of a-z, 0-9 and . _ @ + -, and begins with a letter or digit")
	}
	return nil
}

func rights(role Role, raw bool) string {
	if raw {
		return string(role) + " with raw content"
	}
	return string(role)
}

// Person is a user as admins see one.
type Person struct {
	ledger.User
	Tenant        string `json:"tenant"`
	Provider      string `json:"provider,omitempty"`
	TOTP          bool   `json:"totp"`
	Passkeys      int    `json:"passkeys"`
	RecoveryCodes int    `json:"recovery_codes"`
	Sessions      int    `json:"sessions"`
}

// Users lists all of the caller's tenant. Needs Administer.
func (g *Guard) Users(ctx context.Context, p *Principal) (out []Person, err error) {
	if err := Require(p, Administer); err != nil {
		return nil, err
	}
	now := g.now()
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error {
		list, err := tx.Users(p.Tenant)
		if err != nil {
			return err
		}
		for _, u := range list {
			keys, err := tx.Passkeys(p.Tenant, u.Name)
			left, err2 := tx.RecoveryCodes(p.Tenant, u.Name)
			live, err3 := tx.Sessions(p.Tenant, u.Name, now)
			if err := errors.Join(err, err2, err3); err != nil {
				return err
			}
			out = append(out, Person{User: u, Tenant: p.Tenant, Provider: g.providerOf(u), TOTP: u.TOTP != "", Passkeys: len(keys), RecoveryCodes: left, Sessions: len(live)})
		}
		return nil
	})
	return out, err
}

// Names lists who work can be assigned to. Needs Read.
func (g *Guard) Names(ctx context.Context, p *Principal) (out []string, err error) {
	if err := Require(p, Read); err != nil {
		return nil, err
	}
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error {
		list, err := tx.Users(p.Tenant)
		for _, u := range list {
			if u.Disabled.IsZero() && Role(u.Role).rank() >= Analyst.rank() {
				out = append(out, u.Name)
			}
		}
		return err
	})
	return out, err
}

// ChangeUser is what is to be different; what is nil stays.
type ChangeUser struct {
	Role     *Role `json:"role,omitempty" enum:"viewer,analyst,responder,admin"`
	Raw      *bool `json:"raw,omitempty" doc:"may read raw content"`
	Disabled *bool `json:"disabled,omitempty"`
}

// Change changes a user's rights and ends their sessions. A disabled user's tokens and
// links end too, and so do the links that somebody made who is no admin any more. The last admin who can log in stays one. Needs Administer.
func (g *Guard) Change(ctx context.Context, p *Principal, name string, q ChangeUser) error {
	if err := Require(p, Administer); err != nil {
		return err
	}
	if q.Role != nil && q.Role.rank() == 0 {
		return input("%q is no role", cut(string(*q.Role), 32))
	}
	now := g.now()
	return g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		u, err := tx.User(p.Tenant, plainName(name))
		if err != nil {
			return missing(err)
		}
		if u.Issuer != "" && (q.Role != nil || q.Raw != nil) {
			return input("the rights of %s come from single sign-on; change them there", u.Name)
		}
		was := u
		if q.Role != nil {
			u.Role = string(*q.Role)
		}
		if q.Raw != nil {
			u.Raw = *q.Raw
		}
		if q.Disabled != nil {
			if u.Disabled = (time.Time{}); *q.Disabled {
				u.Disabled = cmp.Or(was.Disabled, now)
			}
		}
		if u == was {
			return nil
		}
		if err := tx.PutUser(p.Tenant, u); err != nil {
			return err
		}
		if err := lastAdmin(tx, p.Tenant, was); err != nil {
			return err
		}
		return g.changed(tx, p, was, u, now)
	})
}

// changed ends what a user's old rights opened, and writes the change down.
func (g *Guard) changed(tx *ledger.Tx, p *Principal, was, u ledger.User, now time.Time) error {
	_, err := tx.EndSessions(p.Tenant, u.Name, "", now)
	errs := []error{err}
	if Role(was.Role) == Admin && (Role(u.Role) != Admin || !u.Disabled.IsZero()) {
		_, err := tx.CancelLinksBy(p.Tenant, u.Name, now) // what they opened for others while they could
		errs = append(errs, err)
	}
	if was.Role != u.Role || was.Raw != u.Raw {
		errs = append(errs, audit(tx, p.Tenant, p.Actor(), "set role", u.Name, rights(Role(was.Role), was.Raw)+" to "+rights(Role(u.Role), u.Raw), now))
	}
	switch {
	case was.Disabled.IsZero() && !u.Disabled.IsZero():
		_, err := tx.RevokeTokens(p.Tenant, u.Name, now)
		_, err2 := tx.CancelLinks(p.Tenant, u.Name, now)
		errs = append(errs, err, err2, audit(tx, p.Tenant, p.Actor(), "disable user", u.Name, "", now))
	case !was.Disabled.IsZero() && u.Disabled.IsZero():
		errs = append(errs, audit(tx, p.Tenant, p.Actor(), "enable user", u.Name, "", now))
	}
	return errors.Join(errs...)
}

// lastAdmin gives ErrConflict when was was an admin and none is left.
func lastAdmin(tx *ledger.Tx, tenant string, was ledger.User) error {
	if Role(was.Role) != Admin || !was.Disabled.IsZero() {
		return nil
	}
	there, err := hasAdmin(tx, tenant)
	if err == nil && !there {
		err = because(ErrConflict, "%s is the last admin; make another one first", was.Name)
	}
	return err
}

func hasAdmin(tx *ledger.Tx, tenant string) (bool, error) {
	list, err := tx.Users(tenant)
	for _, u := range list {
		if Role(u.Role) == Admin && u.Disabled.IsZero() {
			return true, err
		}
	}
	return false, err
}

// trimmed cuts a label that people give, and takes out what does not print or turns
// the text around it.
func trimmed(s string, n int) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, cut(s, n)))
}
