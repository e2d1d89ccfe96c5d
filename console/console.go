// SPDX-License-Identifier: Apache-2.0

// Package console serves the web console, whose built pages lie in this binary.
//
// In come paths that are not the API's; out go files of dist, which `make console`
// builds from web. It believes nothing and knows no data: the pages ask the API, like
// everybody.
//
// The worst trap: caching. Files under assets carry a hash of their content in their
// name and may be kept for ever; the page itself never.
package console

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var built embed.FS

// Handler serves the pages. Every path that is no file gets the one page, which knows
// what to show for it.
func Handler() http.Handler {
	files, _ := fs.Sub(built, "dist")
	page, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "This build has no console: it was built without Node.js. Run make console build, and start it anew. The API answers under /v1/.", http.StatusNotFound)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "pages are only read", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if strings.HasPrefix(name, "assets/") {
			asset(w, r, files, name)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(page))
	})
}

// asset serves one built file, in its packed form where the browser takes it.
func asset(w http.ResponseWriter, r *http.Request, files fs.FS, name string) {
	body, err := fs.ReadFile(files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Vary", "Accept-Encoding")
	if packed, err := fs.ReadFile(files, name+".gz"); err == nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", mimeOf(name))
		body = packed
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// mimeOf does not ask the host, whose tables differ.
func mimeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	return "application/octet-stream"
}
