// SPDX-License-Identifier: Apache-2.0

// Package tls reads the clear part of a TLS handshake from one direction of a
// byte stream: records to handshake messages to ClientHello, ServerHello and,
// up to TLS 1.2, the certificate chain. Out come the named fields and the
// fingerprints JA3, JA3S and JA4 (client) with their raw strings.
//
// It believes nothing: every length is checked against the bytes that are
// there, nothing is allocated by a stated length, and a stream is followed for
// at most [MaxStream] bytes. Nothing is decrypted and no certificate is
// verified; that a certificate was sent says nothing about who holds its key.
//
// Worst trap: a hello is not a record. Modern hellos (1.7 kB with ML-KEM)
// span TCP segments, may span records, and several messages may share one
// record: feed [Stream] in order and ask it, do not parse segments.
//
// JA4S, JA4H, JA4X and the other JA4+ methods are not here: their licence
// (FoxIO 1.1) does not allow it in an Apache-2.0 program.
package tls

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Handshake message types (RFC 8446 §4, RFC 5246 §7.4).
const (
	typeClientHello     = 1
	typeServerHello     = 2
	typeCertificate     = 11
	typeServerHelloDone = 14
)

// Extension types that are read (IANA TLS ExtensionType Values).
const (
	extServerName          = 0
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extPreSharedKey        = 41
	extEarlyData           = 42
	extSupportedVersions   = 43
	extKeyShare            = 51
	extECH                 = 0xfe0d // RFC 9849 / draft-ietf-tls-esni-18 §5
)

// ErrShort says that bytes are missing; more input may mend it.
var ErrShort = errors.New("message is cut short")

// ErrNotTLS says that the bytes are not a TLS handshake; more input cannot mend it.
var ErrNotTLS = errors.New("not a TLS handshake")

// ClientHello is what a client offers, GREASE values included (RFC 8701), in
// the order of the wire. Texts are raw bytes of the peer and may be no UTF-8.
type ClientHello struct {
	LegacyVersion       uint16
	Random              [32]byte
	SessionID           []byte
	CipherSuites        []uint16
	Compressions        []byte
	Extensions          []uint16 // types only
	SNI                 string   // first host_name, or ""
	ALPN                []string
	SupportedVersions   []uint16
	Groups              []uint16
	KeyShares           []uint16 // groups a share was sent for
	PointFormats        []byte
	SignatureAlgorithms []uint16
	ECH                 bool // an encrypted_client_hello extension is there; SNI is then the outer, public name
	PSK                 bool // pre_shared_key offered: a resumption
	EarlyData           bool
	// Malformed says that an extension's inside or the tail did not parse. The
	// rest still holds; fingerprints are computed from what could be read.
	Malformed bool
}

// ServerHello is what a server chose.
type ServerHello struct {
	LegacyVersion   uint16
	Random          [32]byte
	SessionID       []byte
	CipherSuite     uint16
	Compression     byte
	Extensions      []uint16
	SelectedVersion uint16 // supported_versions, or LegacyVersion when absent
	ALPN            string // chosen, up to TLS 1.2 only (1.3 encrypts it)
	KeyShare        uint16 // group, 0 when absent
	HelloRetry      bool   // HelloRetryRequest (RFC 8446 §4.1.3): a second hello follows
	Malformed       bool
}

// helloRetryRandom is SHA-256("HelloRetryRequest"), RFC 8446 §4.1.3.
var helloRetryRandom = [32]byte{
	0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
	0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
}

// reader takes fields from the front of b. After the first failure ok stays
// false and all further reads give zero.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) take(n int) []byte {
	if !r.ok || n > len(r.b) {
		r.ok, r.b = false, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) vec8() []byte  { return r.take(int(r.u8())) }
func (r *reader) vec16() []byte { return r.take(int(r.u16())) }

// numbers reads b as 16-bit numbers; an odd last byte is left out.
func numbers(b []byte) []uint16 {
	if len(b) < 2 {
		return nil
	}
	v := make([]uint16, len(b)/2)
	for i := range v {
		v[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return v
}

// message strips the 4-byte handshake header and checks type and length.
func message(handshake []byte, typ byte, name string) (*reader, error) {
	if len(handshake) < 4 {
		return nil, fmt.Errorf("parse %s: %d bytes, header needs 4: %w", name, len(handshake), ErrShort)
	}
	if handshake[0] != typ {
		return nil, fmt.Errorf("parse %s: handshake type %d, want %d: %w", name, handshake[0], typ, ErrNotTLS)
	}
	n := int(handshake[1])<<16 | int(handshake[2])<<8 | int(handshake[3])
	if n > len(handshake)-4 {
		return nil, fmt.Errorf("parse %s: states %d bytes, %d are there: %w", name, n, len(handshake)-4, ErrShort)
	}
	return &reader{b: handshake[4 : 4+n], ok: true}, nil
}

// ParseClientHello reads one whole handshake message, its 4-byte header
// included (not the record header; for QUIC: the CRYPTO stream). Bytes after
// the message are ignored. The result keeps no reference to the input. Errors
// are ErrShort or ErrNotTLS, wrapped.
func ParseClientHello(handshake []byte) (*ClientHello, error) {
	r, err := message(handshake, typeClientHello, "client hello")
	if err != nil {
		return nil, err
	}
	h := &ClientHello{LegacyVersion: r.u16()}
	copy(h.Random[:], r.take(32))
	h.SessionID = clone(r.vec8())
	suites := r.vec16()
	h.CipherSuites = numbers(suites)
	h.Compressions = clone(r.vec8())
	if !r.ok || len(h.SessionID) > 32 {
		return nil, fmt.Errorf("parse client hello: fixed part: %w", ErrNotTLS)
	}
	h.Malformed = len(suites)%2 != 0
	if len(r.b) == 0 { // no extensions at all: legal before TLS 1.3
		return h, nil
	}
	stated := int(r.u16())
	if stated != len(r.b) {
		h.Malformed = true
		r.b = r.b[:min(stated, len(r.b))]
	}
	h.Extensions = make([]uint16, 0, countExtensions(r.b))
	for len(r.b) > 0 {
		typ, data := r.u16(), r.vec16()
		if !r.ok {
			h.Malformed = true
			break
		}
		h.Extensions = append(h.Extensions, typ)
		h.extension(typ, data)
	}
	return h, nil
}

// countExtensions walks the bytes that are there, so that the list is
// allocated once and never by a stated length.
func countExtensions(b []byte) int {
	n := 0
	for len(b) >= 4 {
		l := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if l > len(b) {
			break
		}
		b, n = b[l:], n+1
	}
	return n
}

func (h *ClientHello) extension(typ uint16, data []byte) {
	r := reader{b: data, ok: true}
	switch typ {
	case extServerName:
		if len(data) == 0 {
			return
		}
		list := reader{b: r.vec16(), ok: true}
		for len(list.b) > 0 && list.ok {
			kind, name := list.u8(), list.vec16()
			if kind == 0 && h.SNI == "" {
				h.SNI = string(name)
			}
		}
		r.ok = r.ok && list.ok
	case extALPN:
		list := reader{b: r.vec16(), ok: true}
		for len(list.b) > 0 && list.ok {
			if p := list.vec8(); list.ok {
				h.ALPN = append(h.ALPN, string(p))
			}
		}
		r.ok = r.ok && list.ok
	case extSupportedVersions:
		h.SupportedVersions = numbers(r.vec8())
	case extSupportedGroups:
		h.Groups = numbers(r.vec16())
	case extPointFormats:
		h.PointFormats = clone(r.vec8())
	case extSignatureAlgorithms:
		h.SignatureAlgorithms = numbers(r.vec16())
	case extKeyShare:
		list := reader{b: r.vec16(), ok: true}
		for len(list.b) > 0 && list.ok {
			g := list.u16()
			if list.vec16(); list.ok {
				h.KeyShares = append(h.KeyShares, g)
			}
		}
		r.ok = r.ok && list.ok
	case extPreSharedKey:
		h.PSK = true
	case extEarlyData:
		h.EarlyData = true
	case extECH:
		h.ECH = true
	}
	if !r.ok {
		h.Malformed = true
	}
}

// Version is the highest version offered, GREASE left out.
func (h *ClientHello) Version() uint16 {
	best := uint16(0)
	for _, v := range h.SupportedVersions {
		if !IsGREASE(v) && v > best {
			best = v
		}
	}
	if best == 0 {
		return h.LegacyVersion
	}
	return best
}

// ParseServerHello reads one whole handshake message, as ParseClientHello does.
func ParseServerHello(handshake []byte) (*ServerHello, error) {
	r, err := message(handshake, typeServerHello, "server hello")
	if err != nil {
		return nil, err
	}
	h := &ServerHello{LegacyVersion: r.u16()}
	copy(h.Random[:], r.take(32))
	// The drafts of TLS 1.3 before 22 (version 0x7fNN) left these two fields out.
	draft := h.LegacyVersion>>8 == 0x7f
	if !draft {
		h.SessionID = clone(r.vec8())
	}
	h.CipherSuite = r.u16()
	if !draft {
		h.Compression = r.u8()
	}
	if !r.ok || len(h.SessionID) > 32 {
		return nil, fmt.Errorf("parse server hello: fixed part: %w", ErrNotTLS)
	}
	h.HelloRetry = h.Random == helloRetryRandom
	h.SelectedVersion = h.LegacyVersion
	if len(r.b) == 0 {
		return h, nil
	}
	if stated := int(r.u16()); stated != len(r.b) {
		h.Malformed = true
		r.b = r.b[:min(stated, len(r.b))]
	}
	for len(r.b) > 0 {
		typ, data := r.u16(), r.vec16()
		if !r.ok {
			h.Malformed = true
			break
		}
		h.Extensions = append(h.Extensions, typ)
		h.extension(typ, data)
	}
	return h, nil
}

func (h *ServerHello) extension(typ uint16, data []byte) {
	r := reader{b: data, ok: true}
	switch typ {
	case extSupportedVersions:
		if v := r.u16(); r.ok {
			h.SelectedVersion = v
		}
	case extKeyShare:
		h.KeyShare = r.u16()
	case extALPN:
		list := reader{b: r.vec16(), ok: true}
		h.ALPN = string(list.vec8())
		r.ok = r.ok && list.ok
	}
	if !r.ok {
		h.Malformed = true
	}
}

// IsGREASE reports whether v is one of the sixteen reserved values of RFC 8701.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
