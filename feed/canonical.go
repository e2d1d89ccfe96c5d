// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// The widest prefixes a list may claim (intel.md §1): a wider one is a typing error
// or an attack on whoever loads it.
const (
	widest4 = 8
	widest6 = 19
)

// Canonical brings a value of a known kind into its one form, undoing the usual
// defanging first. A prefix of full length becomes an IP, and an IP text with a
// prefix length becomes a Prefix, so the kind comes back too. Safe for many goroutines.
func Canonical(kind Kind, text string) (Kind, string, error) {
	s := strings.TrimSpace(text)
	var err error
	switch kind {
	case IP, Prefix:
		s = Refang(s)
		if strings.Contains(s, "/") {
			var p netip.Prefix
			if p, err = ParsePrefix(s); err == nil {
				kind, s = ofPrefix(p)
			}
			break
		}
		var a netip.Addr
		if a, err = ParseAddr(s); err == nil {
			kind, s = IP, a.String()
		}
	case Domain:
		s, err = ParseDomain(Refang(s))
	case URL:
		s, err = ParseURL(s)
	case Hash:
		s, err = ParseHash(s)
	case Fingerprint:
		s, err = ParseFingerprint(s)
	default:
		err = fmt.Errorf("%s is not a kind of indicator; kinds are %v", Quote(string(kind)), Kinds)
	}
	if err != nil {
		return "", "", err
	}
	return kind, s, nil
}

func ofPrefix(p netip.Prefix) (Kind, string) {
	if p.IsSingleIP() {
		return IP, p.Addr().String()
	}
	return Prefix, p.String()
}

// ParseAddr reads an address: IPv4-mapped becomes IPv4; zones and leading zeros (which
// some readers take for octal) are refused.
func ParseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("%s is not an address", Quote(s))
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s has a zone, which has no meaning on another host", Quote(s))
	}
	return a.Unmap(), nil
}

// ParsePrefix reads a prefix. Host bits that are set and prefixes wider than /8 (IPv4)
// or /19 (IPv6) are refused: either claims more than its writer can have meant.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s is not a prefix", Quote(s))
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s covers all of IPv4", Quote(s))
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Errorf("%s has host bits set; write %s or one address", Quote(s), m)
	}
	if limit := widest(p.Addr()); p.Bits() < limit {
		return netip.Prefix{}, fmt.Errorf("%s is wider than /%d", Quote(s), limit)
	}
	return p, nil
}

func widest(a netip.Addr) int {
	if a.Is4() {
		return widest4
	}
	return widest6
}

// lookup is IDNA 2008 as a browser asks (UTS 46, not transitional); underscores live in real names.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// ParseDomain reads a host name: lower-case A-labels, no final dot, a leading "*." or
// "." dropped. Addresses, single labels and names that DNS cannot carry are refused.
func ParseDomain(s string) (string, error) {
	d := strings.TrimSuffix(s, ".")
	d = strings.TrimPrefix(strings.TrimPrefix(d, "*"), ".")
	if !canonicalDomain(d) {
		a, err := lookup.ToASCII(d)
		if err != nil && !plainASCII(d) {
			return "", fmt.Errorf("%s is not a domain: %w", Quote(s), err)
		}
		// An A-label that IDNA would not make today still stands in DNS, so ASCII passes.
		if d = a; err != nil {
			d = strings.ToLower(s)
			d = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(d, "."), "*"), ".")
		}
	}
	if err := checkDomain(d); err != nil {
		return "", fmt.Errorf("%s is not a domain: %w", Quote(s), err)
	}
	return d, nil
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// canonicalDomain is the quick answer for the usual case: nothing to map.
func canonicalDomain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return !strings.Contains(s, "xn--")
}

// checkDomain holds a name to RFC 1035 §2.3.4 lengths and to letters, digits, '-', '_'.
func checkDomain(d string) error {
	if len(d) > 253 {
		return errors.New("longer than 253 bytes")
	}
	labels, start := 1, 0
	for i := 0; i <= len(d); i++ {
		if i < len(d) && d[i] != '.' {
			c := d[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return fmt.Errorf("%q cannot stand in a name", c)
			}
			continue
		}
		switch n := i - start; {
		case n == 0:
			return errors.New("an empty label")
		case n > 63:
			return errors.New("a label longer than 63 bytes")
		case d[start] == '-' || d[i-1] == '-':
			return errors.New("a label begins or ends with '-'")
		}
		if i < len(d) {
			labels, start = labels+1, i+1
		}
	}
	if labels < 2 {
		return errors.New("only one label")
	}
	if strings.Trim(d[start:], "0123456789") == "" {
		return errors.New("ends in a number, as an address does")
	}
	return nil
}

// ParseHash reads an MD5, SHA-1 or SHA-256 in hex.
func ParseHash(s string) (string, error) {
	if n := len(s); n != 32 && n != 40 && n != 64 || !hex(s) {
		return "", fmt.Errorf("%s is not an MD5, SHA-1 or SHA-256 in hex", Quote(s))
	}
	return strings.ToLower(s), nil
}

func hex(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return s != ""
}

// ParseFingerprint reads method:value for ja3, ja3s, hassh, hasshserver (MD5) and ja4
// (FoxIO's a_b_c form of the client hello).
func ParseFingerprint(s string) (string, error) {
	method, value, ok := strings.Cut(strings.ToLower(s), ":")
	if !ok {
		return "", fmt.Errorf("%s is not a fingerprint; write method:value", Quote(s))
	}
	switch method {
	case "ja3", "ja3s", "hassh", "hasshserver":
		ok = len(value) == 32 && hex(value)
	case "ja4":
		ok = ja4(value)
	default:
		return "", fmt.Errorf("%s names no method among ja3, ja3s, ja4, hassh, hasshserver", Quote(s))
	}
	if !ok {
		return "", fmt.Errorf("%s is not a %s fingerprint", Quote(s), method)
	}
	return method + ":" + value, nil
}

// ja4: transport, TLS version, SNI, two counts, ALPN ends; then two truncated SHA-256.
func ja4(s string) bool {
	if len(s) != 36 || s[10] != '_' || s[23] != '_' || !hex(s[11:23]) || !hex(s[24:]) {
		return false
	}
	return strings.IndexByte("tqd", s[0]) >= 0 && (s[3] == 'd' || s[3] == 'i') &&
		strings.Trim(s[4:8], "0123456789") == "" && strings.Trim(s[1:3]+s[8:10], "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

var fangs = strings.NewReplacer(
	"[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "[.", ".", ".]", ".",
	"[:]", ":", "[://]", "://", "[:/]", ":/", "[/]", "/", "\\.", ".")

// Refang undoes what reports do to indicators so that nobody clicks on them:
// hxxp, [.], (dot), [:]// and the like.
func Refang(s string) string {
	if strings.ContainsAny(s, "[({\\") {
		s = fangs.Replace(s)
	}
	if len(s) > 4 && (s[0] == 'h' || s[0] == 'H' || s[0] == 'f' || s[0] == 'F') && strings.Contains(s[:min(len(s), 9)], ":") {
		scheme, rest, _ := strings.Cut(s, ":")
		switch strings.ToLower(scheme) {
		case "hxxp", "htxp", "hxtp", "h**p", "hxxx":
			return "http:" + rest
		case "hxxps", "htxps", "hxtps", "h**ps":
			return "https:" + rest
		case "fxp":
			return "ftp:" + rest
		}
	}
	return s
}
