// SPDX-License-Identifier: Apache-2.0

// Package bus carries events from agents to the brain, and orders, bundles and
// watermarks back, over NATS JetStream: embedded in this process by default, an
// external cluster when HubConfig.URL names one, with the same code either way.
//
// In go batches of opaque events read from a spool; out come Deliveries whose tenant,
// host and class are taken from the authenticated subject. What a payload says of
// itself is for the brain to compare with that.
//
// It believes the broker for transport and for nothing else: a broker's ack is not
// storage. The agent trims its spool only behind the watermark that the archive
// states, and sends again what stays unstored, so a broker that forgets loses nothing;
// doubles are dropped by event id.
//
// Worst trap: a stream with interest retention drops at once what no consumer group
// wants. OpenHub makes the groups' consumers before it returns; agents connect after.
package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ringwall/ringwall/identity"
)

// ErrRefused is wrapped when the broker does not let this user in, or do a thing.
var ErrRefused = errors.New("refused by the broker")

// endpoint is where and as whom to connect.
type endpoint struct {
	name        string
	url         string                     // empty: inProcess
	inProcess   nats.InProcessConnProvider // nil: url
	pins        []identity.Pin             // empty: the system's authorities, where the URL says tls://
	credentials identity.Credentials
	inbox       string
	log         *slog.Logger
	patient     bool // keep trying when the broker is not there yet
}

// connect opens a connection that never gives up once open: not on a broker that is
// away, nor on one that refuses for now because it has not been told of us yet.
func connect(e endpoint) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("ringwall " + e.name),
		nats.UserJWT(func() (string, error) { return e.credentials.JWT, nil }, e.credentials.Sign),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(n int) time.Duration { return min(time.Duration(n)*100*time.Millisecond, 2*time.Second) }),
		nats.RetryOnFailedConnect(e.patient),
		// Without a buffer a publish fails at once while the broker is away, and the spool
		// sends it again in order; with one it would be sent behind our back, twice.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(3),
		nats.Timeout(5 * time.Second),
	}
	if e.inbox != "" {
		options = append(options, nats.CustomInboxPrefix(e.inbox))
	}
	if e.inProcess != nil {
		options = append(options, nats.InProcessServer(e.inProcess))
	} else if len(e.pins) > 0 {
		options = append(options, nats.Secure(identity.PinnedTLS(e.pins...)))
	}
	if e.log != nil {
		options = append(options,
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil { // nil: we closed it
					e.log.Warn("bus lost", "as", e.name, "error", err)
				}
			}),
			nats.ReconnectHandler(func(c *nats.Conn) { e.log.Info("bus back", "as", e.name, "broker", c.ConnectedUrlRedacted()) }),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { e.log.Warn("bus", "as", e.name, "error", err) }))
	} else {
		options = append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	}
	conn, err := nats.Connect(e.url, options...)
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAuthExpired) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect %s to the bus at %q: %w", e.name, e.url, err)
	}
	return conn, nil
}
