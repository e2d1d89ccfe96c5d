// SPDX-License-Identifier: Apache-2.0

package application

import "testing"

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

func browserRequest(method, uri string) *record {
	return &record{Method: method, URI: uri, Site: "web.example", Headers: [][2]string{
		{"Host", "web.example"}, {"User-Agent", firefox}, {"Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"},
		{"Accept-Language", "en-US,en;q=0.5"}, {"Accept-Encoding", "gzip, deflate"}, {"Connection", "keep-alive"},
		{"Cookie", "sid=1234567890"}, {"Upgrade-Insecure-Requests", "1"}}}
}

// BenchmarkGrey is one short search through the whole rule set.
func BenchmarkGrey(b *testing.B) {
	e, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	a := browserRequest("GET", "/notes.php?q=o%27brien").activity()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Judge(a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWhite is the first look at a page without parameters.
func BenchmarkWhite(b *testing.B) {
	o, err := NewOrdinary("")
	if err != nil {
		b.Fatal(err)
	}
	a := browserRequest("GET", "/css/site.css?v=12").activity()
	b.ReportAllocs()
	for b.Loop() {
		if !o.White(a) {
			b.Fatal("not white")
		}
	}
}
