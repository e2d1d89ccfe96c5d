// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/ringwall/ringwall/ledger"
)

// Offer begins a passkey ceremony: Options go to navigator.credentials as they are.
type Offer struct {
	Options json.RawMessage `json:"options"`
	Cookies []*http.Cookie  `json:"-"`
}

// PasskeyRequest ends a ceremony with what the browser gave (toJSON of the credential).
type PasskeyRequest struct {
	Label      string          `json:"label,omitempty" maxLength:"64" doc:"how its owner calls it"`
	Credential json.RawMessage `json:"credential"`
}

type passkeyStep struct {
	Tenant string               `json:"t,omitempty"` // of the one who registers
	Name   string               `json:"n,omitempty"`
	Data   webauthn.SessionData `json:"d"`
}

// site is the relying party that a caller sees (WebAuthn Level 3 §5.1.2): the host they
// asked, and no origin but that one. Addresses cannot have passkeys.
func site(from Caller) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(from.Origin)
	if err != nil || protocol.ValidateRPID(u.Hostname()) != nil {
		return nil, input("passkeys need a host name, and you asked for %q; open the console by its name", from.Origin)
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Ringwall", RPOrigins: []string{from.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			// Required, so that a passkey alone is two factors: having it, and the finger or PIN.
			UserVerification: protocol.VerificationRequired,
		},
	})
}

// holder is a user as the library sees one.
type holder struct {
	user ledger.User
	keys []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.user.Handle) }
func (h holder) WebAuthnName() string                       { return h.user.Name }
func (h holder) WebAuthnDisplayName() string                { return h.user.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func held(tx *ledger.Tx, tenant string, u ledger.User, site string) (holder, error) {
	h := holder{user: u}
	list, err := tx.Passkeys(tenant, u.Name)
	if err != nil {
		return h, err
	}
	for _, k := range list {
		var c webauthn.Credential
		if err := json.Unmarshal(k.Body, &c); err != nil {
			return h, err
		}
		if k.Site == site {
			h.keys = append(h.keys, c)
		}
	}
	return h, nil
}

// PasskeyStart offers the caller to add a passkey. The log-in must be fresh.
func (g *Guard) PasskeyStart(ctx context.Context, from Caller, p *Principal) (*Offer, error) {
	rp, err := site(from)
	if err != nil {
		return nil, err
	}
	now := g.now()
	var h holder
	err = g.ledger.View(ctx, func(tx *ledger.Tx) error {
		_, u, err := g.ownLocal(tx, from, p, now)
		if err == nil {
			h, err = held(tx, p.Tenant, u, rp.Config.RPID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	options, data, err := rp.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
	if err != nil {
		return nil, because(ErrInput, "begin a passkey: %v", err)
	}
	return g.offer(from, "passkey", options, passkeyStep{p.Tenant, p.Name, *data}, now)
}

func (g *Guard) offer(from Caller, purpose string, options any, s passkeyStep, now time.Time) (*Offer, error) {
	// What is offered is always the same, and would not fit into a cookie.
	s.Data.CredParams = nil
	step, err := g.box.seal(purpose, s, now, stepLife)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	return &Offer{Options: raw, Cookies: []*http.Cookie{from.cookie("-step", step, stepLife)}}, nil
}

// PasskeyFinish adds the passkey; with the first second factor come recovery codes. The
// caller's other sessions end.
func (g *Guard) PasskeyFinish(ctx context.Context, from Caller, p *Principal, q PasskeyRequest) (out *Renewed, err error) {
	var step passkeyStep
	now := g.now()
	s, err := g.box.open("passkey", from.step, now, &step)
	if err != nil || p == nil || step.Tenant != p.Tenant || step.Name != p.Name {
		return nil, input("the offer has expired; begin again")
	}
	rp, err := site(from)
	if err != nil {
		return nil, err
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes(q.Credential)
	if err != nil {
		return nil, input("the passkey was refused: %s", detail(err))
	}
	step.Data.CredParams = webauthn.CredentialParametersDefault()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		session, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		c, err := rp.CreateCredential(holder{user: u}, step.Data, answer)
		if err != nil {
			return input("the passkey was refused: %s", detail(err))
		}
		if err := g.spend(s); err != nil {
			return err
		}
		label := trimmed(q.Label, 64)
		if label == "" {
			label = "passkey of " + now.Format(time.DateOnly)
		}
		if err := addPasskey(tx, p, rp.Config.RPID, label, c, now); err != nil {
			return err
		}
		if out, err = g.renew(tx, from, session, now); err != nil {
			return err
		}
		left, err := tx.RecoveryCodes(p.Tenant, p.Name)
		if err == nil && left == 0 {
			out.Codes, err = g.newCodes(tx, p.Tenant, p.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func addPasskey(tx *ledger.Tx, p *Principal, site, label string, c *webauthn.Credential, now time.Time) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	k := ledger.Passkey{ID: base64.RawURLEncoding.EncodeToString(c.ID), Name: p.Name, Site: site, Label: label, Body: body, Made: now}
	err = tx.AddPasskey(p.Tenant, k)
	if errors.Is(err, ledger.ErrExists) {
		return because(ErrConflict, "this passkey is registered already")
	}
	return errors.Join(err, audit(tx, p.Tenant, p.Actor(), "add passkey", p.Name, label, now))
}

// PasskeyDrop takes a passkey of the caller away. The log-in must be fresh.
func (g *Guard) PasskeyDrop(ctx context.Context, from Caller, p *Principal, id string) (out *Renewed, err error) {
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		s, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		if err := tx.DropPasskey(p.Tenant, p.Name, id); err != nil {
			return missing(err)
		}
		if err := errors.Join(dropIdleCodes(tx, p.Tenant, u), audit(tx, p.Tenant, p.Actor(), "drop passkey", p.Name, id, now)); err != nil {
			return err
		}
		out, err = g.renew(tx, from, s, now)
		return err
	})
	return out, err
}

// LogInPasskeyStart begins a log-in without a name: the passkey knows whose it is.
func (g *Guard) LogInPasskeyStart(_ context.Context, from Caller) (*Offer, error) {
	now := g.now()
	if _, err := g.limits.fromAddress(from.Address, now); err != nil {
		return nil, err
	}
	rp, err := site(from)
	if err != nil {
		return nil, err
	}
	options, data, err := rp.BeginDiscoverableLogin()
	if err != nil {
		return nil, because(ErrInput, "begin a log-in by passkey: %v", err)
	}
	return g.offer(from, "passkey-log-in", options, passkeyStep{Data: *data}, now)
}

// errPasskey is every failed log-in by passkey.
var errPasskey = because(ErrUnauthenticated, "the passkey was not accepted")

// LogInPasskeyFinish signs in the owner of the passkey. Each offer is good for one log-in.
func (g *Guard) LogInPasskeyFinish(ctx context.Context, from Caller, q PasskeyRequest) (w *Welcome, err error) {
	var step passkeyStep
	now := g.now()
	right, err := g.limits.fromAddress(from.Address, now)
	if err != nil {
		return nil, err
	}
	s, err := g.box.open("passkey-log-in", from.step, now, &step)
	if err != nil {
		return nil, because(ErrUnauthenticated, "the log-in took too long; begin again")
	}
	rp, err := site(from)
	if err != nil {
		return nil, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(q.Credential)
	if err != nil {
		return nil, errPasskey
	}
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		var tenant string
		var owner holder
		_, c, err := rp.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
			var u ledger.User
			var err error
			if tenant, u, err = tx.UserByHandle(string(handle)); err == nil {
				owner, err = held(tx, tenant, u, rp.Config.RPID)
			}
			return owner, err
		}, step.Data, answer)
		if err != nil || !owner.user.Disabled.IsZero() || owner.user.Issuer != "" {
			return errPasskey
		}
		if c.Authenticator.CloneWarning {
			// Level 3 §6.1.1: the counter went back, so there are two of it.
			return because(ErrUnauthenticated, "this passkey seems to have been copied; remove it and register a new one")
		}
		if err := g.spend(s); err != nil {
			return err
		}
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if err := tx.UsePasskey(tenant, base64.RawURLEncoding.EncodeToString(c.ID), body, now); err != nil {
			return err
		}
		w, err = g.signIn(tx, from, tenant, owner.user, "passkey", now)
		return err
	})
	if err != nil {
		return nil, err
	}
	right()
	return w, nil
}

// detail is what the library tells people, without its inner words.
func detail(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Details
	}
	return "it cannot be read"
}
