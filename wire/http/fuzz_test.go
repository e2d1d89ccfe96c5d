// SPDX-License-Identifier: Apache-2.0

package http

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func FuzzParser(f *testing.F) {
	for _, file := range []string{"testdata/requests.txt", "testdata/responses.txt"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range strings.SplitSeq(string(raw), "\n====\n") {
			in, _, _ := strings.Cut(c, "\n----\n")
			s := readScript(&testing.T{}, strings.TrimSuffix(strings.TrimSpace(in), "----"))
			for _, st := range s.steps {
				f.Add([]byte(st.text), s.responses, uint16(len(st.text)/2), uint16(st.n))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, responses bool, cut, gap uint16) {
		n := min(int(cut), len(b))
		play := func(feed func(p *Parser, out *strings.Builder, b []byte)) string {
			var out strings.Builder
			p := &Parser{Responses: responses, MaxBody: 100}
			p.Expect("HEAD")
			feed(p, &out, b[:n])
			show(&out, p.Gap(int(gap)))
			feed(p, &out, b[n:])
			show(&out, p.Close())
			if len(p.buf) > MaxHead+1 {
				t.Fatal("buffer out of bounds")
			}
			if len(b)+int(gap) != int(p.offset) {
				t.Fatalf("offset %d of %d", p.offset, len(b)+int(gap))
			}
			return out.String()
		}
		whole := play(func(p *Parser, out *strings.Builder, b []byte) { show(out, p.Feed(b)) })
		single := play(func(p *Parser, out *strings.Builder, b []byte) {
			for i := range b {
				show(out, p.Feed(b[i:i+1]))
			}
		})
		if whole != single {
			t.Errorf("whole\n%s\nbyte by byte\n%s", whole, single)
		}
	})
}

// TestBounds feeds what never ends and looks at what is held.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		head, more string
		flag       Flags
	}{
		"start line": {"GET /", "aaaaaaaaaaaaaaaa", HeadTooLong},
		"headers":    {"GET / HTTP/1.1\r\n", "a: b\r\n", HeadTooLong},
		"folds":      {"GET / HTTP/1.1\r\na: b\r\n", " c\r\n", HeadTooLong},
		"chunk line": {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0000", BadChunk},
		"extension":  {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;", "xxxxx", BadChunk},
		"trailers":   {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", NoEnd},
		"body":       {"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "bbbb", BodyCut},
		"lost":       {"\x00", "GET / HTTP", 0},
	} {
		var p Parser
		var flags Flags
		feed := func(b []byte) {
			for _, e := range p.Feed(b) {
				if e.Message != nil {
					flags |= e.Message.Flags
				}
			}
		}
		feed([]byte(c.head))
		for range 1 << 17 / len(c.more) {
			feed([]byte(c.more))
		}
		if len(p.buf) > MaxHead+1 || p.msg != nil && len(p.msg.Body) > DefaultBody {
			t.Errorf("%s: %d bytes held", name, len(p.buf))
		}
		for _, e := range p.Close() {
			if e.Message != nil {
				flags |= e.Message.Flags
			}
		}
		if flags&c.flag != c.flag {
			t.Errorf("%s: flags %s, want %s", name, flags, c.flag)
		}
	}
}

const browser = "GET /articles/2024/10/some-article.html?id=17&ref=home HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\nPragma: no-cache\r\n\r\n"

func BenchmarkRequests(b *testing.B) {
	wire := []byte(browser)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	var p Parser
	for b.Loop() {
		if len(p.Feed(wire)) != 2 {
			b.Fatal("no request")
		}
	}
}

func BenchmarkRequestsSplit(b *testing.B) {
	wire := []byte(browser)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	var p Parser
	for b.Loop() {
		p.Feed(wire[:200])
		if len(p.Feed(wire[200:])) != 2 {
			b.Fatal("no request")
		}
	}
}

func BenchmarkResponseBody(b *testing.B) {
	wire := append([]byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 1048576\r\n\r\n"), bytes.Repeat([]byte("x"), 1<<20)...)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	p := Parser{Responses: true, MaxBody: 4096}
	for b.Loop() {
		for i := 0; i < len(wire); i += 1448 { // a TCP segment on Ethernet
			p.Feed(wire[i:min(i+1448, len(wire))])
		}
	}
}

func BenchmarkChunked(b *testing.B) {
	wire := []byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("200\r\n"+strings.Repeat("x", 512)+"\r\n", 64) + "0\r\n\r\n")
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	p := Parser{MaxBody: 4096}
	for b.Loop() {
		p.Feed(wire)
	}
}
