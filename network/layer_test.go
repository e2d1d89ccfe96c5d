// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/network/fingerprint"
	"github.com/ringwall/ringwall/verdict"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

var seq uint64

// request is a telling of one request of client 192.0.2.7:port.
func request(seen event.HttpActivity_Seen, port uint16, ordinal uint32, method, uri string) *event.Event {
	seq++
	a := &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: seen, Ordinal: ordinal, UserAgent: firefox,
		Request: &entity.Request{Method: method, Uri: uri, Host: "web.example",
			Flow: entity.NewFlow(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port), netip.MustParseAddrPort("192.0.2.1:80"), 6)}}
	if seen != event.HttpActivity_FASTCGI {
		a.Headers = []*event.Header{{Name: "Host", Value: "web.example"}, {Name: "User-Agent", Value: firefox}, {Name: "Accept", Value: "*/*"}}
	}
	return &event.Event{Tenant: "t", Host: "web", Epoch: 1, Seq: seq, WallNs: int64(time.Hour) + int64(seq), Payload: &event.Event_Http{Http: a}}
}

func withUpload(ev *event.Event, name string) *event.Event {
	ev.GetHttp().Uploads = []*event.Upload{{Field: "note", Filename: name, Size: 90, ContentType: "image/png"}}
	return ev
}

func newLayer(t testing.TB, cfg Config, opt Options) *Layer {
	t.Helper()
	l, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const attack = "/run.php?c=cat%20/etc/passwd"

// TestOnce: a request that several sensors tell of is judged once, and again when a
// telling holds more.
func TestOnce(t *testing.T) {
	l := newLayer(t, Config{}, Options{})
	ctx := context.Background()
	got := func(ev *event.Event) string {
		f := l.Judge(ctx, ev)
		if f == nil {
			return "-"
		}
		return f.Rule
	}
	for _, c := range []struct {
		what string
		ev   *event.Event
		want string
	}{
		{"socket", request(event.HttpActivity_SOCKET, 4001, 0, "GET", attack), "crs-930120"},
		{"the same at the worker", request(event.HttpActivity_FASTCGI, 4001, 7, "GET", attack), "-"},
		{"the same on the wire", request(event.HttpActivity_WIRE, 4001, 0, "GET", attack), "-"},
		{"again on the same connection", request(event.HttpActivity_SOCKET, 4001, 1, "GET", attack), "crs-930120"},
		{"the same at the worker", request(event.HttpActivity_FASTCGI, 4001, 8, "GET", attack), "-"},
		{"another connection", request(event.HttpActivity_SOCKET, 4002, 0, "GET", attack), "crs-930120"},
		{"worker first, without headers", request(event.HttpActivity_FASTCGI, 4003, 9, "GET", attack), "crs-930120"},
		{"socket with headers: judged again, nothing new", request(event.HttpActivity_SOCKET, 4003, 0, "GET", attack), "-"},
		{"head of an upload", request(event.HttpActivity_SOCKET, 4004, 0, "POST", "/add.php"), "-"},
		{"its body", withUpload(request(event.HttpActivity_SOCKET, 4004, 0, "POST", "/add.php"), "run.php"), "crs-933110"},
		{"its body on the wire", withUpload(request(event.HttpActivity_WIRE, 4004, 0, "POST", "/add.php"), "run.php"), "-"},
		{"an ordinary upload", withUpload(request(event.HttpActivity_SOCKET, 4005, 0, "POST", "/add.php"), "note.txt"), "-"},
		{"a line of the log", request(event.HttpActivity_LOG, 4006, 0, "GET", attack), "-"},
	} {
		if g := got(c.ev); g != c.want {
			t.Errorf("%s: got %s, want %s", c.what, g, c.want)
		}
	}
	s := l.Stats()
	if s.Seen != 12 || s.Repeated != 4 || s.Judged != 8 || s.Failed != 0 {
		t.Errorf("counters %+v", s)
	}
}

// TestFindingForm: what decide, graph and doors rely on.
func TestFindingForm(t *testing.T) {
	l := newLayer(t, Config{}, Options{})
	ev := request(event.HttpActivity_SOCKET, 4001, 0, "GET", attack)
	f := l.Judge(context.Background(), ev)
	if f.Layer != "network" || f.Stage != "application" || f.Black() || f.Score <= 0 || f.Score >= 0.9 || f.Id == "" || f.Host != "web" {
		t.Errorf("finding %v", f)
	}
	if len(f.Subjects) != 2 || f.Subjects[0].Kind != entity.Kind_REQUEST || f.Subjects[0].Request.Uri != attack ||
		f.Subjects[1].Kind != entity.Kind_ADDRESS || f.Subjects[1].Role != "source" || f.Subjects[1].Text != "192.0.2.7" {
		t.Errorf("subjects %v", f.Subjects)
	}
	if len(f.Events) != 1 || f.Events[0].Seq != ev.Seq || f.RuleVersion == "" {
		t.Errorf("events %v, rules %q", f.Events, f.RuleVersion)
	}
	// Rules on one request are one witness.
	odds, kept := verdict.Join(0, f.Evidence)
	if len(kept) != 1 || float64(odds) != f.Evidence[0].Weight {
		t.Errorf("evidence joins to %v by %v", odds, kept)
	}
}

// TestRun: what See queues is judged, and ordinary requests never get that far.
func TestRun(t *testing.T) {
	found := make(chan *verdict.Finding, 8)
	l := newLayer(t, Config{}, Options{Found: func(f *verdict.Finding) { found <- f }})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	l.See(request(event.HttpActivity_SOCKET, 1, 0, "GET", "/index.php"))
	l.See(request(event.HttpActivity_SOCKET, 1, 1, "GET", attack))
	select {
	case f := <-found:
		if f.Subjects[0].Request.Uri != attack {
			t.Errorf("found %v", f)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing found")
	}
	stop()
	running.Wait()
	c := l.Counts()
	if c[0].Stage != "ordinary" || c[0].In != 2 || c[0].White != 1 || c[2].Stage != "application" || c[2].In != 1 {
		t.Errorf("counts %+v", c)
	}
}

// TestFull: a full queue drops, counts and tells; one address cannot take all places.
func TestFull(t *testing.T) {
	board := health.NewBoard()
	l := newLayer(t, Config{Queue: 8}, Options{Board: board})
	for i := range 10 {
		l.See(request(event.HttpActivity_SOCKET, uint16(100+i), 0, "GET", attack))
	}
	if s := l.Stats(); s.Waiting != 2 || s.Dropped != 8 {
		t.Errorf("one address: %+v", s)
	}
	for i := range 10 {
		ev := request(event.HttpActivity_SOCKET, 9, 0, "GET", attack)
		ev.GetHttp().Request.Flow.SrcIp = []byte{198, 51, 100, byte(i)}
		l.See(ev)
	}
	if s := l.Stats(); s.Waiting != 8 || s.Dropped != 12 {
		t.Errorf("many addresses: %+v", s)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	for range 100 {
		if board.LossTotals()["network.application/request"] == 12 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	running.Wait()
	if n := board.LossTotals()["network.application/request"]; n != 12 {
		t.Errorf("the board was told of %d drops", n)
	}
}

// TestQuiet: one address tells a bounded number of findings a minute.
func TestQuiet(t *testing.T) {
	l := newLayer(t, Config{PerSource: 3}, Options{})
	n := 0
	for i := range 5 {
		if l.Judge(context.Background(), request(event.HttpActivity_SOCKET, uint16(i), 0, "GET", attack)) != nil {
			n++
		}
	}
	later := request(event.HttpActivity_SOCKET, 99, 0, "GET", attack)
	later.WallNs += int64(time.Minute)
	if n != 3 || l.Stats().Quieted != 2 || l.Judge(context.Background(), later) == nil {
		t.Errorf("%d findings, %+v", n, l.Stats())
	}
}

// TestRulesOff: without rules hellos are still judged and the board says why.
func TestRulesOff(t *testing.T) {
	board := health.NewBoard()
	cfg := Config{}
	cfg.Application.Rules = "/nonexistent/rules"
	l := newLayer(t, cfg, Options{Board: board, Intel: func(kind, value string, _ time.Time) (fingerprint.Known, bool) {
		return fingerprint.Known{Label: "tool", Malicious: true, Source: "list"}, kind == "fingerprint" && strings.HasPrefix(value, "ja4:")
	}})
	c := board.Components()
	if len(c) != 2 || c[0].State != "off" || !strings.Contains(c[0].Reason, "/nonexistent/rules") {
		t.Errorf("board %+v", c)
	}
	if l.Judge(context.Background(), request(event.HttpActivity_SOCKET, 1, 0, "GET", attack)) != nil || l.Reload() != nil {
		t.Error("a stage that is off judged")
	}
	f := l.Judge(context.Background(), &event.Event{Host: "web", Payload: &event.Event_Tls{Tls: &event.TlsActivity{Ja4: "t13d190900_9dc949149365_97f8aa674fd9"}}})
	if f == nil || f.Stage != "fingerprint" || f.Black() {
		t.Errorf("hello: %v", f)
	}
}

func TestConfig(t *testing.T) {
	bad := Config{Queue: -1, CPU: 7, PerSource: -1}
	bad.Application.Paranoia, bad.Application.Rules, bad.Fingerprint.Files = 9, "rules", "names"
	err := bad.Validate()
	for _, want := range []string{"network.queue", "network.cpu", "network.per_source", "paranoia", "network.application.rules", "network.fingerprint.files"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
}

// FuzzSee: whatever a sensor tells, the layer stands.
func FuzzSee(f *testing.F) {
	l := newLayer(f, Config{}, Options{})
	for _, ev := range []*event.Event{
		request(event.HttpActivity_SOCKET, 1, 0, "GET", attack),
		withUpload(request(event.HttpActivity_SOCKET, 1, 0, "POST", "/add.php?x=‹h:001122334455›&y=%zz&&=&a"), "a\x00.php"),
		{Payload: &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: 99}}},
		{Payload: &event.Event_Tls{Tls: &event.TlsActivity{Ja3: "x"}}},
		{Payload: &event.Event_Ssh{}},
	} {
		b, err := ev.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ev := &event.Event{}
		if ev.UnmarshalVT(b) != nil {
			return
		}
		if g := l.Judge(context.Background(), ev); g != nil && (g.Black() || g.Id == "" || len(g.Evidence) == 0) {
			t.Fatalf("finding %v", g)
		}
		if e := l.fault.Load(); e != nil {
			t.Fatal(*e)
		}
	})
}

func BenchmarkSeeWhite(b *testing.B) {
	l := newLayer(b, Config{}, Options{})
	evs := make([]*event.Event, 4096)
	for i := range evs {
		evs[i] = request(event.HttpActivity_SOCKET, uint16(i), 0, "GET", fmt.Sprintf("/page-%d.html", i%50))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev := evs[i%len(evs)]
		ev.GetHttp().Ordinal++ // a new request each time
		l.See(ev)
	}
	if n := l.Stats().Dropped; n > 0 {
		b.Fatal("not white")
	}
}

func BenchmarkJudgeGrey(b *testing.B) {
	l := newLayer(b, Config{}, Options{})
	ev := request(event.HttpActivity_SOCKET, 1, 0, "GET", "/notes.php?q=o%27brien")
	b.ReportAllocs()
	for b.Loop() {
		ev.GetHttp().Ordinal++
		l.Judge(context.Background(), ev)
	}
}
