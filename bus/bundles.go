// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

// A bundle goes in pieces on bundle.<tenant>.<group>.<version>.<n>, and then one
// message on bundle.<tenant>.<group> says where they lie. That message proves nothing:
// the bundle's own signature does.
const (
	pieceBytes = 512 << 10
	// MaxBundle bounds what an agent fetches: models are the large part.
	MaxBundle = 256 << 20
)

type announcement struct {
	Version uint64 `json:"version"`
	Size    int    `json:"size"`
	SHA256  string `json:"sha256"`
}

func piece(subject string, version uint64, n int) string {
	return fmt.Sprintf("%s.%d.%d", subject, version, n)
}

// PublishBundle gives a group its bundle. The pieces of the one before are deleted: a
// host that was just fetching it is told of the new one.
func (h *Hub) PublishBundle(ctx context.Context, t identity.Tenant, g identity.Group, version uint64, raw []byte) error {
	subject := identity.BundleSubject(t, g)
	fail := func(err error) error { return fmt.Errorf("publish bundle %s/%s version %d: %w", t, g, version, err) }
	if len(raw) == 0 || len(raw) > MaxBundle {
		return fail(fmt.Errorf("%d bytes; want 1 to %d", len(raw), MaxBundle))
	}
	for n := 0; n*pieceBytes < len(raw); n++ {
		part := raw[n*pieceBytes : min((n+1)*pieceBytes, len(raw))]
		if _, err := h.js.Publish(ctx, piece(subject, version, n), part); err != nil {
			return fail(err)
		}
	}
	before, err := h.announced(ctx, subject)
	if err != nil {
		return fail(err)
	}
	sum := sha256.Sum256(raw)
	data, err := json.Marshal(announcement{version, len(raw), hex.EncodeToString(sum[:])})
	if err != nil {
		return fail(err)
	}
	if _, err := h.js.Publish(ctx, subject, data); err != nil {
		return fail(err)
	}
	if before.Version != 0 && before.Version != version {
		if err := h.state.Purge(ctx, jetstream.WithPurgeSubject(fmt.Sprintf("%s.%d.*", subject, before.Version))); err != nil {
			return fail(fmt.Errorf("delete version %d: %w", before.Version, err))
		}
	}
	return nil
}

// announced reads what is announced to a group; the zero announcement where nothing is, or
// nothing readable.
func (h *Hub) announced(ctx context.Context, subject string) (a announcement, err error) {
	m, err := h.state.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return a, nil
	}
	if err == nil && json.Unmarshal(m.Data, &a) != nil {
		a = announcement{}
	}
	return a, err
}

// BundleVersion is the version that the broker holds for a group, 0 for none. It proves
// nothing.
func (h *Hub) BundleVersion(ctx context.Context, t identity.Tenant, g identity.Group) (uint64, error) {
	a, err := h.announced(ctx, identity.BundleSubject(t, g))
	if err != nil {
		return 0, fmt.Errorf("look for the bundle of %s/%s: %w", t, g, err)
	}
	return a.Version, nil
}

// Bundle reads back what the broker holds for a group, nil for nothing; it is not verified.
func (h *Hub) Bundle(ctx context.Context, t identity.Tenant, g identity.Group) ([]byte, error) {
	subject := identity.BundleSubject(t, g)
	a, err := h.announced(ctx, subject)
	if err != nil || a.Version == 0 || a.Size <= 0 || a.Size > MaxBundle {
		return nil, err
	}
	return gather(a, func(n int) ([]byte, error) {
		m, err := h.state.GetLastMsgForSubject(ctx, piece(subject, a.Version, n))
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	})
}

// Bundles calls handle with each bundle of this host's group, whole but not verified,
// until ctx ends; the current one first. raw is handle's own. One that handle could not
// settle, because a disk is full, is given again within relook.
func (l *Link) Bundles(ctx context.Context, handle func(raw []byte) (settled bool)) error {
	subject := identity.BundleSubject(l.agent.Tenant, l.agent.Group)
	given := ""
	return l.watch(ctx, subject, func(data []byte) {
		var a announcement
		if err := json.Unmarshal(data, &a); err != nil || a.Size <= 0 || a.Size > MaxBundle {
			l.warn("unreadable bundle announcement", fmt.Errorf("%.200q", data))
			return
		}
		if a.SHA256 == given {
			return
		}
		raw, err := l.fetch(ctx, subject, a)
		if err != nil {
			l.warn("cannot fetch bundle", err) // the watcher asks again within relook
			return
		}
		if handle(raw) {
			given = a.SHA256
		}
	})
}

func (l *Link) fetch(ctx context.Context, subject string, a announcement) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return gather(a, func(n int) ([]byte, error) { return l.last(ctx, piece(subject, a.Version, n)) })
}

// gather puts the pieces together, as long as they come.
func gather(a announcement, get func(n int) ([]byte, error)) ([]byte, error) {
	var raw []byte
	for n := 0; len(raw) < a.Size; n++ {
		part, err := get(n)
		if err != nil {
			return nil, err
		}
		if len(part) == 0 || len(raw)+len(part) > a.Size {
			return nil, fmt.Errorf("bundle version %d: piece %d of %d bytes does not fit", a.Version, n, len(part))
		}
		raw = append(raw, part...)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != a.SHA256 {
		return nil, fmt.Errorf("bundle version %d: SHA-256 differs from the announced one", a.Version)
	}
	return raw, nil
}
