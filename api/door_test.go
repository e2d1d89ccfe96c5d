// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/api/access"
)

// browser is what a person sits at.
type browser struct {
	t    *testing.T
	http *http.Client
	at   string
	csrf string
}

func open(t *testing.T, s *Server) *browser {
	t.Helper()
	srv := httptest.NewServer(s.Web(http.NotFoundHandler()))
	t.Cleanup(srv.Close)
	jar, _ := cookiejar.New(nil)
	return &browser{t: t, at: srv.URL, http: &http.Client{Jar: jar}}
}

func (b *browser) do(method, path string, in, out any) int {
	b.t.Helper()
	body, _ := json.Marshal(in)
	r, err := http.NewRequest(method, b.at+path, strings.NewReader(string(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", b.at)
	r.Header.Set("X-Ringwall-CSRF", b.csrf)
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(raw, out); err != nil {
			b.t.Fatalf("%s %s: %v: %s", method, path, err, raw)
		}
	}
	return res.StatusCode
}

// TestFirstAdmin: from the link on the host's console to a viewer who may not act.
func TestFirstAdmin(t *testing.T) {
	s := real(t)
	link, err := s.guard.SetupLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(link.URL, "#")
	b := open(t, s)
	if code := b.do("GET", "/v1/findings", nil, nil); code != 401 {
		t.Fatalf("before log-in: %d", code)
	}
	var w access.Welcome
	if code := b.do("POST", "/v1/links/redeem", access.RedeemRequest{Secret: secret, Name: "ann", Password: "nine pale lanterns"}, &w); code != 200 || w.Me == nil || w.Me.Role != access.Admin {
		t.Fatalf("redeem: %d %+v", code, w)
	}
	if code := b.do("POST", "/v1/hunts", map[string]string{"name": "n", "query": "select 1"}, nil); code != 403 {
		t.Errorf("a change without the session's header: %d", code)
	}
	b.csrf = w.Me.CSRF
	if code := b.do("POST", "/v1/hunts", map[string]string{"name": "n", "query": "select 1"}, nil); code != 200 {
		t.Errorf("a change with it: %d", code)
	}
	var invited access.NewLink
	if code := b.do("POST", "/v1/users", access.InviteRequest{Name: "vic", Role: access.Viewer}, &invited); code != 201 {
		t.Fatalf("invite: %d", code)
	}
	v := open(t, s)
	_, secret, _ = strings.Cut(invited.URL, "#")
	if code := v.do("POST", "/v1/links/redeem", access.RedeemRequest{Secret: secret, Password: "a passphrase of vic"}, &w); code != 200 {
		t.Fatalf("redeem: %d", code)
	}
	v.csrf = w.Me.CSRF
	for _, c := range []struct{ method, path string }{{"POST", "/v1/off"}, {"POST", "/v1/hunts"}, {"GET", "/v1/users"}, {"GET", "/v1/audit"}, {"POST", "/v1/actions/x/undo"}, {"GET", "/v1/recording"}} {
		if code := v.do(c.method, c.path, map[string]any{}, nil); code != 403 {
			t.Errorf("a viewer: %s %s: %d", c.method, c.path, code)
		}
	}
	if code := v.do("GET", "/v1/findings", nil, nil); code != 200 {
		t.Errorf("a viewer reads: %d", code)
	}
	var audit Page[AuditEntry]
	if code := b.do("GET", "/v1/audit", nil, &audit); code != 200 || len(audit.Items) < 4 {
		t.Errorf("audit: %d, %d entries", code, len(audit.Items))
	}
	if code := b.do("POST", "/v1/logout", nil, nil); code != 200 {
		t.Errorf("log out: %d", code)
	}
	if code := b.do("GET", "/v1/me", nil, nil); code != 401 {
		t.Errorf("after log-out: %d", code)
	}
}

func TestDoorValidates(t *testing.T) {
	for listen, good := range map[string]bool{"127.0.0.1:9311": true, "[::1]:9311": true, "off": true, "": true, "0.0.0.0:9311": false, "example.org:443": false, "9311": false} {
		if err := (&Door{Listen: listen}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", listen, err)
		}
	}
}
