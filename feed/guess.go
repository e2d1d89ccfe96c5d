// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Guess types a text of which only the form is known: a list may hold addresses,
// ip:port, names and paths side by side. The note says what the value lost on the way
// ("port 443"). A bare MD5 is a Hash; a JA3 must say so (ja3:…) or be declared by kind.
func Guess(text string) (kind Kind, value, note string, err error) {
	s := strings.TrimSpace(text)
	if strings.Contains(s, "://") || strings.Contains(s, "[:]//") {
		kind, value, err = Canonical(URL, s)
		return kind, value, "", err
	}
	if n := len(s); (n == 32 || n == 40 || n == 64) && hex(s) {
		kind, value, err = Canonical(Hash, s)
		return kind, value, "", err
	}
	if method, _, ok := strings.Cut(s, ":"); ok && strings.HasPrefix(strings.ToLower(method), "ja") || strings.HasPrefix(s, "hassh") {
		if kind, value, err = Canonical(Fingerprint, s); err == nil {
			return kind, value, "", nil
		}
	}
	s = refangURL(s)
	if kind, value, err = Canonical(IP, s); err == nil {
		return kind, value, "", nil
	}
	if strings.HasPrefix(s, "/") {
		return "", "", "", fmt.Errorf("%s is a path without a host", Quote(text))
	}
	if addr, length, ok := strings.Cut(s, "/"); ok {
		if _, aerr := netip.ParseAddr(addr); aerr == nil && looksNumber(length) {
			return "", "", "", err // a prefix we refuse, with its reason
		}
		kind, value, err = Canonical(URL, s)
		return kind, value, "", err
	}
	return guessHost(text, s)
}

// guessHost types host and host:port.
func guessHost(text, s string) (kind Kind, value, note string, err error) {
	host := s
	if h, port, ok := splitPort(s); ok {
		host, note = h, "port "+port
	}
	if kind, value, err = Canonical(IP, host); err == nil {
		return kind, value, note, nil
	}
	if last := host[strings.LastIndexByte(host, '.')+1:]; strings.Contains(host, ":") || looksNumber(last) {
		return "", "", "", fmt.Errorf("%s is not an address", Quote(text))
	}
	kind, value, err = Canonical(Domain, host)
	return kind, value, note, err
}

// splitPort takes host:port and [v6]:port apart.
func splitPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || strings.Count(s, ":") > 1 && s[i-1] != ']' {
		return "", "", false
	}
	if n, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil || n == 0 {
		return "", "", false
	}
	return strings.Trim(s[:i], "[]"), s[i+1:], true
}

func looksNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
