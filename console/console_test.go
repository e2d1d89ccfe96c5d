// SPDX-License-Identifier: Apache-2.0

package console

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// built is a console as the build leaves it.
var built = fstest.MapFS{
	"placeholder":           {Data: []byte("placeholder")},
	"index.html":            {Data: []byte("<!doctype html>the page")},
	"assets/main-ABC.js":    {Data: []byte("plain script")},
	"assets/main-ABC.js.gz": {Data: []byte("packed script")},
	"assets/main-ABC.css":   {Data: []byte("body{}")},
}

func ask(t *testing.T, h http.Handler, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(body)
}

func TestServing(t *testing.T) {
	h := handler(built)
	for _, c := range []struct {
		method, path string
		status       int
		body         string // what it begins with
		kind, cache  string
	}{
		{"GET", "/", 200, "<!doctype html>", "text/html; charset=utf-8", fresh},
		{"GET", "/incidents/i-1", 200, "<!doctype html>", "text/html; charset=utf-8", fresh},
		{"GET", "/hosts/web1.example.org", 200, "<!doctype html>", "text/html; charset=utf-8", fresh}, // a dot makes no file
		{"GET", "/placeholder", 200, "<!doctype html>", "text/html; charset=utf-8", fresh},            // no file of the build is a page
		{"GET", "/assets/../placeholder", 200, "<!doctype html>", "text/html; charset=utf-8", fresh},
		{"GET", "/../../etc/passwd", 200, "<!doctype html>", "text/html; charset=utf-8", fresh},
		{"GET", "/assets/main-ABC.js", 200, "plain script", "text/javascript; charset=utf-8", immutable},
		{"GET", "/assets/main-ABC.css", 200, "body{}", "text/css; charset=utf-8", immutable},
		{"HEAD", "/assets/main-ABC.js", 200, "", "text/javascript; charset=utf-8", immutable},
		{"GET", "/assets/main-OLD.js", 404, "there is no such file", "text/plain; charset=utf-8", ""},
		{"GET", "/assets/", 404, "there is no such file", "text/plain; charset=utf-8", ""}, // no list of the folder
		{"GET", "/assets", 404, "there is no such file", "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "pages are only read", "text/plain; charset=utf-8", ""},
	} {
		res, body := ask(t, h, c.method, c.path)
		if res.StatusCode != c.status || !strings.HasPrefix(body, c.body) || c.method == "HEAD" && body != "" {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, res.StatusCode, body, c.status, c.body)
		}
		if got := res.Header.Get("Content-Type"); got != c.kind {
			t.Errorf("%s %s: Content-Type %q, want %q", c.method, c.path, got, c.kind)
		}
		if got := res.Header.Get("Cache-Control"); got != c.cache {
			t.Errorf("%s %s: Cache-Control %q, want %q", c.method, c.path, got, c.cache)
		}
	}
}

func TestPacked(t *testing.T) {
	h := handler(built)
	for _, c := range []struct {
		path, accept string
		packed       bool
	}{
		{"/assets/main-ABC.js", "gzip, deflate, br", true},
		{"/assets/main-ABC.js", "br;q=1.0, gzip;q=0.5", true},
		{"/assets/main-ABC.js", "gzip;q=0", false},
		{"/assets/main-ABC.js", "gzip;q=0.0", false},
		{"/assets/main-ABC.js", "", false},
		{"/assets/main-ABC.css", "gzip", false}, // the build did not pack it
	} {
		res, _ := ask(t, h, "GET", c.path, "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != c.packed {
			t.Errorf("%s for %q: packed %v, want %v", c.path, c.accept, got, c.packed)
		}
		if res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s for %q: no Vary", c.path, c.accept)
		}
	}
}

// TestUnbuilt: a build without npm says what is missing, and nothing else is served.
func TestUnbuilt(t *testing.T) {
	h := handler(fstest.MapFS{"placeholder": {Data: []byte("placeholder")}})
	for _, path := range []string{"/", "/placeholder", "/incidents"} {
		if res, body := ask(t, h, "GET", path); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "make build") {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
	}
}

// TestEmbedded: what is really built in is served, built or not.
func TestEmbedded(t *testing.T) {
	res, body := ask(t, Handler(), "GET", "/")
	switch res.StatusCode {
	case http.StatusOK:
		if !strings.Contains(body, `<script type="module" src="/assets/`) || strings.Contains(body, "<script>") {
			t.Errorf("the page: %s", body)
		}
	case http.StatusNotFound:
		if !strings.Contains(body, "make build") {
			t.Errorf("unbuilt: %q", body)
		}
	default:
		t.Errorf("status %d", res.StatusCode)
	}
}
