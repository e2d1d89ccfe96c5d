// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

// hello is what the tests build a client hello from.
type hello struct {
	version                   uint16
	ciphers, extensions, sigs []uint16
	groups                    []uint16
	points                    []byte
	versions                  []uint16
	alpn                      []string
	sni                       string
}

func be16(v ...uint16) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func vec8(b []byte) []byte  { return append([]byte{byte(len(b))}, b...) }
func vec16(b []byte) []byte { return append(be16(uint16(len(b))), b...) }

func (h hello) wire() []byte {
	b := append(be16(h.version), make([]byte, 32)...)
	b = append(b, 0)
	b = append(b, vec16(be16(h.ciphers...))...)
	b = append(b, 1, 0)
	var ext []byte
	for _, e := range h.extensions {
		var data []byte
		switch e {
		case extServerName:
			data = vec16(append([]byte{0}, vec16([]byte(h.sni))...))
		case extALPN:
			for _, p := range h.alpn {
				data = append(data, vec8([]byte(p))...)
			}
			data = vec16(data)
		case extSupportedVersions:
			data = vec8(be16(h.versions...))
		case extSupportedGroups:
			data = vec16(be16(h.groups...))
		case extPointFormats:
			data = vec8(h.points)
		case extSignatureAlgorithms:
			data = vec16(be16(h.sigs...))
		case extKeyShare:
			data = vec16(append(be16(29), vec16(make([]byte, 32))...))
		}
		ext = append(append(ext, be16(e)...), vec16(data)...)
	}
	if h.extensions != nil {
		b = append(b, vec16(ext)...)
	}
	return append([]byte{typeClientHello, 0, byte(len(b) >> 8), byte(len(b))}, b...)
}

// record wraps handshake bytes into records of at most size bytes.
func record(handshake []byte, size int) []byte {
	var b []byte
	for c := range slices.Chunk(handshake, size) {
		b = append(append(b, recordHandshake, 3, 1), vec16(c)...)
	}
	return b
}

// chrome is the example of FoxIO's JA4.md (BSD-3 part), with GREASE mixed in.
var chrome = hello{
	version:    0x0303,
	ciphers:    []uint16{0xaaaa, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35},
	extensions: []uint16{0x9a9a, 0x1b, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a, 0x15, 0x6a6a},
	sigs:       []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	versions:   []uint16{0x7a7a, 0x0304, 0x0303}, alpn: []string{"h2", "http/1.1"}, sni: "example.org",
	groups: []uint16{0x1a1a, 29, 23, 24}, points: []byte{0},
}

func TestPublishedJA4(t *testing.T) {
	h, err := ParseClientHello(chrome.wire())
	if err != nil {
		t.Fatal(err)
	}
	const want = "t13d1516h2_8daaf6152771_e5627efa2ab1"
	const raw = "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_" +
		"0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601"
	if j := h.JA4(TCP); j.Hash != want || j.Raw != raw {
		t.Errorf("got %+v", j)
	}
	if got := h.JA4Hash(TCP); got != want {
		t.Errorf("JA4Hash %s", got)
	}
	if got := h.JA4Hash(QUIC); got != "q"+want[1:] {
		t.Errorf("JA4Hash QUIC %s", got)
	}
	if h.SNI != "example.org" || !slices.Equal(h.ALPN, chrome.alpn) || h.Malformed || h.ECH || h.KeyShares[0] != 29 {
		t.Errorf("fields %+v", h)
	}
}

// The examples of JA4.md on values that are no letters or digits, and FoxIO's
// vector tls-non-ascii-alpn (0xba 0xad gives 99).
func TestJA4ALPN(t *testing.T) {
	for in, want := range map[string]string{
		"": "00", "h2": "h2", "http/1.1": "h1", "x": "xx", "\xba\xad": "99", "0\xab": "3b", "01\xab\xcd": "3d", "0\xab\xcd1": "01", "\x0a\x0a": "00", "-1": "21",
	} {
		h := ClientHello{ALPN: []string{in}}
		if a, b := h.ja4ALPN(); string([]byte{a, b}) != want {
			t.Errorf("%q: %c%c, want %s", in, a, b, want)
		}
	}
}

// The examples of the README of salesforce/ja3 (BSD-3), client and server.
func TestPublishedJA3(t *testing.T) {
	for _, c := range []struct {
		in        hello
		raw, hash string
	}{
		{hello{version: 769, ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, extensions: []uint16{0, 10, 11}, groups: []uint16{23, 24, 25}, points: []byte{0}},
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5"},
		{hello{version: 769, ciphers: []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}},
			"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"},
	} {
		h, err := ParseClientHello(c.in.wire())
		if err != nil {
			t.Fatal(err)
		}
		if hash, raw := h.JA3(); hash != c.hash || raw != c.raw {
			t.Errorf("%s %s", hash, raw)
		}
	}
	s := ServerHello{LegacyVersion: 769, CipherSuite: 47, Extensions: []uint16{65281, 0, 11, 35, 5, 16}}
	if hash, raw := s.JA3S(); hash != "836ce314215654b5b1f85f97c73e506f" || raw != "769,47,65281-0-11-35-5-16" {
		t.Errorf("%s %s", hash, raw)
	}
}

func TestStreamFragments(t *testing.T) {
	for _, size := range []int{1, 3, 100, 16384} {
		wire := record(chrome.wire(), size)
		for _, step := range []int{1, 7, len(wire)} {
			var s Stream
			for c := range slices.Chunk(wire, step) {
				if _, err := s.Feed(bytes.Clone(c)); err != nil {
					t.Fatal(size, step, err)
				}
			}
			if s.ClientHello == nil || s.ClientHello.JA4Hash(TCP) != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
				t.Errorf("record %d, step %d: no hello", size, step)
			}
		}
	}
}

func TestStreamBounds(t *testing.T) {
	var s Stream
	if done, err := s.Feed([]byte("GET / HTTP/1.1\r\n")); !done || err == nil {
		t.Error("HTTP was taken for TLS")
	}
	s = Stream{}
	alert := []byte{recordAlert, 3, 3, 0, 2, 1, 0}
	done, fed := false, 0
	for !done && fed < 2*MaxStream {
		done, _ = s.Feed(alert)
		fed += len(alert)
	}
	if !done || fed > MaxStream+len(alert) {
		t.Errorf("endless alerts were followed for %d bytes", fed)
	}
	s = Stream{}
	if done, err := s.Feed([]byte{recordHandshake, 3, 1, 0, 4, typeClientHello, 0xff, 0xff, 0xff}); !done || err == nil {
		t.Error("a message that states 16 MB was accepted")
	}
}

// TestRealHandshake runs crypto/tls against itself and reads both directions.
func TestRealHandshake(t *testing.T) {
	for _, version := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		up, down, cert := handshake(t, version)
		var c, s Stream
		c.Feed(up)
		s.Feed(down)
		if c.ClientHello == nil || c.ClientHello.SNI != "leaf.test" || s.ServerHello == nil || s.ServerHello.SelectedVersion != version {
			t.Fatalf("version %x: client %+v server %+v", version, c.ClientHello, s.ServerHello)
		}
		if version == stdtls.VersionTLS13 {
			if s.Certificates != nil {
				t.Error("certificates of TLS 1.3 are encrypted, yet some were read")
			}
			continue
		}
		if len(s.Certificates) != 1 {
			t.Fatalf("%d certificates", len(s.Certificates))
		}
		got := s.Certificates[0]
		if got.Subject != "CN=leaf" || !got.SelfIssued || got.DNSNames[0] != "leaf.test" || got.Addresses[0] != "127.0.0.1" || got.KeyType != "ecdsa256" || !got.NotAfter.Equal(cert.NotAfter) || got.Size != len(cert.Raw) {
			t.Errorf("%+v", got)
		}
	}
}

type recorder struct {
	net.Conn
	wrote *bytes.Buffer
}

func (r recorder) Write(b []byte) (int, error) { r.wrote.Write(b); return r.Conn.Write(b) }

func handshake(t *testing.T, version uint16) (up, down []byte, leaf *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"leaf.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()}, NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	var upBuf, downBuf bytes.Buffer
	fin := make(chan error, 1)
	go func() {
		fin <- stdtls.Server(recorder{b, &downBuf}, &stdtls.Config{MaxVersion: version, SessionTicketsDisabled: true,
			Certificates: []stdtls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}).Handshake()
	}()
	c := stdtls.Client(recorder{a, &upBuf}, &stdtls.Config{ServerName: "leaf.test", InsecureSkipVerify: true}) //nolint:gosec // a test talking to itself
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-fin; err != nil {
		t.Fatal(err)
	}
	return upBuf.Bytes(), downBuf.Bytes(), leaf
}

func TestFindHello(t *testing.T) {
	wire := record(chrome.wire(), 16384)
	if at := FindHello(append([]byte("EHLO x\r\nSTARTTLS\r\n\x16\x16"), wire...)); at != 20 {
		t.Errorf("found at %d", at)
	}
	if at := FindHello([]byte("EHLO \x16\x03\x01 plain text, no hello in it")); at != -1 {
		t.Errorf("found at %d", at)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(record(chrome.wire(), 16384), uint16(9))
	f.Add(record(hello{version: 769, ciphers: []uint16{4}}.wire(), 5), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole, split Stream
		whole.Feed(b)
		n := min(int(cut), len(b))
		split.Feed(b[:n])
		split.Feed(b[n:])
		if (whole.ClientHello == nil) != (split.ClientHello == nil) || (whole.ServerHello == nil) != (split.ServerHello == nil) || len(whole.Certificates) != len(split.Certificates) {
			t.Errorf("cut at %d gives another result", n)
		}
		for _, h := range []*ClientHello{whole.ClientHello, direct(b)} {
			if h == nil {
				continue
			}
			h.JA3()
			if j := h.JA4(TCP); j.Hash != h.JA4Hash(TCP) {
				t.Errorf("two ways to one JA4: %s and %s", j.Hash, h.JA4Hash(TCP))
			}
		}
		if s, err := ParseServerHello(b); err == nil {
			s.JA3S()
		}
		ParseCertificates(b)
		FindHello(b)
	})
}

func direct(b []byte) *ClientHello { h, _ := ParseClientHello(b); return h }

func BenchmarkClientHello(b *testing.B) {
	wire := record(chrome.wire(), 16384)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		var s Stream
		s.Feed(wire)
		if s.ClientHello == nil {
			b.Fatal("no hello")
		}
	}
}

func BenchmarkFingerprints(b *testing.B) {
	h, err := ParseClientHello(chrome.wire())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("JA3", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.JA3()
		}
	})
	b.Run("JA4Hash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.JA4Hash(TCP)
		}
	})
	b.Run("JA4", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.JA4(TCP)
		}
	})
}
