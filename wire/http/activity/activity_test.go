// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http"
)

var redact = event.NewRedactor([]byte("0123456789abcdef"))

// read parses one request and writes its activity with the body's features.
func read(t testing.TB, raw string) *event.HttpActivity {
	t.Helper()
	var p http.Parser
	w := New(redact)
	for _, e := range p.Feed([]byte(raw)) {
		if e.Kind == http.Head {
			a := w.Request(e.Message)
			w.Body(a, e.Message.Get("Content-Type"), e.Message.Body, true)
			a.Tokens = Tokens(a)
			return a
		}
	}
	t.Fatalf("no request in %q", raw)
	return nil
}

func pairs(a *event.HttpActivity) (out []string) {
	for _, p := range a.Params {
		out = append(out, p.In+":"+p.Name+"="+p.Value)
	}
	return out
}

func TestBodies(t *testing.T) {
	a := read(t, "POST /a/login.php?x=1&token=abcd HTTP/1.1\r\nHost: h\r\nUser-Agent: u/1\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: 31\r\n\r\nuser=alice+b&password=hunter22x")
	if got := pairs(a); len(got) != 4 || got[0] != "query:x=1" || got[2] != "form:user=alice b" || strings.Contains(strings.Join(got, " "), "hunter22x") {
		t.Error(got)
	}
	if a.Request.Uri != "/a/login.php?x=1&token="+redact.Hash("abcd") || a.Request.Host != "h" || a.UserAgent != "u/1" || a.BodySha256 != "" {
		t.Errorf("%+v", a)
	}
	if !slices.Contains(a.Tokens, "login.php") || !slices.Contains(a.Tokens, "alice") {
		t.Error(a.Tokens)
	}
	j := read(t, "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n{\"z\":[1,\"two\"],\"a\":{\"password\":\"secret\"}}")
	if got := pairs(j); len(got) != 3 || got[0] != "json:password="+redact.Hash("secret") || got[1] != "json:z=1" || got[2] != "json:z=two" {
		t.Error(got)
	}
	put := read(t, "PUT /f HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc")
	if put.BodySha256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" { // FIPS 180-2 B.1
		t.Error(put.BodySha256)
	}
}

func TestUploads(t *testing.T) {
	body := "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"shell.php\"\r\nContent-Type: image/png\r\n\r\nabc\r\n--B\r\n" +
		"Content-Disposition: form-data; name=\"note\"\r\n\r\nhello there\r\n--B\r\nContent-Disposition: form-data; name=\"g\"; filename=\"cut.bin\"\r\n\r\nnot whole"
	a := read(t, "POST /u HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 999\r\n\r\n"+body)
	if len(a.Uploads) != 2 || a.Uploads[0].Sha256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" || a.Uploads[0].Size != 3 ||
		a.Uploads[0].Filename != "shell.php" || a.Uploads[0].ContentType != "image/png" || a.Uploads[1].Sha256 != "" {
		t.Errorf("%+v", a.Uploads)
	}
	if got := pairs(a); len(got) != 1 || got[0] != "multipart:note=hello there" {
		t.Error(got)
	}
}

func FuzzActivity(f *testing.F) {
	f.Add("POST /\xff?a=%41&b HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 90\r\n\r\n--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\ny\r\n--B--")
	f.Add("POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":[1]}")
	f.Fuzz(func(t *testing.T, raw string) {
		var p http.Parser
		w := New(redact)
		for _, e := range p.Feed([]byte(raw)) {
			if e.Kind != http.Head {
				continue
			}
			a := w.Request(e.Message)
			w.Body(a, e.Message.Get("Content-Type"), e.Message.Body, true)
			a.Tokens = Tokens(a)
			if _, err := protojson.Marshal(a); err != nil {
				t.Fatal(err)
			}
			if len(a.Params) > maxParams || len(a.Tokens) > maxTokens || !utf8.ValidString(a.Request.Uri) {
				t.Fatal("bounds")
			}
		}
	})
}
