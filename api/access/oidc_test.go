// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ringwall/ringwall/ledger"
)

// idp is an OpenID provider (OpenID Connect Core 1.0, code flow; PKCE by RFC 7636) that
// signs in whoever the test says.
type idp struct {
	t      *testing.T
	srv    *httptest.Server
	key    *rsa.PrivateKey
	client string
	secret string

	mu     sync.Mutex
	claims map[string]any       // of the one who signs in
	lie    func(map[string]any) // changes the ID token before it is signed
	sign   func(claims map[string]any) string
	codes  map[string]url.Values // given codes with what was asked for
	named  string                // issuer in discovery, "" the true one
}

func newIDP(t *testing.T, clock func() time.Time) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &idp{t: t, key: key, client: "ringwall", secret: "client-secret", codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		issuer := i.srv.URL
		if i.named != "" {
			issuer = i.named
		}
		i.json(w, map[string]any{
			"issuer": issuer, "authorization_endpoint": i.srv.URL + "/authorize", "token_endpoint": i.srv.URL + "/token", "jwks_uri": i.srv.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("response_type") != "code" || q.Get("client_id") != i.client || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || !strings.Contains(q.Get("scope"), "openid") {
			http.Error(w, "invalid_request", http.StatusBadRequest)
			return
		}
		code := newSecret()
		i.mu.Lock()
		i.codes[code] = q
		i.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {i.srv.URL}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { i.token(w, r, clock()) })
	i.srv = httptest.NewServer(mux)
	t.Cleanup(i.srv.Close)
	return i
}

func (i *idp) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

func (i *idp) token(w http.ResponseWriter, r *http.Request, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	code := r.FormValue("code")
	q := i.codes[code]
	delete(i.codes, code)
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if id != i.client || secret != i.secret || q == nil || r.FormValue("redirect_uri") != q.Get("redirect_uri") || b64(sum[:]) != q.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		i.json(w, map[string]any{"error": "invalid_grant"})
		return
	}
	access := newSecret()
	half := sha256.Sum256([]byte(access))
	claims := map[string]any{"iss": i.srv.URL, "aud": i.client, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": q.Get("nonce"), "at_hash": b64(half[:16])}
	for k, v := range i.claims {
		claims[k] = v
	}
	if i.lie != nil {
		i.lie(claims)
	}
	sign := i.signed
	if i.sign != nil {
		sign = i.sign
	}
	i.json(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": sign(claims)})
}

func (i *idp) signed(claims map[string]any) string { return i.with(jose.RS256, i.key, claims) }

func (i *idp) with(alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
	if err != nil {
		i.t.Error(err)
		return ""
	}
	out, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		i.t.Error(err)
	}
	return out
}

// visit goes where a browser is sent and gives what it comes back with.
func (i *idp) visit(where string) OIDCFinish {
	i.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get(where)
	if err != nil {
		i.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		i.t.Fatalf("%s: %v", resp.Status, err)
	}
	if got := back.Scheme + "://" + back.Host + back.Path; got != home+CallbackPath {
		i.t.Errorf("sent back to %s", got)
	}
	q := back.Query()
	return OIDCFinish{Code: q.Get("code"), State: q.Get("state"), Issuer: q.Get("iss")}
}

func withIDP(t *testing.T) (*house, *idp) {
	t.Helper()
	var h *house
	i := newIDP(t, func() time.Time { return h.at() })
	h = newHouse(t, func(c *Config) {
		c.OIDC = []Provider{{
			Name: "corp", Label: "Example Corp", Issuer: i.srv.URL, ClientID: i.client, ClientSecret: i.secret, RoleClaim: "realm_access.roles",
			Roles: map[string]Role{"soc": Analyst, "soc-lead": Admin}, RawRoles: []string{"forensics"},
		}}
		c.Limits.Address.Burst = 1000
	})
	i.is("s-1", "Carol", "soc", "staff")
	return h, i
}

func (i *idp) is(subject, name string, roles ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := make([]any, len(roles))
	for n, r := range roles {
		list[n] = r
	}
	i.claims = map[string]any{"sub": subject, "preferred_username": name, "realm_access": map[string]any{"roles": list}}
}

func (b *browser) start(t *testing.T) string {
	t.Helper()
	o, err := b.h.LogInOIDCStart(t.Context(), b.caller(), OIDCStart{"corp"})
	if err != nil {
		t.Fatal(err)
	}
	b.keep(o.Cookies)
	return o.URL
}

func TestSingleSignOn(t *testing.T) {
	h, i := withIDP(t)
	root := h.people()
	enter := func() (*browser, error) {
		b := h.browser()
		back := i.visitWith(b, t)
		w, err := h.LogInOIDCFinish(t.Context(), b.caller(), back)
		if err == nil {
			b.welcome(w, nil)
		}
		return b, err
	}
	b, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	if p := b.who(); p.Name != "corp:carol" || p.Role != Analyst || p.Raw {
		t.Errorf("%+v", p)
	}
	if list := h.Providers(""); len(list) != 1 || list[0].Label != "Example Corp" || len(h.Providers("acme")) != 0 {
		t.Errorf("%+v", list)
	}
	// Another of the same name there is another here.
	i.is("s-2", "carol", "soc-lead", "forensics")
	lead, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	if p := lead.who(); !strings.HasPrefix(p.Name, "corp:carol~") || p.Role != Admin || !p.Raw {
		t.Errorf("%+v", p)
	}
	if p := b.who(); p.Role != Analyst {
		t.Errorf("the first carol became %+v", p)
	}
	// A name that would look like a local user, or like markup, does not get through.
	for n, name := range []string{"root", "<b>x</b>", "\u202eroot", strings.Repeat("x", 500)} {
		i.is(fmt.Sprint("odd-", n), name, "soc")
		odd, err := enter()
		if err != nil {
			t.Fatal(err)
		}
		if p := odd.who(); !strings.HasPrefix(p.Name, "corp:") || p.Role != Analyst || len(p.Name) > 80 || strings.ContainsAny(p.Name, "<\u202e") {
			t.Errorf("%q became %+v", name, p)
		}
	}
	// Renamed and promoted there: the same user here, with new rights and no old session.
	i.is("s-1", "caroline", "soc", "soc-lead")
	promoted, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	if p := promoted.who(); p.Name != "corp:carol" || p.Role != Admin {
		t.Errorf("%+v", p)
	}
	_, err = h.Authenticate(b.request("GET"))
	wants(t, "a session of the old rights", err, ErrUnauthenticated)
	// Their rights are the provider's to give, and their ways in its to keep.
	viewer, yes := Viewer, true
	wants(t, "a role set here", h.Change(t.Context(), root.who(), "corp:carol", ChangeUser{Role: &viewer}), ErrInput)
	_, err = h.Recover(t.Context(), Socket(0), "corp:carol")
	wants(t, "a password by recovery", err, ErrInput)
	_, err = h.TOTPStart(t.Context(), promoted.caller(), promoted.who())
	wants(t, "an app", err, ErrInput)
	_, err = h.PasskeyStart(t.Context(), promoted.caller(), promoted.who())
	wants(t, "a passkey", err, ErrInput)
	_, err = h.browser().logIn("corp:carol", "", "")
	wants(t, "by an empty password", err, ErrUnauthenticated)
	// No role any more: no entry, and what was open ends.
	token, err := h.MakeToken(t.Context(), promoted.caller(), promoted.who(), TokenRequest{Name: "x", Scopes: []Permission{Read}})
	if err != nil {
		t.Fatal(err)
	}
	i.is("s-1", "caroline", "staff")
	_, err = enter()
	wants(t, "without a role", err, ErrForbidden)
	_, err = h.Authenticate(h.browser().request("GET", "Authorization", "Bearer "+token.Secret))
	wants(t, "a token from when there was one", err, ErrUnauthenticated)
	_, err = h.Authenticate(promoted.request("GET"))
	wants(t, "a session from when there was one", err, ErrUnauthenticated)
	i.is("s-9", "mallory")
	_, err = enter()
	wants(t, "a stranger without a role", err, ErrForbidden)
	// Disabled here counts, whatever is said there.
	i.is("s-2", "carol", "soc-lead")
	if err := h.Change(t.Context(), root.who(), lead.who().Name, ChangeUser{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	_, err = enter()
	wants(t, "disabled here", err, ErrForbidden)
	h.told("oidc corp set role corp:carol")
	h.told("oidc corp log-in refused corp:carol")
	_ = h.ledger.View(t.Context(), func(tx *ledger.Tx) error {
		if _, err := tx.User(DefaultTenant, "corp:mallory"); err == nil {
			t.Error("a user was made of one without a role")
		}
		return nil
	})
}

// visitWith begins a log-in in b and visits the provider.
func (i *idp) visitWith(b *browser, t *testing.T) OIDCFinish { t.Helper(); return i.visit(b.start(t)) }

func TestSingleSignOnIsChecked(t *testing.T) {
	h, i := withIDP(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := json.Marshal(i.key.Public())
	for what, c := range map[string]struct {
		lie  func(map[string]any)
		sign func(map[string]any) string
		say  func(*OIDCFinish)
	}{
		"another nonce":           {lie: func(c map[string]any) { c["nonce"] = newSecret() }},
		"no nonce":                {lie: func(c map[string]any) { delete(c, "nonce") }},
		"another audience":        {lie: func(c map[string]any) { c["aud"] = "another-client" }},
		"two audiences":           {lie: func(c map[string]any) { c["aud"] = []string{"ringwall", "another-client"} }},
		"for another client":      {lie: func(c map[string]any) { c["azp"] = "another-client" }},
		"another issuer":          {lie: func(c map[string]any) { c["iss"] = "https://evil.example" }},
		"expired":                 {lie: func(c map[string]any) { c["exp"] = h.at().Add(-time.Second).Unix() }},
		"not yet":                 {lie: func(c map[string]any) { c["nbf"] = h.at().Add(time.Hour).Unix() }},
		"another access token":    {lie: func(c map[string]any) { c["at_hash"] = b64(random(16)) }},
		"no subject":              {lie: func(c map[string]any) { delete(c, "sub") }},
		"another key":             {sign: func(c map[string]any) string { return i.with(jose.RS256, other, c) }},
		"an algorithm not agreed": {sign: func(c map[string]any) string { return i.with(jose.PS256, i.key, c) }},
		"the public key as HMAC":  {sign: func(c map[string]any) string { return i.with(jose.HS256, public, c) }},
		"unsigned": {sign: func(c map[string]any) string {
			raw, _ := json.Marshal(c)
			return b64([]byte(`{"alg":"none"}`)) + "." + b64(raw) + "."
		}},
		"no ID token":           {sign: func(map[string]any) string { return "" }},
		"another state":         {say: func(f *OIDCFinish) { f.State = newSecret() }},
		"no state":              {say: func(f *OIDCFinish) { f.State = "" }},
		"another code":          {say: func(f *OIDCFinish) { f.Code = newSecret() }},
		"no code":               {say: func(f *OIDCFinish) { f.Code = "" }},
		"an error":              {say: func(f *OIDCFinish) { f.Error = "access_denied" }},
		"of another (RFC 9207)": {say: func(f *OIDCFinish) { f.Issuer = "https://evil.example" }},
	} {
		b := h.browser()
		back := i.visitWith(b, t)
		i.mu.Lock()
		i.lie, i.sign = c.lie, c.sign
		i.mu.Unlock()
		if c.say != nil {
			c.say(&back)
		}
		w, err := h.LogInOIDCFinish(t.Context(), b.caller(), back)
		i.mu.Lock()
		i.lie, i.sign = nil, nil
		i.mu.Unlock()
		wants(t, what, err, ErrUnauthenticated)
		if w != nil {
			t.Errorf("%s: %+v", what, w)
		}
	}
	// An answer serves the browser that asked, once and in time.
	victim, attacker := h.browser(), h.browser()
	back := i.visitWith(attacker, t)
	i.visitWith(victim, t)
	_, err = h.LogInOIDCFinish(t.Context(), victim.caller(), back)
	wants(t, "another browser's answer", err, ErrUnauthenticated)
	_, err = h.LogInOIDCFinish(t.Context(), h.browser().caller(), back)
	wants(t, "a browser that never asked", err, ErrUnauthenticated)
	from := attacker.caller()
	if _, err := h.LogInOIDCFinish(t.Context(), from, back); err != nil {
		t.Fatal(err)
	}
	_, err = h.LogInOIDCFinish(t.Context(), from, back)
	wants(t, "replayed", err, ErrUnauthenticated)
	slow := h.browser()
	back = i.visitWith(slow, t)
	h.wait(2 * stepLife)
	_, err = h.LogInOIDCFinish(t.Context(), slow.caller(), back)
	wants(t, "too late", err, ErrUnauthenticated)
	_, err = h.LogInOIDCStart(t.Context(), h.browser().caller(), OIDCStart{"nobody"})
	wants(t, "no provider", err, ErrNotFound)
}

func TestAProviderThatIsAnother(t *testing.T) {
	h, i := withIDP(t)
	i.named = "https://evil.example"
	_, err := h.LogInOIDCStart(t.Context(), h.browser().caller(), OIDCStart{"corp"})
	wants(t, "another issuer than configured", err, ErrUnavailable)
	i.named = "" // it is asked anew after a while, not remembered as broken
	_, err = h.LogInOIDCStart(t.Context(), h.browser().caller(), OIDCStart{"corp"})
	wants(t, "asked again at once", err, ErrUnavailable)
	h.wait(again)
	h.browser().start(t)
	i.srv.Close()
	b := h.browser()
	b.start(t) // its addresses are known
	_, err = h.LogInOIDCFinish(t.Context(), b.caller(), OIDCFinish{Code: "x", State: stateOf(t, h, b)})
	wants(t, "gone", err, ErrUnavailable)
}

func stateOf(t *testing.T, h *house, b *browser) string {
	t.Helper()
	var s oidcStep
	if _, err := h.box.open("oidc", b.jar["__Host-ringwall-step"], h.now(), &s); err != nil {
		t.Fatal(err)
	}
	return s.State
}

func TestClaims(t *testing.T) {
	for _, c := range []struct{ claims, path, want string }{
		{`{"groups":["a","b",3]}`, "groups", "[a b]"},
		{`{"groups":"a"}`, "groups", "[a]"},
		{`{"r":{"x":{"roles":["a"]}}}`, "r.x.roles", "[a]"},
		{`{"https://x.example/roles":["a"]}`, "https://x.example/roles", "[a]"},
		{`{"groups":{"a":true}}`, "groups", "[]"},
		{`{"groups":null}`, "groups.x.y", "[]"},
		{`{}`, "", "[]"},
	} {
		var m map[string]any
		if err := json.Unmarshal([]byte(c.claims), &m); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(claimed(m, c.path)); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.path, c.claims, got, c.want)
		}
	}
}
