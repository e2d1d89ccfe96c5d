// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// What a stolen or abused cookie can be sent along with.
func TestCookieCountsOnlyFromOurOwnPage(t *testing.T) {
	h := newHouse(t)
	h.people()
	b := h.in("responder")
	for _, c := range []struct {
		what, method string
		header       []string
		want         error
	}{
		{"our page", "POST", nil, nil},
		{"our page, an old browser", "POST", []string{"Sec-Fetch-Site", ""}, nil},
		{"our page, no Origin", "POST", []string{"Origin", ""}, nil},
		{"a read", "GET", nil, nil},
		{"a read typed into the address bar", "GET", []string{"Sec-Fetch-Site", "none"}, nil},
		{"DELETE of our page", "DELETE", nil, nil},
		{"without the CSRF value", "POST", []string{"X-Ringwall-CSRF", ""}, ErrForbidden},
		{"with a wrong CSRF value", "POST", []string{"X-Ringwall-CSRF", csrf("x")}, ErrForbidden},
		{"without Origin and site", "POST", []string{"Origin", "", "Sec-Fetch-Site", ""}, ErrForbidden},
		{"another origin", "POST", []string{"Origin", "https://evil.example"}, ErrForbidden},
		{"our name, plain", "POST", []string{"Origin", "http://ringwall.example"}, ErrForbidden},
		{"our name, another port", "POST", []string{"Origin", home + ":8443"}, ErrForbidden},
		{"our name inside another", "POST", []string{"Origin", home + ".evil.example"}, ErrForbidden},
		{"no origin at all", "POST", []string{"Origin", "null"}, ErrForbidden},
		{"another site, by its own word", "POST", []string{"Sec-Fetch-Site", "cross-site"}, ErrForbidden},
		{"a sibling host", "POST", []string{"Sec-Fetch-Site", "same-site"}, ErrForbidden},
		{"a post from nowhere", "POST", []string{"Sec-Fetch-Site", "none"}, ErrForbidden},
		{"a read for another site", "GET", []string{"Sec-Fetch-Site", "cross-site"}, ErrForbidden},
		{"a read for another origin", "GET", []string{"Origin", "https://evil.example"}, ErrForbidden},
		{"a made-up method", "PROPFIND", []string{"X-Ringwall-CSRF", ""}, ErrForbidden},
		{"any Authorization header", "POST", []string{"Authorization", "Basic eDp5"}, ErrUnauthenticated},
	} {
		_, err := h.Authenticate(b.request(c.method, c.header...))
		wants(t, c.what, err, c.want)
	}
	rebound := b.request("GET")
	rebound.Host = "evil.example"
	_, err := h.Authenticate(rebound)
	wants(t, "asked under another name", err, ErrForbidden)
	two := b.request("GET")
	two.AddCookie(&http.Cookie{Name: "__Host-ringwall", Value: b.jar["__Host-ringwall"]})
	_, err = h.Authenticate(two)
	wants(t, "two cookies of the name", err, ErrUnauthenticated)
	plain := b.request("GET")
	plain.Header.Del("Cookie")
	plain.AddCookie(&http.Cookie{Name: "ringwall", Value: b.jar["__Host-ringwall"]})
	_, err = h.Authenticate(plain)
	wants(t, "the plain name over TLS", err, ErrUnauthenticated)
	// Signing in needs our page too: else a page could sign its visitor in as somebody else.
	for what, r := range map[string]*http.Request{
		"log-in by another site": h.browser().request("POST", "Origin", "https://evil.example"),
		"log-in from nowhere":    h.browser().request("POST", "Origin", "", "Sec-Fetch-Site", ""),
	} {
		_, err := h.Caller(r)
		wants(t, what, err, ErrForbidden)
	}
}

func TestPlainOnlyOnLoopback(t *testing.T) {
	h := newHouse(t)
	h.people()
	b := h.browser()
	b.origin, b.address = "http://127.0.0.1:9311", "127.0.0.1:4000"
	w := b.welcome(b.logIn("analyst", good, ""))
	for _, c := range w.Cookies {
		if c.Secure || strings.HasPrefix(c.Name, "__Host") || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("cookie %+v", c)
		}
	}
	b.who()
	for what, f := range map[string]func(){
		"from the network":          func() { b.address = "192.0.2.1:4000" },
		"by a name that is rebound": func() { b.origin, b.address = "http://evil.example:9311", "127.0.0.1:4000" },
		"by our name, but plain":    func() { b.origin = "http://ringwall.example" },
	} {
		f()
		_, err := h.Authenticate(b.request("GET"))
		wants(t, what, err, ErrForbidden)
		_, err = h.Caller(b.request("POST"))
		wants(t, what, err, ErrForbidden)
	}
}

func TestOnlyTrustedProxiesSpeakForOthers(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} })
	for _, c := range []struct{ peer, xff, want string }{
		{"192.0.2.1:1", "203.0.113.9", "192.0.2.1"}, // a stranger's word
		{"10.0.0.1:1", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1", "1.1.1.1, 203.0.113.9", "203.0.113.9"}, // what the stranger wrote before
		{"10.0.0.1:1", "203.0.113.9, 10.0.0.7", "203.0.113.9"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "rubbish", "10.0.0.1"},
		{"10.0.0.1:1", "rubbish, 203.0.113.9", "203.0.113.9"},
		{"@", "203.0.113.9", "invalid IP"},
	} {
		b := h.browser()
		b.address, b.origin = c.peer, "http://ringwall.example"
		w := h.whence(b.request("POST", "X-Forwarded-For", c.xff, "X-Forwarded-Proto", "https"))
		if w.address.String() != c.want || w.secure != strings.HasPrefix(c.peer, "10.0.0.") {
			t.Errorf("%+v: %+v", c, w)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	h := newHouse(t)
	root := h.people()
	for what, end := range map[string]func(b *browser) error{
		"log out": func(b *browser) error {
			gone, err := h.LogOut(t.Context(), b.caller(), b.who())
			for _, c := range gone {
				if c.MaxAge >= 0 {
					t.Errorf("cookie %+v", c)
				}
			}
			return err
		},
		"ended from another browser": func(b *browser) error { return h.EndSession(t.Context(), h.in("analyst").who(), b.who().Session) },
		"all others ended":           func(*browser) error { _, err := h.EndOtherSessions(t.Context(), h.in("analyst").who()); return err },
		"ended by an admin":          func(b *browser) error { return h.EndSession(t.Context(), root.who(), b.who().Session) },
		"a role is changed": func(*browser) error {
			a, v := Analyst, Viewer
			return errors.Join(h.Change(t.Context(), root.who(), "analyst", ChangeUser{Role: &v}), h.Change(t.Context(), root.who(), "analyst", ChangeUser{Role: &a}))
		},
		"raw is given": func(*browser) error {
			yes, no := true, false
			return errors.Join(h.Change(t.Context(), root.who(), "analyst", ChangeUser{Raw: &yes}), h.Change(t.Context(), root.who(), "analyst", ChangeUser{Raw: &no}))
		},
		"disabled, then enabled": func(*browser) error {
			yes, no := true, false
			return errors.Join(h.Change(t.Context(), root.who(), "analyst", ChangeUser{Disabled: &yes}), h.Change(t.Context(), root.who(), "analyst", ChangeUser{Disabled: &no}))
		},
		"logged in anew": func(b *browser) error {
			old := b.request("GET")
			b.welcome(b.logIn("analyst", good, ""))
			b.who()
			if _, err := h.Authenticate(old); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("the session before a log-in still holds: %v", err)
			}
			return h.EndSession(t.Context(), b.who(), b.who().Session)
		},
	} {
		b, stranger := h.in("analyst"), h.in("responder")
		p := b.who()
		if now, err := h.Recheck(t.Context(), p); err != nil || now.Role != Analyst {
			t.Errorf("%s: recheck of a live one: %+v, %v", what, now, err)
		}
		if err := end(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_, err := h.Authenticate(b.request("GET"))
		wants(t, what, err, ErrUnauthenticated)
		_, err = h.Recheck(t.Context(), p)
		wants(t, what+": a stream", err, ErrUnauthenticated)
		stranger.who() // nobody else's ends
		h.wait(time.Minute)
	}
	a, b := h.in("analyst"), h.in("responder")
	wants(t, "another's session", h.EndSession(t.Context(), a.who(), b.who().Session), ErrNotFound)
	wants(t, "no session", h.EndSession(t.Context(), a.who(), "s-none"), ErrNotFound)
	_, err := h.Sessions(t.Context(), a.who(), true)
	wants(t, "everybody's sessions", err, ErrForbidden)
	mine, err := h.Sessions(t.Context(), a.who(), false)
	for _, s := range mine {
		if s.Name != "analyst" {
			t.Errorf("%+v is shown to analyst", s)
		}
	}
	if len(mine) == 0 || err != nil || !mine[0].Own || mine[0].Address != "192.0.2.1" {
		t.Errorf("%+v, %v", mine, err)
	}
	all, err := h.Sessions(t.Context(), root.who(), true)
	if err != nil || len(all) <= len(mine) {
		t.Errorf("%d of %d sessions, %v", len(mine), len(all), err)
	}
	h.told("root set role analyst")
	h.told("analyst log out analyst")
}

func TestSessionsAge(t *testing.T) {
	h := newHouse(t)
	h.people()
	idle, busy := h.in("analyst"), h.in("responder")
	for range 5 {
		h.wait(h.cfg.Idle - time.Minute)
		busy.who()
		if err := h.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Authenticate(idle.request("GET"))
	wants(t, "idle", err, ErrUnauthenticated)
	// Its use was written down: a guard that knows nothing of it lets it in.
	h.seen = map[seenKey]*seen{}
	busy.who()
	h.wait(h.cfg.Life - 5*(h.cfg.Idle-time.Minute))
	_, err = h.Authenticate(busy.request("GET"))
	wants(t, "past its life", err, ErrUnauthenticated)
	err = h.ledger.Update(t.Context(), func(tx *ledger.Tx) error { return tx.ForgetAccess(h.now().Add(time.Hour)) })
	if err != nil {
		t.Error(err)
	}
}

func TestTenantsAreApart(t *testing.T) {
	h := newHouse(t)
	h.people()
	link, err := h.SetupLink(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	acme := h.browser()
	h.open(acme, link, "root")
	p, victim := acme.who(), h.in("analyst")
	if p.Tenant != "acme" {
		t.Fatalf("%+v", p)
	}
	wants(t, "end a session of another tenant", h.EndSession(t.Context(), p, victim.who().Session), ErrNotFound)
	v := Viewer
	wants(t, "change a user of another tenant", h.Change(t.Context(), p, "analyst", ChangeUser{Role: &v}), ErrNotFound)
	list, err := h.Users(t.Context(), p)
	if err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	all, err := h.Sessions(t.Context(), p, true)
	if err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestRequestsOfOneAreLimited(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits.Principal = Limit{Burst: 5, Each: time.Second} })
	h.people()
	a, b := h.in("analyst"), h.in("responder")
	for range 5 {
		a.who()
	}
	_, err := h.Authenticate(a.request("GET"))
	var slow *Throttled
	if !errors.As(err, &slow) || slow.Seconds() != 1 {
		t.Errorf("%v", err)
	}
	b.who()
	h.wait(time.Second)
	a.who()
	h.wait(time.Minute)
	h.limits.forget(h.now())
	if len(h.limits.principals) != 0 {
		t.Errorf("%d buckets are kept", len(h.limits.principals))
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	h := newHouse(b, func(c *Config) { c.Limits.Principal = Limit{Burst: 1 << 30, Each: 1} })
	h.people()
	one := h.in("analyst")
	r := one.request("POST")
	for b.Loop() {
		if _, err := h.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPassword is one check with the parameters of a real installation.
func BenchmarkPassword(b *testing.B) {
	var cfg Argon
	cfg.setDefaults()
	h := newHasher(cfg)
	for b.Loop() {
		if _, _, err := h.check(b.Context(), "", good); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	h := newHouse(f)
	h.people()
	b := h.in("analyst")
	f.Add("GET", "Bearer rwt_x", "__Host-ringwall=x", home, "same-origin", "x", "ringwall.example", "192.0.2.1:1", "1.2.3.4")
	f.Add("POST", "", "__Host-ringwall="+strings.Repeat("A", secretLength), "null", "none", "", "[::1]:99999", "[::1%eth0]:1", ",,,")
	f.Add("", "bearer  ", "ringwall=\"; ringwall=", home+"\x00", "", csrf("a"), "", "@", strings.Repeat(",", 1000))
	f.Fuzz(func(t *testing.T, method, auth, cookie, origin, site, csrf, host, peer, xff string) {
		r := b.request("GET")
		r.Header = http.Header{}
		r.Method, r.Host, r.RemoteAddr = method, host, peer
		for name, value := range map[string]string{"Authorization": auth, "Cookie": cookie, "Origin": origin, "Sec-Fetch-Site": site, "X-Ringwall-Csrf": csrf, "X-Forwarded-For": xff} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		for _, secure := range []bool{true, false} {
			if !secure {
				r.TLS = nil
			}
			if p, err := h.Authenticate(r); err == nil && !strings.Contains(auth+cookie, b.jar["__Host-ringwall"]) {
				t.Errorf("let in as %+v", p)
			} else if err != nil && !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrThrottled) {
				t.Errorf("%v", err)
			}
			_, _ = h.Caller(r)
		}
	})
}
