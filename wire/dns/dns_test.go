// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// answer is a message of the library that is our twin.
func answer(tb testing.TB) []byte {
	n := dnsmessage.MustNewName
	h := func(name string, t dnsmessage.Type) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: n(name), Type: t, Class: dnsmessage.ClassINET, TTL: 300}
	}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(1232, 0, true); err != nil {
		tb.Fatal(err)
	}
	b, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{{Name: n("wWw.example.org."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{
			{Header: h("www.example.org.", dnsmessage.TypeCNAME), Body: &dnsmessage.CNAMEResource{CNAME: n("host.example.org.")}},
			{Header: h("host.example.org.", dnsmessage.TypeA), Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}},
			{Header: h("host.example.org.", dnsmessage.TypeAAAA), Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::7").As16()}},
			{Header: h("example.org.", dnsmessage.TypeMX), Body: &dnsmessage.MXResource{Pref: 10, MX: n("mail.example.org.")}},
			{Header: h("example.org.", dnsmessage.TypeTXT), Body: &dnsmessage.TXTResource{TXT: []string{"v=spf1", "-all"}}},
			{Header: h("7.2.0.192.in-addr.arpa.", dnsmessage.TypePTR), Body: &dnsmessage.PTRResource{PTR: n("host.example.org.")}},
			{Header: h("_x._tcp.example.org.", dnsmessage.TypeSRV), Body: &dnsmessage.SRVResource{Priority: 1, Port: 8443, Target: n("host.example.org.")}},
		},
		Authorities: []dnsmessage.Resource{{Header: h("example.org.", dnsmessage.TypeNS), Body: &dnsmessage.NSResource{NS: n("ns.example.org.")}}},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}).Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func text(m *Message) string {
	var b strings.Builder
	for _, q := range m.Questions {
		fmt.Fprintf(&b, "? %s %v\n", q.Name, q.Type)
	}
	for _, r := range slices.Concat(m.Answers, m.Authorities, m.Additionals) {
		fmt.Fprintf(&b, "%s %d %v %v %q %d %d %q %x\n", r.Name, r.TTL, r.Type, r.Addr, r.Target, r.Priority, r.Port, r.Texts, r.Data)
	}
	return b.String()
}

const answerWant = `? wWw.example.org A
www.example.org 300 CNAME invalid IP "host.example.org" 0 0 [] 
host.example.org 300 A 192.0.2.7 "" 0 0 [] 
host.example.org 300 AAAA 2001:db8::7 "" 0 0 [] 
example.org 300 MX invalid IP "mail.example.org" 10 0 [] 
example.org 300 TXT invalid IP "" 0 0 ["v=spf1" "-all"] 
7.2.0.192.in-addr.arpa 300 PTR invalid IP "host.example.org" 0 0 [] 
_x._tcp.example.org 300 SRV invalid IP "host.example.org" 1 8443 [] 
example.org 300 NS invalid IP "ns.example.org" 0 0 [] 
`

func TestParse(t *testing.T) {
	b := answer(t)
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(m); got != answerWant {
		t.Errorf("got\n%s\nwant\n%s", got, answerWant)
	}
	if m.ID != 4711 || !m.Response || m.RCode != 0 || !m.EDNS || m.UDPSize != 1232 || !m.DNSSECOK || m.Trailing != 0 {
		t.Errorf("%+v", m)
	}
	// Every prefix gives what was whole, and an error.
	for i := range b {
		part, err := Parse(b[:i])
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		if part != nil && !strings.HasPrefix(answerWant, text(part)) {
			t.Errorf("cut at %d: %s", i, text(part))
		}
	}
}

func TestNames(t *testing.T) {
	head := make([]byte, headerLen)
	for in, want := range map[string]string{
		"\x00":                  ".",
		"\x03a.b\x02\\\xff\x00": `a\.b.\\\255`,
		"\x01a\x01B\x00":        "a.B",
		"\xc0\x0c":              "",  // to itself
		"\xc0\x0e\x01a\x00":     "a", // forwards
		"\xc0\xff":              "",  // outside
		"\x41a\x00":             "",  // reserved label type
		"\x3fabc":               "",  // cut
		strings.Repeat("\x3f"+strings.Repeat("a", 63), 4) + "\x00": "", // 257 bytes
	} {
		got, _, err := name(append(head, in...), headerLen)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestBounds(t *testing.T) {
	b := make([]byte, headerLen)
	b[6], b[7] = 0xff, 0xff // 65,535 answers stated
	for range 5000 {
		b = append(b, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	m, err := Parse(b)
	if err == nil || len(m.Answers) != MaxRecords || m.Left != 5000-MaxRecords {
		t.Errorf("%v, %d records, %d left", err, len(m.Answers), m.Left)
	}
}

// A record with bad data does not hide those behind it.
func TestBadData(t *testing.T) {
	b := append(make([]byte, headerLen), "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x03abc"+"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x07"...)
	b[7] = 2
	m, err := Parse(b)
	if !errors.Is(err, ErrMalformed) || len(m.Answers) != 2 || string(m.Answers[0].Data) != "abc" || m.Answers[1].Addr != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("%v %+v", err, m)
	}
}

func TestStream(t *testing.T) {
	var wire []byte
	for _, m := range []string{"first", "", "third message"} {
		wire = append(append(wire, 0, byte(len(m))), m...)
	}
	for step := 1; step <= len(wire); step++ {
		var s Stream
		var got []string
		for c := range slices.Chunk(wire, step) {
			for _, m := range s.Feed(bytes.Clone(c)) {
				got = append(got, string(m))
			}
		}
		if !slices.Equal(got, []string{"first", "", "third message"}) {
			t.Errorf("step %d: %q", step, got)
		}
	}
	var s Stream
	s.Feed([]byte("\x00\x05fi"))
	s.Gap(2)
	if m := s.Feed([]byte("t\x00\x01x")); s.Lost() || len(m) != 1 || string(m[0]) != "x" {
		t.Errorf("gap inside a message: %q", m)
	}
	if s.Gap(1); !s.Lost() || s.Feed([]byte("\x00\x01x")) != nil {
		t.Error("a gap between messages was not noticed")
	}
}

// FuzzParse holds the parser against its twin: what both read must agree, and
// what only the twin reads must be a case that we refuse on purpose.
func FuzzParse(f *testing.F) {
	f.Add(answer(f))
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03a.b\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stream
		for _, m := range s.Feed(b) {
			Parse(m)
		}
		m, err := Parse(b)
		if m != nil && len(m.Questions)+len(m.Answers)+len(m.Authorities)+len(m.Additionals) > MaxRecords {
			t.Fatal("too many records")
		}
		var p dnsmessage.Parser
		h, err2 := p.Start(b)
		if err2 != nil {
			return
		}
		questions, err2 := p.AllQuestions()
		if err2 != nil || m == nil || len(questions) > MaxRecords {
			return
		}
		if h.ID != m.ID || h.Response != m.Response {
			t.Fatalf("header: %+v, %+v", h, m)
		}
		if len(m.Questions) < len(questions) {
			if err == nil || !strings.Contains(err.Error(), "pointer") {
				t.Fatalf("twin reads %d questions, ours %d: %v", len(questions), len(m.Questions), err)
			}
			return
		}
		for i, q := range questions {
			want := strings.TrimSuffix(plain(q.Name.String()), ".")
			if want == "" {
				want = "."
			}
			if got := m.Questions[i]; got.Name != want || uint16(got.Type) != uint16(q.Type) {
				t.Fatalf("question: %q %v, twin %q %v", got.Name, got.Type, want, q.Type)
			}
		}
	})
}

// plain escapes a name of the twin, which has no dots inside labels.
func plain(s string) string {
	var b []byte
	for i := range len(s) {
		if s[i] == '.' {
			b = append(b, '.')
		} else {
			b = appendLabel(b, []byte{s[i]})
		}
	}
	return string(b)
}

func BenchmarkParse(b *testing.B) {
	msg := answer(b)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(msg)
	}
}

func BenchmarkQuery(b *testing.B) {
	msg := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01")
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(msg)
	}
}
