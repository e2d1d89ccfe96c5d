// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Kind keeps one sort of signed thing from being taken for another.
type Kind uint8

// The kinds there are.
const (
	KindOrder  Kind = 1
	KindBundle Kind = 2
)

func (k Kind) String() string {
	switch k {
	case KindOrder:
		return "order"
	case KindBundle:
		return "bundle"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Target is for whom a signed thing is: one host, or all hosts of a group. Exactly
// one of Host and Group is set.
type Target struct {
	Tenant Tenant
	Host   Host
	Group  Group
}

func (t Target) String() string {
	if t.Host != "" {
		return string(t.Tenant) + "/host/" + string(t.Host)
	}
	return string(t.Tenant) + "/group/" + string(t.Group)
}

func (t Target) validate() error {
	if _, err := ParseTenant(string(t.Tenant)); err != nil {
		return err
	}
	if (t.Host == "") == (t.Group == "") {
		return fmt.Errorf("target %s: want a host or a group", t)
	}
	if t.Host != "" {
		_, err := ParseHost(string(t.Host))
		return err
	}
	_, err := ParseGroup(string(t.Group))
	return err
}

// Nonce is what makes each signed thing unique.
type Nonce [16]byte

// Signed is an envelope. Its fields may be believed only when a Verifier returned it.
// Payload aliases the bytes it was decoded from.
type Signed struct {
	Kind    Kind
	Key     KeyID
	Target  Target
	Nonce   Nonce
	Issued  time.Time // to the millisecond
	Expires time.Time // first instant at which it is no longer valid
	Payload []byte
}

// Why an envelope was refused. Test with errors.Is.
var (
	ErrMalformed   = errors.New("malformed envelope")
	ErrUnsigned    = errors.New("not signed")
	ErrUnknownKey  = errors.New("signed with an unknown key")
	ErrSignature   = errors.New("signature is wrong")
	ErrWrongKind   = errors.New("another kind of signed thing")
	ErrWrongTarget = errors.New("meant for another")
	ErrExpired     = errors.New("expired")
	ErrNotYet      = errors.New("issued in the future")
	ErrReplayed    = errors.New("seen before")
)

// The wire form, all numbers big-endian. What is signed is everything before the
// signature, behind a domain prefix:
//
//	"RWS" version:1 kind:1 len:1 key len:1 tenant len:1 host len:1 group
//	nonce:16 issued_ms:8 expires_ms:8 payload_len:4 payload signature:64
const (
	signedMagic = "RWS\x01"
	signDomain  = "ringwall signed envelope v1\x00"
	// MaxPayload bounds what is signed at once. Bundles sign a manifest, not content.
	MaxPayload = 1 << 20
)

// Sign wraps payload for a target from issued until issued+life and returns the wire
// form. The payload is copied.
func (k *SigningKey) Sign(kind Kind, to Target, issued time.Time, life time.Duration, payload []byte) ([]byte, error) {
	if err := to.validate(); err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("sign %s for %s: payload of %d bytes is over %d", kind, to, len(payload), MaxPayload)
	}
	if life < time.Millisecond {
		return nil, fmt.Errorf("sign %s for %s: a life of %v; want one above zero", kind, to, life)
	}
	b := append([]byte(signedMagic), byte(kind))
	for _, s := range []string{string(k.public.ID()), string(to.Tenant), string(to.Host), string(to.Group)} {
		b = append(append(b, byte(len(s))), s...)
	}
	var nonce Nonce
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	b = append(b, nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(issued.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(issued.Add(life).UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return append(b, ed25519.Sign(k.private, append([]byte(signDomain), b...))...), nil
}

// decodeSigned reads the wire form without believing it: signed is what the
// signature covers. Nothing is allocated by a stated length.
func decodeSigned(raw []byte) (s Signed, signed, signature []byte, err error) {
	r := reader{b: raw}
	if !bytes.Equal(r.take(len(signedMagic)), []byte(signedMagic)) {
		return s, nil, nil, fmt.Errorf("%w: does not begin as one", ErrMalformed)
	}
	s.Kind = Kind(r.byte())
	s.Key = KeyID(r.short())
	s.Target = Target{Tenant(r.short()), Host(r.short()), Group(r.short())}
	copy(s.Nonce[:], r.take(len(s.Nonce)))
	s.Issued = time.UnixMilli(int64(r.uint64()))
	s.Expires = time.UnixMilli(int64(r.uint64()))
	n := r.uint32()
	if n > MaxPayload {
		return s, nil, nil, fmt.Errorf("%w: states a payload of %d bytes", ErrMalformed, n)
	}
	s.Payload = r.take(int(n))
	if r.ranOut {
		return s, nil, nil, fmt.Errorf("%w: cut short at %d bytes", ErrMalformed, len(raw))
	}
	signed, signature = raw[:r.at], raw[r.at:]
	switch len(signature) {
	case 0:
		return s, nil, nil, ErrUnsigned
	case ed25519.SignatureSize:
	default:
		return s, nil, nil, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(signature))
	}
	if s.Nonce == (Nonce{}) {
		return s, nil, nil, fmt.Errorf("%w: no nonce", ErrMalformed)
	}
	if err := s.Target.validate(); err != nil {
		return s, nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, signed, signature, nil
}

// reader walks bytes and remembers that it ran out instead of panicking.
type reader struct {
	b      []byte
	at     int
	ranOut bool // ran out
}

func (r *reader) take(n int) []byte {
	if r.ranOut || n < 0 || n > len(r.b)-r.at {
		r.ranOut = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) short() string { return string(r.take(int(r.byte()))) }

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Validity reads from when and until when an envelope is valid, without believing it:
// for whoever passes signed things on and drops the old ones, or checks again what was
// valid once.
func Validity(raw []byte) (issued, expires time.Time, err error) {
	s, _, _, err := decodeSigned(raw)
	return s.Issued, s.Expires, err
}

// Peek reads key and payload of an envelope without believing either: for a person who
// wants to see what it says.
func Peek(raw []byte) (KeyID, []byte, error) {
	s, _, _, err := decodeSigned(raw)
	return s.Key, s.Payload, err
}
