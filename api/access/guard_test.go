// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/ringwall/ringwall/ledger"
)

const (
	home = "https://ringwall.example"
	good = "seven plain words nobody said"
)

// house is a guard over a ledger of its own, with a clock that the test moves.
type house struct {
	*Guard
	t    testing.TB
	path string

	mu      sync.Mutex
	clock   time.Time
	secrets []string // what must never lie in the ledger
}

func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, clock: time.Unix(1_795_478_400, 0), path: filepath.Join(t.TempDir(), "ledger.db")}
	l, err := ledger.Open(t.Context(), ledger.Config{Path: h.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cfg := Config{Origins: []string{home}, Key: bytes.Repeat([]byte{7}, 32), Argon: Argon{MemoryKiB: 64, Passes: 1, Threads: 1}, Now: h.at}
	for _, f := range change {
		f(&cfg)
	}
	if h.Guard, err = New(l, cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) at() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

// browser is one with a jar; it asks as a page of home does.
type browser struct {
	h       *house
	address string
	origin  string
	jar     map[string]string
	csrf    string
}

func (h *house) browser() *browser {
	return &browser{h: h, address: "192.0.2.1:5000", origin: home, jar: map[string]string{}}
}

func (b *browser) request(method string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/v1/x", nil)
	scheme, host, _ := strings.Cut(b.origin, "://")
	r.Host, r.RemoteAddr = host, b.address
	if scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if method != "GET" {
		r.Header.Set("Origin", b.origin)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("X-Ringwall-CSRF", b.csrf)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Del(header[i]); header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (b *browser) caller() Caller {
	b.h.t.Helper()
	c, err := b.h.Caller(b.request("POST"))
	if err != nil {
		b.h.t.Fatal(err)
	}
	return c
}

func (b *browser) keep(cookies []*http.Cookie) {
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
			continue
		}
		b.jar[c.Name] = c.Value
		if !strings.HasSuffix(c.Name, "-step") && !strings.HasSuffix(c.Name, "-device") {
			b.h.secrets = append(b.h.secrets, c.Value)
		}
	}
}

func (b *browser) welcome(w *Welcome, err error) *Welcome {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.keep(w.Cookies)
	if w.Me != nil {
		b.csrf = w.Me.CSRF
	}
	return w
}

func (b *browser) renewed(r *Renewed, err error) *Renewed {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.keep(r.Cookies)
	b.csrf = r.CSRF
	b.h.secrets = append(b.h.secrets, r.Codes...)
	return r
}

// who asks with the jar as it is.
func (b *browser) who() *Principal {
	b.h.t.Helper()
	p, err := b.h.Authenticate(b.request("POST"))
	if err != nil {
		b.h.t.Fatal(err)
	}
	return p
}

func (b *browser) logIn(name, password, code string) (*Welcome, error) {
	return b.h.LogIn(b.h.t.Context(), b.caller(), PasswordRequest{Name: name, Password: password, Code: code})
}

// in is a browser that name has signed in with.
func (h *house) in(name string) *browser {
	h.t.Helper()
	b := h.browser()
	b.welcome(b.logIn(name, good, ""))
	return b
}

func (h *house) open(b *browser, link *NewLink, name string) {
	h.t.Helper()
	b.welcome(h.Redeem(h.t.Context(), b.caller(), RedeemRequest{Secret: secretOf(link), Name: name, Password: good}))
}

func secretOf(l *NewLink) string { _, secret, _ := strings.Cut(l.URL, "#"); return secret }

// people makes a first admin (root) and one user of each lesser role, and gives root's browser.
func (h *house) people() *browser {
	h.t.Helper()
	h.secrets = append(h.secrets, good)
	link, err := h.SetupLink(h.t.Context(), "")
	if err != nil {
		h.t.Fatal(err)
	}
	root := h.browser()
	h.open(root, link, "root")
	for _, r := range Roles()[:3] {
		link, err := h.Invite(h.t.Context(), root.who(), InviteRequest{Name: string(r), Role: r})
		if err != nil {
			h.t.Fatal(err)
		}
		h.secrets = append(h.secrets, secretOf(link))
		h.open(h.browser(), link, "")
	}
	return root
}

// withTOTP sets up an authenticator app and gives its secret and the recovery codes.
func (b *browser) withTOTP() (secret string, codes []string) {
	b.h.t.Helper()
	offer, err := b.h.TOTPStart(b.h.t.Context(), b.caller(), b.who())
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.keep(offer.Cookies)
	b.h.secrets = append(b.h.secrets, offer.Secret)
	r := b.renewed(b.h.TOTPConfirm(b.h.t.Context(), b.caller(), b.who(), CodeRequest{b.h.code(offer.Secret, 0)}))
	return offer.Secret, r.Codes
}

// code is what an authenticator app shows, some steps from now.
func (h *house) code(secret string, steps int) string {
	c, err := totp.GenerateCode(secret, h.at().Add(time.Duration(steps)*totpStep*time.Second))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func wants(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

// chain reads the audit chain, verified, as "actor verb object", oldest first.
func (h *house) chain() (out []string) {
	h.t.Helper()
	err := h.ledger.View(h.t.Context(), func(tx *ledger.Tx) error {
		list, err := tx.AuditTail(DefaultTenant, 1000)
		for _, e := range list {
			out = append(out, e.Actor+" "+e.Verb+" "+e.Object)
		}
		_, err2 := tx.VerifyAudit(DefaultTenant, ledger.Head{})
		return errors.Join(err, err2)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

func (h *house) told(entry string) {
	h.t.Helper()
	if chain := h.chain(); !slices.Contains(chain, entry) {
		h.t.Errorf("the audit chain has no %q:\n%s", entry, strings.Join(chain, "\n"))
	}
}

// The ledger's files hold none of the secrets that were given out.
func (h *house) holdsNoSecret() {
	h.t.Helper()
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(h.path + end)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range h.secrets {
			if bytes.Contains(b, []byte(s)) {
				h.t.Errorf("the ledger%s holds the secret %q in clear", end, s)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	key := make([]byte, 32)
	okOIDC := Provider{Name: "corp", Issuer: "https://idp.example", ClientID: "x", Roles: map[string]Role{"a": Admin}}
	with := func(f func(*Provider)) []Provider { p := okOIDC; f(&p); return []Provider{p} }
	for what, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"all is well":          {Config{Key: key, Origins: []string{"https://a.example:8443", "http://127.0.0.1:9311"}, OIDC: []Provider{okOIDC}}, ""},
		"no key":               {Config{}, "access.key"},
		"plain http":           {Config{Key: key, Origins: []string{"http://a.example"}}, "plain http"},
		"an origin with path":  {Config{Key: key, Origins: []string{"https://a.example/x"}}, "access.origins"},
		"plain issuer":         {Config{Key: key, OIDC: with(func(p *Provider) { p.Issuer = "http://idp.example" })}, "issuer"},
		"no roles":             {Config{Key: key, OIDC: with(func(p *Provider) { p.Roles = nil })}, "roles"},
		"a role that is none":  {Config{Key: key, OIDC: with(func(p *Provider) { p.Roles = map[string]Role{"a": "boss"} })}, "boss"},
		"two of a name":        {Config{Key: key, OIDC: []Provider{okOIDC, okOIDC}}, "twice"},
		"argon asks too much":  {Config{Key: key, Argon: Argon{MemoryKiB: 2 << 20}}, "access.argon"},
		"a name with a colon":  {Config{Key: key, OIDC: with(func(p *Provider) { p.Name = "a:b" })}, "name"},
		"scopes lack openid":   {Config{Key: key, OIDC: with(func(p *Provider) { p.Scopes = []string{"email"} })}, "openid"},
		"no client id":         {Config{Key: key, OIDC: with(func(p *Provider) { p.ClientID = "" })}, "client_id"},
		"an origin of nothing": {Config{Key: key, Origins: []string{"ringwall.example"}}, "access.origins"},
	} {
		c.cfg.setDefaults()
		if err := c.cfg.Validate(); (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func TestMay(t *testing.T) {
	all := "read annotate respond administer raw"
	for _, c := range []struct {
		p    *Principal
		want string
	}{
		{nil, ""},
		{&Principal{Raw: true}, ""},
		{&Principal{Role: "boss", Raw: true}, ""},
		{&Principal{Role: Viewer}, "read"},
		{&Principal{Role: Viewer, Raw: true}, "read raw"},
		{&Principal{Role: Analyst}, "read annotate"},
		{&Principal{Role: Responder}, "read annotate respond"},
		{&Principal{Role: Admin}, "read annotate respond administer"}, // raw is never implied
		{&Principal{Role: Admin, Raw: true, Via: ViaToken}, ""},       // no scopes, nothing
		{&Principal{Role: Admin, Via: ViaToken, Scopes: []Permission{Read, Raw}}, "read"},
		{&Principal{Role: Viewer, Raw: true, Via: ViaToken, Scopes: Permissions()}, "read raw"},
		{&Principal{Role: Admin, Via: ViaSession, Scopes: []Permission{}}, ""},
		{Socket(0), all},
		{Socket(os.Geteuid()), all},
		{Socket(os.Geteuid() + 12345), ""},
	} {
		var got []string
		for _, q := range c.p.Permissions() {
			got = append(got, string(q))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v may %v, want %s", c.p, got, c.want)
		}
		if c.p.May("everything") {
			t.Errorf("%+v may what there is not", c.p)
		}
	}
	if p, err := Socket(0).In("acme"); err != nil || p.Tenant != "acme" || !p.May(Administer) {
		t.Errorf("%+v, %v", p, err)
	}
	_, err := (&Principal{Tenant: "acme", Role: Admin, Via: ViaSession}).In("evil")
	wants(t, "another's tenant", err, ErrForbidden)
	wants(t, "nobody", Require(nil, Read), ErrUnauthenticated)
	wants(t, "a viewer", Require(&Principal{Role: Viewer}, Respond), ErrForbidden)
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "access.key")
	first, err := KeyFile(path)
	again, err2 := KeyFile(path)
	if err != nil || err2 != nil || len(first) != 32 || !bytes.Equal(first, again) {
		t.Errorf("%x %x, %v %v", first, again, err, err2)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeyFile(path); err == nil {
		t.Error("a short key was taken")
	}
}

func TestSealedForOnePurposeAndTime(t *testing.T) {
	h := newHouse(t)
	text, err := h.box.seal("a", "v", h.now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var v string
	if _, err := h.box.open("a", text, h.now(), &v); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
	flipped := []byte(text)
	flipped[len(flipped)/2] ^= 1
	for what, f := range map[string]func() (sealed, error){
		"another purpose": func() (sealed, error) { return h.box.open("b", text, h.now(), &v) },
		"too late":        func() (sealed, error) { return h.box.open("a", text, h.now().Add(time.Minute), &v) },
		"changed":         func() (sealed, error) { return h.box.open("a", string(flipped), h.now(), &v) },
		"empty":           func() (sealed, error) { return h.box.open("a", "", h.now(), &v) },
		"another key":     func() (sealed, error) { return newBox(make([]byte, 32)).open("a", text, h.now(), &v) },
	} {
		_, err := f()
		wants(t, what, err, errSeal)
	}
}

func TestHeaders(t *testing.T) {
	h := newHouse(t)
	handler := h.Headers(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	for origin, hsts := range map[string]bool{home: true, "http://127.0.0.1:9311": false} {
		b := h.browser()
		b.origin = origin
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, b.request("GET"))
		for name, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s: %q, want %q", origin, name, got, want)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "connect-src 'self'") {
			t.Errorf("policy %q", csp)
		}
		if got := w.Header().Get("Strict-Transport-Security") != ""; got != hsts {
			t.Errorf("%s: strict transport %v, want %v", origin, got, hsts)
		}
	}
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		errWrong: 401, ErrUnauthenticated: 401, forbidden("x"): 403, ErrStale: 403, &Throttled{}: 429, input("x"): 422,
		because(ErrConflict, "x"): 409, ErrNotFound: 404, ErrLink: 410, ErrUnavailable: 503, errors.New("disk"): 0, nil: 0,
	} {
		if got := Status(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// A ledger that cannot be written costs nothing but time: what was noted stays noted.
func TestRunGoesOnWhenTheLedgerFails(t *testing.T) {
	h := newHouse(t)
	h.people()
	b := h.in("analyst")
	_, _ = h.browser().logIn("analyst", "wrong", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.flush(ctx); err == nil {
		t.Fatal("a flush with a context that has ended")
	}
	if err := h.Run(ctx); err != nil { // its last act
		t.Fatal(err)
	}
	h.told("access log-in refused analyst")
	h.seen = map[seenKey]*seen{}
	b.who()
	if err := h.Healthy(); err != nil {
		t.Error(err)
	}
}
