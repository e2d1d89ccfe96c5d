// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/identity"
)

const (
	// minStream is the least room for which a stream is worth making.
	minStream = 16 << 20
	// dedupWindow is how long the broker knows batch ids: longer than a reconnect and the
	// resends after it. Later doubles are dropped by Seen.
	dedupWindow    = 2 * time.Minute
	partitionsNote = "ringwall.partitions"
	// errNoRoom is JetStream's "insufficient storage resources available".
	errNoRoom jetstream.ErrorCode = 10047
)

// makeStreams makes or finds EVENTS and STATE, and the consumers of every group.
//
// EVENTS is partitioned by tenant and host as it stores, keeps a message until every
// group has acknowledged it, and when full refuses new ones: then the spools hold
// them, which is where they are safe.
func (h *Hub) makeStreams(ctx context.Context) error {
	replicas := max(1, h.cfg.Replicas)
	state := jetstream.StreamConfig{
		Name:              identity.StateStream,
		Subjects:          []string{"orders.*.*", "stored.*.*", "bundle.*.*", "bundle.*.*.*.*"},
		MaxMsgsPerSubject: 1,
		AllowDirect:       true,
		Compression:       jetstream.S2Compression,
		Replicas:          replicas,
		// No MaxBytes: it would be reserved, and one message a subject is bound enough.
	}
	var err error
	if h.state, err = h.makeStream(ctx, state); err != nil {
		return err
	}
	h.partitions = h.cfg.Partitions
	if h.partitions == 0 {
		h.partitions = 8
	}
	// A stream that exists keeps its partitions: messages in it lie under the old ones.
	if s, err := h.js.Stream(ctx, identity.EventsStream); err == nil {
		if n, err := strconv.Atoi(s.CachedInfo().Config.Metadata[partitionsNote]); err == nil && n > 0 {
			h.partitions = n
		}
	}
	events := jetstream.StreamConfig{
		Name:        identity.EventsStream,
		Subjects:    []string{"events.*.*.*"},
		Retention:   jetstream.InterestPolicy,
		Discard:     jetstream.DiscardNew,
		MaxAge:      h.cfg.MaxAge,
		MaxBytes:    h.cfg.MaxBytes,
		Duplicates:  dedupWindow,
		Compression: jetstream.S2Compression,
		Replicas:    replicas,
		Metadata:    map[string]string{partitionsNote: strconv.Itoa(h.partitions)},
		SubjectTransform: &jetstream.SubjectTransformConfig{
			Source:      "events.*.*.*",
			Destination: fmt.Sprintf("events.{{partition(%d,1,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}", h.partitions),
		},
	}
	if events.MaxAge == 0 {
		events.MaxAge = 7 * 24 * time.Hour
	}
	if events.MaxBytes == 0 {
		events.MaxBytes = 64 << 30
	}
	if _, err := h.makeStream(ctx, events); err != nil {
		return err
	}
	for _, group := range h.cfg.Groups {
		for p := range h.partitions {
			if _, err := h.partitionConsumer(ctx, group, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeStream makes or updates a stream. MaxBytes is reserved, so what does not fit is
// made smaller by a quarter until it does.
func (h *Hub) makeStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	for {
		s, err := h.js.CreateOrUpdateStream(ctx, cfg)
		if err == nil {
			return s, nil
		}
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != errNoRoom || cfg.MaxBytes < minStream {
			return nil, fmt.Errorf("make stream %s of %d MiB: %w", cfg.Name, cfg.MaxBytes>>20, err)
		}
		cfg.MaxBytes -= cfg.MaxBytes / 4
	}
}

// With HubConfig.Shared each partition is pinned to one puller at a time (platform.md
// §4): of several brains one works on a host's events, and when it is gone another gets
// them after pinnedTTL. The owner asks anew every pullShared, so it stays the owner. A
// lone brain does without: it would wait pinnedTTL for its own former life.
const (
	ownerGroup = "owner"
	pinnedTTL  = 3 * time.Second
	pullShared = time.Second
	pullAlone  = 5 * time.Second
	// ackWait is how long a group may hold a batch before it is delivered again.
	ackWait = 30 * time.Second
	// maxAckPending is how many batches of one partition a group may hold. At 500
	// batches a second (publisher.go) that is 40 s between two commits of the archive.
	maxAckPending = 20000
)

func consumerName(group string, partition int) string { return fmt.Sprintf("%s-%d", group, partition) }

func (h *Hub) partitionConsumer(ctx context.Context, group string, partition int) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable:       consumerName(group, partition),
		FilterSubject: fmt.Sprintf("events.%d.>", partition),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxAckPending: maxAckPending,
		MaxDeliver:    -1,
	}
	if h.cfg.Shared {
		cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{ownerGroup}, pinnedTTL
	}
	c, err := h.js.CreateOrUpdateConsumer(ctx, identity.EventsStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of partition %d: %w", group, partition, err)
	}
	return c, nil
}
