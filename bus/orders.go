// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// A host's orders subject holds one message: all its orders that have not expired, each
// behind its length (4 bytes, big-endian). So a host that was away gets all of them,
// and nothing has to remember what it got.
const (
	maxOrders      = 512 // live for an hour each; the bytes usually bound them first
	maxOrdersBytes = 768 << 10
)

// ErrTooManyOrders is wrapped when a host has as many live orders as a message holds.
var ErrTooManyOrders = errors.New("too many live orders for one host")

// SendOrder adds a signed order to those of its host and publishes them. It returns
// when the broker has it, which says nothing of the host: what it did comes as events.
func (h *Hub) SendOrder(ctx context.Context, t identity.Tenant, host identity.Host, signed []byte, now time.Time) error {
	subject := identity.OrdersSubject(t, host)
	for try := 0; ; try++ {
		var have []byte
		var seq uint64
		m, err := h.state.GetLastMsgForSubject(ctx, subject)
		switch {
		case err == nil:
			have, seq = m.Data, m.Sequence
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return fmt.Errorf("send order to %s/%s: read those before: %w", t, host, err)
		}
		var message []byte
		n := 0
		for _, order := range append(splitOrders(have), signed) {
			if _, expires, err := identity.Validity(order); err != nil || !now.Before(expires) {
				continue
			}
			message = append(binary.BigEndian.AppendUint32(message, uint32(len(order))), order...)
			n++
		}
		if n > maxOrders || len(message) > maxOrdersBytes {
			return fmt.Errorf("send order to %s/%s: %w (%d, %d bytes)", t, host, ErrTooManyOrders, n, len(message))
		}
		_, err = h.js.Publish(ctx, subject, message, jetstream.WithExpectLastSequencePerSubject(seq))
		if err == nil {
			return nil
		}
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence && try < 16 {
			continue // another brain was faster: put ours beside its order
		}
		return fmt.Errorf("send order to %s/%s: %w", t, host, err)
	}
}

// splitOrders takes a message apart; what does not parse ends it.
func splitOrders(data []byte) (orders [][]byte) {
	for len(data) >= 4 && len(orders) < maxOrders {
		n := binary.BigEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			break
		}
		orders = append(orders, data[4:4+n:4+n])
		data = data[4+n:]
	}
	return orders
}

// Orders calls handle with each order for this host, until ctx ends. They come as the
// broker gives them: pass them to an identity.Verifier before anything else. An order
// comes once per life of the Link's process, unless the broker plays tricks; after a
// restart live orders come again, and the Verifier answers ErrReplayed.
func (l *Link) Orders(ctx context.Context, handle func(signed []byte)) error {
	given := map[[sha256.Size]byte]bool{} // those of the last message; no more than maxOrders
	return l.watch(ctx, identity.OrdersSubject(l.agent.Tenant, l.agent.Host), func(data []byte) {
		now := map[[sha256.Size]byte]bool{}
		for _, order := range splitOrders(data) {
			sum := sha256.Sum256(order)
			if !given[sum] && !now[sum] {
				handle(order)
			}
			now[sum] = true
		}
		given = now
	})
}
