// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// tokenPrefix lets scanners of leaked secrets know ours.
const tokenPrefix = "rwt_"

// secretLength is that of newSecret.
var secretLength = base64.RawURLEncoding.EncodedLen(32)

// Authenticate says who asks, by bearer token or by session cookie. A request with an
// Authorization header is judged by that alone. A cookie counts only from our own page,
// and for whatever changes something the header X-Ringwall-CSRF must be the session's.
// ErrUnauthenticated, ErrForbidden or ErrThrottled (a *Throttled); other errors are the
// ledger's.
func (g *Guard) Authenticate(r *http.Request) (*Principal, error) {
	now := g.now()
	if auth := r.Header.Values("Authorization"); len(auth) > 0 {
		if len(auth) > 1 {
			return nil, ErrUnauthenticated
		}
		scheme, secret, _ := strings.Cut(auth[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(secret, tokenPrefix) || len(secret) != len(tokenPrefix)+secretLength {
			return nil, ErrUnauthenticated
		}
		return g.byToken(r.Context(), secret, now)
	}
	w := g.whence(r)
	secret, ok := oneCookie(r, cookieName("", w.secure))
	if !ok || len(secret) != secretLength {
		return nil, ErrUnauthenticated
	}
	if err := g.ownPage(r, w); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if got := r.Header.Values("X-Ringwall-CSRF"); len(got) != 1 || !hmac.Equal([]byte(got[0]), []byte(csrf(secret))) {
			return nil, forbidden("a change needs the header X-Ringwall-CSRF with the session's value")
		}
	}
	return g.bySession(r.Context(), secret, now)
}

// csrf is a session's value for X-Ringwall-CSRF: only who holds the session, or was told
// by it, can know.
func csrf(secret string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("ringwall csrf"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (g *Guard) byToken(ctx context.Context, secret string, now time.Time) (*Principal, error) {
	var p *Principal
	err := g.ledger.View(ctx, func(tx *ledger.Tx) error {
		k, err := tx.Token([]byte(secret), now)
		if err == nil {
			p, err = tokenPrincipal(tx, k)
		}
		return err
	})
	return g.admit(p, err, now)
}

func tokenPrincipal(tx *ledger.Tx, k ledger.Token) (*Principal, error) {
	u, err := tx.User(k.Tenant, k.Owner)
	if err != nil {
		return nil, err
	}
	if !u.Disabled.IsZero() {
		return nil, ErrUnauthenticated
	}
	scopes := make([]Permission, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = Permission(s)
	}
	return &Principal{Tenant: k.Tenant, Name: u.Name, Role: least(Role(k.Role), Role(u.Role)), Raw: u.Raw, Scopes: scopes, Via: ViaToken, Session: k.ID}, nil
}

func (g *Guard) bySession(ctx context.Context, secret string, now time.Time) (*Principal, error) {
	var p *Principal
	err := g.ledger.View(ctx, func(tx *ledger.Tx) error {
		s, err := tx.Session([]byte(secret), now)
		if err == nil {
			p, err = g.sessionPrincipal(tx, s, now)
		}
		return err
	})
	return g.admit(p, err, now)
}

func (g *Guard) sessionPrincipal(tx *ledger.Tx, s ledger.Session, now time.Time) (*Principal, error) {
	last := s.Seen
	if here := g.lastSeen(seenKey{ViaSession, s.Tenant, s.ID}); here.After(last) {
		last = here
	}
	if now.Sub(last) > g.cfg.Idle {
		return nil, ErrUnauthenticated
	}
	u, err := tx.User(s.Tenant, s.Name)
	if err != nil {
		return nil, err
	}
	if !u.Disabled.IsZero() {
		return nil, ErrUnauthenticated
	}
	return &Principal{Tenant: s.Tenant, Name: u.Name, Role: Role(u.Role), Raw: u.Raw, Via: ViaSession, Session: s.ID}, nil
}

// admit counts the request of whoever was found.
func (g *Guard) admit(p *Principal, err error, now time.Time) (*Principal, error) {
	if errors.Is(err, ledger.ErrSpent) || errors.Is(err, ledger.ErrNotFound) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, err
	}
	if err := g.limits.request(p.Via+p.Session, now); err != nil {
		return nil, err
	}
	g.touch(seenKey{p.Via, p.Tenant, p.Session}, now)
	return p, nil
}

// Recheck says whether p may still be served, for a stream that stays open: with what it
// may now, or ErrUnauthenticated once its session or token has ended. It does not count
// as a use.
func (g *Guard) Recheck(ctx context.Context, p *Principal) (*Principal, error) {
	if p == nil {
		return nil, ErrUnauthenticated
	}
	if p.Via == ViaSocket {
		return p, nil
	}
	now := g.now()
	var out *Principal
	err := g.ledger.View(ctx, func(tx *ledger.Tx) error {
		if p.Via == ViaSession {
			s, err := tx.SessionByID(p.Tenant, p.Session, now)
			if err == nil {
				out, err = g.sessionPrincipal(tx, s, now)
			}
			return err
		}
		k, err := tx.TokenByID(p.Tenant, p.Session, now)
		if err == nil {
			out, err = tokenPrincipal(tx, k)
		}
		return err
	})
	if errors.Is(err, ledger.ErrSpent) || errors.Is(err, ledger.ErrNotFound) {
		return nil, ErrUnauthenticated
	}
	return out, err
}
