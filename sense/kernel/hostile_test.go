// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
)

// server answers every request with its own length, reading bodies to their end.
func server(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr()
}

func request(uri string) func(*event.Event) bool {
	return func(e *event.Event) bool {
		return e.GetHttp().GetOp() == event.HttpActivity_REQUEST && e.GetHttp().Request.Uri == uri
	}
}

// pieces sends strings one write at a time, so that the server reads them apart.
func pieces(t *testing.T, c net.Conn, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// What a client can do to hide a request, or to invent one.
func TestHostileClients(t *testing.T) {
	_, rec := start(t, nil)
	addr := server(t)
	dial := func(t *testing.T) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp4", addr.String())
		must(t, err)
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	t.Run("byte by byte", func(t *testing.T) {
		c, _ := dial(t)
		pieces(t, c, strings.Split("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", "")...)
		rec.find(t, "request", request("/slow"))
	})
	t.Run("lower-case method", func(t *testing.T) {
		c, _ := dial(t)
		pieces(t, c, "brew /lower HTTP/1.1\r\nHost: x\r\n\r\n")
		rec.find(t, "request", request("/lower"))
	})
	t.Run("bodies that look like requests", func(t *testing.T) {
		c, r := dial(t)
		fake := "GET /invented HTTP/1.1\r\nHost: x\r\n\r\n"
		pieces(t, c, fmt.Sprintf("POST /real HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 40*len(fake)))
		for range 40 {
			pieces(t, c, fake)
		}
		res, err := http.ReadResponse(r, nil)
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		pieces(t, c, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n")
		rec.find(t, "the request before", request("/real"))
		rec.find(t, "the request after", request("/after"))
		rec.none(t, "a request inside a body", request("/invented"))
	})
	t.Run("a long body, then another request", func(t *testing.T) {
		c, r := dial(t)
		pieces(t, c, "POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("select from ", 83334)[:1000000])
		res, err := http.ReadResponse(r, nil)
		must(t, err)
		b, _ := io.ReadAll(res.Body)
		if string(b) != "1000000" {
			t.Fatalf("the server read %s bytes", b)
		}
		pieces(t, c, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		e := rec.find(t, "request", request("/next"))
		if e.GetHttp().Ordinal != 1 {
			t.Errorf("ordinal %d, want 1", e.GetHttp().Ordinal)
		}
	})
}

// TestNextBeforeTheAnswer: a client that does not wait hides nothing. Go's server reads one
// byte of what comes next while it works; others read all there is, be it a part of a head.
func TestNextBeforeTheAnswer(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) { nextBeforeTheAnswer(t, legacy) })
	}
}

func nextBeforeTheAnswer(t *testing.T, legacy bool) {
	_, rec := start(t, func(c *Config) { c.Legacy = legacy })
	work := make(chan struct{})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-work
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	c, err := net.Dial("tcp4", l.Addr().String())
	must(t, err)
	defer c.Close()
	// More starts and bytes than are taken up between two answers.
	body := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat("x", 2000), 12)
	pieces(t, c, fmt.Sprintf("POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body)))
	for part := range slices.Chunk([]byte(body), 2028) {
		pieces(t, c, string(part))
	}
	for _, uri := range []string{"/second", "/third"} {
		pieces(t, c, "GET "+uri+" HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	time.Sleep(100 * time.Millisecond) // the server reads ahead
	close(work)
	for _, uri := range []string{"/first", "/second", "/third"} {
		rec.find(t, uri+" of Go", request(uri))
	}

	raw, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer raw.Close()
	served := make(chan error, 1)
	go func() {
		c, err := raw.Accept()
		if err == nil {
			defer c.Close()
			for i := 0; err == nil && i < 3; i++ {
				_, err = c.Read(make([]byte, 4096))
				if err == nil && i == 1 { // a head and a part of the next are read: the answer
					_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
		}
		served <- err
	}()
	c2, err := net.Dial("tcp4", raw.Addr().String())
	must(t, err)
	defer c2.Close()
	r := bufio.NewReader(c2)
	pieces(t, c2, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
	rec.find(t, "/one", request("/one")) // it was read
	pieces(t, c2, "GET /a-part-of-this-")
	res, err := http.ReadResponse(r, nil)
	must(t, err)
	res.Body.Close()
	pieces(t, c2, "is-late HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, <-served)
	rec.find(t, "the parted request", request("/a-part-of-this-is-late"))
}

func TestEmptyLinesBefore(t *testing.T) {
	got := httpEvents(t, data(dataRequest, true, "\r\n"), data(dataRequest, false, "\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n"))
	if len(got) != 1 || got[0].Request.Uri != "/x" {
		t.Errorf("%v", got)
	}
	_, rec := start(t, nil)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	must(t, err)
	pieces(t, c, "\r\n\r\nGET /blank HTTP/1.1\r\nHost: x\r\n\r\n")
	c.Close()
	rec.find(t, "request", request("/blank"))
}

// Line protocols are muted after a few records; a socket of HTTP never is.
func TestOtherProtocolsAreMuted(t *testing.T) {
	s, rec := start(t, nil)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	got := make(chan int)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(c)
		for range 200 {
			if _, err := r.ReadString('\n'); err != nil {
				break
			}
			_, _ = io.WriteString(c, "END of the answer to it\r\n")
			got <- 1
		}
		c.Close()
		close(got)
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	must(t, err)
	for range 200 {
		_, _ = io.WriteString(c, "get some-key-of-the-cache\r\n")
		<-got
		time.Sleep(time.Millisecond)
	}
	c.Close()
	e := rec.find(t, "close", func(e *event.Event) bool {
		return e.GetNetwork().GetOp() == event.NetworkActivity_CLOSE && e.GetNetwork().Inbound && ports(e.GetNetwork().Flow)[1] == port(l.Addr())
	})
	var on uint32
	if err := s.maps["muted"].Lookup(e.GetNetwork().Flow.Cookie, &on); err != nil {
		t.Errorf("the cache's socket is not muted: %v", err)
	}
	rec.none(t, "request", func(e *event.Event) bool {
		return e.GetHttp() != nil && e.GetHttp().Request.Flow.GetDstPort() == uint32(port(l.Addr()))
	})
}

// A FastCGI client that hides a whole request in the body of another.
func TestFastCGIBodyInventsNothing(t *testing.T) {
	_, rec := start(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	must(t, err)
	defer l.Close()
	read := make(chan bool)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 65536)
		for {
			if _, err := c.Read(b); err != nil {
				break
			}
			read <- true
		}
		close(read)
	}()
	c, err := net.Dial("unix", path)
	must(t, err)
	record := func(typ byte, content string) string {
		return string([]byte{1, typ, 0, 1, byte(len(content) >> 8), byte(len(content)), 0, 0}) + content
	}
	params := func(uri string) string {
		var b strings.Builder
		for _, kv := range [][2]string{{"REQUEST_METHOD", "POST"}, {"REQUEST_URI", uri}, {"SCRIPT_FILENAME", "/srv" + uri},
			{"REMOTE_ADDR", "192.0.2.7"}, {"REMOTE_PORT", "4711"}, {"SERVER_ADDR", "192.0.2.1"}, {"SERVER_PORT", "80"}} {
			b.WriteString(string([]byte{byte(len(kv[0])), byte(len(kv[1]))}) + kv[0] + kv[1])
		}
		return record(1, "\x00\x01\x00\x00\x00\x00\x00\x00") + record(4, b.String()) + record(4, "")
	}
	inner := params("/invented")
	for _, s := range []string{params("/true"), string([]byte{1, 5, 0, 1, byte(len(inner) >> 8), byte(len(inner)), 0, 0}), inner, record(5, "")} {
		_, _ = io.WriteString(c, s)
		<-read
	}
	e := rec.find(t, "request", request("/true"))
	if h := e.GetHttp(); h.Seen != event.HttpActivity_FASTCGI || h.Request.Flow.GetSrcPort() != 4711 || h.Script != "/srv/true" || h.Channel == 0 || e.Actor.Pid != uint32(os.Getpid()) {
		t.Errorf("%v", e)
	}
	c.Close()
	time.Sleep(50 * time.Millisecond)
	rec.none(t, "a request inside a body", request("/invented"))
}
