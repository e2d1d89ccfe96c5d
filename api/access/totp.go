// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"image/png"
	"net/http"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/ringwall/ringwall/ledger"
)

// totpStep is RFC 6238's X; codes of the step before and after are taken too (§5.2).
const totpStep = 30

// TOTPOffer is a new secret for an authenticator app; nothing is set until TOTPConfirm.
type TOTPOffer struct {
	Secret  string         `json:"secret" doc:"to type in by hand"`
	URL     string         `json:"url" doc:"otpauth URL"`
	QR      string         `json:"qr" doc:"the URL as a picture: data:image/png;base64,…"`
	Cookies []*http.Cookie `json:"-"`
}

type totpOffer struct {
	Tenant string `json:"t"`
	Name   string `json:"n"`
	Secret string `json:"s"`
}

func totpPurpose(tenant, name string) string { return "totp\x00" + tenant + "\x00" + name }

// TOTPStart offers the caller a secret. The log-in must be fresh.
func (g *Guard) TOTPStart(ctx context.Context, from Caller, p *Principal) (*TOTPOffer, error) {
	now := g.now()
	err := g.ledger.View(ctx, func(tx *ledger.Tx) error { _, _, err := g.ownLocal(tx, from, p, now); return err })
	if err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Ringwall", AccountName: p.Name, Period: totpStep})
	if err != nil {
		return nil, err
	}
	img, err := key.Image(240, 240)
	if err != nil {
		return nil, err
	}
	var picture bytes.Buffer
	if err := png.Encode(&picture, img); err != nil {
		return nil, err
	}
	step, err := g.box.seal("totp-offer", totpOffer{p.Tenant, p.Name, key.Secret()}, now, 2*stepLife)
	if err != nil {
		return nil, err
	}
	return &TOTPOffer{
		Secret: key.Secret(), URL: key.URL(), QR: "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture.Bytes()),
		Cookies: []*http.Cookie{from.cookie("-step", step, 2*stepLife)},
	}, nil
}

// TOTPConfirm sets the offered secret once a code shows that the app has it, and gives
// recovery codes. The caller's other sessions end.
func (g *Guard) TOTPConfirm(ctx context.Context, from Caller, p *Principal, q CodeRequest) (out *Renewed, err error) {
	var offer totpOffer
	now := g.now()
	if _, err := g.box.open("totp-offer", from.step, now, &offer); err != nil || p == nil || offer.Tenant != p.Tenant || offer.Name != p.Name {
		return nil, input("the offer has expired; begin again")
	}
	if _, err := g.limits.fromAddress(from.Address, now); err != nil {
		return nil, err
	}
	step := codeOf(offer.Secret, q.Code, 0, now)
	if step == 0 {
		return nil, input("the code is not of that secret; is the clock of the app right?")
	}
	kept, err := g.box.seal(totpPurpose(p.Tenant, p.Name), offer.Secret, now, 0)
	if err != nil {
		return nil, err
	}
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		s, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		u.TOTP, u.TOTPStep = kept, step
		if out, err = g.renew(tx, from, s, now); err != nil {
			return err
		}
		if out.Codes, err = g.newCodes(tx, p.Tenant, p.Name); err != nil {
			return err
		}
		return errors.Join(tx.PutUser(p.Tenant, u), audit(tx, p.Tenant, p.Actor(), "set up totp", p.Name, "", now))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TOTPDrop takes the caller's authenticator app away; without passkeys the recovery
// codes go with it. The log-in must be fresh.
func (g *Guard) TOTPDrop(ctx context.Context, from Caller, p *Principal) (out *Renewed, err error) {
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		s, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		if u.TOTP == "" {
			return ErrNotFound
		}
		u.TOTP, u.TOTPStep = "", 0
		if err := errors.Join(tx.PutUser(p.Tenant, u), dropIdleCodes(tx, p.Tenant, u), audit(tx, p.Tenant, p.Actor(), "drop totp", p.Name, "", now)); err != nil {
			return err
		}
		out, err = g.renew(tx, from, s, now)
		return err
	})
	return out, err
}

// NewRecoveryCodes replaces the caller's recovery codes. The log-in must be fresh.
func (g *Guard) NewRecoveryCodes(ctx context.Context, from Caller, p *Principal) (codes []string, err error) {
	now := g.now()
	err = g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, u, err := g.ownLocal(tx, from, p, now)
		if err != nil {
			return err
		}
		keys, err := tx.Passkeys(p.Tenant, p.Name)
		if err != nil {
			return err
		}
		if u.TOTP == "" && len(keys) == 0 {
			return input("recovery codes stand in for an authenticator app or a passkey; set up one first")
		}
		if codes, err = g.newCodes(tx, p.Tenant, p.Name); err != nil {
			return err
		}
		return audit(tx, p.Tenant, p.Actor(), "new recovery codes", p.Name, "", now)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// spendCode checks a second factor and uses it up, within tx: a TOTP step later than the
// last one used, or a recovery code. u is changed, for the caller to store. errWrong.
func (g *Guard) spendCode(tx *ledger.Tx, tenant string, u *ledger.User, code string, now time.Time) (way string, err error) {
	if code = strings.TrimSpace(code); len(code) == 6 && u.TOTP != "" {
		var secret string
		if _, err := g.box.open(totpPurpose(tenant, u.Name), u.TOTP, now, &secret); err != nil {
			return "", because(ErrUnavailable, "the TOTP secret of %q was sealed with another access key; use a recovery code", u.Name)
		}
		step := codeOf(secret, code, u.TOTPStep, now)
		if step == 0 {
			return "", errWrong
		}
		u.TOTPStep = step
		return "totp", nil
	}
	err = tx.SpendRecoveryCode(tenant, u.Name, g.codeHash(tenant, u.Name, code), now)
	if errors.Is(err, ledger.ErrSpent) {
		return "", errWrong
	}
	return "recovery", err
}

// codeOf gives the step that a code belongs to, later than last, or 0. Each step is used
// once (RFC 6238 §5.2).
func codeOf(secret, code string, last int64, now time.Time) (step int64) {
	current := now.Unix() / totpStep
	for s := current - 1; s <= current+1; s++ {
		want, err := hotp.GenerateCode(secret, uint64(s))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last {
			step = s
		}
	}
	return step
}

// recoveryCodes is how many are given at a time; each has 80 bits.
const recoveryCodes = 10

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (g *Guard) newCodes(tx *ledger.Tx, tenant, name string) (codes []string, err error) {
	var hashes [][]byte
	for range recoveryCodes {
		c := base32Lower.EncodeToString(random(10))
		codes = append(codes, c[:4]+"-"+c[4:8]+"-"+c[8:12]+"-"+c[12:])
		hashes = append(hashes, g.codeHash(tenant, name, c))
	}
	return codes, tx.SetRecoveryCodes(tenant, name, hashes)
}

// codeHash is how a recovery code is kept; it may be typed with or without its dashes.
func (g *Guard) codeHash(tenant, name, code string) []byte {
	code = strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(cut(code, 64)))
	return g.box.sum("recovery", tenant, name, code)
}

// dropIdleCodes takes recovery codes away that stand in for nothing any more.
func dropIdleCodes(tx *ledger.Tx, tenant string, u ledger.User) error {
	keys, err := tx.Passkeys(tenant, u.Name)
	if err != nil || len(keys) > 0 || u.TOTP != "" {
		return err
	}
	return tx.SetRecoveryCodes(tenant, u.Name, nil)
}
