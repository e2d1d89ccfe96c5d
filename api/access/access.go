// SPDX-License-Identifier: Apache-2.0

// Package access decides who may do what at the HTTP API.
//
// In come requests and what people prove themselves with: a password with a code, a
// passkey, the word of an OpenID provider, a one-time link, a token. Out comes a
// Principal with what it may do, or a typed error; every change goes to the audit
// chain in the transaction that makes it. It believes the ledger, its own key, the
// kernel for who is at the unix socket, and the configured providers.
//
// No web framework is in here: each flow is a method that takes a Caller and a request
// struct and gives an answer struct, with the cookies to set beside it.
//
// The worst trap: a browser sends cookies along with whatever page asked for it. A
// request that changes something is let in by cookie only from our own page
// (Authenticate), and whatever signs someone in asks Caller first.
package access

import (
	"os"
	"slices"
	"strconv"
)

// Role is what a user is here for; each may all that the one before may. The zero
// value may nothing.
type Role string

// The roles, from the least.
const (
	Viewer    Role = "viewer"
	Analyst   Role = "analyst"
	Responder Role = "responder"
	Admin     Role = "admin"
)

// Roles lists them from the least.
func Roles() []Role { return []Role{Viewer, Analyst, Responder, Admin} }

// rank is 1 for the least role and 0 for what is none.
func (r Role) rank() int { return slices.Index(Roles(), r) + 1 }

// least gives the lesser of two roles.
func least(a, b Role) Role {
	if a.rank() < b.rank() {
		return a
	}
	return b
}

// Permission is one thing that an operation asks for; also the scope of a token.
type Permission string

// The permissions. Raw is no part of any role: it is given to a person.
const (
	Read       Permission = "read"       // everything but raw content
	Annotate   Permission = "annotate"   // notes, assignment, status, saved hunts
	Respond    Permission = "respond"    // actions, exceptions
	Administer Permission = "administer" // users, tokens of others, policy stages, enrolment, settings
	Raw        Permission = "raw"        // request bytes, plain text, terminal
)

// Permissions lists them all.
func Permissions() []Permission { return []Permission{Read, Annotate, Respond, Administer, Raw} }

var leastRole = map[Permission]Role{Read: Viewer, Annotate: Analyst, Respond: Responder, Administer: Admin}

// Ways in, as Principal.Via tells them.
const (
	ViaSocket  = "socket"
	ViaSession = "session"
	ViaToken   = "token"
)

// Principal is who asks. It holds for one request: ask Authenticate (or Recheck, for a
// stream) again for the next.
type Principal struct {
	Tenant  string       `json:"tenant"`
	Name    string       `json:"name"` // a user, or "uid:0" at the socket
	Role    Role         `json:"role"`
	Raw     bool         `json:"raw"`
	Scopes  []Permission `json:"scopes,omitempty"` // of a token; nil narrows nothing
	Via     string       `json:"via"`
	Session string       `json:"session,omitempty"` // id of the session or the token
}

// May says whether p may do what needs q. Of a token, both its scopes and its owner's
// role must allow it.
func (p *Principal) May(q Permission) bool {
	if p == nil || ((p.Scopes != nil || p.Via == ViaToken) && !slices.Contains(p.Scopes, q)) {
		return false
	}
	if q == Raw {
		return p.Raw && p.Role.rank() > 0
	}
	need, known := leastRole[q]
	return known && p.Role.rank() >= need.rank()
}

// Permissions lists what p may.
func (p *Principal) Permissions() []Permission {
	return slices.DeleteFunc(Permissions(), func(q Permission) bool { return !p.May(q) })
}

// Actor names p in the audit chain.
func (p *Principal) Actor() string {
	if p.Via == ViaToken {
		return p.Name + " by token " + p.Session
	}
	return p.Name
}

// Require gives ErrForbidden unless p may q, and ErrUnauthenticated without a p.
func Require(p *Principal, q Permission) error {
	switch {
	case p == nil:
		return ErrUnauthenticated
	case !p.May(q):
		return forbidden("this needs the permission %q, which %s does not have", q, p.Actor())
	}
	return nil
}

// Socket is who is at the other end of the unix socket, by uid: root and the owner of
// this process (who owns the data folder) may everything; others get nil.
func Socket(uid int) *Principal {
	if uid != 0 && uid != os.Geteuid() {
		return nil
	}
	return &Principal{Tenant: DefaultTenant, Name: "uid:" + strconv.Itoa(uid), Role: Admin, Raw: true, Via: ViaSocket}
}

// In is a socket's principal in another tenant; everyone else stays in their own and
// gets ErrForbidden for another.
func (p *Principal) In(tenant string) (*Principal, error) {
	if p == nil {
		return nil, ErrUnauthenticated
	}
	if tenant == "" || tenant == p.Tenant {
		return p, nil
	}
	if p.Via != ViaSocket {
		return nil, forbidden("tenant %q is not yours", tenant)
	}
	other := *p
	other.Tenant = tenant
	return &other, nil
}
