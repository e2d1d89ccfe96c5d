// SPDX-License-Identifier: Apache-2.0

package application

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http"
)

// record is one line of the request data of RINGWALL_DATA/network.
type record struct {
	ID, Label, Site, Method, URI, Proto, Class string
	Headers                                    [][2]string
	Body                                       string
	BodyB64                                    string `json:"body_b64"`
	Expect                                     struct {
		ExpectIDs   []int `json:"expect_ids"`
		NoExpectIDs []int `json:"no_expect_ids"`
	}
}

func (r *record) body() []byte {
	if r.BodyB64 != "" {
		b, _ := base64.StdEncoding.DecodeString(r.BodyB64)
		return b
	}
	return []byte(r.Body)
}

// records reads a file of labelled requests, or skips.
func records(t testing.TB, name string) []*record {
	t.Helper()
	dir := os.Getenv("RINGWALL_DATA")
	if dir == "" {
		t.Skip("RINGWALL_DATA is not set: no labelled requests to judge")
	}
	f, err := os.Open(filepath.Join(dir, "network", name))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out []*record
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		r := &record{}
		if err := json.Unmarshal(s.Bytes(), r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

var redactor = event.NewRedactor([]byte("0123456789abcdef"))

// activity makes of a raw request what the sensors make of it.
func (r *record) activity() *event.HttpActivity {
	a := &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: event.HttpActivity_WIRE,
		Request: &entity.Request{Method: r.Method, Uri: redactor.URI(r.URI), Host: r.Site}}
	kind := ""
	for _, h := range r.Headers {
		a.Headers = append(a.Headers, &event.Header{Name: h[0], Value: redactor.Header(h[0], h[1])})
		switch strings.ToLower(h[0]) {
		case "content-type":
			kind = h[1]
		case "user-agent":
			a.UserAgent = redactor.Text(h[1])
		}
	}
	a.ContentType = kind
	body := r.body()
	a.BodyLen = uint64(len(body))
	add := func(name, value, in string) {
		if len(a.Params) < 64 {
			a.Params = append(a.Params, &event.Param{Name: clip(name, 1024), Value: redactor.Param(name, clip(value, 1024)), In: in})
		}
	}
	_, query := http.SplitTarget(r.URI)
	for n, v := range http.Params(query) {
		add(n, v, "query")
	}
	bare, _, _ := strings.Cut(strings.ToLower(kind), ";")
	switch strings.TrimSpace(bare) {
	case "application/x-www-form-urlencoded":
		for n, v := range http.Params(string(body)) {
			add(n, v, "form")
		}
	case "application/json":
		var v any
		if json.Unmarshal(body, &v) == nil {
			flatten("", v, add)
		}
	case "multipart/form-data":
		for p := range http.Parts(kind, body) {
			if p.HasFile {
				a.Uploads = append(a.Uploads, &event.Upload{Field: p.Name, Filename: p.FileName, Size: uint64(len(p.Data)), ContentType: p.ContentType})
				continue
			}
			add(p.Name, string(p.Data), "multipart")
		}
	}
	return a
}

func flatten(name string, v any, add func(name, value, in string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			flatten(k, m, add)
		}
	case []any:
		for _, m := range v {
			flatten(name, m, add)
		}
	case string:
		add(name, v, "json")
	case nil:
	default:
		b, _ := json.Marshal(v)
		add(name, string(b), "json")
	}
}
