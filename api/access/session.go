// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// Me is what a signed-in page needs to know of itself.
type Me struct {
	Tenant      string       `json:"tenant"`
	Name        string       `json:"name"`
	Role        Role         `json:"role"`
	Permissions []Permission `json:"permissions"`
	Via         string       `json:"via"`
	Session     string       `json:"session,omitempty"`
	CSRF        string       `json:"csrf,omitempty" doc:"send it as X-Ringwall-CSRF with every change"`
	Expires     time.Time    `json:"expires,omitzero"`
	Proved      time.Time    `json:"proved,omitzero" doc:"when the user last proved who they are"`
	Ways        *Ways        `json:"ways,omitempty"`
}

// Ways are the ways in that a user has set up.
type Ways struct {
	Password      bool             `json:"password"`
	TOTP          bool             `json:"totp"`
	Passkeys      []ledger.Passkey `json:"passkeys"`
	RecoveryCodes int              `json:"recovery_codes" doc:"how many are left"`
	Provider      string           `json:"provider,omitempty" doc:"single sign-on that vouches"`
}

// Welcome is the answer to a log-in. Cookies are to be set, Me and Next to be shown.
type Welcome struct {
	Next    []string       `json:"next,omitempty" doc:"what is still to be proved: code or passkey, either will do"`
	Me      *Me            `json:"me,omitempty"`
	Cookies []*http.Cookie `json:"-"`
}

// Renewed is the answer to a change of one's own ways in: the session goes on under a
// new secret, all other sessions have ended.
type Renewed struct {
	CSRF    string         `json:"csrf"`
	Codes   []string       `json:"codes,omitempty" doc:"new recovery codes, shown this once"`
	Cookies []*http.Cookie `json:"-"`
}

// Me tells a principal about itself.
func (g *Guard) Me(ctx context.Context, from Caller, p *Principal) (*Me, error) {
	if p == nil {
		return nil, ErrUnauthenticated
	}
	me := &Me{Tenant: p.Tenant, Name: p.Name, Role: p.Role, Permissions: p.Permissions(), Via: p.Via, Session: p.Session}
	if p.Via != ViaSession {
		return me, nil
	}
	err := g.ledger.View(ctx, func(tx *ledger.Tx) error {
		s, err := tx.Session([]byte(from.session), g.now())
		if err == nil && s.ID == p.Session {
			me.CSRF, me.Expires, me.Proved = csrf(from.session), s.Expires, s.Proved
		}
		u, err2 := tx.User(p.Tenant, p.Name)
		keys, err3 := tx.Passkeys(p.Tenant, p.Name)
		left, err4 := tx.RecoveryCodes(p.Tenant, p.Name)
		me.Ways = &Ways{Password: u.PasswordHash != "", TOTP: u.TOTP != "", Passkeys: keys, RecoveryCodes: left, Provider: g.providerOf(u)}
		return errors.Join(err, err2, err3, err4)
	})
	if err != nil {
		return nil, missing(err)
	}
	return me, nil
}

// signIn ends what the browser had and gives it a new session, within tx.
func (g *Guard) signIn(tx *ledger.Tx, from Caller, tenant string, u ledger.User, way string, now time.Time) (*Welcome, error) {
	if old, err := tx.Session([]byte(from.session), now); err == nil {
		if err := tx.EndSession(old.Tenant, old.ID, now); err != nil {
			return nil, err
		}
	}
	secret, s := newSecret(), ledger.Session{
		Tenant: tenant, ID: newID("s"), Name: u.Name, Way: way, Address: from.Address.String(), Agent: from.Agent,
		Made: now, Proved: now, Seen: now, Expires: now.Add(g.cfg.Life),
	}
	u.Login = now
	err := errors.Join(
		tx.AddSession(s, []byte(secret)), tx.PutUser(tenant, u),
		audit(tx, tenant, u.Name, "log in", u.Name, way+" from "+s.Address+" session "+s.ID, now))
	if err != nil {
		return nil, err
	}
	device, err := g.box.seal("device", known{tenant, u.Name}, now, deviceLife)
	if err != nil {
		return nil, err
	}
	p := &Principal{Tenant: tenant, Name: u.Name, Role: Role(u.Role), Raw: u.Raw, Via: ViaSession, Session: s.ID}
	return &Welcome{
		Me: &Me{Tenant: tenant, Name: u.Name, Role: p.Role, Permissions: p.Permissions(), Via: ViaSession, Session: s.ID, CSRF: csrf(secret), Expires: s.Expires, Proved: now},
		Cookies: []*http.Cookie{
			from.cookie("", secret, g.cfg.Life), from.cookie("-device", device, deviceLife), from.cookie("-step", "", 0),
		},
	}, nil
}

// deviceLife is how long a browser counts as one that its user has signed in with.
const deviceLife = 90 * 24 * time.Hour

type known struct {
	Tenant string `json:"t"`
	Name   string `json:"n"`
}

// device names the browser when its user has signed in with it before, "" else.
func (g *Guard) device(from Caller, tenant, name string) string {
	var k known
	s, err := g.box.open("device", from.device, g.now(), &k)
	if err != nil || k != (known{tenant, name}) {
		return ""
	}
	return s.ID
}

// own gives the caller's session and user, for a change of its own ways in: only from a
// session, and only while its log-in is fresh.
func (g *Guard) own(tx *ledger.Tx, from Caller, p *Principal, now time.Time) (ledger.Session, ledger.User, error) {
	if p == nil || p.Via != ViaSession {
		return ledger.Session{}, ledger.User{}, forbidden("this is for people who signed in, not for tokens")
	}
	s, err := tx.Session([]byte(from.session), now)
	if err != nil || s.ID != p.Session || s.Tenant != p.Tenant {
		return s, ledger.User{}, ErrUnauthenticated
	}
	u, err := tx.User(p.Tenant, p.Name)
	if err != nil || !u.Disabled.IsZero() {
		return s, u, ErrUnauthenticated
	}
	if now.Sub(s.Proved) > g.cfg.Proof {
		return s, u, ErrStale
	}
	return s, u, nil
}

// ownLocal is own for what only local users have: a provider's users keep theirs there.
func (g *Guard) ownLocal(tx *ledger.Tx, from Caller, p *Principal, now time.Time) (ledger.Session, ledger.User, error) {
	s, u, err := g.own(tx, from, p, now)
	if err == nil && u.Issuer != "" {
		err = input("your single sign-on holds your ways in; change them there")
	}
	return s, u, err
}

// renew replaces the secret of a session and ends all others of its user.
func (g *Guard) renew(tx *ledger.Tx, from Caller, s ledger.Session, now time.Time) (*Renewed, error) {
	secret := newSecret()
	if _, err := tx.EndSessions(s.Tenant, s.Name, "", now); err != nil {
		return nil, err
	}
	s.ID, s.Seen = newID("s"), now
	if err := tx.AddSession(s, []byte(secret)); err != nil {
		return nil, err
	}
	return &Renewed{CSRF: csrf(secret), Cookies: []*http.Cookie{from.cookie("", secret, s.Expires.Sub(now)), from.cookie("-step", "", 0)}}, nil
}

// LogOut ends the caller's session.
func (g *Guard) LogOut(ctx context.Context, from Caller, p *Principal) ([]*http.Cookie, error) {
	if p == nil || p.Via != ViaSession {
		return nil, ErrUnauthenticated
	}
	return []*http.Cookie{from.cookie("", "", 0), from.cookie("-step", "", 0)}, g.endSession(ctx, p, p.Session, "log out")
}

// ListedSession is one live session; Own is the one that asked.
type ListedSession struct {
	ledger.Session
	Own bool `json:"own"`
}

// Sessions lists the live sessions of the caller, or of everybody with all (Administer).
func (g *Guard) Sessions(ctx context.Context, p *Principal, all bool) (out []ListedSession, err error) {
	if err := Require(p, Read); err != nil {
		return nil, err
	}
	name := p.Name
	if all {
		if err := Require(p, Administer); err != nil {
			return nil, err
		}
		name = ""
	}
	now := g.now()
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error {
		list, err := tx.Sessions(p.Tenant, name, now)
		for _, s := range list {
			if here := g.lastSeen(seenKey{ViaSession, s.Tenant, s.ID}); here.After(s.Seen) {
				s.Seen = here
			}
			if now.Sub(s.Seen) <= g.cfg.Idle {
				out = append(out, ListedSession{s, hmac.Equal([]byte(s.ID), []byte(p.Session))})
			}
		}
		return err
	})
	return out, err
}

// EndSession ends one: of the caller, or anyone's with Administer.
func (g *Guard) EndSession(ctx context.Context, p *Principal, id string) error {
	if err := Require(p, Read); err != nil {
		return err
	}
	return g.endSession(ctx, p, id, "end session")
}

func (g *Guard) endSession(ctx context.Context, p *Principal, id, verb string) error {
	now := g.now()
	return missing(g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		s, err := tx.SessionByID(p.Tenant, id, now)
		if err != nil {
			return err
		}
		if !g.mine(p, s.Name) {
			return ErrNotFound // and not "forbidden": ids of others are none of their business
		}
		return errors.Join(tx.EndSession(p.Tenant, id, now), audit(tx, p.Tenant, p.Actor(), verb, s.Name, id, now))
	}))
}

// mine: what belongs to a user may be ended by that user in person, and by admins.
func (g *Guard) mine(p *Principal, owner string) bool {
	return p.May(Administer) || (p.Via == ViaSession && p.Name == owner)
}

// EndOtherSessions ends all of the caller's sessions but the one that asks, and says how many.
func (g *Guard) EndOtherSessions(ctx context.Context, p *Principal) (ended int, err error) {
	if p == nil || p.Via != ViaSession {
		return 0, ErrUnauthenticated
	}
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		if ended, err = tx.EndSessions(p.Tenant, p.Name, p.Session, now); err != nil || ended == 0 {
			return err
		}
		return audit(tx, p.Tenant, p.Actor(), "end session", p.Name, "all others", now)
	})
	return ended, err
}
