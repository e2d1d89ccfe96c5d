// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/ringwall/ringwall/ledger"
)

// CallbackPath is the console's page that a provider sends the browser back to. It posts
// code and state to LogInOIDCFinish: a page of ours does, so that our strict cookies are
// with it.
const CallbackPath = "/login/oidc"

// ListedProvider is a provider as the log-in page shows it.
type ListedProvider struct {
	Name  string `json:"name"`
	Label string `json:"label"`
}

// Providers lists those of a tenant.
func (g *Guard) Providers(tenant string) []ListedProvider {
	out := []ListedProvider{}
	for _, p := range g.cfg.OIDC {
		if p.Tenant == cmp.Or(tenant, DefaultTenant) {
			out = append(out, ListedProvider{p.Name, p.Label})
		}
	}
	return out
}

func (g *Guard) providerOf(u ledger.User) string {
	for _, p := range g.cfg.OIDC {
		if u.Issuer != "" && p.Issuer == u.Issuer {
			return p.Name
		}
	}
	return ""
}

// OIDCStart names the provider to go to.
type OIDCStart struct {
	Provider string `json:"provider" maxLength:"32"`
}

// OIDCOffer is where to send the browser.
type OIDCOffer struct {
	URL     string         `json:"url"`
	Cookies []*http.Cookie `json:"-"`
}

// OIDCFinish is what the provider sent the browser back with.
type OIDCFinish struct {
	Code   string `json:"code,omitempty" maxLength:"4096"`
	State  string `json:"state" maxLength:"256"`
	Issuer string `json:"iss,omitempty" maxLength:"1024"`
	Error  string `json:"error,omitempty" maxLength:"256"`
}

type oidcStep struct {
	Provider string `json:"p"`
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Redirect string `json:"r"`
}

func (p *provider) oauth(ready *oidc.Provider, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: ready.Endpoint(), Scopes: p.Scopes, RedirectURL: redirect}
}

// LogInOIDCStart sends a browser to a provider: authorisation code with PKCE (RFC 7636),
// state and nonce, all three bound to this browser by a cookie.
func (g *Guard) LogInOIDCStart(ctx context.Context, from Caller, q OIDCStart) (*OIDCOffer, error) {
	now := g.now()
	if _, err := g.limits.fromAddress(from.Address, now); err != nil {
		return nil, err
	}
	p := g.providers[q.Provider]
	if p == nil {
		return nil, because(ErrNotFound, "single sign-on %q", cut(q.Provider, 32))
	}
	ready, err := p.connect(ctx, now)
	if err != nil {
		return nil, err
	}
	s := oidcStep{p.Name, newSecret(), newSecret(), oauth2.GenerateVerifier(), from.Origin + CallbackPath}
	step, err := g.box.seal("oidc", s, now, 2*stepLife)
	if err != nil {
		return nil, err
	}
	return &OIDCOffer{
		URL:     p.oauth(ready, s.Redirect).AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)),
		Cookies: []*http.Cookie{from.cookie("-step", step, 2*stepLife)},
	}, nil
}

// LogInOIDCFinish redeems the code and signs in whom the provider vouches for.
// ErrForbidden when it gives them no role here; their sessions and tokens end then.
func (g *Guard) LogInOIDCFinish(ctx context.Context, from Caller, q OIDCFinish) (*Welcome, error) {
	var step oidcStep
	now := g.now()
	right, err := g.limits.fromAddress(from.Address, now)
	if err != nil {
		return nil, err
	}
	s, err := g.box.open("oidc", from.step, now, &step)
	p := g.providers[step.Provider]
	switch {
	case err != nil || p == nil:
		return nil, because(ErrUnauthenticated, "the log-in took too long, or began in another browser; begin again")
	case subtle.ConstantTimeCompare([]byte(q.State), []byte(step.State)) != 1:
		return nil, because(ErrUnauthenticated, "the answer is not to the log-in that began here; begin again")
	case q.Error != "" || q.Code == "":
		return nil, because(ErrUnauthenticated, "%s did not sign you in", p.Label)
	case q.Issuer != "" && q.Issuer != p.Issuer: // RFC 9207
		return nil, because(ErrUnauthenticated, "the answer is of another provider than was asked")
	}
	token, claims, err := p.redeem(ctx, step, q.Code, g.cfg.Now)
	if err != nil {
		return nil, err
	}
	if err := g.spend(s); err != nil {
		return nil, err
	}
	w, err := g.vouched(ctx, from, p, token.Subject, claims, now)
	if err == nil {
		right()
	}
	return w, err
}

// redeem turns the code into an ID token that holds (OpenID Connect Core §3.1.3.7).
func (p *provider) redeem(ctx context.Context, step oidcStep, code string, now func() time.Time) (*oidc.IDToken, map[string]any, error) {
	ready, err := p.connect(ctx, now())
	if err != nil {
		return nil, nil, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	got, err := p.oauth(ready, step.Redirect).Exchange(ctx, code, oauth2.VerifierOption(step.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return nil, nil, because(ErrUnauthenticated, "%s refused the code", p.Label)
	}
	if err != nil {
		return nil, nil, because(ErrUnavailable, "single sign-on %q: redeem the code", p.Name)
	}
	raw, _ := got.Extra("id_token").(string)
	verifier := ready.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID, Now: now})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, nil, because(ErrUnauthenticated, "the word of %s does not hold: %v", p.Label, err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(step.Nonce)) != 1 {
		return nil, nil, because(ErrUnauthenticated, "the word of %s is not for the log-in that began here", p.Label)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(got.AccessToken); err != nil {
			return nil, nil, because(ErrUnauthenticated, "the word of %s does not hold: %v", p.Label, err)
		}
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil || token.Subject == "" {
		return nil, nil, because(ErrUnauthenticated, "the word of %s cannot be read", p.Label)
	}
	if azp, there := claims["azp"]; (there || len(token.Audience) > 1) && azp != p.ClientID {
		return nil, nil, because(ErrUnauthenticated, "the word of %s is for another client", p.Label)
	}
	return token, claims, nil
}

// vouched signs in the user that a provider vouches for, and first makes or changes them
// as its claims say.
func (g *Guard) vouched(ctx context.Context, from Caller, p *provider, subject string, claims map[string]any, now time.Time) (w *Welcome, err error) {
	role, raw := p.roles(claims)
	var refused error // told after what goes with it is written
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		u, err := tx.UserBySubject(p.Tenant, p.Issuer, subject)
		known := err == nil
		if errors.Is(err, ledger.ErrNotFound) {
			u = ledger.User{Issuer: p.Issuer, Subject: subject, Handle: newSecret(), Made: now}
			u.Name, err = p.userName(tx, subject, claims)
		}
		if err != nil {
			return err
		}
		if role == "" || !u.Disabled.IsZero() {
			refused = forbidden("%s knows you, but you have no access here; ask an admin", p.Label)
			if !known {
				return nil
			}
			n, err := tx.EndSessions(p.Tenant, u.Name, "", now)
			m, err2 := tx.RevokeTokens(p.Tenant, u.Name, now)
			return errors.Join(err, err2, audit(tx, p.Tenant, "oidc "+p.Name, "log-in refused", u.Name, fmt.Sprintf("no role or disabled; %d sessions and %d tokens ended", n, m), now))
		}
		if changed := known && (u.Role != string(role) || u.Raw != raw); changed || !known {
			u.Role, u.Raw = string(role), raw
			_, err := tx.EndSessions(p.Tenant, u.Name, "", now)
			if err := errors.Join(err, audit(tx, p.Tenant, "oidc "+p.Name, "set role", u.Name, rights(role, raw), now)); err != nil {
				return err
			}
		}
		w, err = g.signIn(tx, from, p.Tenant, u, "oidc", now)
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	return w, nil
}
