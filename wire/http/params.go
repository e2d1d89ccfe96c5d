// SPDX-License-Identifier: Apache-2.0

package http

import (
	"iter"
	"strings"
)

// SplitTarget splits a request target into path and query, both as on the
// wire; scheme, authority and fragment are left out. "*" and CONNECT targets
// come back as the path.
func SplitTarget(target string) (path, query string) {
	if i := strings.IndexByte(target, '#'); i >= 0 {
		target = target[:i]
	}
	path, query, _ = strings.Cut(target, "?")
	if path != "" && path[0] != '/' {
		if i := strings.Index(path, "://"); i >= 0 {
			path = path[i+3:]
			if j := strings.IndexByte(path, '/'); j >= 0 {
				return path[j:], query
			}
			return "/", query
		}
	}
	return path, query
}

// Params walks the pairs of a query or of an application/x-www-form-urlencoded
// body, decoded. Empty parts are left out; a part without = has an empty value.
// The caller bounds the number of pairs by leaving the loop. Texts without % or
// + are parts of raw and cost nothing.
func Params(raw string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for raw != "" {
			var part string
			part, raw, _ = strings.Cut(raw, "&")
			if part == "" {
				continue
			}
			name, value, _ := strings.Cut(part, "=")
			if !yield(Decode(name, true), Decode(value, true)) {
				return
			}
		}
	}
}

// Decode undoes percent-encoding once, and with plus turns + into a blank. A %
// that two hexadecimal digits do not follow stays as it is.
func Decode(s string, plus bool) string {
	first := strings.IndexByte(s, '%')
	if plus {
		if i := strings.IndexByte(s, '+'); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first < 0 {
		return s
	}
	b := make([]byte, first, len(s))
	copy(b, s)
	for i := first; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+' && plus:
			c = ' '
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			c = byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
