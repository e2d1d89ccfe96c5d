// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ringwall/ringwall/identity"
)

// deaf fails the test if anything arrives on a subject that l must not hear.
func deaf(t *testing.T, l *Link, subject string) {
	t.Helper()
	sub, err := l.conn.Subscribe(subject, func(m *nats.Msg) { t.Errorf("hears %s on %s", m.Subject, subject) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Unsubscribe() })
}

// TestRightsOfAnAgent tries, with three hosts of two tenants, what none may do.
func TestRightsOfAnAgent(t *testing.T) {
	ctx := within(t)
	auth := authority(t, "red", "blue")
	h := hub(t, auth, HubConfig{})
	url := h.Server().URL()
	a := agent(t, auth, h, url, "red", "a")
	b := agent(t, auth, h, "", "red", "b")
	c := agent(t, auth, h, url, "blue", "a") // same name, another tenant
	refused := make(chan error, 4)
	got, consumer := consuming(t, h, ConsumerConfig{Refused: func(t identity.Tenant, h identity.Host, err error) {
		refused <- fmt.Errorf("%s/%s: %w", t, h, err)
	}}, nil)

	// None hears what is another's, by any subject.
	for _, l := range []*Link{a, c} {
		for _, subject := range []string{">", "*.>", "orders.>", "orders.red.b", "stored.red.b", "orders.*.*", "bundle.red.db", "_INBOX.>", "_INBOX.b.>",
			"events.>", "$SYS.>", "$JS.>", "$JS.ACK.>", "events.red.precious.b"} {
			deaf(t, l, subject)
		}
	}
	deaf(t, c, "orders.red.a")
	deaf(t, c, "bundle.red.web")
	deaf(t, b, "stored.red.b") // its own, but nobody who may has said anything
	deaf(t, b, "bundle.red.web")

	// None reads another's last message, nor any other door of JetStream.
	if err := h.SendOrder(ctx, "red", "b", sign(t, auth, "red", "b", time.Minute), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Link{a, c} {
		for _, subject := range []string{
			identity.LastSubject("orders.red.b"), identity.LastSubject("stored.red.b"), identity.LastSubject("bundle.red.db"),
			"$JS.API.DIRECT.GET.STATE", "$JS.API.STREAM.MSG.GET.STATE", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.DELETE.STATE",
			"$JS.API.CONSUMER.CREATE.STATE", "$JS.API.INFO", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING",
		} {
			try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			if m, err := l.conn.RequestWithContext(try, subject, nil); err == nil {
				t.Errorf("%s/%s: %s answers %q", l.agent.Tenant, l.agent.Host, subject, m.Data)
			}
			cancel()
		}
	}

	// None publishes as another, nor orders, watermarks or bundles.
	batch, err := (&Batch{Epoch: 2, FirstSeq: 1, Events: [][]byte{[]byte("forged")}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Link{a, c} {
		for _, subject := range []string{"events.red.precious.b", "events.red.bulk.b", "events.blue.bulk.z", "events.3.red.bulk.b", "orders.red.b", "orders.red.a",
			"stored.red.b", "stored.red.a", "bundle.red.web", "bundle.blue.web", "bundle.red.web.1.0"} {
			l.conn.Publish(subject, batch)
		}
		l.conn.Flush()
	}
	if m, err := h.state.GetLastMsgForSubject(ctx, "orders.red.a"); err == nil {
		t.Errorf("an order from an agent: %q", m.Data)
	}
	for _, subject := range []string{"stored.red.b", "stored.red.a", "bundle.red.web", "bundle.blue.web"} {
		if m, err := h.state.GetLastMsgForSubject(ctx, subject); err == nil {
			t.Errorf("%s from an agent: %q", subject, m.Data)
		}
	}

	// What each may do still goes, and carries its own name, whatever the payload says.
	for i, l := range []*Link{a, b, c} {
		ok, err := (&Batch{Epoch: 2, FirstSeq: 1, Events: [][]byte{fmt.Append(nil, "event ", i, " says it is blue/z")}}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.js.Publish(ctx, identity.EventsSubject(l.agent.Tenant, identity.Precious, l.agent.Host), ok); err != nil {
			t.Fatalf("%s/%s cannot publish: %v", l.agent.Tenant, l.agent.Host, err)
		}
	}
	for i, key := range []string{"red/a/precious", "red/b/precious", "blue/a/precious"} {
		if e := got.wait(t, key, 1); len(e) != 1 || e[0] != fmt.Sprint("event ", i, " says it is blue/z") {
			t.Errorf("%s: %q", key, e)
		}
	}
	// A payload that is no batch, or of the other class, is refused and told of its sender.
	a.js.Publish(ctx, "events.red.bulk.a", []byte("junk"))
	c.js.Publish(ctx, "events.blue.bulk.a", batch)
	for range 2 {
		select {
		case err := <-refused:
			if !errors.Is(err, ErrBatch) {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Fatal("a bad payload is not told")
		}
	}
	if st := consumer.Stats(); st.Refused != 2 || st.Events != 3 {
		t.Errorf("%+v", st)
	}
}

func sign(t testing.TB, auth *identity.Authority, tenant identity.Tenant, host identity.Host, life time.Duration) []byte {
	raw, err := auth.Signer().Sign(identity.KindOrder, identity.Target{Tenant: tenant, Host: host}, time.Now(), life, []byte("isolate"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestOrders: those sent before the host came, those sent after, none twice, none
// expired; and a hostile broker's are refused.
func TestOrders(t *testing.T) {
	ctx := within(t)
	auth := authority(t, "red")
	h := hub(t, auth, HubConfig{})
	send := func(host identity.Host, raw []byte) {
		t.Helper()
		if err := h.SendOrder(ctx, "red", host, raw, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := sign(t, auth, "red", "a", time.Hour), sign(t, auth, "red", "a", time.Hour), sign(t, auth, "red", "a", time.Hour)
	gone := sign(t, auth, "red", "a", time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	for _, raw := range [][]byte{first, gone, second} {
		send("a", raw)
	}
	l := agent(t, auth, h, "", "red", "a")
	memory, err := identity.OpenNonces(filepath.Join(t.TempDir(), "nonces"))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	verifier := l.agent.Verifier(memory)
	type answer struct {
		raw []byte
		err error
	}
	got := make(chan answer, 16)
	lctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Orders(lctx, func(raw []byte) {
			_, err := verifier.Verify(identity.KindOrder, raw, time.Now())
			got <- answer{bytes.Clone(raw), err}
		})
	}()
	defer func() { cancel(); <-ended }()
	next := func(raw []byte, want error) {
		t.Helper()
		select {
		case a := <-got:
			if !bytes.Equal(a.raw, raw) || !errors.Is(a.err, want) {
				t.Errorf("got %v, want %v; same order %v", a.err, want, bytes.Equal(a.raw, raw))
			}
		case <-ctx.Done():
			t.Fatal("no order")
		}
	}
	next(first, nil)
	next(second, nil)
	send("a", third)
	next(third, nil)

	// The broker turns hostile: it plays another host's order, an unsigned and an old one.
	others, unsigned := sign(t, auth, "red", "b", time.Hour), third[:len(third)-64]
	hostile := func(orders ...[]byte) {
		var m []byte
		for _, o := range orders {
			m = append(append(m, 0, 0, byte(len(o)>>8), byte(len(o))), o...)
		}
		if _, err := h.js.Publish(ctx, "orders.red.a", m); err != nil {
			t.Fatal(err)
		}
	}
	hostile(others, unsigned, gone)
	next(others, identity.ErrWrongTarget)
	next(unsigned, identity.ErrUnsigned)
	next(gone, identity.ErrExpired)
	hostile(first)
	next(first, identity.ErrReplayed)
	hostile([]byte("junk"))
	next([]byte("junk"), identity.ErrMalformed)

	for i := range maxOrders + 1 {
		err := h.SendOrder(ctx, "red", "many", sign(t, auth, "red", "many", time.Hour), time.Now())
		if i < maxOrders && err != nil || i == maxOrders && !errors.Is(err, ErrTooManyOrders) {
			t.Fatalf("order %d: %v", i, err)
		}
	}
}

// TestRevocation cuts a connected host off and keeps it off, and no other.
func TestRevocation(t *testing.T) {
	ctx := within(t)
	auth := authority(t, "red")
	h := hub(t, auth, HubConfig{})
	bad, good := agent(t, auth, h, h.Server().URL(), "red", "bad"), agent(t, auth, h, "", "red", "good")
	publish := func(l *Link) error {
		b, _ := (&Batch{Epoch: 2, FirstSeq: 1, Events: [][]byte{[]byte("x")}}).Encode(nil)
		try, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := l.js.Publish(try, identity.EventsSubject("red", identity.Precious, l.agent.Host), b)
		return err
	}
	eventually(t, "both are in", func() bool { return publish(bad) == nil && publish(good) == nil })
	if err := h.Revoke(ctx, "red", "bad", time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "cut off", func() bool { return !bad.Connected() })
	for range 20 {
		if publish(bad) == nil {
			t.Fatal("a revoked host publishes")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := publish(good); err != nil {
		t.Errorf("the other host: %v", err)
	}
	again := agent(t, auth, h, h.Server().URL(), "red", "bad") // enrolled anew, with a new key
	eventually(t, "back with a new key", func() bool { return publish(again) == nil })
	if publish(bad) == nil {
		t.Error("the old key works again")
	}
}

func TestStrangersStayOut(t *testing.T) {
	auth, foreign := authority(t, "red"), authority(t, "red")
	h := hub(t, auth, HubConfig{})
	stranger, err := foreign.NewAgent("red", "a", "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stranger.Bus = h.Server().URL()
	stranger.Pins = []identity.Pin{auth.Pin()}
	if _, err := connect(endpoint{name: "stranger", url: stranger.Bus, pins: stranger.Pins, credentials: stranger.Credentials}); !errors.Is(err, ErrRefused) {
		t.Errorf("an agent of another operator: %v", err)
	}
	known, err := auth.NewAgent("red", "a", "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(endpoint{name: "a", url: stranger.Bus, pins: []identity.Pin{foreign.Pin()}, credentials: known.Credentials}); !errors.Is(err, identity.ErrPin) {
		t.Errorf("a broker with another certificate: %v", err)
	}
}

// TestBundles: of one piece and of many, the current one first, then the next.
func TestBundles(t *testing.T) {
	ctx := within(t)
	auth := authority(t, "red", "blue")
	h := hub(t, auth, HubConfig{})
	small, large := []byte("bundle one"), make([]byte, 3*pieceBytes+17)
	rand.Read(large)
	if err := h.PublishBundle(ctx, "red", "web", 1, small); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 4)
	for _, l := range []*Link{agent(t, auth, h, h.Server().URL(), "red", "a"), agent(t, auth, h, "", "blue", "a")} {
		lctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); l.Bundles(lctx, func(raw []byte) bool { got <- raw; return true }) }()
		t.Cleanup(func() { cancel(); <-ended })
	}
	for version, want := range [][]byte{1: small, 2: large} {
		if version == 0 {
			continue
		}
		if version == 2 {
			if err := h.PublishBundle(ctx, "red", "web", 2, large); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case raw := <-got:
			if !bytes.Equal(raw, want) {
				t.Fatalf("version %d: %d bytes, want %d", version, len(raw), len(want))
			}
		case <-ctx.Done():
			t.Fatal("no bundle")
		}
	}
	if _, err := h.state.GetLastMsgForSubject(ctx, "bundle.red.web.1.0"); err == nil {
		t.Error("pieces of the bundle before are still there")
	}
	select {
	case raw := <-got:
		t.Fatalf("one bundle too many: %d bytes", len(raw))
	case <-time.After(100 * time.Millisecond):
	}
}
