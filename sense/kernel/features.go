// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"fmt"
	"strings"

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
)

func cut(s string, n int) string { return s[:min(len(s), n)] }

// plainHeaders say the same thing in thousands of requests and hold no credentials, so
// what the redactor made of them is remembered.
var plainHeaders = map[string]bool{
	"Host": true, "User-Agent": true, "Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Connection": true,
	"Content-Type": true, "Cache-Control": true, "Upgrade-Insecure-Requests": true, "Sec-Fetch-Dest": true, "Sec-Fetch-Mode": true,
	"Sec-Fetch-Site": true, "Sec-Fetch-User": true, "Sec-Ch-Ua": true,
}

// header redacts one header. For the precious ring's goroutine.
func (d *decoder) header(name, value string) string {
	if !plainHeaders[name] || len(value) > 256 {
		return d.opt.Redact.Header(name, value)
	}
	key := name + "\x00" + value
	if v, known := d.plain[key]; known {
		return v
	}
	if len(d.plain) >= 2048 {
		clear(d.plain)
	}
	v := d.opt.Redact.Header(name, value)
	d.plain[key] = v
	return v
}

// add appends one parameter, redacted.
func (d *decoder) add(params []*event.Param, name, value, in string) []*event.Param {
	if len(params) >= maxParams {
		return params
	}
	return append(params, &event.Param{Name: clean(cut(name, maxValue)), Value: clean(d.opt.Redact.Param(name, cut(value, maxValue))), In: in})
}

func (d *decoder) params(params []*event.Param, raw, in string) []*event.Param {
	for name, value := range http.Params(raw) {
		params = d.add(params, name, value, in)
		if len(params) >= maxParams {
			break
		}
	}
	return params
}

// bodyFeatures replaces the parameters and uploads that come from the body. The raw body
// is never kept: whatever is not a form, JSON or multipart leaves no words.
func (d *decoder) bodyFeatures(a *event.HttpActivity, contentType string, body []byte) {
	kept := a.Params[:0]
	for _, p := range a.Params {
		if p.In == "query" {
			kept = append(kept, p)
		}
	}
	a.Params, a.Uploads = kept, nil
	switch kind, _, _ := strings.Cut(strings.ToLower(contentType), ";"); strings.TrimSpace(kind) {
	case "application/x-www-form-urlencoded":
		a.Params = d.params(a.Params, string(body), "form")
	case "application/json":
		var v any
		if json.Unmarshal(body, &v) == nil {
			d.members(a, "", v, 0)
		}
	case "multipart/form-data":
		for p := range http.Parts(contentType, body) {
			if p.HasFile {
				if len(a.Uploads) < maxUploads {
					a.Uploads = append(a.Uploads, &event.Upload{Field: clean(p.Name), Filename: clean(cut(p.FileName, maxValue)),
						Size: uint64(len(p.Data)), ContentType: clean(p.ContentType)})
				}
				continue
			}
			a.Params = d.add(a.Params, p.Name, string(p.Data), "multipart")
		}
	}
}

// members flattens JSON to parameters, eight levels deep.
func (d *decoder) members(a *event.HttpActivity, name string, v any, depth int) {
	if depth > 8 || len(a.Params) >= maxParams {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			d.members(a, k, m, depth+1)
		}
	case []any:
		for _, m := range v {
			d.members(a, name, m, depth+1)
		}
	case string:
		a.Params = d.add(a.Params, name, v, "json")
	case nil:
	default:
		a.Params = d.add(a.Params, name, fmt.Sprint(v), "json")
	}
}

// tokens are the words of the request for linking by shared content: runs of letters,
// digits, '_', '-' and '.', 4 to 64 long, of the decoded path and the parameters' values,
// all redacted before. In order, without doubles, at most 64.
func tokens(a *event.HttpActivity) []string {
	var out []string
	seen := map[string]bool{}
	path, _ := http.SplitTarget(a.Request.Uri)
	texts := []string{http.Decode(path, false)}
	for _, p := range a.Params {
		texts = append(texts, p.Value)
	}
	for _, u := range a.Uploads {
		texts = append(texts, u.Filename)
	}
	for _, t := range texts {
		for _, w := range strings.FieldsFunc(t, notWord) {
			if len(w) >= 4 && len(w) <= 64 && !seen[w] && len(out) < maxTokens {
				seen[w] = true
				out = append(out, clean(w))
			}
		}
	}
	return out
}

func notWord(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-', r == '.':
		return false
	}
	return true
}
