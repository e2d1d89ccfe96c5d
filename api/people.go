// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/ledger"
)

// Beside the permissions of package access: operations by which one logs in ask for
// nothing, and those about oneself only for a log-in or a token.
const (
	anyone  access.Permission = "anyone"
	oneself access.Permission = "oneself"
)

type callerKey struct{}

// called is the caller that the transport found, or why it may not go on.
type called struct {
	caller access.Caller
	err    error
}

func caller(ctx context.Context) (access.Caller, error) {
	c, ok := ctx.Value(callerKey{}).(called)
	if !ok {
		return access.Caller{}, huma.Error403Forbidden("this is done in a browser, over the API's own address; over the host's socket nobody logs in")
	}
	return c.caller, c.err
}

// baked is an answer with cookies.
type baked[T any] struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      T
}

func bake[T any](v T, cookies []*http.Cookie) *baked[T] {
	return &baked[T]{each(cookies, func(c *http.Cookie) http.Cookie { return *c }), v}
}

type said[T any] struct{ Body T }

// Providers are the single sign-ons that the log-in page offers.
type Providers struct {
	Providers []access.ListedProvider `json:"providers"`
}

// Codes are shown once.
type Codes struct {
	Codes []string `json:"codes" doc:"Recovery codes, each good once"`
}

// Ended says how many sessions ended.
type Ended struct {
	Ended int `json:"ended"`
}

// asking registers an operation of a caller; p is nil before log-in.
func asking[I, O any](s *Server, o operation, f func(context.Context, access.Caller, *access.Principal, *I) (*O, error)) {
	register(s, o, func(ctx context.Context, in *I) (*O, error) {
		c, err := caller(ctx)
		if err != nil {
			return nil, err
		}
		return f(ctx, c, principal(ctx), in)
	})
}

// POSTs of the log-in and of one's own account.
func postTo(path, id, summary string, need access.Permission) operation {
	return operation{method: http.MethodPost, path: path, id: id, tag: "Log-in", need: need, status: http.StatusOK, summary: summary}
}

func (s *Server) loginOps() {
	g := s.guard
	type nothing struct{}
	welcome := func(w *access.Welcome, err error) (*baked[*access.Welcome], error) {
		if err != nil {
			return nil, err
		}
		return bake(w, w.Cookies), nil
	}
	type asked struct {
		Tenant string `query:"tenant" maxLength:"64"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/login", id: "loginWays", tag: "Log-in", need: anyone, summary: "The single sign-ons there are"},
		func(_ context.Context, in *asked) (*body[Providers], error) {
			return answer(Providers{g.Providers(in.Tenant)}), nil
		})
	asking(s, postTo("/v1/login", "login", "Log in with name and password", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.PasswordRequest]) (*baked[*access.Welcome], error) {
			return welcome(g.LogIn(ctx, c, in.Body))
		})
	asking(s, postTo("/v1/login/code", "loginCode", "The second step: a code", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.CodeRequest]) (*baked[*access.Welcome], error) {
			return welcome(g.LogInCode(ctx, c, in.Body))
		})
	asking(s, postTo("/v1/login/passkey", "loginPasskey", "Begin a log-in with a passkey", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, _ *nothing) (*baked[*access.Offer], error) {
			o, err := g.LogInPasskeyStart(ctx, c)
			if err != nil {
				return nil, err
			}
			return bake(o, o.Cookies), nil
		})
	asking(s, postTo("/v1/login/passkey/finish", "loginPasskeyFinish", "Log in with a passkey", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.PasskeyRequest]) (*baked[*access.Welcome], error) {
			return welcome(g.LogInPasskeyFinish(ctx, c, in.Body))
		})
	asking(s, postTo("/v1/login/oidc", "loginOIDC", "Begin a single sign-on", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.OIDCStart]) (*baked[*access.OIDCOffer], error) {
			o, err := g.LogInOIDCStart(ctx, c, in.Body)
			if err != nil {
				return nil, err
			}
			return bake(o, o.Cookies), nil
		})
	asking(s, postTo("/v1/login/oidc/finish", "loginOIDCFinish", "Log in by what the provider said", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.OIDCFinish]) (*baked[*access.Welcome], error) {
			return welcome(g.LogInOIDCFinish(ctx, c, in.Body))
		})
	asking(s, postTo("/v1/links/look", "lookLink", "What a one-time link is for", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.LinkRequest]) (*body[ledger.Link], error) {
			k, err := g.LookLink(ctx, c, in.Body)
			return answer(k), err
		})
	asking(s, postTo("/v1/links/redeem", "redeemLink", "Use a one-time link up: set the password and log in", anyone),
		func(ctx context.Context, c access.Caller, _ *access.Principal, in *said[access.RedeemRequest]) (*baked[*access.Welcome], error) {
			return welcome(g.Redeem(ctx, c, in.Body))
		})
	asking(s, postTo("/v1/logout", "logout", "Log out", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, _ *nothing) (*baked[Done], error) {
			cookies, err := g.LogOut(ctx, c, p)
			return bake(Done{true}, cookies), err
		})
}

func (s *Server) selfOps() {
	g := s.guard
	type nothing struct{}
	renewed := func(r *access.Renewed, err error) (*baked[*access.Renewed], error) {
		if err != nil {
			return nil, err
		}
		return bake(r, r.Cookies), nil
	}
	register(s, operation{method: http.MethodGet, path: "/v1/me", id: "getMe", tag: "Log-in", need: oneself, summary: "Who I am and what I may"},
		func(ctx context.Context, _ *nothing) (*body[*access.Me], error) {
			c, _ := ctx.Value(callerKey{}).(called)
			me, err := g.Me(ctx, c.caller, principal(ctx))
			return answer(me), err
		})
	asking(s, postTo("/v1/me/confirm", "confirmMe", "Prove anew who I am", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, in *said[access.ConfirmRequest]) (*body[Done], error) {
			return answer(Done{true}), g.Confirm(ctx, c, p, in.Body)
		})
	asking(s, postTo("/v1/me/password", "changePassword", "Change my password; my other sessions end", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, in *said[access.NewPasswordRequest]) (*baked[*access.Renewed], error) {
			return renewed(g.NewPassword(ctx, c, p, in.Body))
		})
	asking(s, postTo("/v1/me/totp", "startTOTP", "Begin with an authenticator app", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, _ *nothing) (*baked[*access.TOTPOffer], error) {
			o, err := g.TOTPStart(ctx, c, p)
			if err != nil {
				return nil, err
			}
			return bake(o, o.Cookies), nil
		})
	asking(s, postTo("/v1/me/totp/confirm", "confirmTOTP", "Confirm the authenticator app", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, in *said[access.CodeRequest]) (*baked[*access.Renewed], error) {
			return renewed(g.TOTPConfirm(ctx, c, p, in.Body))
		})
	asking(s, operation{method: http.MethodDelete, path: "/v1/me/totp", id: "dropTOTP", tag: "Log-in", need: oneself, status: http.StatusOK, summary: "End the use of the authenticator app"},
		func(ctx context.Context, c access.Caller, p *access.Principal, _ *nothing) (*baked[*access.Renewed], error) {
			return renewed(g.TOTPDrop(ctx, c, p))
		})
	asking(s, postTo("/v1/me/recovery-codes", "newRecoveryCodes", "Make recovery codes; those of before end", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, _ *nothing) (*body[Codes], error) {
			codes, err := g.NewRecoveryCodes(ctx, c, p)
			return answer(Codes{some(codes)}), err
		})
	asking(s, postTo("/v1/me/passkeys", "startPasskey", "Begin with a new passkey", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, _ *nothing) (*baked[*access.Offer], error) {
			o, err := g.PasskeyStart(ctx, c, p)
			if err != nil {
				return nil, err
			}
			return bake(o, o.Cookies), nil
		})
	asking(s, postTo("/v1/me/passkeys/finish", "finishPasskey", "Keep the new passkey", oneself),
		func(ctx context.Context, c access.Caller, p *access.Principal, in *said[access.PasskeyRequest]) (*baked[*access.Renewed], error) {
			return renewed(g.PasskeyFinish(ctx, c, p, in.Body))
		})
	type keyed struct {
		ID string `path:"id" maxLength:"1400"`
	}
	asking(s, operation{method: http.MethodDelete, path: "/v1/me/passkeys/{id}", id: "dropPasskey", tag: "Log-in", need: oneself, status: http.StatusOK, summary: "Forget a passkey"},
		func(ctx context.Context, c access.Caller, p *access.Principal, in *keyed) (*baked[*access.Renewed], error) {
			return renewed(g.PasskeyDrop(ctx, c, p, in.ID))
		})
	type sessions struct {
		All bool `query:"all" doc:"Of everybody; needs the permission administer"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/sessions", id: "listSessions", tag: "Log-in", need: oneself, summary: "List my open sessions"},
		func(ctx context.Context, in *sessions) (*body[[]access.ListedSession], error) {
			list, err := g.Sessions(ctx, principal(ctx), in.All)
			return answer(some(list)), err
		})
	type named struct {
		ID string `path:"id" maxLength:"128"`
	}
	register(s, operation{method: http.MethodDelete, path: "/v1/sessions/{id}", id: "endSession", tag: "Log-in", need: oneself, status: http.StatusOK, summary: "End a session"},
		func(ctx context.Context, in *named) (*body[Done], error) {
			return answer(Done{true}), g.EndSession(ctx, principal(ctx), in.ID)
		})
	register(s, postTo("/v1/sessions/end-others", "endOtherSessions", "End all my sessions but this", oneself),
		func(ctx context.Context, _ *nothing) (*body[Ended], error) {
			n, err := g.EndOtherSessions(ctx, principal(ctx))
			return answer(Ended{n}), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/tokens", id: "listTokens", tag: "Log-in", need: oneself, summary: "List my API tokens"},
		func(ctx context.Context, in *sessions) (*body[[]ledger.Token], error) {
			list, err := g.Tokens(ctx, principal(ctx), in.All)
			return answer(some(list)), err
		})
	asking(s, operation{method: http.MethodPost, path: "/v1/tokens", id: "makeToken", tag: "Log-in", need: oneself, status: http.StatusCreated, summary: "Make an API token; its secret is shown once"},
		func(ctx context.Context, c access.Caller, p *access.Principal, in *said[access.TokenRequest]) (*body[*access.NewToken], error) {
			k, err := g.MakeToken(ctx, c, p, in.Body)
			return answer(k), err
		})
	register(s, operation{method: http.MethodDelete, path: "/v1/tokens/{id}", id: "revokeToken", tag: "Log-in", need: oneself, status: http.StatusOK, summary: "Revoke an API token"},
		func(ctx context.Context, in *named) (*body[Done], error) {
			return answer(Done{true}), g.RevokeToken(ctx, principal(ctx), in.ID)
		})
}

func (s *Server) userOps() {
	g, tag := s.guard, "Users"
	type UserIn struct {
		In
		Name string `path:"name" maxLength:"128"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/users", id: "listUsers", tag: tag, need: access.Administer, summary: "List users with their ways in"},
		func(ctx context.Context, in *In) (*body[[]access.Person], error) {
			list, err := g.Users(ctx, in.as)
			return answer(some(list)), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/user-names", id: "listUserNames", tag: tag, need: access.Annotate, summary: "List whom an incident can be given to"},
		func(ctx context.Context, in *In) (*body[[]string], error) {
			list, err := g.Names(ctx, in.as)
			return answer(some(list)), err
		})
	type invite struct {
		In
		Body access.InviteRequest
	}
	register(s, operation{method: http.MethodPost, path: "/v1/users", id: "inviteUser", tag: tag, need: access.Administer, status: http.StatusCreated, summary: "Invite a user by a one-time link"},
		func(ctx context.Context, in *invite) (*body[*access.NewLink], error) {
			k, err := g.Invite(ctx, in.as, in.Body)
			return answer(k), err
		})
	type change struct {
		UserIn
		Body access.ChangeUser
	}
	register(s, operation{method: http.MethodPatch, path: "/v1/users/{name}", id: "changeUser", tag: tag, need: access.Administer, summary: "Change a user's role, raw permission, or disable them; their sessions end"},
		func(ctx context.Context, in *change) (*body[Done], error) {
			return answer(Done{true}), g.Change(ctx, in.as, in.Name, in.Body)
		})
	register(s, operation{method: http.MethodPost, path: "/v1/users/{name}/recover", id: "recoverUser", tag: tag, need: access.Administer, status: http.StatusCreated, summary: "Make a one-time link for a user who lost their way in",
		text: "Over the host's own socket also for a name that nobody has: that makes a new admin."},
		func(ctx context.Context, in *UserIn) (*body[*access.NewLink], error) {
			k, err := g.Recover(ctx, in.as, in.Name)
			return answer(k), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/links", id: "listLinks", tag: tag, need: access.Administer, summary: "List the one-time links that still work"},
		func(ctx context.Context, in *In) (*body[[]ledger.Link], error) {
			list, err := g.Links(ctx, in.as)
			return answer(some(list)), err
		})
	register(s, operation{method: http.MethodDelete, path: "/v1/links/{name}", id: "cancelLinks", tag: tag, need: access.Administer, status: http.StatusOK, summary: "End the one-time links of a user"},
		func(ctx context.Context, in *UserIn) (*body[Done], error) {
			return answer(Done{true}), g.CancelLinks(ctx, in.as, in.Name)
		})
}
