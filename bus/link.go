// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// ackTimeout is how long to wait for the broker to take a message. A cluster that
// elects a new leader is silent for up to 5.5 s (platform.md §2).
const ackTimeout = 10 * time.Second

// LinkConfig says how an agent is on the bus.
type LinkConfig struct {
	Agent  *identity.Agent
	Server *Server // the embedded broker of this process; nil: Agent.Bus is the address
	Log    *slog.Logger
}

// Link is an agent's place on the bus. It outlives every absence of the broker. Safe
// for many goroutines.
type Link struct {
	agent *identity.Agent
	conn  *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
}

// Dial opens the link. It does not wait for the broker: an agent starts and spools
// without it.
func Dial(cfg LinkConfig) (*Link, error) {
	a := cfg.Agent
	e := endpoint{
		name: string(a.Tenant) + "/" + string(a.Host), url: a.Bus, pins: a.Pins,
		credentials: a.Credentials, inbox: identity.InboxPrefix(a.Host), log: cfg.Log, patient: true,
	}
	if cfg.Server != nil {
		e.inProcess = cfg.Server
	} else if a.Bus == "" {
		return nil, fmt.Errorf("agent %s/%s knows no bus address; join again, or run it with the brain", a.Tenant, a.Host)
	}
	conn, err := connect(e)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncTimeout(ackTimeout), jetstream.WithPublishAsyncMaxPending(4*maxWindow))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Link{agent: a, conn: conn, js: js, log: cfg.Log}, nil
}

// Connected tells whether the broker is there and lets us in.
func (l *Link) Connected() bool { return l.conn.IsConnected() }

// LastError is the last reason for not being connected, or nil.
func (l *Link) LastError() error { return l.conn.LastError() }

// Close leaves the bus. Publishers and watchers must have returned.
func (l *Link) Close() { l.conn.Close() }

// errNothing: nothing was ever published on a subject.
var errNothing = errors.New("nothing there")

// last asks for the last message of a subject.
func (l *Link) last(ctx context.Context, subject string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, identity.LastSubject(subject), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the last %s: %w", subject, err)
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return m.Data, nil
	case "404":
		return nil, fmt.Errorf("ask for the last %s: %w", subject, errNothing)
	default:
		return nil, fmt.Errorf("ask for the last %s: %s %s", subject, status, m.Header.Get("Description"))
	}
}

// relook is how often a watcher asks for the last message even when nothing seems
// wrong: a message that was dropped on the way is then late, not lost.
const relook = time.Minute

// watch calls handle with the last message of a subject, and with each that follows,
// until ctx ends. After every reconnect it asks again, so that what was said in our
// absence is heard. The same message may come twice.
func (l *Link) watch(ctx context.Context, subject string, handle func([]byte)) error {
	arrived := make(chan *nats.Msg, 64)
	sub, err := l.conn.ChanSubscribe(subject, arrived)
	if err != nil {
		return fmt.Errorf("listen to %s: %w", subject, err)
	}
	defer sub.Unsubscribe()
	back := l.conn.StatusChanged(nats.CONNECTED)
	defer l.conn.RemoveStatusListener(back)
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-arrived:
			handle(m.Data)
			continue
		case <-back:
		case <-wait.C:
		}
		next := relook
		data, err := l.last(ctx, subject)
		if err == nil {
			handle(data)
		} else if !errors.Is(err, errNothing) {
			next = 2 * time.Second
		}
		wait.Reset(next)
	}
}
