// SPDX-License-Identifier: Apache-2.0

package http

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSplitTarget(t *testing.T) {
	for in, want := range map[string][2]string{
		"/a/b?c=d&e":          {"/a/b", "c=d&e"},
		"/a?b?c":              {"/a", "b?c"},
		"http://h:8/a?x=/://": {"/a", "x=/://"},
		"http://h":            {"/", ""},
		"http://h?q":          {"/", "q"},
		"*":                   {"*", ""},
		"h:443":               {"h:443", ""},
		"/a#f?x":              {"/a", ""},
		"":                    {"", ""},
	} {
		if p, q := SplitTarget(in); p != want[0] || q != want[1] {
			t.Errorf("%q: %q %q", in, p, q)
		}
	}
}

func TestParams(t *testing.T) {
	var got []string
	for n, v := range Params("a=1&&b&c=x+y%20z&%64=%zz%4&=v&e==") {
		got = append(got, n+"|"+v)
	}
	want := []string{"a|1", "b|", "c|x y z", "d|%zz%4", "|v", "e|="}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if n := testing.AllocsPerRun(100, func() {
		for range Params("id=17&page=2&sort=name") {
		}
	}); n > 0 {
		t.Errorf("plain parameters cost %v allocations", n)
	}
}

const upload = "preamble\r\n--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--not the end\r\n" +
	"--B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"C:\\dir\\a\\\"b.php\"\r\nContent-Type: image/png\r\n\r\n<?php\n?>\r\n" +
	"--B\nContent-Disposition: form-data; filename*=UTF-8''%c3%a9.txt; name=plain\n\nx\n" +
	"--B--\r\nepilogue"

func parts(contentType, body string) string {
	var b strings.Builder
	for p := range Parts(contentType, []byte(body)) {
		fmt.Fprintf(&b, "%q %q %v %q %q %v\n", p.Name, p.FileName, p.HasFile, p.ContentType, p.Data, p.Whole)
	}
	return b.String()
}

func TestParts(t *testing.T) {
	const want = "\"note\" \"\" false \"\" \"hello\\r\\n--not the end\" true\n" +
		"\"f\" \"C:\\\\dir\\\\a\\\"b.php\" true \"image/png\" \"<?php\\n?>\" true\n" +
		"\"plain\" \"é.txt\" true \"\" \"x\" true\n"
	if got := parts(`multipart/form-data; charset=x; boundary="B"`, upload); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// A prefix: the file's name is known before its end.
	cut := upload[:strings.Index(upload, "<?php")+3]
	if got := parts("multipart/form-data; boundary=B", cut); !strings.Contains(got, `a\"b.php" true "image/png" "<?p" false`) {
		t.Errorf("cut: %s", got)
	}
	if got := parts("multipart/form-data", upload); got != "" {
		t.Errorf("no boundary: %s", got)
	}
}

func FuzzParts(f *testing.F) {
	f.Add("multipart/form-data; boundary=B", upload)
	f.Add(`a; boundary="\"`, "--\"\n\n--\"")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		n := 0
		for p := range Parts(contentType, []byte(body)) {
			if n++; len(p.Data) > len(body) || n > MaxParts {
				t.Fatal("more than was given")
			}
		}
		for name, value := range Params(body) {
			if len(name)+len(value) > len(body) {
				t.Fatal("decoding made it longer")
			}
		}
		SplitTarget(contentType)
	})
}

func BenchmarkParams(b *testing.B) {
	const q = "q=some+words&page=3&utm_source=%C3%A9t%C3%A9&token=abcdef0123456789&sort=name"
	b.SetBytes(int64(len(q)))
	b.ReportAllocs()
	for b.Loop() {
		for range Params(q) {
		}
	}
}

func BenchmarkParts(b *testing.B) {
	body := []byte(upload)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		for range Parts("multipart/form-data; boundary=B", body) {
		}
	}
}
