// SPDX-License-Identifier: Apache-2.0

// Package entity holds the words for things: processes, files, flows, requests,
// addresses and the rest that events and findings speak of.
//
// In comes nothing; out go the Sighting messages every sensor fills and the Key
// every store and graph uses. It believes nothing: turning a Sighting into a Key
// is the resolver's work (package graph), because only it knows which process
// life, flow interval or renamed inode a sighting belongs to.
//
// The worst trap: two sensors write the same thing differently. Everything that
// ends in a Key goes through the canonical forms here (netip addresses unmapped,
// lower-case domains and hashes), never through ad-hoc formatting.
package entity

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/zeebo/xxh3"
)

// Key is the stable 128-bit name of an entity: the hash of kind, scope and
// canonical text. The zero Key names nothing.
type Key [16]byte

// String gives the 32 hex digits of the key.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// IsZero tells whether the key names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, error) {
	var k Key
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, fmt.Errorf("entity key %q: want 32 hex digits", s)
	}
	copy(k[:], b)
	return k, nil
}

// KeyOf hashes kind, scope and text with XXH3-128. Scope is "" for global kinds
// and tenant/host/boot for scoped ones. Only package graph calls it.
func KeyOf(kind Kind, scope string, text ...string) Key {
	var h xxh3.Hasher
	h.Write([]byte{byte(kind), 0})
	h.WriteString(scope)
	for _, t := range text {
		h.Write([]byte{0})
		h.WriteString(t)
	}
	return Key(h.Sum128().Bytes())
}

// Addr gives the canonical address held in 4 or 16 bytes: IPv4-mapped IPv6 is
// unmapped. The zero Addr when b is of another length.
func Addr(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Addr{}
	}
	return a.Unmap()
}

// AddrBytes is the inverse of Addr; nil for the zero Addr.
func AddrBytes(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.Unmap().AsSlice()
}

// NewFlow builds a flow from two ends.
func NewFlow(src, dst netip.AddrPort, proto uint8) *Flow {
	return &Flow{
		SrcIp: AddrBytes(src.Addr()), SrcPort: uint32(src.Port()),
		DstIp: AddrBytes(dst.Addr()), DstPort: uint32(dst.Port()),
		Proto: uint32(proto),
	}
}

// Src is the opening end, the zero AddrPort where unknown.
func (f *Flow) Src() netip.AddrPort {
	return netip.AddrPortFrom(Addr(f.GetSrcIp()), uint16(f.GetSrcPort()))
}

// Dst is the other end.
func (f *Flow) Dst() netip.AddrPort {
	return netip.AddrPortFrom(Addr(f.GetDstIp()), uint16(f.GetDstPort()))
}

// Label is a short text of the sighting for people.
func (s *Sighting) Label() string {
	switch s.GetKind() {
	case Kind_PROCESS:
		p := s.GetProcess()
		name := p.GetExe()
		if name == "" {
			name = p.GetComm()
		}
		return fmt.Sprintf("%s (pid %d)", name, p.GetPid())
	case Kind_FILE:
		return s.GetFile().GetPath()
	case Kind_FLOW:
		return fmt.Sprintf("%s → %s", s.GetFlow().Src(), s.GetFlow().Dst())
	case Kind_REQUEST:
		r := s.GetRequest()
		return fmt.Sprintf("%s %s from %s", r.GetMethod(), r.GetUri(), r.GetFlow().Src())
	default:
		return s.GetText()
	}
}

// Domain gives the canonical form of a host name: lower case, no trailing dot.
func Domain(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }
