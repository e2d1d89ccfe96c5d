// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/ringwall/ringwall/identity"
)

// Bounds of a batch. A message stays under NATS's default of 1 MiB, so that an
// external cluster need not be configured for us.
const (
	MaxBatchEvents = 500
	MaxBatchBytes  = 256 << 10 // of events, before compression; a single event may be this long
	// framing is what lengths may add to MaxBatchBytes.
	framing = MaxBatchEvents * binary.MaxVarintLen32
)

// Batch is consecutive events of one class of one host.
type Batch struct {
	Epoch    uint64
	FirstSeq uint64 // of Events[0]; at least 1
	// Skipped is how many sequences right before FirstSeq will never come: they were
	// stored and trimmed, or are lost. Whoever waits for a whole run must not wait for them.
	Skipped uint64
	Events  [][]byte
}

// Last is the position of the last event.
func (b *Batch) Last() identity.Position {
	return identity.Position{Epoch: b.Epoch, Seq: b.FirstSeq + uint64(len(b.Events)) - 1}
}

// ErrBatch is wrapped by every refusal to decode.
var ErrBatch = errors.New("not a batch of events")

// The wire form: version, flags, then uvarints epoch, first, skipped, count, then the
// events, each behind its uvarint length; from the first length on in an s2 block
// (flag 1) where that is shorter.
const (
	batchVersion = 1
	flagS2       = 1
)

// Encode appends the wire form to dst.
func (b *Batch) Encode(dst []byte) ([]byte, error) {
	size := 0
	for _, e := range b.Events {
		size += len(e)
	}
	if n := len(b.Events); n == 0 || n > MaxBatchEvents || size > MaxBatchBytes {
		return nil, fmt.Errorf("encode batch %d/%d: %d events of %d bytes; want 1 to %d of at most %d", b.Epoch, b.FirstSeq, n, size, MaxBatchEvents, MaxBatchBytes)
	}
	dst = append(dst, batchVersion, 0)
	flags := len(dst) - 1
	for _, v := range []uint64{b.Epoch, b.FirstSeq, b.Skipped, uint64(len(b.Events))} {
		dst = binary.AppendUvarint(dst, v)
	}
	body := make([]byte, 0, size+len(b.Events)*binary.MaxVarintLen32)
	for _, e := range b.Events {
		body = append(binary.AppendUvarint(body, uint64(len(e))), e...)
	}
	if packed := s2.Encode(nil, body); len(packed) < len(body) {
		dst[flags] |= flagS2
		return append(dst, packed...), nil
	}
	return append(dst, body...), nil
}

// DecodeBatch reads the wire form. The events may alias raw. However hostile raw is,
// it allocates no more than MaxBatchBytes and a slice of MaxBatchEvents.
func DecodeBatch(raw []byte) (Batch, error) {
	var b Batch
	fail := func(what string) (Batch, error) { return Batch{}, fmt.Errorf("%w: %s", ErrBatch, what) }
	if len(raw) < 2 || raw[0] != batchVersion || raw[1]&^flagS2 != 0 {
		return fail("unknown version or flags")
	}
	packed := raw[1]&flagS2 != 0
	raw = raw[2:]
	var count uint64
	for _, v := range []*uint64{&b.Epoch, &b.FirstSeq, &b.Skipped, &count} {
		n := 0
		if *v, n = binary.Uvarint(raw); n <= 0 {
			return fail("cut short in its head")
		}
		raw = raw[n:]
	}
	if count == 0 || count > MaxBatchEvents || b.FirstSeq == 0 || b.FirstSeq > math.MaxInt64 || b.Skipped >= b.FirstSeq {
		return fail("impossible numbers in its head")
	}
	if packed {
		n, err := s2.DecodedLen(raw)
		if err != nil || n > MaxBatchBytes+framing {
			return fail("states too long a body")
		}
		// s2 packs up to about 1 : 20000 (runs); so the length it states is checked above,
		// against a constant, not against the input.
		if raw, err = s2.Decode(nil, raw); err != nil {
			return fail("body does not unpack")
		}
	}
	b.Events = make([][]byte, 0, count)
	for range count {
		n, used := binary.Uvarint(raw)
		if used <= 0 || n > uint64(len(raw)-used) {
			return fail("event cut short")
		}
		b.Events = append(b.Events, raw[used:used+int(n):used+int(n)])
		raw = raw[used+int(n):]
	}
	if len(raw) > 0 {
		return fail("bytes behind the last event")
	}
	return b, nil
}
