// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

func TestPasswordLogIn(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	disabled := true
	if err := h.Change(t.Context(), root.who(), "viewer", ChangeUser{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	b := h.browser()
	w := b.welcome(b.logIn(" Analyst ", good, ""))
	if w.Me == nil || w.Me.Name != "analyst" || w.Me.Role != Analyst || fmt.Sprint(w.Me.Permissions) != "[read annotate]" || len(w.Next) != 0 {
		t.Errorf("%+v", w.Me)
	}
	for _, c := range w.Cookies {
		if c.MaxAge > 0 && (!strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != 3 || c.Path != "/" || c.Domain != "") {
			t.Errorf("cookie %+v", c)
		}
	}
	if p := b.who(); p.Name != "analyst" || p.Tenant != DefaultTenant || p.Via != ViaSession {
		t.Errorf("%+v", p)
	}
	// Every near miss reads the same.
	var texts []string
	for what, q := range map[string]PasswordRequest{
		"wrong":              {Name: "analyst", Password: good + "!"},
		"empty":              {Name: "analyst"},
		"unknown":            {Name: "nobody", Password: good},
		"unknown by a code":  {Name: "nobody", Password: good, Code: "123456"},
		"disabled":           {Name: "viewer", Password: good},
		"another tenant":     {Name: "analyst", Password: good, Tenant: "acme"},
		"a hostile name":     {Name: strings.Repeat("\x00'\"<b>\u202e", 2000), Password: good},
		"a long password":    {Name: "analyst", Password: good + strings.Repeat(" ", 5000)},
		"a code for a wrong": {Name: "analyst", Password: "x", Code: "123456"},
	} {
		w, err := h.LogIn(t.Context(), h.browser().caller(), q)
		wants(t, what, err, ErrUnauthenticated)
		if w != nil {
			t.Errorf("%s: %+v", what, w)
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("failures differ: %q and %q", text, texts[0])
		}
	}
	if err := h.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{"analyst log in analyst", "root disable user viewer", "access log-in refused analyst", "access log-in refused (nobody)", "root invite link viewer", "host setup link "} {
		h.told(e)
	}
	h.holdsNoSecret()
}

// An unknown user costs a hash like a known one: with all places at the hasher taken,
// neither gets an answer.
func TestUnknownUsersAreHashedToo(t *testing.T) {
	h := newHouse(t)
	h.people()
	for range cap(h.hash.gate) {
		h.hash.gate <- struct{}{}
	}
	from := h.browser().caller()
	for _, name := range []string{"analyst", "nobody"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := h.LogIn(ctx, from, PasswordRequest{Name: name, Password: good}); done <- err }()
		for len(h.hash.waiting) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashIsMadeAnew(t *testing.T) {
	h := newHouse(t)
	h.people()
	h.hash.cfg.Passes = 2
	h.in("analyst")
	var u ledger.User
	_ = h.ledger.View(t.Context(), func(tx *ledger.Tx) (err error) { u, err = tx.User(DefaultTenant, "analyst"); return err })
	if !strings.Contains(u.PasswordHash, "t=2") {
		t.Errorf("hash %q", u.PasswordHash)
	}
	h.in("analyst")
	for _, bad := range []string{"", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
		"$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=64,t=1,p=1$$"} {
		if _, _, _, err := decode(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAcceptablePasswords(t *testing.T) {
	for password, want := range map[string]bool{
		good:                           true,
		"correct horse battery staple": true,
		"Tr0ub4dor&3-Tr0ub4dor":        true,
		"kX9#mPq2vL7w":                 true,
		"日本語のながいあいことばです": true,
		"short":                            false,
		"elevenchars":                      false,
		"Password1234":                     false,
		"P@ssw0rd2026!":                    false,
		"qwertyuiop12":                     false,
		"aaaaaaaaaaaaaaaa":                 false,
		"abcabcabcabcabc":                  false,
		"123456789012":                     false,
		"Sommer2026!!":                     false,
		"ringwalladmin":                    false,
		"jane.doe12345":                    false, // the user's own name
		"admin-admin-admin":                false,
		"\xff\xfe" + good:                  false,
		strings.Repeat("long words ", 200): false,
	} {
		if err := acceptable(password, "jane.doe@example.org"); (err == nil) != want {
			t.Errorf("%q: %v, want it taken: %v", password, err, want)
		}
	}
}

func TestGuessingIsSlowedAndLocksNobodyOut(t *testing.T) {
	h := newHouse(t)
	h.people()
	own := h.in("root")  // has signed in here before
	fresh := h.browser() // has not
	fresh.address = "198.51.100.7:1"
	wrong := 0
	for i := range 40 {
		b := h.browser()
		b.address = fmt.Sprintf("203.0.113.%d:9", i) // from everywhere
		_, err := b.logIn("root", "guess number twelve", "")
		var slow *Throttled
		if errors.As(err, &slow) {
			if slow.Seconds() < 1 || !errors.Is(err, ErrThrottled) {
				t.Errorf("%v", err)
			}
			break
		}
		wants(t, "guess", err, ErrUnauthenticated)
		wrong++
	}
	if wrong != h.cfg.Limits.Account.Burst {
		t.Errorf("%d guesses were heard, want %d", wrong, h.cfg.Limits.Account.Burst)
	}
	_, err := fresh.logIn("root", good, "")
	wants(t, "from a new browser, under attack", err, ErrThrottled)
	own.welcome(own.logIn("root", good, "")) // the attack does not touch this one
	h.in("analyst")
	h.wait(h.cfg.Limits.Account.Each)
	fresh.welcome(fresh.logIn("root", good, ""))

	// A stolen device cookie buys ten guesses more, not a door.
	thief := h.browser()
	thief.jar["__Host-ringwall-device"] = own.jar["__Host-ringwall-device"]
	thief.address = "198.51.100.9:1"
	heard := 0
	for range 20 {
		if _, err := thief.logIn("root", "guess number twelve", ""); errors.Is(err, ErrUnauthenticated) {
			heard++
		}
	}
	if heard != h.cfg.Limits.Account.Burst {
		t.Errorf("%d guesses by a stolen device cookie", heard)
	}
	// It counts for its own user only.
	thief.address = "198.51.100.10:1"
	for range h.cfg.Limits.Account.Burst + 1 {
		_, err = thief.logIn("responder", "guess number twelve", "")
	}
	wants(t, "another's device cookie", err, ErrThrottled)
}

func TestOneAddressIsSlowed(t *testing.T) {
	h := newHouse(t)
	h.people()
	heard := 0
	for i := range 100 {
		b := h.browser()
		b.address = fmt.Sprintf("[2001:db8::%x]:9", i) // all of one /64
		_, err := b.logIn(fmt.Sprint("user", i), "guess number twelve", "")
		if errors.Is(err, ErrThrottled) {
			break
		}
		heard++
	}
	if heard != h.cfg.Limits.Address.Burst {
		t.Errorf("%d names from one network were heard, want %d", heard, h.cfg.Limits.Address.Burst)
	}
	b := h.browser()
	b.address = "[2001:db8:0:1::1]:9"
	b.welcome(b.logIn("analyst", good, ""))
}

func TestTOTP(t *testing.T) {
	h := newHouse(t)
	h.people()
	other := h.in("analyst")
	b := h.in("analyst")
	before := b.jar["__Host-ringwall"]
	secret, codes := b.withTOTP()
	if len(codes) != recoveryCodes || b.jar["__Host-ringwall"] == before {
		t.Errorf("%d codes; the session kept its secret: %v", len(codes), b.jar["__Host-ringwall"] == before)
	}
	_, err := h.Authenticate(other.request("GET"))
	wants(t, "another session, after a factor was added", err, ErrUnauthenticated)

	begin := func() *browser {
		b := h.browser()
		w := b.welcome(b.logIn("analyst", good, ""))
		if w.Me != nil || fmt.Sprint(w.Next) != "[code]" {
			t.Fatalf("a password alone: %+v", w)
		}
		_, err := h.Authenticate(b.request("GET"))
		wants(t, "half a log-in", err, ErrUnauthenticated)
		return b
	}
	try := func(b *browser, code string) error {
		w, err := h.LogInCode(t.Context(), b.caller(), CodeRequest{code})
		if err == nil {
			b.welcome(w, nil)
		}
		return err
	}
	wants(t, "the code that set it up", try(begin(), h.code(secret, 0)), ErrUnauthenticated)
	h.wait(2 * time.Minute)
	for what, code := range map[string]string{"two steps ago": h.code(secret, -2), "in two steps": h.code(secret, 2), "none": "", "too short": "12345", "letters": "abcdef", "wide digits": "１２３４５６"} {
		wants(t, what, try(begin(), code), ErrUnauthenticated)
	}
	if err := try(begin(), h.code(secret, -1)); err != nil {
		t.Errorf("the step before: %v", err)
	}
	now := h.code(secret, 0)
	if err := try(begin(), now); err != nil {
		t.Errorf("this step: %v", err)
	}
	wants(t, "replayed", try(begin(), now), ErrUnauthenticated)
	if err := try(begin(), h.code(secret, 1)); err != nil {
		t.Errorf("the step after: %v", err)
	}
	wants(t, "an earlier step than the last", try(begin(), now), ErrUnauthenticated)

	h.wait(2 * time.Minute)
	late := begin()
	h.wait(stepLife)
	wants(t, "after the step's life", try(late, h.code(secret, 0)), ErrUnauthenticated)
	wants(t, "without a first step", try(h.browser(), h.code(secret, 0)), ErrUnauthenticated)
	// All at once, in one request.
	one := h.browser()
	one.welcome(one.logIn("analyst", good, h.code(secret, 0)))
	// A new password ends steps begun with the old one.
	half := begin()
	one.renewed(h.NewPassword(t.Context(), one.caller(), one.who(), NewPasswordRequest{good, good + " again"}))
	h.wait(time.Minute)
	wants(t, "a step of the old password", try(half, h.code(secret, 0)), ErrUnauthenticated)
	h.told("analyst set up totp analyst")
	h.told("analyst change password analyst")
	h.holdsNoSecret()
}

func TestRecoveryCodes(t *testing.T) {
	h := newHouse(t)
	h.people()
	_, codes := h.in("analyst").withTOTP()
	h.wait(time.Minute)
	b := h.browser()
	b.welcome(b.logIn("analyst", good, " "+strings.ToUpper(codes[0])+" "))
	_, err := h.browser().logIn("analyst", good, codes[0])
	wants(t, "twice", err, ErrUnauthenticated)
	_, err = h.browser().logIn("responder", good, "")
	if err != nil {
		t.Errorf("a user without any: %v", err)
	}
	me, err := h.Me(t.Context(), b.caller(), b.who())
	if err != nil || me.Ways.RecoveryCodes != recoveryCodes-1 || !me.Ways.TOTP || me.CSRF != b.csrf {
		t.Errorf("%+v, %v", me, err)
	}
	fresh, err := h.NewRecoveryCodes(t.Context(), b.caller(), b.who())
	if err != nil || len(fresh) != recoveryCodes {
		t.Errorf("%d, %v", len(fresh), err)
	}
	_, err = h.browser().logIn("analyst", good, codes[1])
	wants(t, "an older code", err, ErrUnauthenticated)
	b.renewed(h.TOTPDrop(t.Context(), b.caller(), b.who()))
	_, err = h.NewRecoveryCodes(t.Context(), b.caller(), b.who())
	wants(t, "with nothing to stand in for", err, ErrInput)
	h.in("analyst") // a password is enough again
}

// The same code by twenty browsers at once lets one in.
func TestCodeIsUsedOnceUnderRace(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.Account.Burst, c.Limits.Address.Burst = 1000, 1000 })
	h.people()
	secret, _ := h.in("analyst").withTOTP()
	h.wait(time.Minute)
	code := h.code(secret, 0)
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		from := h.browser().caller()
		wg.Go(func() {
			if w, err := h.LogIn(t.Context(), from, PasswordRequest{Name: "analyst", Password: good, Code: code}); err == nil && w.Me != nil {
				in.Add(1)
			} else if err != nil && !errors.Is(err, ErrUnauthenticated) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in with one code", in.Load())
	}
}

func TestFreshLogInIsNeeded(t *testing.T) {
	h := newHouse(t)
	h.people()
	b := h.in("analyst")
	h.wait(h.cfg.Proof + time.Second)
	_, err := h.TOTPStart(t.Context(), b.caller(), b.who())
	wants(t, "add an app with an old log-in", err, ErrStale)
	_, err = h.MakeToken(t.Context(), b.caller(), b.who(), TokenRequest{Name: "x", Scopes: []Permission{Read}})
	wants(t, "make a token with an old log-in", err, ErrStale)
	wants(t, "confirm with a wrong password", h.Confirm(t.Context(), b.caller(), b.who(), ConfirmRequest{Password: "x"}), ErrUnauthenticated)
	if err := h.Confirm(t.Context(), b.caller(), b.who(), ConfirmRequest{Password: good}); err != nil {
		t.Fatal(err)
	}
	secret, _ := b.withTOTP()
	h.wait(h.cfg.Proof + time.Second)
	wants(t, "confirm without the code", h.Confirm(t.Context(), b.caller(), b.who(), ConfirmRequest{Password: good}), ErrUnauthenticated)
	code := h.code(secret, 0)
	if err := h.Confirm(t.Context(), b.caller(), b.who(), ConfirmRequest{good, code}); err != nil {
		t.Fatal(err)
	}
	wants(t, "confirm by a replayed code", h.Confirm(t.Context(), b.caller(), b.who(), ConfirmRequest{good, code}), ErrUnauthenticated)
	_, err = h.NewPassword(t.Context(), b.caller(), b.who(), NewPasswordRequest{Old: good + "?", New: good + " again"})
	wants(t, "a new password with a wrong old one", err, ErrUnauthenticated)
	_, err = h.NewPassword(t.Context(), b.caller(), b.who(), NewPasswordRequest{Old: good, New: "analyst12345"})
	wants(t, "a bad new password", err, ErrInput)
}
