// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/ringwall/ringwall/ledger"
)

// authenticator is a passkey in software (WebAuthn Level 3 §6): what it must do, and on
// demand what it must not.
type authenticator struct {
	key     *ecdsa.PrivateKey
	id      []byte
	handle  string
	counter uint32

	origin, site string // what the browser says it is at
	flags        byte
	other        map[string]any // lies of the client data
}

const userPresent, userVerified, attested = 1, 4, 64

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{key: key, id: random(16), origin: home, site: "ringwall.example", flags: userPresent | userVerified}
}

var b64 = base64.RawURLEncoding.EncodeToString

func (a *authenticator) clientData(kind, challenge string) []byte {
	data := map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false}
	maps.Copy(data, a.other)
	raw, _ := json.Marshal(data)
	return raw
}

func (a *authenticator) data(flags byte, more []byte) []byte {
	site := sha256.Sum256([]byte(a.site))
	out := append(site[:], a.flags|flags)
	return append(binary.BigEndian.AppendUint32(out, a.counter), more...)
}

// create answers navigator.credentials.create.
func (a *authenticator) create(t *testing.T, o *Offer) json.RawMessage {
	t.Helper()
	var q struct {
		PublicKey struct {
			Challenge string
			User      struct{ ID string }
			RP        struct{ ID string }
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(o.Options, &q); err != nil || q.PublicKey.Challenge == "" || q.PublicKey.RP.ID == "" {
		t.Fatalf("options %s: %v", o.Options, err)
	}
	handle, err := base64.RawURLEncoding.DecodeString(q.PublicKey.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	a.handle = string(handle)
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		t.Fatal(err)
	}
	more := make([]byte, 16) // AAGUID
	more = binary.BigEndian.AppendUint16(more, uint16(len(a.id)))
	more = append(append(more, a.id...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(attested, more)})
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(map[string]any{"clientDataJSON": b64(a.clientData("webauthn.create", q.PublicKey.Challenge)), "attestationObject": b64(object)})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(t *testing.T, o *Offer) json.RawMessage {
	t.Helper()
	var q struct {
		PublicKey struct{ Challenge string } `json:"publicKey"`
	}
	if err := json.Unmarshal(o.Options, &q); err != nil {
		t.Fatal(err)
	}
	a.counter++
	client, data := a.clientData("webauthn.get", q.PublicKey.Challenge), a.data(0, nil)
	sum := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, signed[:])
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(sig), "userHandle": b64([]byte(a.handle))})
}

func (a *authenticator) answer(response map[string]any) json.RawMessage {
	raw, _ := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	return raw
}

func (b *browser) offered(o *Offer, err error) *Offer {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.keep(o.Cookies)
	return o
}

func (b *browser) register(t *testing.T, a *authenticator) *Renewed {
	t.Helper()
	o := b.offered(b.h.PasskeyStart(t.Context(), b.caller(), b.who()))
	return b.renewed(b.h.PasskeyFinish(t.Context(), b.caller(), b.who(), PasskeyRequest{Label: "blue key", Credential: a.create(t, o)}))
}

func TestPasskeys(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	b := h.in("analyst")
	other := h.in("analyst")
	key := newAuthenticator(t)
	r := b.register(t, key)
	if len(r.Codes) != recoveryCodes {
		t.Errorf("%d recovery codes", len(r.Codes))
	}
	_, err := h.Authenticate(other.request("GET"))
	wants(t, "another session, after a passkey was added", err, ErrUnauthenticated)
	me, err := h.Me(t.Context(), b.caller(), b.who())
	if err != nil || len(me.Ways.Passkeys) != 1 || me.Ways.Passkeys[0].Label != "blue key" || me.Ways.Passkeys[0].Site != "ringwall.example" {
		t.Errorf("%+v, %v", me, err)
	}

	enter := func(b *browser, change func(*authenticator)) error {
		o := b.offered(h.LogInPasskeyStart(t.Context(), b.caller()))
		one := *key
		if change != nil {
			change(&one)
		}
		w, err := h.LogInPasskeyFinish(t.Context(), b.caller(), PasskeyRequest{Credential: one.get(t, o)})
		if err == nil {
			key.counter = one.counter
			b.welcome(w, nil)
		}
		return err
	}
	in := h.browser()
	if err := enter(in, nil); err != nil {
		t.Fatal(err)
	}
	if p := in.who(); p.Name != "analyst" {
		t.Errorf("%+v", p)
	}
	for what, change := range map[string]func(*authenticator){
		"of a page of another origin":  func(a *authenticator) { a.origin = "https://ringwall.example.evil.example" },
		"of our name, plain":           func(a *authenticator) { a.origin = "http://ringwall.example" },
		"of another port":              func(a *authenticator) { a.origin = home + ":8443" },
		"for another site":             func(a *authenticator) { a.site = "evil.example" },
		"nobody verified":              func(a *authenticator) { a.flags = userPresent },
		"nobody present":               func(a *authenticator) { a.flags = userVerified },
		"another key":                  func(a *authenticator) { a.key = newAuthenticator(t).key },
		"another id":                   func(a *authenticator) { a.id = random(16) },
		"another user":                 func(a *authenticator) { a.handle = "x" },
		"no user":                      func(a *authenticator) { a.handle = "" },
		"a registration, not a log-in": func(a *authenticator) { a.other = map[string]any{"type": "webauthn.create"} },
		"another challenge":            func(a *authenticator) { a.other = map[string]any{"challenge": b64(random(32))} },
		"inside a frame of another":    func(a *authenticator) { a.other = map[string]any{"crossOrigin": true} },
		"a counter that goes back":     func(a *authenticator) { a.counter = 0 },
	} {
		wants(t, what, enter(h.browser(), change), ErrUnauthenticated)
		h.wait(time.Minute)
	}
	for _, bad := range []string{"", "null", "{}", `{"id":"x"}`, `[1]`, `{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{}}`} {
		b := h.browser()
		b.offered(h.LogInPasskeyStart(t.Context(), b.caller()))
		_, err := h.LogInPasskeyFinish(t.Context(), b.caller(), PasskeyRequest{Credential: json.RawMessage(bad)})
		wants(t, bad, err, ErrUnauthenticated)
	}
	// One offer, one log-in; and only in the browser that asked.
	once := h.browser()
	o := once.offered(h.LogInPasskeyStart(t.Context(), once.caller()))
	said, from := PasskeyRequest{Credential: key.get(t, o)}, once.caller()
	_, err = h.LogInPasskeyFinish(t.Context(), h.browser().caller(), said)
	wants(t, "in another browser", err, ErrUnauthenticated)
	once.welcome(h.LogInPasskeyFinish(t.Context(), from, said))
	_, err = h.LogInPasskeyFinish(t.Context(), from, said)
	wants(t, "replayed", err, ErrUnauthenticated)
	slow := h.browser()
	o = slow.offered(h.LogInPasskeyStart(t.Context(), slow.caller()))
	h.wait(stepLife)
	_, err = h.LogInPasskeyFinish(t.Context(), slow.caller(), PasskeyRequest{Credential: key.get(t, o)})
	wants(t, "too late", err, ErrUnauthenticated)

	// With a passkey, a password alone opens nothing; with a recovery code it does.
	pw := h.browser()
	if w := pw.welcome(pw.logIn("analyst", good, "")); w.Me != nil || fmt.Sprint(w.Next) != "[code passkey]" {
		t.Errorf("%+v", w)
	}
	pw.welcome(pw.logIn("analyst", good, r.Codes[0]))

	yes, no := true, false
	if err := h.Change(t.Context(), root.who(), "analyst", ChangeUser{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	wants(t, "of a disabled user", enter(h.browser(), nil), ErrUnauthenticated)
	if err := h.Change(t.Context(), root.who(), "analyst", ChangeUser{Disabled: &no}); err != nil {
		t.Fatal(err)
	}
	key.counter += 2 // it was asked above
	last := h.browser()
	if err := enter(last, nil); err != nil {
		t.Fatal(err)
	}
	_, err = h.PasskeyDrop(t.Context(), last.caller(), last.who(), "none")
	wants(t, "drop none", err, ErrNotFound)
	last.renewed(h.PasskeyDrop(t.Context(), last.caller(), last.who(), b64(key.id)))
	wants(t, "a dropped one", enter(h.browser(), nil), ErrUnauthenticated)
	h.in("analyst")
	h.told("analyst add passkey analyst")
	h.told("analyst drop passkey analyst")
}

func TestPasskeyRegistrationIsChecked(t *testing.T) {
	h := newHouse(t)
	h.people()
	b, key := h.in("analyst"), newAuthenticator(t)
	try := func(change func(*authenticator)) error {
		o := b.offered(h.PasskeyStart(t.Context(), b.caller(), b.who()))
		one := *key
		change(&one)
		r, err := h.PasskeyFinish(t.Context(), b.caller(), b.who(), PasskeyRequest{Credential: one.create(t, o)})
		if err == nil {
			b.renewed(r, nil)
		}
		return err
	}
	for what, change := range map[string]func(*authenticator){
		"another origin":    func(a *authenticator) { a.origin = "https://evil.example" },
		"another site":      func(a *authenticator) { a.site = "evil.example" },
		"nobody verified":   func(a *authenticator) { a.flags = userPresent },
		"another challenge": func(a *authenticator) { a.other = map[string]any{"challenge": b64(random(32))} },
		"a log-in":          func(a *authenticator) { a.other = map[string]any{"type": "webauthn.get"} },
	} {
		wants(t, what, try(change), ErrInput)
	}
	if err := try(func(*authenticator) {}); err != nil {
		t.Fatal(err)
	}
	wants(t, "the same again", try(func(*authenticator) {}), ErrConflict)
	// An offer made to one user does not serve another in the same browser.
	b.offered(h.PasskeyStart(t.Context(), b.caller(), b.who()))
	thief := h.in("responder")
	thief.jar["__Host-ringwall-step"] = b.jar["__Host-ringwall-step"]
	_, err := h.PasskeyFinish(t.Context(), thief.caller(), thief.who(), PasskeyRequest{})
	wants(t, "another's offer", err, ErrInput)
	// A log-in offer is none to register with.
	o := thief.offered(h.LogInPasskeyStart(t.Context(), thief.caller()))
	_, err = h.PasskeyFinish(t.Context(), thief.caller(), thief.who(), PasskeyRequest{Credential: o.Options})
	wants(t, "a log-in's offer", err, ErrInput)
}

func TestPasskeysNeedAName(t *testing.T) {
	h := newHouse(t)
	h.people()
	b := h.browser()
	b.origin, b.address = "http://127.0.0.1:9311", "127.0.0.1:4000"
	_, err := h.LogInPasskeyStart(t.Context(), b.caller())
	wants(t, "at an address", err, ErrInput)
	b.origin = "http://localhost:9311"
	b.welcome(b.logIn("analyst", good, ""))
	key := newAuthenticator(t)
	key.origin, key.site = "http://localhost:9311", "localhost"
	b.register(t, key)
	o := b.offered(h.LogInPasskeyStart(t.Context(), b.caller()))
	b.welcome(h.LogInPasskeyFinish(t.Context(), b.caller(), PasskeyRequest{Credential: key.get(t, o)}))
	// It is of localhost and opens nothing at the other name.
	c := h.browser()
	o = c.offered(h.LogInPasskeyStart(t.Context(), c.caller()))
	_, err = h.LogInPasskeyFinish(t.Context(), c.caller(), PasskeyRequest{Credential: key.get(t, o)})
	wants(t, "at another of our names", err, ErrUnauthenticated)
	err = h.ledger.View(t.Context(), func(tx *ledger.Tx) error { _, err := tx.Passkeys(DefaultTenant, "analyst"); return err })
	if err != nil {
		t.Error(err)
	}
}

func FuzzPasskeyAnswers(f *testing.F) {
	h := newHouse(f, func(c *Config) { c.Limits.Address.Burst = 1 << 30 })
	h.people()
	b := h.in("analyst")
	o := b.offered(h.LogInPasskeyStart(f.Context(), b.caller()))
	from := b.caller()
	f.Add([]byte(o.Options))
	f.Add([]byte(`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YVg","authenticatorData":"AAAA","signature":"AA","userHandle":"AA"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		w, err := h.LogInPasskeyFinish(t.Context(), from, PasskeyRequest{Credential: answer})
		if err == nil {
			t.Errorf("let in: %+v", w.Me)
		}
		if _, err := h.PasskeyFinish(t.Context(), from, &Principal{Tenant: DefaultTenant, Name: "analyst", Via: ViaSession}, PasskeyRequest{Credential: answer}); err == nil {
			t.Error("registered")
		}
	})
}
