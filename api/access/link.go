// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// Lives of one-time links.
const (
	setupLife   = time.Hour
	recoverLife = time.Hour
	inviteLife  = 72 * time.Hour
)

// Purposes of one-time links.
const (
	LinkSetup   = "setup"
	LinkInvite  = "invite"
	LinkRecover = "recover"
)

// WelcomePath is the console's page for one-time links. The secret stands behind a #,
// which browsers send to nobody.
const WelcomePath = "/welcome"

// NewLink is a one-time link, shown once.
type NewLink struct {
	URL     string    `json:"url"` // only a path when no origin is configured
	Expires time.Time `json:"expires"`
}

func (g *Guard) addLink(tx *ledger.Tx, k ledger.Link) (*NewLink, error) {
	secret := newSecret()
	if err := tx.AddLink(k, []byte(secret)); err != nil {
		return nil, err
	}
	origin := ""
	if len(g.cfg.Origins) > 0 {
		origin = g.cfg.Origins[0]
	}
	detail := rights(Role(k.Role), k.Raw) + " until " + k.Expires.Format(time.RFC3339)
	return &NewLink{URL: origin + WelcomePath + "#" + secret, Expires: k.Expires}, audit(tx, k.Tenant, k.By, k.Purpose+" link", k.Name, detail, k.Made)
}

// SetupLink makes the link that lets in the first admin, for an hour; links made before
// end. ErrConflict when there is an admin: then use Recover. Only the host calls this.
func (g *Guard) SetupLink(ctx context.Context, tenant string) (out *NewLink, err error) {
	tenant, now := cmp.Or(tenant, DefaultTenant), g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		there, err := hasAdmin(tx, tenant)
		if err == nil && there {
			err = because(ErrConflict, "tenant %s has an admin; recover a lost one instead", tenant)
		}
		if err == nil {
			out, err = g.addLink(tx, ledger.Link{Tenant: tenant, Purpose: LinkSetup, Role: string(Admin), Raw: true, By: "host", Made: now, Expires: now.Add(setupLife)})
		}
		return err
	})
	return out, err
}

// InviteRequest names a user to be.
type InviteRequest struct {
	Name string `json:"name" maxLength:"64"`
	Role Role   `json:"role" enum:"viewer,analyst,responder,admin"`
	Raw  bool   `json:"raw,omitempty" doc:"may read raw content"`
}

// Invite makes the link by which a new user sets their password. Needs Administer.
func (g *Guard) Invite(ctx context.Context, p *Principal, q InviteRequest) (out *NewLink, err error) {
	if err := Require(p, Administer); err != nil {
		return nil, err
	}
	name := plainName(q.Name)
	if err := validName(name); err != nil {
		return nil, err
	}
	if q.Role.rank() == 0 {
		return nil, input("%q is no role", cut(string(q.Role), 32))
	}
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.User(p.Tenant, name)
		if err == nil {
			return because(ErrConflict, "there is a user %s", name)
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		out, err = g.addLink(tx, ledger.Link{Tenant: p.Tenant, Purpose: LinkInvite, Name: name, Role: string(q.Role), Raw: q.Raw, By: p.Actor(), Made: now, Expires: now.Add(inviteLife)})
		return err
	})
	return out, err
}

// Recover makes the link by which a local user who lost their way in sets a new
// password. Opening it takes away all their other ways in, sessions and tokens, and
// enables them. Needs Administer. From the host's socket also for a name that nobody
// has: that makes a new admin.
func (g *Guard) Recover(ctx context.Context, p *Principal, name string) (out *NewLink, err error) {
	if err := Require(p, Administer); err != nil {
		return nil, err
	}
	name = plainName(name)
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		u, err := tx.User(p.Tenant, name)
		switch {
		case errors.Is(err, ledger.ErrNotFound) && p.Via == ViaSocket && validName(name) == nil:
			u = ledger.User{Name: name, Role: string(Admin), Raw: true}
		case err != nil:
			return missing(err)
		case u.Issuer != "":
			return input("%s signs in by single sign-on; recover them there, or make a local admin of another name", name)
		}
		out, err = g.addLink(tx, ledger.Link{Tenant: p.Tenant, Purpose: LinkRecover, Name: name, Role: u.Role, Raw: u.Raw, By: p.Actor(), Made: now, Expires: now.Add(recoverLife)})
		return err
	})
	return out, err
}

// Links lists the one-time links that still work. Needs Administer.
func (g *Guard) Links(ctx context.Context, p *Principal) (out []ledger.Link, err error) {
	if err := Require(p, Administer); err != nil {
		return nil, err
	}
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error { out, err = tx.Links(p.Tenant, g.now()); return err })
	return out, err
}

// CancelLinks ends the links for a name. Needs Administer.
func (g *Guard) CancelLinks(ctx context.Context, p *Principal, name string) error {
	if err := Require(p, Administer); err != nil {
		return err
	}
	now := g.now()
	return g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		n, err := tx.CancelLinks(p.Tenant, plainName(name), now)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return errors.Join(err, audit(tx, p.Tenant, p.Actor(), "cancel links", plainName(name), "", now))
	})
}

// LinkRequest shows a link's secret.
type LinkRequest struct {
	Secret string `json:"secret" maxLength:"128"`
}

// RedeemRequest opens a link.
type RedeemRequest struct {
	Secret   string `json:"secret" maxLength:"128"`
	Name     string `json:"name,omitempty" maxLength:"64" doc:"the first admin chooses"`
	Password string `json:"password" minLength:"12" maxLength:"1024"`
}

// LookLink says what a link is for, without using it. ErrLink.
func (g *Guard) LookLink(ctx context.Context, from Caller, q LinkRequest) (out ledger.Link, err error) {
	now := g.now()
	if _, err := g.limits.fromAddress(from.Address, now); err != nil {
		return out, err
	}
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error { out, err = tx.Link([]byte(q.Secret), now); return err })
	return out, spentLink(err)
}

func spentLink(err error) error {
	if errors.Is(err, ledger.ErrSpent) {
		return ErrLink
	}
	return err
}

// Redeem uses a link up: its user gets the password, and a session.
func (g *Guard) Redeem(ctx context.Context, from Caller, q RedeemRequest) (w *Welcome, err error) {
	k, err := g.LookLink(ctx, from, LinkRequest{q.Secret})
	if err != nil {
		return nil, err
	}
	name := k.Name
	if k.Purpose == LinkSetup {
		name = plainName(q.Name)
	}
	if err := errors.Join(validName(name), acceptable(q.Password, name)); err != nil {
		return nil, err
	}
	hash, err := g.hash.make(ctx, q.Password)
	if err != nil {
		return nil, err
	}
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		k, err := tx.SpendLink([]byte(q.Secret), now)
		if err != nil {
			return spentLink(err)
		}
		u, err := g.admitted(tx, k, name, now)
		if err != nil {
			return err
		}
		u.PasswordHash = hash
		if err := audit(tx, k.Tenant, name, "use "+k.Purpose+" link", name, rights(Role(u.Role), u.Raw)+" from "+from.Address.String()+", link by "+k.By, now); err != nil {
			return err
		}
		w, err = g.signIn(tx, from, k.Tenant, u, "link", now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// admitted is the user that a link makes, or makes whole again.
func (g *Guard) admitted(tx *ledger.Tx, k ledger.Link, name string, now time.Time) (ledger.User, error) {
	if k.Purpose == LinkSetup {
		if there, err := hasAdmin(tx, k.Tenant); err != nil || there {
			return ledger.User{}, errors.Join(err, ErrLink)
		}
	}
	u, err := tx.User(k.Tenant, name)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.User{Name: name, Role: k.Role, Raw: k.Raw, Handle: newSecret(), Made: now}, nil
	}
	if err != nil {
		return u, err
	}
	if k.Purpose != LinkRecover {
		return u, because(ErrConflict, "there is a user %s", name)
	}
	u.TOTP, u.TOTPStep, u.Disabled = "", 0, time.Time{}
	keys, err := tx.Passkeys(k.Tenant, name)
	errs := []error{err, tx.SetRecoveryCodes(k.Tenant, name, nil)}
	for _, key := range keys {
		errs = append(errs, tx.DropPasskey(k.Tenant, name, key.ID))
	}
	_, err = tx.EndSessions(k.Tenant, name, "", now)
	_, err2 := tx.RevokeTokens(k.Tenant, name, now)
	return u, errors.Join(append(errs, err, err2)...)
}
