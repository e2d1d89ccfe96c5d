// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// maxStored is how many epochs of a host a watermark message names: the latest ones.
// A spool that still holds older ones keeps them until they are sent and stored again.
const maxStored = 16

type storedMessage struct {
	Stored []identity.Position `json:"stored"`
}

func decodeStored(data []byte) ([]identity.Position, error) {
	var m storedMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("watermark %.100q: %w", data, err)
	}
	if len(m.Stored) > maxStored {
		m.Stored = m.Stored[:maxStored]
	}
	return m.Stored, nil
}

// PublishStored tells a host that everything up to each position is stored, archive
// manifest and all: it will delete it. The message names the host's other epochs too,
// because only the last message reaches a host that was away.
func (h *Hub) PublishStored(ctx context.Context, t identity.Tenant, host identity.Host, positions ...identity.Position) error {
	subject := identity.StoredSubject(t, host)
	key := hostKey{t, host}
	h.mu.Lock()
	defer h.mu.Unlock() // held while publishing: an older watermark must not come last
	known, have := h.stored[key]
	if !have {
		m, err := h.state.GetLastMsgForSubject(ctx, subject)
		switch {
		case err == nil:
			if known, err = decodeStored(m.Data); err != nil {
				known = nil // ours to replace
			}
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return fmt.Errorf("read last watermark of %s/%s: %w", t, host, err)
		}
	}
	known = mergeStored(known, positions)
	data, err := json.Marshal(storedMessage{known})
	if err != nil {
		return err
	}
	if _, err := h.js.PublishAsync(subject, data); err != nil {
		return fmt.Errorf("publish watermark of %s/%s: %w", t, host, err)
	}
	if len(h.stored) >= maxSources {
		clear(h.stored) // they are read back from the stream
	}
	h.stored[key] = known
	return nil
}

// mergeStored keeps the highest sequence of each of the latest epochs.
func mergeStored(known, positions []identity.Position) []identity.Position {
	known = slices.Clone(known)
	for _, p := range positions {
		i := slices.IndexFunc(known, func(k identity.Position) bool { return k.Epoch == p.Epoch })
		if i < 0 {
			known = append(known, p)
		} else {
			known[i].Seq = max(known[i].Seq, p.Seq)
		}
	}
	slices.SortFunc(known, func(a, b identity.Position) int {
		if a.Epoch > b.Epoch {
			return -1
		}
		return 1
	})
	return known[:min(len(known), maxStored)]
}
