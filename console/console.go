// SPDX-License-Identifier: Apache-2.0

// Package console is the web console: pages that people look at and act from.
//
// In come requests of browsers; out go the files that `make build` made of web/ and that
// this package holds in itself, so a console needs no other file and no other network. It
// knows nothing of Ringwall: the pages ask the API. It believes that who serves it has set
// the headers of package api/access, without which a page could be framed.
//
// The worst trap: a page's path is the page's own business. Whatever is no file is
// answered with the one page there is, and that page finds out what was meant; only below
// assets/ is a missing file missing.
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
var embedded embed.FS

const (
	index     = "index.html"
	assets    = "assets/"
	unbuilt   = "There are no pages in this build; `make build` makes them (it needs nodejs and npm). The API answers under /v1/.\n"
	immutable = "public, max-age=31536000, immutable" // names below assets/ hold a hash of the content
	fresh     = "no-cache"                            // the one page names the assets of this build
)

// Handler serves the console that was built in. Safe for many goroutines.
func Handler() http.Handler {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path
	}
	return handler(dist)
}

func handler(dist fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "pages are only read", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		inAssets := strings.HasPrefix(name+"/", assets)
		switch {
		case inAssets && isFile(dist, name):
			w.Header().Set("Cache-Control", immutable)
			serve(w, r, dist, name)
		case inAssets:
			http.Error(w, "there is no such file in this build; load the page again", http.StatusNotFound)
		case isFile(dist, index):
			w.Header().Set("Cache-Control", fresh)
			serve(w, r, dist, index)
		default:
			http.Error(w, unbuilt, http.StatusNotFound)
		}
	})
}

func isFile(dist fs.FS, name string) bool {
	info, err := fs.Stat(dist, name)
	return err == nil && info.Mode().IsRegular()
}

// serve gives a file, packed when the build packed it and the browser takes that.
func serve(w http.ResponseWriter, r *http.Request, dist fs.FS, name string) {
	h := w.Header()
	h.Set("Content-Type", mediaType(name))
	h.Add("Vary", "Accept-Encoding")
	if packed := name + ".gz"; takesGzip(r) && isFile(dist, packed) {
		h.Set("Content-Encoding", "gzip")
		name = packed
	}
	body, err := fs.ReadFile(dist, name)
	if err != nil {
		http.Error(w, "the file cannot be read", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// mediaType asks no file of the host: what it says must not differ between machines.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// takesGzip: the browser names it and does not refuse it by q=0 (RFC 9110 §12.5.3).
func takesGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, weighed := strings.Cut(strings.ReplaceAll(one, " ", ""), ";q=")
		if name == "gzip" && (!weighed || strings.Trim(weight, "0.") != "") {
			return true
		}
	}
	return false
}
