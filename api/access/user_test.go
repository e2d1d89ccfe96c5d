// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

func TestFirstStart(t *testing.T) {
	h := newHouse(t)
	_, err := h.browser().logIn("admin", "admin", "")
	wants(t, "a default password", err, ErrUnauthenticated)
	older, err := h.SetupLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	link, err := h.SetupLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(secretOf(link)) != secretLength || link.URL[:len(home)] != home || link.Expires.Sub(h.now()) != time.Hour {
		t.Errorf("%+v", link)
	}
	redeem := func(l *NewLink, name, password string) error {
		b := h.browser()
		w, err := h.Redeem(t.Context(), b.caller(), RedeemRequest{secretOf(l), name, password})
		if err == nil {
			b.welcome(w, nil)
			if p := b.who(); p.Role != Admin || !p.Raw || p.Name != name {
				t.Errorf("%+v", p)
			}
		}
		return err
	}
	wants(t, "an older link", redeem(older, "root", good), ErrLink)
	wants(t, "a guessed link", redeem(&NewLink{URL: "#guess"}, "root", good), ErrLink)
	wants(t, "a bad password", redeem(link, "root", "password1234"), ErrInput)
	wants(t, "a bad name", redeem(link, "<script>", good), ErrInput)
	k, err := h.LookLink(t.Context(), h.browser().caller(), LinkRequest{secretOf(link)})
	if err != nil || k.Purpose != LinkSetup || Role(k.Role) != Admin {
		t.Errorf("%+v, %v", k, err)
	}
	if err := redeem(link, "root", good); err != nil {
		t.Fatal(err)
	}
	wants(t, "the link again", redeem(link, "eve", good), ErrLink)
	_, err = h.SetupLink(t.Context(), "")
	wants(t, "a link when there is an admin", err, ErrConflict)
	h.told("host setup link ")
	h.told("root use setup link root")

	late := newHouse(t)
	link, _ = late.SetupLink(t.Context(), "")
	late.wait(time.Hour)
	_, err = late.Redeem(t.Context(), late.browser().caller(), RedeemRequest{secretOf(link), "root", good})
	wants(t, "after an hour", err, ErrLink)
}

// Two who open the one set-up link at once: one admin comes of it.
func TestSetupLinkUnderRace(t *testing.T) {
	h := newHouse(t)
	link, err := h.SetupLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var in atomic.Int32
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		from := h.browser().caller()
		wg.Go(func() {
			if _, err := h.Redeem(t.Context(), from, RedeemRequest{secretOf(link), name, good}); err == nil {
				in.Add(1)
			} else if !errors.Is(err, ErrLink) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d admins came of one link", in.Load())
	}
}

func TestInvitations(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	for name, who := range map[string]*Principal{"a viewer": h.in("viewer").who(), "a responder": h.in("responder").who()} {
		_, err := h.Invite(t.Context(), who, InviteRequest{Name: "eve", Role: Admin})
		wants(t, "invited by "+name, err, ErrForbidden)
	}
	for what, q := range map[string]InviteRequest{
		"no role": {Name: "eve", Role: "boss"}, "markup": {Name: "<b>eve</b>", Role: Viewer}, "a reversed name": {Name: "\u202eeve", Role: Viewer},
		"a provider's name": {Name: "corp:eve", Role: Viewer}, "no name": {Role: Viewer}, "a look-alike": {Name: "\u0430dmin", Role: Viewer},
	} {
		_, err := h.Invite(t.Context(), root.who(), q)
		wants(t, what, err, ErrInput)
	}
	_, err := h.Invite(t.Context(), root.who(), InviteRequest{Name: "Analyst", Role: Viewer})
	wants(t, "a taken name", err, ErrConflict)
	link, err := h.Invite(t.Context(), root.who(), InviteRequest{Name: "Eve", Role: Responder, Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.Links(t.Context(), root.who())
	if err != nil || len(list) != 1 || list[0].Name != "eve" {
		t.Errorf("%+v, %v", list, err)
	}
	eve := h.browser()
	h.open(eve, link, "root") // the name given is not heard
	if p := eve.who(); p.Name != "eve" || p.Role != Responder || !p.May(Raw) || p.May(Administer) {
		t.Errorf("%+v", p)
	}
	gone, err := h.Invite(t.Context(), root.who(), InviteRequest{Name: "mallory", Role: Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.CancelLinks(t.Context(), root.who(), "mallory"); err != nil {
		t.Error(err)
	}
	_, err = h.LookLink(t.Context(), eve.caller(), LinkRequest{secretOf(gone)})
	wants(t, "a cancelled link", err, ErrLink)
	wants(t, "cancel what is not", h.CancelLinks(t.Context(), root.who(), "mallory"), ErrNotFound)
	names, err := h.Names(t.Context(), h.in("viewer").who())
	if err != nil || len(names) != 4 { // analyst, eve, responder, root
		t.Errorf("%v, %v", names, err)
	}
	_, err = h.Users(t.Context(), eve.who())
	wants(t, "users for a responder", err, ErrForbidden)
	h.told("root invite link eve")
	h.told("root cancel links mallory")
}

func TestTheLastAdminStays(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	viewer, admin, yes := Viewer, Admin, true
	wants(t, "demote the last admin", h.Change(t.Context(), root.who(), "root", ChangeUser{Role: &viewer}), ErrConflict)
	wants(t, "disable the last admin", h.Change(t.Context(), root.who(), "root", ChangeUser{Disabled: &yes}), ErrConflict)
	root.who() // nothing of it was done
	if err := h.Change(t.Context(), root.who(), "analyst", ChangeUser{Role: &admin}); err != nil {
		t.Fatal(err)
	}
	link, err := h.Invite(t.Context(), root.who(), InviteRequest{Name: "friend", Role: Admin})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Change(t.Context(), root.who(), "root", ChangeUser{Role: &viewer}); err != nil {
		t.Error(err)
	}
	_, err = h.Redeem(t.Context(), h.browser().caller(), RedeemRequest{Secret: secretOf(link), Password: good})
	wants(t, "an invitation by one who is no admin any more", err, ErrLink)
	_, err = h.Authenticate(root.request("GET"))
	wants(t, "the old rights", err, ErrUnauthenticated)
	if p := h.in("root").who(); p.Role != Viewer {
		t.Errorf("%+v", p)
	}
	boss := Role("boss")
	wants(t, "no role", h.Change(t.Context(), h.in("analyst").who(), "root", ChangeUser{Role: &boss}), ErrInput)
	wants(t, "nobody", h.Change(t.Context(), h.in("analyst").who(), "nobody", ChangeUser{Role: &viewer}), ErrNotFound)
}

func TestALostAdminIsRecoveredFromTheHost(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	root.withTOTP()
	token, err := h.MakeToken(t.Context(), root.caller(), root.who(), TokenRequest{Name: "ci", Scopes: []Permission{Read}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Recover(t.Context(), h.in("responder").who(), "root")
	wants(t, "by a responder", err, ErrForbidden)
	_, err = h.Recover(t.Context(), root.who(), "nobody")
	wants(t, "nobody, by an admin", err, ErrNotFound)
	link, err := h.Recover(t.Context(), Socket(0), "root")
	if err != nil {
		t.Fatal(err)
	}
	root.who() // until it is opened nothing ends
	again := h.browser()
	again.welcome(h.Redeem(t.Context(), again.caller(), RedeemRequest{Secret: secretOf(link), Password: good + " anew"}))
	if p := again.who(); p.Name != "root" || p.Role != Admin {
		t.Errorf("%+v", p)
	}
	_, err = h.Authenticate(root.request("GET"))
	wants(t, "the session before", err, ErrUnauthenticated)
	_, err = h.Authenticate(h.browser().request("GET", "Authorization", "Bearer "+token.Secret))
	wants(t, "a token from before", err, ErrUnauthenticated)
	_, err = h.browser().logIn("root", good, "")
	wants(t, "the password before", err, ErrUnauthenticated)
	b := h.browser()
	if w := b.welcome(b.logIn("root", good+" anew", "")); len(w.Next) != 0 {
		t.Errorf("the lost app is still asked for: %v", w.Next)
	}
	_, err = h.Redeem(t.Context(), again.caller(), RedeemRequest{Secret: secretOf(link), Password: good})
	wants(t, "the link again", err, ErrLink)
	// With nobody left to recover, the host makes a new admin.
	link, err = h.Recover(t.Context(), Socket(0), "rescue")
	if err != nil {
		t.Fatal(err)
	}
	rescue := h.browser()
	h.open(rescue, link, "")
	if p := rescue.who(); p.Name != "rescue" || p.Role != Admin {
		t.Errorf("%+v", p)
	}
	h.told("uid:0 recover link root")
	h.told("root use recover link root")
	h.told("uid:0 recover link rescue")
}

func TestTokens(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	b := h.in("responder")
	ask := func(k *NewToken) (*Principal, error) {
		return h.Authenticate(h.browser().request("POST", "Authorization", "Bearer "+k.Secret, "Origin", "", "Sec-Fetch-Site", "", "X-Ringwall-CSRF", ""))
	}
	for what, c := range map[string]struct {
		q    TokenRequest
		want error
	}{
		"scope beyond the role": {TokenRequest{Name: "x", Scopes: []Permission{Read, Administer}}, ErrForbidden},
		"raw without raw":       {TokenRequest{Name: "x", Scopes: []Permission{Raw}}, ErrForbidden},
		"no scope":              {TokenRequest{Name: "x"}, ErrInput},
		"a made-up scope":       {TokenRequest{Name: "x", Scopes: []Permission{"all"}}, ErrInput},
		"no name":               {TokenRequest{Name: " ", Scopes: []Permission{Read}}, ErrInput},
		"for ever":              {TokenRequest{Name: "x", Scopes: []Permission{Read}, Expires: h.now().AddDate(2, 0, 0)}, ErrInput},
		"expired from birth":    {TokenRequest{Name: "x", Scopes: []Permission{Read}, Expires: h.now()}, ErrInput},
	} {
		_, err := h.MakeToken(t.Context(), b.caller(), b.who(), c.q)
		wants(t, what, err, c.want)
	}
	k, err := h.MakeToken(t.Context(), b.caller(), b.who(), TokenRequest{Name: "ci", Scopes: []Permission{Respond, Read, Read}, Expires: h.now().Add(6 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	h.secrets = append(h.secrets, k.Secret)
	p, err := ask(k)
	if err != nil || p.Name != "responder" || p.Via != ViaToken || !p.May(Read) || !p.May(Respond) || p.May(Annotate) || p.May(Administer) || p.May(Raw) {
		t.Errorf("%+v, %v", p, err)
	}
	if p.Actor() != "responder by token "+k.ID {
		t.Errorf("actor %q", p.Actor())
	}
	_, err = h.MakeToken(t.Context(), b.caller(), p, TokenRequest{Name: "child", Scopes: []Permission{Read}})
	wants(t, "a token made by a token", err, ErrForbidden)
	_, err = h.TOTPStart(t.Context(), b.caller(), p)
	wants(t, "ways in changed by a token", err, ErrForbidden)
	wants(t, "a token ends itself", h.RevokeToken(t.Context(), p, k.ID), ErrNotFound)
	for what, auth := range map[string]string{
		"another case": "Bearer RWT_" + k.Secret[4:], "cut": "Bearer " + k.Secret[:len(k.Secret)-1], "longer": "Bearer " + k.Secret + "A", "guessed": "Bearer " + tokenPrefix + newSecret(),
		"not bearer": "Token " + k.Secret, "bare": k.Secret, "its id": "Bearer " + k.ID, "a session's": "Bearer " + b.jar["__Host-ringwall"],
	} {
		_, err := h.Authenticate(h.browser().request("GET", "Authorization", auth))
		wants(t, what, err, ErrUnauthenticated)
	}
	// Its owner's rights bound it from one request to the next, and do not widen it.
	role := func(r Role) {
		if err := h.Change(t.Context(), root.who(), "responder", ChangeUser{Role: &r}); err != nil {
			t.Fatal(err)
		}
	}
	role(Viewer)
	if p, err := ask(k); err != nil || p.May(Respond) || !p.May(Read) {
		t.Errorf("of a viewer now: %+v, %v", p, err)
	}
	role(Admin)
	if p, err := ask(k); err != nil || p.Role != Responder {
		t.Errorf("of an admin now: %+v, %v", p, err)
	}
	role(Responder)
	stream, _ := ask(k)
	if err := h.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := h.Tokens(t.Context(), root.who(), true)
	if err != nil || len(list) != 1 || !list[0].Used.Equal(h.now()) || len(list[0].Scopes) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	wants(t, "another's token", h.RevokeToken(t.Context(), h.in("analyst").who(), k.ID), ErrNotFound)
	h.wait(7 * time.Hour)
	_, err = ask(k)
	wants(t, "expired", err, ErrUnauthenticated)
	h.wait(-7 * time.Hour)
	if err := h.RevokeToken(t.Context(), root.who(), k.ID); err != nil {
		t.Error(err)
	}
	_, err = ask(k)
	wants(t, "revoked", err, ErrUnauthenticated)
	_, err = h.Recheck(t.Context(), stream)
	wants(t, "a stream of a revoked one", err, ErrUnauthenticated)
	h.told("responder make token " + k.ID)
	h.told("root revoke token " + k.ID)

	b = h.in("analyst")
	k, err = h.MakeToken(t.Context(), b.caller(), b.who(), TokenRequest{Name: " x\u202ey\x00\n<b> ", Scopes: []Permission{Read}})
	if err != nil || k.Name != "xy<b>" {
		t.Fatalf("%+v, %v", k, err)
	}
	yes := true
	if err := h.Change(t.Context(), root.who(), "analyst", ChangeUser{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	_, err = ask(k)
	wants(t, "of a disabled user", err, ErrUnauthenticated)
	h.holdsNoSecret()
}

// A change and its audit entry are there both or neither.
func TestNothingChangesWithoutAnEntry(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	before := len(h.chain())
	viewer := Viewer
	_ = h.Change(t.Context(), root.who(), "root", ChangeUser{Role: &viewer}) // refused as a whole
	if got := len(h.chain()); got != before {
		t.Errorf("a refused change left %d entries", got-before)
	}
	var same ledger.User
	if err := h.Change(t.Context(), root.who(), "analyst", ChangeUser{}); err != nil {
		t.Error(err)
	}
	_ = h.ledger.View(t.Context(), func(tx *ledger.Tx) (err error) { same, err = tx.User(DefaultTenant, "analyst"); return err })
	if got := len(h.chain()); got != before || same.Role != string(Analyst) {
		t.Errorf("a change of nothing left %d entries", got-before)
	}
}
