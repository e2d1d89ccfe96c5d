// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var secretA, secretB = []byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210")

func tokens(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		return errors.Join(
			tx.AddToken(Token{Tenant: "acme", ID: "t-1", Name: "ci", Owner: "eve", Role: "analyst", Scopes: []string{"read", "annotate"}, Made: t0, Expires: t0.Add(time.Hour)}, secretA),
			tx.AddToken(Token{Tenant: "acme", ID: "t-2", Name: "ci", Owner: "bob", Role: "viewer", Made: t0.Add(1), Expires: t0.Add(time.Hour)}, secretB))
	})
	look := func(secret []byte, now time.Time) (k Token, err error) {
		err = l.View(t.Context(), func(tx *Tx) error { k, err = tx.Token(secret, now); return err })
		return k, err
	}
	if k, err := look(secretA, t0); err != nil || k.Role != "analyst" || k.Tenant != "acme" || fmt.Sprint(k.Scopes) != "[read annotate]" || k.Owner != "eve" {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := look(secretA, t0.Add(time.Hour)); !errors.Is(err, ErrSpent) {
		t.Errorf("expired: %v", err)
	}
	if _, err := look([]byte("guess"), t0); !errors.Is(err, ErrSpent) {
		t.Errorf("guessed: %v", err)
	}
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.UseToken("acme", "t-1", t0.Add(5)), tx.UseToken("acme", "t-1", t0.Add(3)), tx.RevokeToken("acme", "t-1", t0.Add(6)))
	})
	if _, err := look(secretA, t0); !errors.Is(err, ErrSpent) {
		t.Errorf("revoked: %v", err)
	}
	err := l.Update(t.Context(), func(tx *Tx) error { return tx.RevokeToken("evil", "t-2", t0) })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("of another tenant: %v", err)
	}
	view(t, l, func(tx *Tx) error {
		all, err := tx.Tokens("acme", "")
		mine, err2 := tx.Tokens("acme", "eve")
		if err != nil || err2 != nil || len(all) != 2 || len(mine) != 1 || !mine[0].Used.Equal(t0.Add(5)) || mine[0].Revoked.IsZero() {
			t.Errorf("%+v %+v, %v %v", all, mine, err, err2)
		}
		return nil
	})
	update(t, l, func(tx *Tx) error {
		n, err := tx.RevokeTokens("acme", "bob", t0)
		if n != 1 {
			t.Errorf("%d tokens of bob were revoked", n)
		}
		return err
	})
}

func people(t *testing.T, l *Ledger) {
	eve := User{Name: "eve", Role: "admin", Raw: true, PasswordHash: "argon2id$…", Handle: "h-1", TOTP: "sealed", TOTPStep: 7, Made: t0}
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutUser("acme", eve), tx.PutUser("acme", User{Name: "bob", Role: "viewer", Issuer: "https://idp", Subject: "42", Made: t0}), tx.PutUser("evil", User{Name: "eve", Role: "viewer", Made: t0}))
	})
	eve.Role, eve.Login, eve.Made = "viewer", t0.Add(time.Hour), t0.Add(time.Hour)
	update(t, l, func(tx *Tx) error { return tx.PutUser("acme", eve) })
	eve.Made = t0 // as it first was
	view(t, l, func(tx *Tx) error {
		if u, err := tx.User("acme", "eve"); err != nil || u != eve {
			t.Errorf("%+v, %v", u, err)
		}
		if tenant, u, err := tx.UserByHandle("h-1"); err != nil || tenant != "acme" || u.Name != "eve" {
			t.Errorf("by handle: %s %+v, %v", tenant, u, err)
		}
		if _, _, err := tx.UserByHandle(""); !errors.Is(err, ErrNotFound) {
			t.Errorf("an empty handle finds users without one: %v", err)
		}
		if u, err := tx.UserBySubject("acme", "https://idp", "42"); err != nil || u.Name != "bob" {
			t.Errorf("by subject: %+v, %v", u, err)
		}
		if _, err := tx.UserBySubject("acme", "", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("an empty subject finds local users: %v", err)
		}
		if list, err := tx.Users("acme"); err != nil || len(list) != 2 || list[0].Name != "bob" {
			t.Errorf("%+v, %v", list, err)
		}
		return nil
	})
	key := Passkey{ID: "k-1", Name: "eve", Site: "localhost", Label: "blue key", Body: []byte("{}"), Made: t0}
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.AddPasskey("acme", key), tx.SetRecoveryCodes("acme", "eve", [][]byte{{1}, {2}}), tx.UsePasskey("acme", "k-1", []byte("{1}"), t0.Add(1)))
	})
	for what, f := range map[string]func(tx *Tx) error{
		"the same passkey for another":  func(tx *Tx) error { k := key; k.Name = "bob"; return want(tx.AddPasskey("evil", k), ErrExists) },
		"drop another's passkey":        func(tx *Tx) error { return want(tx.DropPasskey("acme", "bob", "k-1"), ErrNotFound) },
		"a code of nobody":              func(tx *Tx) error { return want(tx.SpendRecoveryCode("acme", "bob", []byte{1}, t0), ErrSpent) },
		"a code that was never given":   func(tx *Tx) error { return want(tx.SpendRecoveryCode("acme", "eve", []byte{9}, t0), ErrSpent) },
		"a code once":                   func(tx *Tx) error { return tx.SpendRecoveryCode("acme", "eve", []byte{1}, t0) },
		"passkeys of another's account": func(tx *Tx) error { ks, err := tx.Passkeys("acme", "bob"); return none(len(ks), err) },
	} {
		if err := l.Update(t.Context(), f); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	update(t, l, func(tx *Tx) error {
		if err := want(tx.SpendRecoveryCode("acme", "eve", []byte{1}, t0), ErrSpent); err != nil {
			t.Errorf("a code twice: %v", err)
		}
		left, err := tx.RecoveryCodes("acme", "eve")
		ks, err2 := tx.Passkeys("acme", "eve")
		if left != 1 || len(ks) != 1 || string(ks[0].Body) != "{1}" || !ks[0].Used.Equal(t0.Add(1)) {
			t.Errorf("%d codes, passkeys %+v", left, ks)
		}
		return errors.Join(err, err2, tx.DropPasskey("acme", "eve", "k-1"))
	})
}

func want(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return fmt.Errorf("%v, want %v", err, target)
}

func none(n int, err error) error {
	if n != 0 {
		err = fmt.Errorf("%d, want none", n)
	}
	return err
}

func sessions(t *testing.T, l *Ledger) {
	s := Session{Tenant: "acme", ID: "s-1", Name: "eve", Way: "passkey", Address: "192.0.2.1", Agent: "x", Made: t0, Proved: t0, Seen: t0, Expires: t0.Add(time.Hour)}
	other := s
	other.ID = "s-2"
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.AddSession(s, secretA), tx.AddSession(other, secretB), tx.TouchSession("acme", "s-1", t0.Add(2)), tx.TouchSession("acme", "s-1", t0.Add(1)), tx.ProveSession("acme", "s-1", t0.Add(3)))
	})
	s.Seen, s.Proved = t0.Add(2), t0.Add(3)
	view(t, l, func(tx *Tx) error {
		got, err := tx.Session(secretA, t0)
		byID, err2 := tx.SessionByID("acme", "s-1", t0)
		if got != s || byID != s {
			t.Errorf("%+v, %+v, want %+v", got, byID, s)
		}
		_, late := tx.Session(secretA, t0.Add(time.Hour))
		_, foreign := tx.SessionByID("evil", "s-1", t0)
		return errors.Join(err, err2, want(late, ErrSpent), want(foreign, ErrSpent))
	})
	update(t, l, func(tx *Tx) error {
		n, err := tx.EndSessions("acme", "eve", "s-1", t0)
		list, err2 := tx.Sessions("acme", "eve", t0)
		if n != 1 || len(list) != 1 || list[0].ID != "s-1" {
			t.Errorf("%d ended, left %+v", n, list)
		}
		_, ended := tx.Session(secretB, t0)
		return errors.Join(err, err2, want(ended, ErrSpent), tx.EndSession("acme", "s-1", t0), want(tx.EndSession("acme", "s-1", t0), ErrNotFound), want(tx.ProveSession("acme", "s-1", t0), ErrNotFound))
	})
	update(t, l, func(tx *Tx) error {
		left := 0
		err := errors.Join(tx.ForgetAccess(t0.Add(time.Minute)), tx.row("SELECT COUNT(*) FROM sessions", nil, &left))
		return none(left, err)
	})
}

func links(t *testing.T, l *Ledger) {
	k := Link{Tenant: "acme", Purpose: "invite", Name: "bob", Role: "viewer", By: "eve", Made: t0, Expires: t0.Add(time.Hour)}
	update(t, l, func(tx *Tx) error { return errors.Join(tx.AddLink(k, secretA), tx.AddLink(k, secretB)) })
	view(t, l, func(tx *Tx) error {
		_, older := tx.Link(secretA, t0)
		_, late := tx.Link(secretB, t0.Add(time.Hour))
		list, err := tx.Links("acme", t0)
		if len(list) != 1 || list[0] != k {
			t.Errorf("%+v", list)
		}
		return errors.Join(err, want(older, ErrSpent), want(late, ErrSpent))
	})
	update(t, l, func(tx *Tx) error {
		got, err := tx.SpendLink(secretB, t0)
		if got != k {
			t.Errorf("%+v, want %+v", got, k)
		}
		_, twice := tx.SpendLink(secretB, t0)
		return errors.Join(err, want(twice, ErrSpent), tx.AddLink(k, []byte("a third secret of enough length")))
	})
	update(t, l, func(tx *Tx) error {
		n, err := tx.CancelLinks("acme", "bob", t0)
		if n != 1 {
			t.Errorf("%d cancelled", n)
		}
		return err
	})
	update(t, l, func(tx *Tx) (err error) {
		for i, by := range []string{"eve", "eve by token t-1", "eve2", "bob"} {
			made := k
			made.By, made.Name = by, fmt.Sprint("n", i)
			err = errors.Join(err, tx.AddLink(made, fmt.Append(nil, "a secret of enough length ", i)))
		}
		n, err2 := tx.CancelLinksBy("acme", "eve", t0)
		left, err3 := tx.Links("acme", t0)
		if n != 2 || len(left) != 2 {
			t.Errorf("%d cancelled, left %+v", n, left)
		}
		return errors.Join(err, err2, err3)
	})
}

func auditHead(t *testing.T, l *Ledger) {
	var head Head
	update(t, l, func(tx *Tx) (err error) {
		if h, err := tx.AuditHead("acme"); err != nil || h != (Head{}) {
			t.Errorf("head of no chain: %v, %v", h, err)
		}
		head, err = tx.Audit("acme", Entry{At: t0, Actor: "eve", Verb: "look"})
		return err
	})
	view(t, l, func(tx *Tx) error {
		got, err := tx.AuditHead("acme")
		names, err2 := tx.AuditTenants()
		if got != head || fmt.Sprint(names) != "[acme]" {
			t.Errorf("%v of %v, want %v", got, names, head)
		}
		return errors.Join(err, err2)
	})
	if back, err := ParseHead(" " + head.String() + "\n"); err != nil || back != head {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "1", "1:", "0:" + head.Hash, "x:" + head.Hash, "1:" + head.Hash[1:], head.Hash} {
		if _, err := ParseHead(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
