// SPDX-License-Identifier: Apache-2.0

package application

import (
	"slices"
	"strings"

	"github.com/ringwall/ringwall/event"
)

// Bounds of one request beside Config.MaxBytes.
const (
	maxURI     = 2048 // the target as text; its parameters are seen decoded beyond that
	maxValue   = 1024 // one parameter or header; of longer ones both ends are seen
	maxFields  = 128  // parameters
	maxHeaders = 48
	maxUploads = 16
)

// inputs is what the rules see of one request.
type inputs struct {
	client            string
	clientPort        int
	method, uri, host string
	headers           []field
	params            []field
	uploads           []field
	cut               bool // something was left out
}

type field struct {
	name, value string
	query       bool
}

// inputs bounds a request. What is plain by itself is left out, which saves a third of
// the cost. Where the rest does not fit, fields that look least like words come first:
// padding must not push an attack out of sight.
func (c *Config) inputs(a *event.HttpActivity, o *Ordinary) *inputs {
	req := a.GetRequest()
	src := req.GetFlow().Src()
	in := &inputs{client: "0.0.0.0", clientPort: int(src.Port()), method: clip(req.GetMethod(), 32), host: clip(plain(req.GetHost()), 256)}
	if src.Addr().IsValid() {
		in.client = src.Addr().String()
	}
	if in.method == "" {
		in.method = "GET"
	}
	left := c.MaxBytes
	uri := plain(slim(req.GetUri()))
	whole := len(uri) <= maxURI
	in.uri = uri
	if !whole {
		in.uri = uri[:maxURI]
	}
	left -= len(in.uri)

	for _, u := range a.GetUploads() {
		if len(in.uploads) == maxUploads {
			in.cut = true
			break
		}
		in.uploads = append(in.uploads, field{name: in.bound(plain(u.GetField())), value: in.bound(plain(u.GetFilename()))})
		left -= len(u.GetField()) + len(u.GetFilename())
	}
	in.addHeaders(a, o)
	for _, p := range a.GetParams() {
		query := p.GetIn() == "query"
		if query && whole {
			continue // the rules take them from the target
		}
		if p.GetValue() != "" && only(nameSet, p.GetName()) && plainValue(p.GetValue()) {
			continue
		}
		in.params = append(in.params, field{name: in.bound(plain(p.GetName())), value: in.bound(plain(p.GetValue())), query: query})
	}
	in.headers, left = in.fit(in.headers, maxHeaders, left, c.MaxBytes/4)
	in.params, _ = in.fit(in.params, maxFields, left, c.MaxBytes/2)
	return in
}

// slim takes plain pairs out of the query.
func slim(uri string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return uri
	}
	var b strings.Builder
	b.Grow(len(uri))
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && plainPair(pair) {
			continue
		}
		b.WriteByte(sep)
		b.WriteString(pair)
		sep = '&'
	}
	return b.String()
}

// addHeaders takes the headers, or what a sensor without headers knows of them.
func (in *inputs) addHeaders(a *event.HttpActivity, o *Ordinary) {
	host, agent := false, false
	for _, h := range a.GetHeaders() {
		name := strings.ToLower(h.GetName())
		switch name {
		case "host":
			host = true
		case "user-agent":
			agent = true
		case "cookie":
			// Values are hashes; their names alone may still say something.
			for c := range strings.SplitSeq(h.GetValue(), ";") {
				n, _, _ := strings.Cut(strings.TrimSpace(c), "=")
				in.headers = append(in.headers, field{name: "Cookie", value: in.bound(plain(n)) + "=x"})
			}
			continue
		}
		if name != "host" && name != "user-agent" && o.header(h.GetName(), h.GetValue()) {
			continue
		}
		in.headers = append(in.headers, field{name: in.bound(h.GetName()), value: in.bound(plain(h.GetValue()))})
	}
	if !host && in.host != "" {
		in.headers = append(in.headers, field{name: "Host", value: in.host})
	}
	if !agent && a.GetUserAgent() != "" {
		in.headers = append(in.headers, field{name: "User-Agent", value: in.bound(plain(a.GetUserAgent()))})
	}
}

// fit keeps what fits into left bytes, but at least floor, the oddest first. The order
// of what is kept stays.
func (in *inputs) fit(all []field, most, left, floor int) ([]field, int) {
	room := max(left, floor)
	total := 0
	for _, f := range all {
		total += len(f.name) + len(f.value)
	}
	if total <= room && len(all) <= most {
		return all, left - total
	}
	in.cut = true
	order := make([]int, len(all))
	odd := make([]int, len(all))
	for i, f := range all {
		order[i], odd[i] = i, oddness(f.name)+oddness(f.value)
	}
	slices.SortStableFunc(order, func(a, b int) int { return odd[b] - odd[a] })
	var kept []int
	used := 0
	for _, i := range order {
		n := len(all[i].name) + len(all[i].value)
		if len(kept) == most || used+n > room {
			continue
		}
		used += n
		kept = append(kept, i)
	}
	slices.Sort(kept)
	out := make([]field, len(kept))
	for j, i := range kept {
		out[j] = all[i]
	}
	return out, left - used
}

// oddness counts characters that words do not have.
func oddness(s string) int {
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c >= 0x80, c == ' ', c == '-', c == '_', c == '.', c == ',':
		default:
			n++
		}
	}
	return n
}

// bound keeps both ends of a long text.
func (in *inputs) bound(s string) string {
	if len(s) <= maxValue {
		return s
	}
	in.cut = true
	return s[:maxValue*3/4] + " " + s[len(s)-maxValue/4:]
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

// plain takes the marks off hashed secrets, which would look like odd characters.
func plain(s string) string {
	if !strings.Contains(s, "‹h:") {
		return s
	}
	return unmark.Replace(s)
}

var unmark = strings.NewReplacer("‹h:", "h", "›", "")
