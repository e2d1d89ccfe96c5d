// SPDX-License-Identifier: Apache-2.0

// Package activity writes what a parsed HTTP message says into an event: in comes a
// message of package http, out goes an HttpActivity with parameters, uploads, words and
// oddities, bounded, and with every secret replaced. Sensors that see the same request
// at different places (on the wire, at the socket) use it, so that they write the same
// bytes and the graph joins them.
//
// It believes the parser for where things begin and end. The raw body never leaves:
// what is no form, JSON or multipart leaves at most its hash.
//
// Worst trap: a target that is changed here by one byte is another request to the graph.
// Only secrets are replaced in it, and bytes that are no UTF-8 become \xNN.
package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http"
)

// Bounds of what one request event carries.
const (
	maxHeaders = 64
	maxParams  = 64
	maxValue   = 1024
	maxTokens  = 64
	maxUploads = 8
	maxDepth   = 8 // of JSON
)

// Redactor replaces secrets; *event.Redactor is one.
type Redactor interface {
	URI(string) string
	Header(name, value string) string
	Param(name, value string) string
	Text(string) string
}

// Writer writes activities with the secrets of one tenant replaced. For one goroutine.
type Writer struct {
	redact Redactor
	plain  map[string]string // headers as redacted, at most 1 MB
}

// New makes a writer.
func New(r Redactor) *Writer { return &Writer{redact: r, plain: map[string]string{}} }

// Clean makes text fit for protobuf: bytes that are no UTF-8 become \xNN.
func Clean(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func cut(s string, n int) string { return s[:min(len(s), n)] }

// URI is the redacted target as all sensors write it.
func (w *Writer) URI(target string) string { return Clean(w.redact.URI(target)) }

// Text is free text without its secrets.
func (w *Writer) Text(s string) string { return Clean(w.redact.Text(s)) }

// Request begins the payload from a head: all but flow, place and body.
func (w *Writer) Request(m *http.Message) *event.HttpActivity {
	a := &event.HttpActivity{Op: event.HttpActivity_REQUEST,
		Request: &entity.Request{Method: Clean(m.Method), Uri: w.URI(m.Target), Host: Clean(m.Get("Host"))}}
	for i, hd := range m.Headers {
		if i == maxHeaders {
			break
		}
		a.Headers = append(a.Headers, &event.Header{Name: Clean(hd.Name), Value: Clean(w.header(hd.Name, hd.Value))})
	}
	a.BodyLen = uint64(max(m.Stated, 0))
	a.UserAgent, a.ContentType = w.Text(m.Get("User-Agent")), Clean(m.Get("Content-Type"))
	if m.Flags != 0 {
		a.Oddities = strings.Split(m.Flags.String(), ",")
	}
	_, query := http.SplitTarget(m.Target)
	w.Query(a, query)
	return a
}

// Query sets the parameters from a raw query string; those of a body go.
func (w *Writer) Query(a *event.HttpActivity, query string) {
	a.Params = w.params(nil, query, "query")
}

// plainHeaders say the same thing in thousands of requests and hold no credentials, so
// what the redactor made of them is remembered.
var plainHeaders = map[string]bool{
	"Host": true, "User-Agent": true, "Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Connection": true,
	"Content-Type": true, "Cache-Control": true, "Upgrade-Insecure-Requests": true, "Sec-Fetch-Dest": true, "Sec-Fetch-Mode": true,
	"Sec-Fetch-Site": true, "Sec-Fetch-User": true, "Sec-Ch-Ua": true,
}

func (w *Writer) header(name, value string) string {
	if !plainHeaders[name] || len(value) > 256 {
		return w.redact.Header(name, value)
	}
	key := name + "\x00" + value
	if v, known := w.plain[key]; known {
		return v
	}
	if len(w.plain) >= 2048 {
		clear(w.plain)
	}
	v := w.redact.Header(name, value)
	w.plain[key] = v
	return v
}

// add appends one parameter, redacted.
func (w *Writer) add(params []*event.Param, name, value, in string) []*event.Param {
	if len(params) >= maxParams {
		return params
	}
	return append(params, &event.Param{Name: Clean(cut(name, maxValue)), Value: Clean(w.redact.Param(name, cut(value, maxValue))), In: in})
}

func (w *Writer) params(params []*event.Param, raw, in string) []*event.Param {
	for name, value := range http.Params(raw) {
		params = w.add(params, name, value, in)
		if len(params) >= maxParams {
			break
		}
	}
	return params
}

// Body replaces the parameters and uploads that come from the body. whole says that body
// is all of it; then a body of another type leaves its hash. An upload has a hash when
// the boundary behind it was seen.
func (w *Writer) Body(a *event.HttpActivity, contentType string, body []byte, whole bool) {
	a.Params = slices.DeleteFunc(slices.Clone(a.Params), func(p *event.Param) bool { return p.In != "query" })
	a.Uploads = nil
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch kind = strings.TrimSpace(kind); kind {
	case "application/x-www-form-urlencoded":
		a.Params = w.params(a.Params, string(body), "form")
	case "application/json":
		var v any
		if json.Unmarshal(body, &v) == nil {
			w.members(a, "", v, 0)
		}
	case "multipart/form-data":
		w.multipart(a, contentType, body)
	default:
		if whole && len(body) > 0 { // forms are short and hold passwords: no unkeyed hash of those
			a.BodySha256 = digest(body)
		}
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (w *Writer) multipart(a *event.HttpActivity, contentType string, body []byte) {
	for p := range http.Parts(contentType, body) {
		if !p.HasFile {
			a.Params = w.add(a.Params, p.Name, string(p.Data), "multipart")
			continue
		}
		if len(a.Uploads) >= maxUploads {
			continue
		}
		up := &event.Upload{Field: Clean(cut(p.Name, maxValue)), Filename: Clean(cut(p.FileName, maxValue)),
			Size: uint64(len(p.Data)), ContentType: Clean(cut(p.ContentType, maxValue))}
		if p.Whole && len(p.Data) > 0 {
			up.Sha256 = digest(p.Data)
		}
		a.Uploads = append(a.Uploads, up)
	}
}

// members flattens JSON to parameters, names in order: replay must give the same.
func (w *Writer) members(a *event.HttpActivity, name string, v any, depth int) {
	if depth > maxDepth || len(a.Params) >= maxParams {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			w.members(a, k, v[k], depth+1)
		}
	case []any:
		for _, m := range v {
			w.members(a, name, m, depth+1)
		}
	case string:
		a.Params = w.add(a.Params, name, v, "json")
	case nil:
	default:
		a.Params = w.add(a.Params, name, fmt.Sprint(v), "json")
	}
}

// Tokens are the words of the request for linking by shared content: runs of letters,
// digits, '_', '-' and '.', 4 to 64 long, of the decoded path and the parameters' values,
// all redacted before. In order, without doubles, at most 64.
func Tokens(a *event.HttpActivity) []string {
	var out []string
	seen := map[string]bool{}
	words := func(t string) {
		for len(out) < maxTokens {
			start := strings.IndexFunc(t, isWord)
			if start < 0 {
				return
			}
			t = t[start:]
			end := strings.IndexFunc(t, notWord)
			if end < 0 {
				end = len(t)
			}
			if w := t[:end]; end >= 4 && end <= 64 && !seen[w] {
				seen[w] = true
				out = append(out, w)
			}
			t = t[end:]
		}
	}
	path, _ := http.SplitTarget(a.Request.Uri)
	words(http.Decode(path, false))
	for _, p := range a.Params {
		words(p.Value)
	}
	for _, u := range a.Uploads {
		words(u.Filename)
	}
	return out
}

func isWord(r rune) bool { return !notWord(r) }

func notWord(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-', r == '.':
		return false
	}
	return true
}
