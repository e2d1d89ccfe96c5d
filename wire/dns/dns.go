// SPDX-License-Identifier: Apache-2.0

// Package dns reads DNS messages (RFC 1035, EDNS of RFC 6891): bytes of one
// message to questions and records, and a TCP direction to messages.
//
// It believes nothing: every length is checked, at most 16 compression pointers are
// followed for a name, at most [MaxRecords] records are kept. A message that
// breaks off gives what was read before, with an error.
//
// Worst trap: a label may hold any byte, a dot too, and tunnels use that. Names
// are therefore escaped (\. and \DDD, RFC 4343 §2.1) and keep the case of the
// wire, which resolvers randomise: whoever compares names must fold case. This
// is also why golang.org/x/net/dns/dnsmessage is only the twin in the tests: it
// refuses a whole message for one dot in a label, so a tunnel could hide.
package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

const (
	// MaxRecords bounds the records kept of one message; the rest is counted only.
	MaxRecords = 256
	// maxPointers: real messages need one or two in a chain.
	maxPointers = 16
	maxName     = 255 // RFC 1035 §2.3.4, wire form
	headerLen   = 12
)

// ErrMalformed says that the bytes are no DNS message, or break off.
var ErrMalformed = errors.New("malformed DNS message")

// Type is a record type (IANA DNS Parameters).
type Type uint16

// Types with a reading of their own.
const (
	A     Type = 1
	NS    Type = 2
	CNAME Type = 5
	SOA   Type = 6
	PTR   Type = 12
	MX    Type = 15
	TXT   Type = 16
	AAAA  Type = 28
	SRV   Type = 33
	DNAME Type = 39
	OPT   Type = 41
	SVCB  Type = 64
	HTTPS Type = 65
	ANY   Type = 255
)

var typeNames = map[Type]string{
	A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", MX: "MX", TXT: "TXT", AAAA: "AAAA", SRV: "SRV", DNAME: "DNAME",
	OPT: "OPT", SVCB: "SVCB", HTTPS: "HTTPS", ANY: "ANY",
	10: "NULL", 13: "HINFO", 25: "KEY", 35: "NAPTR", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 52: "TLSA",
	99: "SPF", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 257: "CAA",
}

// String gives the name, or TYPE123 (RFC 3597 §5).
func (t Type) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// Message is one DNS message.
type Message struct {
	ID       uint16
	Response bool
	Opcode   uint8
	RCode    uint16 // with the upper bits of EDNS; 3 is NXDOMAIN

	Authoritative, Truncated, RecursionDesired, RecursionAvailable bool
	AuthenticData, CheckingDisabled                                bool

	Questions                         []Question
	Answers, Authorities, Additionals []Record // OPT is not among them

	EDNS     bool
	UDPSize  uint16 // what the sender takes, when EDNS
	DNSSECOK bool
	Left     int // records that were there but are beyond MaxRecords
	Trailing int // bytes behind the last record
}

// Question is what is asked. Name as on the wire, escaped, no final dot; the root is ".".
type Question struct {
	Name  string
	Type  Type
	Class uint16 // 1 is IN; mDNS sets the top bit
}

// Record is one resource record. Which fields hold depends on Type.
type Record struct {
	Name     string
	Type     Type
	Class    uint16
	TTL      uint32     // seconds
	Addr     netip.Addr // A, AAAA
	Target   string     // CNAME, NS, PTR, DNAME, MX, SRV, SOA (primary), SVCB, HTTPS
	Priority uint16     // MX preference, SRV and SVCB priority
	Port     uint16     // SRV
	Texts    []string   // TXT, raw bytes
	Data     []byte     // all other types, and data that could not be read: a copy of the bytes
}

// parser walks one message.
type parser struct {
	b     []byte
	off   int
	count int
	bad   error // of the first record whose data could not be read
}

// Parse reads one message without TCP's length prefix. With an error, which
// wraps ErrMalformed, the message holds what could be read, or is nil when not
// even the header is there. It keeps no reference to b.
func Parse(b []byte) (*Message, error) {
	if len(b) < headerLen {
		return nil, fmt.Errorf("parse DNS message of %d bytes: header needs %d: %w", len(b), headerLen, ErrMalformed)
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(b[2*i:]) }
	f := word(1)
	m := &Message{
		ID: word(0), Response: f&0x8000 != 0, Opcode: uint8(f>>11) & 15, RCode: f & 15,
		Authoritative: f&0x400 != 0, Truncated: f&0x200 != 0, RecursionDesired: f&0x100 != 0, RecursionAvailable: f&0x80 != 0,
		AuthenticData: f&0x20 != 0, CheckingDisabled: f&0x10 != 0,
	}
	p := parser{b: b, off: headerLen}
	for i := range word(2) {
		q, err := p.question()
		if err != nil {
			return m, fmt.Errorf("parse DNS message: question %d at byte %d: %w", i+1, p.off, err)
		}
		if p.count++; p.count > MaxRecords {
			m.Left++
			continue
		}
		m.Questions = append(m.Questions, q)
	}
	for i, section := range [...]*[]Record{&m.Answers, &m.Authorities, &m.Additionals} {
		for j := range word(3 + i) {
			if err := p.record(m, section); err != nil {
				return m, fmt.Errorf("parse DNS message: section %d, record %d at byte %d: %w", i+1, j+1, p.off, err)
			}
		}
	}
	m.Trailing = len(b) - p.off
	return m, p.bad
}

func (p *parser) u16() (uint16, bool) {
	if p.off+2 > len(p.b) {
		return 0, false
	}
	v := binary.BigEndian.Uint16(p.b[p.off:])
	p.off += 2
	return v, true
}

func (p *parser) question() (q Question, err error) {
	if q.Name, p.off, err = name(p.b, p.off); err != nil {
		return q, err
	}
	t, ok1 := p.u16()
	class, ok2 := p.u16()
	if !ok1 || !ok2 {
		return q, ErrMalformed
	}
	q.Type, q.Class = Type(t), class
	return q, nil
}

func (p *parser) record(m *Message, section *[]Record) error {
	n, off, err := name(p.b, p.off)
	if err != nil {
		return err
	}
	if off+10 > len(p.b) {
		return ErrMalformed
	}
	h := p.b[off:]
	r := Record{Name: n, Type: Type(binary.BigEndian.Uint16(h)), Class: binary.BigEndian.Uint16(h[2:]), TTL: binary.BigEndian.Uint32(h[4:])}
	start := off + 10
	end := start + int(binary.BigEndian.Uint16(h[8:]))
	if end > len(p.b) {
		return ErrMalformed
	}
	if r.Type == OPT { // RFC 6891 §6.1.3: the fields mean other things
		m.EDNS, m.UDPSize = true, r.Class
		m.RCode |= uint16(r.TTL>>24) << 4
		m.DNSSECOK = r.TTL&0x8000 != 0
	} else if p.count++; p.count > MaxRecords {
		m.Left++
	} else {
		if err := r.data(p.b, start, end); err != nil { // the next record's place is known all the same
			r.Data = append([]byte(nil), p.b[start:end]...)
			if p.bad == nil {
				p.bad = fmt.Errorf("parse DNS message: data of record %d at byte %d: %w", p.count, start, err)
			}
		}
		*section = append(*section, r)
	}
	p.off = end
	return nil
}

// data reads b[start:end], the record's data; names in it may point outside.
func (r *Record) data(b []byte, start, end int) error {
	d := b[start:end]
	before := 0 // bytes in front of the target
	switch r.Type {
	case A, AAAA:
		if len(d) == 0 { // dynamic updates delete so (RFC 2136 §2.5)
			return nil
		}
		addr, ok := netip.AddrFromSlice(d)
		if !ok || addr.Is4() != (r.Type == A) {
			return fmt.Errorf("%v of %d bytes: %w", r.Type, len(d), ErrMalformed)
		}
		r.Addr = addr
		return nil
	case TXT:
		for len(d) > 0 {
			n := int(d[0])
			if n+1 > len(d) {
				return fmt.Errorf("TXT: %w", ErrMalformed)
			}
			r.Texts = append(r.Texts, string(d[1:1+n]))
			d = d[1+n:]
		}
		return nil
	case CNAME, NS, PTR, DNAME, SOA:
	case MX, SVCB, HTTPS:
		before = 2
	case SRV:
		before = 6
	default:
		r.Data = append([]byte(nil), d...)
		return nil
	}
	if len(d) == 0 {
		return nil
	}
	if len(d) < before+1 {
		return fmt.Errorf("%v of %d bytes: %w", r.Type, len(d), ErrMalformed)
	}
	if before >= 2 {
		r.Priority = binary.BigEndian.Uint16(d)
	}
	if before == 6 {
		r.Port = binary.BigEndian.Uint16(d[4:])
	}
	target, after, err := name(b, start+before)
	if err != nil || after > end {
		return fmt.Errorf("%v target: %w", r.Type, ErrMalformed)
	}
	r.Target = target
	return nil
}

// name reads the name at off and gives where the bytes behind it begin.
func name(b []byte, off int) (string, int, error) {
	var buf [4 * maxName]byte // every byte may become \DDD
	text := buf[:0]
	after, wire, pointers := -1, 0, 0
	for {
		if off >= len(b) {
			return "", off, fmt.Errorf("name breaks off: %w", ErrMalformed)
		}
		n := int(b[off])
		switch {
		case n == 0:
			if after < 0 {
				after = off + 1
			}
			if len(text) == 0 {
				return ".", after, nil
			}
			return string(text), after, nil
		case n >= 0xc0:
			if off+1 >= len(b) {
				return "", off, fmt.Errorf("name breaks off: %w", ErrMalformed)
			}
			if after < 0 {
				after = off + 2
			}
			to := (n&0x3f)<<8 | int(b[off+1])
			if pointers++; to >= len(b) || pointers > maxPointers { // forward ones are odd, but some readers follow them
				return "", off, fmt.Errorf("name: pointer %d to byte %d leads nowhere: %w", pointers, to, ErrMalformed)
			}
			off = to
		case n >= 0x40:
			return "", off, fmt.Errorf("name: label type %#x: %w", n&0xc0, ErrMalformed)
		default:
			if wire += n + 1; wire >= maxName || off+1+n > len(b) {
				return "", off, fmt.Errorf("name too long or cut: %w", ErrMalformed)
			}
			if len(text) > 0 {
				text = append(text, '.')
			}
			text = appendLabel(text, b[off+1:off+1+n])
			off += 1 + n
		}
	}
}

func appendLabel(text, label []byte) []byte {
	for _, c := range label {
		switch {
		case c == '.' || c == '\\':
			text = append(text, '\\', c)
		case c < 0x21 || c > 0x7e:
			text = append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		default:
			text = append(text, c)
		}
	}
	return text
}
