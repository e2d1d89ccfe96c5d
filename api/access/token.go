// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// Lives of tokens.
const (
	tokenLife     = 90 * 24 * time.Hour
	longTokenLife = 366 * 24 * time.Hour
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name    string       `json:"name" minLength:"1" maxLength:"64"`
	Scopes  []Permission `json:"scopes" minItems:"1" maxItems:"5" doc:"what it may do, at most what its owner may"`
	Expires time.Time    `json:"expires,omitzero" doc:"at most a year ahead; default in 90 days"`
}

// NewToken is a token with its secret, shown once.
type NewToken struct {
	ledger.Token
	Secret string `json:"secret" doc:"send it as Authorization: Bearer …"`
}

// MakeToken gives a program a way to act for the caller, who must be there in person
// with a fresh log-in and may do what the token is to do.
func (g *Guard) MakeToken(ctx context.Context, from Caller, p *Principal, q TokenRequest) (out *NewToken, err error) {
	now := g.now()
	if q.Expires.IsZero() {
		q.Expires = now.Add(tokenLife)
	}
	name := trimmed(q.Name, 64)
	switch {
	case name == "" || len(q.Scopes) == 0:
		return nil, input("a token needs a name and at least one scope")
	case !q.Expires.After(now) || q.Expires.After(now.Add(longTokenLife)):
		return nil, input("a token expires within a year from now")
	}
	var scopes []string
	for _, s := range q.Scopes {
		if !slices.Contains(Permissions(), s) {
			return nil, input("%q is no scope", cut(string(s), 32))
		}
		if err := Require(p, s); err != nil {
			return nil, err
		}
		scopes = append(scopes, string(s))
	}
	slices.Sort(scopes)
	secret := tokenPrefix + newSecret()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, u, err := g.own(tx, from, p, now)
		if err != nil {
			return err
		}
		k := ledger.Token{Tenant: p.Tenant, ID: newID("t"), Name: name, Owner: u.Name, Role: u.Role, Scopes: slices.Compact(scopes), Made: now, Expires: q.Expires.UTC()}
		out = &NewToken{k, secret}
		return errors.Join(tx.AddToken(k, []byte(secret)), audit(tx, p.Tenant, p.Actor(), "make token", k.ID, name, now))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Tokens lists the caller's, or everybody's with all (Administer), ended ones too.
func (g *Guard) Tokens(ctx context.Context, p *Principal, all bool) (out []ledger.Token, err error) {
	if err := Require(p, Read); err != nil {
		return nil, err
	}
	owner := p.Name
	if all {
		if err := Require(p, Administer); err != nil {
			return nil, err
		}
		owner = ""
	}
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error { out, err = tx.Tokens(p.Tenant, owner); return err })
	for i, k := range out {
		if here := g.lastSeen(seenKey{ViaToken, k.Tenant, k.ID}); here.After(k.Used) {
			out[i].Used = here
		}
	}
	return out, err
}

// RevokeToken ends one: of the caller, or anyone's with Administer.
func (g *Guard) RevokeToken(ctx context.Context, p *Principal, id string) error {
	if err := Require(p, Read); err != nil {
		return err
	}
	now := g.now()
	return missing(g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		k, err := tx.TokenByID(p.Tenant, id, now)
		if err != nil {
			return err
		}
		if !g.mine(p, k.Owner) {
			return ErrNotFound
		}
		return errors.Join(tx.RevokeToken(p.Tenant, id, now), audit(tx, p.Tenant, p.Actor(), "revoke token", id, k.Owner+": "+k.Name, now))
	}))
}
