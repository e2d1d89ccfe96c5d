// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/spool"
)

func testLog() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return nil
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func authority(t testing.TB, tenants ...identity.Tenant) *identity.Authority {
	a, err := identity.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tenants {
		if err := a.AddTenant(name); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func hub(t testing.TB, auth *identity.Authority, cfg HubConfig) *Hub {
	if cfg.URL == "" && cfg.Server.Dir == "" {
		cfg.Server = ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: auth.ServerTLS(), MaxStore: 1 << 30}
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 256 << 20
	}
	cfg.Log = testLog()
	cfg.Server.Log = cfg.Log
	h, err := OpenHub(within(t), cfg, auth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// agent enrols a host and connects it: over TLS to url, or in process where it is "".
func agent(t testing.TB, auth *identity.Authority, h *Hub, url string, tenant identity.Tenant, host identity.Host) *Link {
	a, err := auth.NewAgent(tenant, host, "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PushTenant(within(t), tenant); err != nil {
		t.Fatal(err)
	}
	a.Bus = url
	cfg := LinkConfig{Agent: a, Log: testLog()}
	if url == "" {
		cfg.Server = h.Server()
	}
	l, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// spooling runs a spool and publishes from it.
func spooling(t testing.TB, l *Link, dir string, resend time.Duration) (*spool.Spool, *Publisher) {
	s, err := spool.Open(spool.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	precious, bulk := s.Reader(identity.Precious), s.Reader(identity.Bulk)
	p := l.NewPublisher(PublisherConfig{Precious: precious, Bulk: bulk, Trim: s.Trim, Resend: resend})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		precious.Close()
		bulk.Close()
	})
	return s, p
}

// sink consumes into memory: per host and class, the events with their ids.
type sink struct {
	mu     sync.Mutex
	events map[string][]string
	ids    map[string]int // how often each id came
	more   chan struct{}
}

func (s *sink) take(d *Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s/%s/%s", d.Tenant, d.Host, d.Class)
	for i, e := range d.Batch.Events {
		s.events[key] = append(s.events[key], string(e))
		s.ids[fmt.Sprintf("%s/%d/%d", key, d.Batch.Epoch, d.Batch.FirstSeq+uint64(i))]++
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// consuming takes all deliveries into a sink and acknowledges them.
func consuming(t testing.TB, h *Hub, cfg ConsumerConfig, also func(*Delivery)) (*sink, *Consumer) {
	c, err := h.NewConsumer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{events: map[string][]string{}, ids: map[string]int{}, more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx, func(d *Delivery) {
			s.take(d)
			d.Ack()
			if also != nil {
				also(d)
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s, c
}

// wait waits until want events of a key came and returns them.
func (s *sink) wait(t testing.TB, key string, want int) []string {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		s.mu.Lock()
		got := slices.Clone(s.events[key])
		s.mu.Unlock()
		if len(got) >= want {
			return got
		}
		select {
		case <-s.more:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: %d events of %d", key, len(got), want)
		}
	}
}

func (s *sink) noDoubles(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.ids {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func inOrder(t testing.TB, got []string, want int) {
	t.Helper()
	if len(got) != want {
		t.Fatalf("%d events, want %d", len(got), want)
	}
	for i, e := range got {
		if e != fmt.Sprint("event ", i) {
			t.Fatalf("event %d is %q", i, e)
		}
	}
}

func appendEvents(t testing.TB, s *spool.Spool, class identity.Class, from, to int) {
	for i := from; i < to; i++ {
		if _, n, err := s.Append(class, fmt.Append(nil, "event ", i)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestFromSpoolToStored walks the whole way, in process and over TLS: events of both
// classes in order, then the watermark back, which trims the spool.
func TestFromSpoolToStored(t *testing.T) {
	auth := authority(t, "acme")
	h := hub(t, auth, HubConfig{})
	got, c := consuming(t, h, ConsumerConfig{}, func(d *Delivery) {
		if err := h.PublishStored(context.Background(), d.Tenant, d.Host, d.Through); err != nil {
			t.Error(err)
		}
	})
	for name, url := range map[identity.Host]string{"inside": "", "outside": h.Server().URL()} {
		l := agent(t, auth, h, url, "acme", name)
		s, p := spooling(t, l, t.TempDir(), 0)
		appendEvents(t, s, identity.Precious, 0, 3000)
		appendEvents(t, s, identity.Bulk, 0, 2000)
		key := "acme/" + string(name) + "/"
		inOrder(t, got.wait(t, key+"precious", 3000), 3000)
		inOrder(t, got.wait(t, key+"bulk", 2000), 2000)
		for _, class := range identity.Classes {
			eventually(t, "spool trimmed", func() bool { return s.Stats(class).Waiting == 0 })
		}
		if st := p.Stats(); st.Events != 5000 || st.Again != 0 || st.Rewinds != 0 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	got.noDoubles(t)
	if st := c.Stats(); st.Events != 10000 || st.Doubles != 0 || st.Refused != 0 {
		t.Errorf("%+v", st)
	}
}

// TestWatermarkReachesAHostThatWasAway: only the last message waits for it.
func TestWatermarkReachesAHostThatWasAway(t *testing.T) {
	auth := authority(t, "acme")
	h := hub(t, auth, HubConfig{})
	dir := t.TempDir()
	s, err := spool.Open(spool.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	appendEvents(t, s, identity.Precious, 0, 10)
	appendEvents(t, s, identity.Bulk, 0, 20)
	p, b := s.Stats(identity.Precious), s.Stats(identity.Bulk)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.PublishStored(within(t), "acme", "h", identity.Position{Epoch: p.Epoch, Seq: 7})
	h.PublishStored(within(t), "acme", "h", identity.Position{Epoch: b.Epoch, Seq: 15})
	h.PublishStored(within(t), "acme", "h", identity.Position{Epoch: p.Epoch, Seq: 3}) // never back
	l := agent(t, auth, h, "", "acme", "h")
	s, _ = spooling(t, l, dir, 0)
	eventually(t, "watermarks arrive", func() bool {
		return s.Stats(identity.Precious).Waiting == 3 && s.Stats(identity.Bulk).Waiting == 5
	})
}

// TestBrokerRestart stops and starts the broker under load: nothing is lost, nothing
// doubled behind the consumer, and both ends find back by themselves.
func TestBrokerRestart(t *testing.T) {
	auth := authority(t, "acme")
	broker := ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: auth.ServerTLS(), MaxStore: 1 << 30}
	srv, err := StartServer(broker, auth)
	if err != nil {
		t.Fatal(err)
	}
	url := srv.URL()
	broker.Listen = url[len("tls://"):]
	h := hub(t, auth, HubConfig{URL: url, Pins: []identity.Pin{auth.Pin()}})
	got, _ := consuming(t, h, ConsumerConfig{}, nil)
	s, p := spooling(t, agent(t, auth, h, url, "acme", "h"), t.TempDir(), 0)
	const total = 20000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < total; i += 100 {
			appendEvents(t, s, identity.Precious, i, i+100)
			time.Sleep(8 * time.Millisecond)
		}
	}()
	for range 2 {
		time.Sleep(300 * time.Millisecond)
		srv.Close()
		time.Sleep(200 * time.Millisecond)
		if srv, err = StartServer(broker, auth); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { srv.Close() })
	<-done
	inOrder(t, got.wait(t, "acme/h/precious", total), total)
	got.noDoubles(t)
	t.Logf("%+v", p.Stats())
}

// TestBrokerThatForgets loses its streams: what was not stored is sent again, and what
// was delivered before is dropped.
func TestBrokerThatForgets(t *testing.T) {
	auth := authority(t, "acme")
	broker := ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: auth.ServerTLS(), MaxStore: 1 << 30}
	srv, err := StartServer(broker, auth)
	if err != nil {
		t.Fatal(err)
	}
	url := srv.URL()
	broker.Listen = url[len("tls://"):]
	h := hub(t, auth, HubConfig{URL: url, Pins: []identity.Pin{auth.Pin()}})
	l := agent(t, auth, h, url, "acme", "h")
	s, _ := spooling(t, l, t.TempDir(), 300*time.Millisecond)
	appendEvents(t, s, identity.Precious, 0, 100) // nobody consumes: they lie in the broker
	eventually(t, "published", func() bool {
		st, err := h.js.Stream(within(t), "EVENTS")
		return err == nil && st.CachedInfo().State.Msgs > 0
	})
	h.Close()
	srv.Close()
	os.RemoveAll(filepath.Join(broker.Dir, "jetstream"))
	if srv, err = StartServer(broker, auth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	h = hub(t, auth, HubConfig{URL: url, Pins: []identity.Pin{auth.Pin()}})
	got, _ := consuming(t, h, ConsumerConfig{}, func(d *Delivery) {
		h.PublishStored(context.Background(), d.Tenant, d.Host, d.Through)
	})
	appendEvents(t, s, identity.Precious, 100, 150)
	got.wait(t, "acme/h/precious", 150)
	eventually(t, "all stored", func() bool { return s.Stats(identity.Precious).Waiting == 0 })
	got.noDoubles(t)
}

// TestAnotherBrainTakesOver: two brains share a group; the one that works on a host's
// events goes away, and the other goes on where it stopped.
func TestAnotherBrainTakesOver(t *testing.T) {
	auth := authority(t, "acme")
	srv, err := StartServer(ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: auth.ServerTLS(), MaxStore: 1 << 30}, auth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	cfg := HubConfig{URL: srv.URL(), Pins: []identity.Pin{auth.Pin()}, Shared: true}
	var mu sync.Mutex
	var order []string // as delivered, over both brains
	worked := [2]int{}
	run := func(i int) (*Hub, func()) {
		h := hub(t, auth, cfg)
		c, err := h.NewConsumer(ConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Run(ctx, func(d *Delivery) {
				mu.Lock()
				for _, e := range d.Batch.Events {
					order = append(order, string(e))
				}
				worked[i] += len(d.Batch.Events)
				mu.Unlock()
				d.Ack()
			})
		}()
		return h, func() { cancel(); <-ended }
	}
	h0, stop0 := run(0)
	_, stop1 := run(1)
	stops := [2]func(){stop0, stop1}
	defer func() { stops[0](); stops[1]() }()
	s, _ := spooling(t, agent(t, auth, h0, srv.URL(), "acme", "h"), t.TempDir(), 0)
	seen := func() int { mu.Lock(); defer mu.Unlock(); return len(order) }
	for i := 0; i < 1000; i += 10 {
		appendEvents(t, s, identity.Precious, i, i+10)
		time.Sleep(time.Millisecond)
	}
	eventually(t, "the first thousand", func() bool { return seen() == 1000 })
	mu.Lock()
	owner := 0
	if worked[1] > 0 {
		owner = 1
	}
	if worked[1-owner] != 0 {
		t.Errorf("both worked: %v", worked)
	}
	mu.Unlock()
	stops[owner]()
	began := time.Now()
	for i := 1000; i < 2000; i += 10 {
		appendEvents(t, s, identity.Precious, i, i+10)
	}
	eventually(t, "the second thousand", func() bool { return seen() == 2000 })
	t.Logf("taken over in %v, worked %v", time.Since(began), worked)
	inOrder(t, order, 2000)
}
