// SPDX-License-Identifier: Apache-2.0

package entity

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
)

// CommunityID computes the Community ID v1 (seed 0) of a flow, the same for both
// directions: "1:" + base64(sha1(seed, low ip, high ip, proto, 0, low port, high port)).
// Protocols without ports leave them out.
// Source: corelight/community-id-spec. ICMP types are taken from the ports.
// Returns "" when an address is missing.
func (f *Flow) CommunityID() string {
	src, dst := Addr(f.GetSrcIp()), Addr(f.GetDstIp())
	if !src.IsValid() || !dst.IsValid() {
		return ""
	}
	return CommunityID(netip.AddrPortFrom(src, uint16(f.SrcPort)), netip.AddrPortFrom(dst, uint16(f.DstPort)), uint8(f.Proto))
}

// CommunityID is Flow.CommunityID on bare ends.
func CommunityID(src, dst netip.AddrPort, proto uint8) string {
	sp, dp := src.Port(), dst.Port()
	oneWay := false
	if proto == 1 || proto == 58 {
		sp, dp, oneWay = icmpPorts(proto, sp, dp)
	}
	a, b := src.Addr().AsSlice(), dst.Addr().AsSlice()
	if !oneWay {
		if c := bytes.Compare(a, b); c > 0 || c == 0 && sp > dp {
			a, b, sp, dp = b, a, dp, sp
		}
	}
	buf := make([]byte, 0, 40)
	buf = append(buf, 0, 0)
	buf = append(buf, a...)
	buf = append(buf, b...)
	buf = append(buf, proto, 0)
	switch proto {
	case 1, 6, 17, 58, 132: // ICMP, TCP, UDP, ICMPv6, SCTP; others have no ports
		buf = binary.BigEndian.AppendUint16(buf, sp)
		buf = binary.BigEndian.AppendUint16(buf, dp)
	}
	sum := sha1.Sum(buf)
	return "1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// icmpPorts maps type and code to ports as the specification's reference does:
// a request and its answer meet; types without a counterpart are one-way.
func icmpPorts(proto uint8, typ, code uint16) (uint16, uint16, bool) {
	pairs := map[uint16]uint16{0: 8, 8: 0, 9: 10, 10: 9, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
	if proto == 58 {
		pairs = map[uint16]uint16{128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144}
	}
	if peer, ok := pairs[typ]; ok {
		return typ, peer, false
	}
	return typ, code, true
}
