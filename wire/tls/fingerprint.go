// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/md5" //nolint:gosec // JA3 is defined as an MD5; it names, it does not protect
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// Transport is the first letter of a JA4.
type Transport byte

// Transports of JA4 that are supported.
const (
	TCP  Transport = 't'
	QUIC Transport = 'q'
)

// JA3 gives the MD5 in hex and the string it is made of: version, ciphers,
// extensions, groups, point formats, decimal, GREASE removed, in the order of
// the wire (github.com/salesforce/ja3, BSD-3).
func (h *ClientHello) JA3() (hash, raw string) {
	b := make([]byte, 0, 512)
	b = strconv.AppendUint(b, uint64(h.LegacyVersion), 10)
	b = append(b, ',')
	b = appendDecimals(b, h.CipherSuites)
	b = append(b, ',')
	b = appendDecimals(b, h.Extensions)
	b = append(b, ',')
	b = appendDecimals(b, h.Groups)
	b = append(b, ',')
	for i, p := range h.PointFormats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(p), 10)
	}
	return md5Hex(b), string(b)
}

// JA3S gives the server's counterpart: version, cipher, extensions.
func (h *ServerHello) JA3S() (hash, raw string) {
	b := make([]byte, 0, 64)
	b = strconv.AppendUint(b, uint64(h.LegacyVersion), 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(h.CipherSuite), 10)
	b = append(b, ',')
	b = appendDecimals(b, h.Extensions)
	return md5Hex(b), string(b)
}

// JA4 is the client fingerprint of FoxIO (BSD-3 part of the JA4 suite;
// technical_details/JA4.md of FoxIO-LLC/ja4) in its four published forms.
type JA4 struct {
	Hash         string // a_b_c, sorted: the fingerprint
	Raw          string // JA4_r: what Hash is made of
	OriginalHash string // JA4_o: ciphers and extensions in wire order, SNI and ALPN kept
	OriginalRaw  string // JA4_ro
}

// JA4 computes the fingerprint with all raw forms. When only the hash is
// wanted, [ClientHello.JA4Hash] costs less.
func (h *ClientHello) JA4(t Transport) JA4 {
	var j JA4
	a := h.ja4a(t)
	ciphers, extensions := h.ja4Lists()
	sigs := string(h.appendSignatures(nil))
	original := string(appendHexes(nil, ciphers)) + "_"
	originalExt := string(appendHexes(nil, withoutGREASE(h.Extensions))) + sigs
	slices.Sort(ciphers)
	slices.Sort(extensions)
	sorted := string(appendHexes(nil, ciphers))
	sortedExt := string(appendHexes(nil, extensions)) + sigs
	j.Raw = string(a) + "_" + sorted + "_" + sortedExt
	j.OriginalRaw = string(a) + "_" + original + originalExt
	j.Hash = string(a) + "_" + hash12([]byte(sorted)) + "_" + hash12([]byte(sortedExt))
	if sortedExt == "" { // FoxIO's vectors: no extension but SNI and ALPN gives zeros here too
		originalExt = ""
	}
	j.OriginalHash = string(a) + "_" + hash12([]byte(original[:len(original)-1])) + "_" + hash12([]byte(originalExt))
	return j
}

// JA4Hash computes only the fingerprint itself.
func (h *ClientHello) JA4Hash(t Transport) string {
	ciphers, extensions := h.ja4Lists()
	slices.Sort(ciphers)
	slices.Sort(extensions)
	out := make([]byte, 0, 40)
	out = append(out, h.ja4a(t)...)
	var buf [1024]byte // 5 bytes a number: two hundred numbers; longer lists move to the heap
	out = append(out, '_')
	out = appendHash12(out, appendHexes(buf[:0], ciphers))
	out = append(out, '_')
	out = appendHash12(out, h.appendSignatures(appendHexes(buf[:0], extensions)))
	return string(out)
}

// ja4a is the readable first part: t13d1516h2.
func (h *ClientHello) ja4a(t Transport) []byte {
	sni := byte('i')
	if slices.Contains(h.Extensions, extServerName) {
		sni = 'd'
	}
	a := append(make([]byte, 0, 16), byte(t))
	a = append(a, versionCode(h.Version())...)
	a = append(a, sni)
	a = appendTwoDigits(a, countPlain(h.CipherSuites))
	a = appendTwoDigits(a, countPlain(h.Extensions))
	first, last := h.ja4ALPN()
	return append(a, first, last)
}

// ja4ALPN gives the first and last character of the first ALPN value. Where
// they are not alphanumeric the specification's text says: of its hexadecimal
// form; FoxIO's own programs and published vectors write 99 when the first
// byte is not ASCII. We follow the vectors, because fingerprints exist to be
// compared with theirs, and the text in all other cases.
func (h *ClientHello) ja4ALPN() (first, last byte) {
	if len(h.ALPN) == 0 || h.ALPN[0] == "" {
		return '0', '0'
	}
	v := h.ALPN[0]
	f, l := v[0], v[len(v)-1]
	if len(v) == 2 && IsGREASE(uint16(f)<<8|uint16(l)) {
		return '0', '0'
	}
	switch {
	case f > 0x7f:
		return '9', '9'
	case alphanumeric(f) && alphanumeric(l):
		return f, l
	}
	const digits = "0123456789abcdef"
	return digits[f>>4], digits[l&15]
}

// ja4Lists gives fresh lists: ciphers, and extensions without SNI and ALPN.
func (h *ClientHello) ja4Lists() (ciphers, extensions []uint16) {
	ciphers = withoutGREASE(h.CipherSuites)
	extensions = make([]uint16, 0, len(h.Extensions))
	for _, e := range h.Extensions {
		if !IsGREASE(e) && e != extServerName && e != extALPN {
			extensions = append(extensions, e)
		}
	}
	return ciphers, extensions
}

// appendSignatures appends _ and the signature algorithms in wire order, or
// nothing when there are none.
func (h *ClientHello) appendSignatures(b []byte) []byte {
	sep := byte('_')
	for _, s := range h.SignatureAlgorithms {
		if IsGREASE(s) {
			continue
		}
		b = append(b, sep)
		b = appendHex4(b, s)
		sep = ','
	}
	return b
}

func versionCode(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func countPlain(v []uint16) int {
	n := 0
	for _, x := range v {
		if !IsGREASE(x) {
			n++
		}
	}
	return n
}

func withoutGREASE(v []uint16) []uint16 {
	out := make([]uint16, 0, len(v))
	for _, x := range v {
		if !IsGREASE(x) {
			out = append(out, x)
		}
	}
	return out
}

func appendTwoDigits(b []byte, n int) []byte {
	n = min(n, 99) // the specification caps both counts
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

func appendDecimals(b []byte, v []uint16) []byte {
	first := true
	for _, x := range v {
		if IsGREASE(x) {
			continue
		}
		if !first {
			b = append(b, '-')
		}
		first = false
		b = strconv.AppendUint(b, uint64(x), 10)
	}
	return b
}

func appendHex4(b []byte, v uint16) []byte {
	const digits = "0123456789abcdef"
	return append(b, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
}

func appendHexes(b []byte, v []uint16) []byte {
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendHex4(b, x)
	}
	return b
}

func md5Hex(b []byte) string {
	s := md5.Sum(b) //nolint:gosec // see the import
	var out [32]byte
	hex.Encode(out[:], s[:])
	return string(out[:])
}

func hash12(b []byte) string { return string(appendHash12(nil, b)) }

// appendHash12 appends the first 12 hex digits of the SHA-256, or twelve zeros
// when there is nothing to hash (JA4.md, "Cipher hash").
func appendHash12(out, b []byte) []byte {
	if len(b) == 0 {
		return append(out, "000000000000"...)
	}
	s := sha256.Sum256(b)
	return hex.AppendEncode(out, s[:6])
}
