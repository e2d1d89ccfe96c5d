// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// HubConfig says how the brain is on the bus.
type HubConfig struct {
	// URL of an external broker whose operator is the Authority's; empty: one is
	// embedded, as Server says. Nothing else differs.
	URL    string
	Pins   []identity.Pin // of the external broker's certificate; empty: the system's authorities
	Server ServerConfig

	Groups     []string      // consumer groups; what all have acknowledged is deleted. Default: brain
	Shared     bool          // several brains work for the same groups; all of them must say so
	Partitions int           // of EVENTS, by host; fixed when the stream is made. Default 8
	Replicas   int           // of the streams on a cluster. Default 1
	MaxBytes   int64         // of EVENTS, reserved on disk; default 64 GiB, or what fits
	MaxAge     time.Duration // of EVENTS; default 7 days
	Log        *slog.Logger
}

// Hub is the brain's place on the bus. Safe for many goroutines.
type Hub struct {
	cfg        HubConfig
	auth       *identity.Authority
	server     *Server // nil with an external broker
	system     *nats.Conn
	conn       *nats.Conn
	js         jetstream.JetStream
	state      jetstream.Stream
	partitions int

	mu     sync.Mutex // guards stored
	stored map[hostKey][]identity.Position
}

type hostKey struct {
	tenant identity.Tenant
	host   identity.Host
}

// OpenHub starts the embedded broker unless cfg.URL names another, pushes all accounts
// to it, and makes the streams and the groups' consumers.
func OpenHub(ctx context.Context, cfg HubConfig, auth *identity.Authority) (*Hub, error) {
	if len(cfg.Groups) == 0 {
		cfg.Groups = []string{"brain"}
	}
	h := &Hub{cfg: cfg, auth: auth, stored: make(map[hostKey][]identity.Position)}
	if err := h.open(ctx); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Hub) open(ctx context.Context) error {
	at := endpoint{url: h.cfg.URL, pins: h.cfg.Pins, log: h.cfg.Log}
	if h.cfg.URL == "" {
		server, err := StartServer(h.cfg.Server, h.auth)
		if err != nil {
			return err
		}
		h.server, at.inProcess = server, server
	}
	var err error
	if at.credentials, err = h.auth.SystemUser(); err != nil {
		return err
	}
	at.name = "pusher"
	if h.system, err = connect(at); err != nil {
		return err
	}
	accounts, err := h.auth.Accounts()
	if err != nil {
		return err
	}
	for _, account := range accounts {
		if err := h.push(ctx, account); err != nil {
			return err
		}
	}
	if at.credentials, err = h.auth.BrainUser(); err != nil {
		return err
	}
	at.name = "brain"
	if h.conn, err = connect(at); err != nil {
		return err
	}
	if h.js, err = jetstream.New(h.conn, jetstream.WithPublishAsyncTimeout(ackTimeout), jetstream.WithPublishAsyncErrHandler(h.lostAck)); err != nil {
		return err
	}
	return h.makeStreams(ctx)
}

// push tells the broker of an account. A server that holds connections of it applies
// the change at once: users revoked in it are cut off.
func (h *Hub) push(ctx context.Context, account string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := h.system.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(account))
	if err != nil {
		return fmt.Errorf("push account to broker: %w; does it run with our operator and a full resolver?", err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("push account to broker: unreadable answer: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("push account to broker: %w: %s", ErrRefused, answer.Error.Description)
	}
	return nil
}

// PushTenant tells the broker of a tenant that was made, or in which a host was
// enrolled anew or revoked. When it returns a revoked host is off the bus.
func (h *Hub) PushTenant(ctx context.Context, t identity.Tenant) error {
	account, err := h.auth.AccountJWT(t)
	if err != nil {
		return err
	}
	return h.push(ctx, account)
}

// Revoke ends a host's rights and cuts it off. Its orders and watermark go with it.
func (h *Hub) Revoke(ctx context.Context, t identity.Tenant, host identity.Host, now time.Time) error {
	if err := h.auth.Revoke(t, host, now); err != nil {
		return err
	}
	return errors.Join(h.PushTenant(ctx, t),
		h.state.Purge(ctx, jetstream.WithPurgeSubject(identity.OrdersSubject(t, host))))
}

// tendEvery is how often the embedded broker is looked after.
const tendEvery = 2 * time.Second

// Tend looks after the broker until ctx ends: told hears why nothing is stored there, and
// nil when it is again. An embedded one is begun anew as soon as there is room on the
// disk, because it does not recover by itself; an external one has its own keepers.
func (h *Hub) Tend(ctx context.Context, told func(error)) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for bad := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := h.fault(bad)
		if err != nil || bad {
			told(err)
		}
		bad = err != nil
	}
}

// fault is what is wrong with the broker now; mend says that it was wrong before.
func (h *Hub) fault(mend bool) error {
	if h.server == nil {
		if h.conn.IsConnected() {
			return nil
		}
		return fmt.Errorf("the broker at %s is away (%w)", h.cfg.URL, cmp.Or(h.conn.LastError(), nats.ErrDisconnected))
	}
	err := h.server.Fault()
	if err != nil && mend && h.server.roomy() {
		if rerr := h.server.Restart(); rerr != nil {
			return errors.Join(err, rerr)
		}
		err = h.server.Fault()
	}
	if err != nil {
		err = fmt.Errorf("%w; it is begun anew when there is room", err)
	}
	return err
}

// Server is the embedded broker, for an agent in this process. It is nil with an
// external one.
func (h *Hub) Server() *Server { return h.server }

// Address is the broker's URL that agents are told, and the pins of its certificate; the
// URL is empty where it serves this process only.
func (h *Hub) Address() (url string, pins []identity.Pin) {
	if h.server != nil {
		return h.server.URL(), []identity.Pin{h.auth.Pin()}
	}
	return h.cfg.URL, h.cfg.Pins
}

func (h *Hub) lostAck(_ jetstream.JetStream, m *nats.Msg, err error) {
	if h.cfg.Log != nil {
		h.cfg.Log.Warn("bus: message not taken", "subject", m.Subject, "error", err)
	}
}

// Close leaves the bus and stops the embedded broker. Consumers must have returned.
func (h *Hub) Close() {
	for _, c := range []*nats.Conn{h.conn, h.system} {
		if c != nil {
			c.Close()
		}
	}
	if h.server != nil {
		h.server.Close()
	}
}
