// SPDX-License-Identifier: Apache-2.0

// Package ip reads the headers of one packet, from the link or from the network layer
// to the transport: bytes go in, a [Packet] with both ends, protocol, TCP fields and
// payload comes out. VLAN tags and IPv6 extension headers are stepped over.
//
// It believes the headers only as far as the bytes reach, allocates nothing, and is as
// lenient as Linux: whatever a socket would be given must be read here too. Fragments
// are noted and not put together; only the first of them has ports.
//
// Worst trap: being stricter than the receiver. A segment whose TCP options are
// nonsense is still delivered by Linux, so a decoder that refuses it (gopacket's
// does) hides its payload from the sensor. Options are therefore handed on unread;
// gopacket is the twin in the tests. Checksums are not verified: on the sending host
// they are not yet computed, so a bad one is no sign of anything.
package ip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Link types as numbered by tcpdump.org/linktypes.html; RawBSD are the other numbers
// under which raw IP is found in old captures.
const (
	LinkNull     = 0
	LinkEthernet = 1
	LinkRawBSD   = 12
	LinkRawBSD2  = 14
	LinkRaw      = 101
	LinkLoop     = 108
	LinkSLL      = 113
	LinkIPv4     = 228
	LinkIPv6     = 229
	LinkSLL2     = 276
)

// EtherTypes (IEEE 802 numbers) that lead to a packet.
const (
	EtherIPv4  = 0x0800
	EtherIPv6  = 0x86dd
	EtherVLAN  = 0x8100
	EtherQinQ  = 0x88a8
	EtherPPPoE = 0x8864
)

// Protocol numbers (IANA).
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// Flags of TCP (RFC 9293 §3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// ErrNotIP says that the bytes carry neither IPv4 nor IPv6; ErrMalformed that no
// receiver would take them.
var (
	ErrNotIP     = errors.New("not an IP packet")
	ErrMalformed = errors.New("malformed packet")
)

// Packet is what the headers say. Src and Dst hold ports for TCP and UDP; for ICMP the
// type (and for an echo the type of its counterpart, else the code), as Community ID
// wants it; for others zero.
type Packet struct {
	Src, Dst netip.AddrPort
	Proto    uint8
	VLAN     uint16 // outermost tag, 0 none
	Size     int    // bytes of the IP packet by its header
	Fragment bool   // a part of a packet
	Later    bool   // a fragment that is not the first: no ports, no payload

	Flags    uint8 // TCP
	Seq, Ack uint32
	Window   uint16
	Options  []byte // a part of the input; unread, and short where the capture cut it

	Payload []byte // of TCP and UDP; a part of the input
	Length  int    // bytes of the payload by the headers; more than len(Payload) where the capture cut it
}

// DecodeLink reads a packet that begins with the header of a link type.
func (p *Packet) DecodeLink(link int, b []byte) error {
	switch link {
	case LinkEthernet:
		if len(b) < 14 {
			return short("Ethernet header", len(b), 14)
		}
		return p.Decode(binary.BigEndian.Uint16(b[12:]), b[14:])
	case LinkRaw, LinkRawBSD, LinkRawBSD2, LinkIPv4, LinkIPv6:
		return p.Decode(0, b)
	case LinkNull, LinkLoop: // address family in either byte order: the version nibble says it too
		if len(b) < 4 {
			return short("loopback header", len(b), 4)
		}
		return p.Decode(0, b[4:])
	case LinkSLL:
		if len(b) < 16 {
			return short("Linux cooked header", len(b), 16)
		}
		return p.Decode(binary.BigEndian.Uint16(b[14:]), b[16:])
	case LinkSLL2:
		if len(b) < 20 {
			return short("Linux cooked header", len(b), 20)
		}
		return p.Decode(binary.BigEndian.Uint16(b), b[20:])
	}
	*p = Packet{}
	return fmt.Errorf("link type %d: %w", link, ErrNotIP)
}

func short(what string, has, needs int) error {
	return fmt.Errorf("%s: %d bytes, %d needed: %w", what, has, needs, ErrMalformed)
}

// maxTags bounds VLAN tags in a row; two are ordinary (802.1ad).
const maxTags = 4

// Decode reads a packet behind a link header that names its EtherType; 0 stands for
// raw IP of either version.
func (p *Packet) Decode(etherType uint16, b []byte) error {
	*p = Packet{}
	for range maxTags {
		switch etherType {
		case EtherVLAN, EtherQinQ:
			if len(b) < 4 {
				return short("VLAN tag", len(b), 4)
			}
			if p.VLAN == 0 {
				p.VLAN = binary.BigEndian.Uint16(b) & 0xfff
			}
			etherType, b = binary.BigEndian.Uint16(b[2:]), b[4:]
			continue
		case EtherPPPoE: // RFC 2516 §4: six bytes, then PPP's protocol
			if len(b) < 8 {
				return short("PPPoE header", len(b), 8)
			}
			proto := binary.BigEndian.Uint16(b[6:])
			if b = b[8:]; proto != 0x0021 && proto != 0x0057 {
				return ErrNotIP
			}
		case EtherIPv4, EtherIPv6, 0:
		default:
			return ErrNotIP
		}
		break
	}
	if len(b) == 0 {
		return short("IP header", 0, 20)
	}
	switch b[0] >> 4 {
	case 4:
		return p.ipv4(b)
	case 6:
		return p.ipv6(b)
	}
	return ErrNotIP
}

// ipv4 reads RFC 791 §3.1.
func (p *Packet) ipv4(b []byte) error {
	if len(b) < 20 {
		return short("IPv4 header", len(b), 20)
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = len(b) // segmentation offload: the length does not fit or is not yet known
	}
	if head < 20 || total < head {
		return fmt.Errorf("IPv4 header of %d bytes in a packet of %d: %w", head, total, ErrMalformed)
	}
	if len(b) < head {
		return short("IPv4 header", len(b), head)
	}
	b = b[:min(len(b), total)] // Ethernet pads
	p.Size, p.Proto = total, b[9]
	src, dst := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	frag := binary.BigEndian.Uint16(b[6:])
	p.Fragment, p.Later = frag&0x3fff != 0, frag&0x1fff != 0
	return p.transport(src, dst, b[head:], total-head)
}

// maxExtensions bounds IPv6 extension headers in a row; Linux takes eight of a kind.
const maxExtensions = 16

// ipv6 reads RFC 8200 §3 and steps over the extension headers of §4.
func (p *Packet) ipv6(b []byte) error {
	if len(b) < 40 {
		return short("IPv6 header", len(b), 40)
	}
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if total == 40 {
		total = len(b) // jumbo or segmentation offload
	}
	b = b[:min(len(b), total)]
	p.Size = total
	src, dst := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	next, off := b[6], 40
	for range maxExtensions {
		var n int
		switch next {
		case 0, 43, 60, 135: // hop-by-hop, routing, destination, mobility
			if len(b) < off+2 {
				return short("IPv6 extension header", len(b)-off, 2)
			}
			n = 8 + int(b[off+1])*8
		case 51: // authentication (RFC 4302 §2.2)
			if len(b) < off+2 {
				return short("IPv6 extension header", len(b)-off, 2)
			}
			n = 8 + int(b[off+1])*4
		case 44:
			if len(b) < off+8 {
				return short("IPv6 fragment header", len(b)-off, 8)
			}
			n = 8
			at := binary.BigEndian.Uint16(b[off+2:])
			p.Fragment, p.Later = p.Fragment || at&^6 != 0, p.Later || at>>3 != 0 // an atomic fragment (RFC 6946) is none
		default:
			p.Proto = next
			return p.transport(src, dst, b[off:], total-off)
		}
		if off+n > len(b) {
			return short("IPv6 extension header", len(b)-off, n)
		}
		next, off = b[off], off+n
		if p.Later {
			p.Proto = next
			break
		}
	}
	return p.transport(src, dst, nil, 0)
}

// transport reads ports, TCP fields and the payload. b may be cut short; size is what
// the IP header says of it.
func (p *Packet) transport(src, dst netip.Addr, b []byte, size int) error {
	p.Src, p.Dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if p.Later {
		return nil
	}
	var sport, dport uint16
	switch p.Proto {
	case TCP:
		if len(b) < 20 {
			return short("TCP header", len(b), 20)
		}
		head := int(b[12]>>4) * 4
		if head < 20 || head > size {
			return fmt.Errorf("TCP header of %d bytes in a segment of %d: %w", head, size, ErrMalformed)
		}
		sport, dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.Seq, p.Ack, p.Flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
		p.Window, p.Options = binary.BigEndian.Uint16(b[14:]), b[20:min(head, len(b))]
		p.Payload, p.Length = b[min(head, len(b)):], size-head
	case UDP:
		if len(b) < 8 {
			return short("UDP header", len(b), 8)
		}
		sport, dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n == 0 {
			n = size // RFC 2675 §4, and segmentation offload
		}
		if n < 8 {
			return fmt.Errorf("UDP datagram of %d bytes: %w", n, ErrMalformed)
		}
		if n > size && !p.Fragment {
			return fmt.Errorf("UDP datagram of %d bytes in a packet with room for %d: %w", n, size, ErrMalformed)
		}
		n = min(n, size)
		p.Payload, p.Length = b[8:max(8, min(n, len(b)))], n-8
	case ICMP, ICMPv6:
		if len(b) < 2 {
			return short("ICMP header", len(b), 2)
		}
		sport, dport = icmpPorts(p.Proto, b[0], b[1])
	}
	p.Src, p.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return nil
}

// icmpPorts lets an echo and its reply meet; other messages have type and code.
func icmpPorts(proto, typ, code uint8) (src, dst uint16) {
	ask, answer := uint8(8), uint8(0)
	if proto == ICMPv6 {
		ask, answer = 128, 129
	}
	switch typ {
	case ask:
		return uint16(ask), uint16(answer)
	case answer:
		return uint16(answer), uint16(ask)
	}
	return uint16(typ), uint16(code)
}
