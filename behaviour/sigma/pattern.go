// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a Sigma string: literal pieces and wildcards in order.
type pattern []piece

// piece is literal text, or one wildcard: '*' for any run of characters, '?' for exactly one.
type piece struct {
	lit  string
	wild byte
}

// parsePattern reads wildcards and escapes: \* \? \\ stand for the second character, a backslash before
// anything else is itself.
func parsePattern(s string) pattern {
	var p pattern
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p = append(p, piece{lit: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '?' || s[i+1] == '\\'):
			i++
			lit.WriteByte(s[i])
		case c == '*' || c == '?':
			flush()
			p = append(p, piece{wild: c})
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	return p
}

func literalPattern(s string) pattern {
	if s == "" {
		return nil
	}
	return pattern{{lit: s}}
}

// literal gives the text of a pattern without wildcards.
func (p pattern) literal() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].wild == 0:
		return p[0].lit, true
	}
	return "", false
}

// concat joins patterns and merges neighbouring literals and stars.
func concat(parts ...pattern) pattern {
	var out pattern
	for _, p := range parts {
		for _, pc := range p {
			if n := len(out); n > 0 {
				switch {
				case pc.wild == '*' && out[n-1].wild == '*':
					continue
				case pc.wild == 0 && out[n-1].wild == 0:
					out[n-1].lit += pc.lit
					continue
				}
			}
			out = append(out, pc)
		}
	}
	return out
}

var star = pattern{{wild: '*'}}

// mapLiterals rewrites the literal pieces and leaves wildcards alone.
func (p pattern) mapLiterals(f func(string) string) pattern {
	out := make(pattern, len(p))
	for i, pc := range p {
		if pc.wild == 0 {
			pc.lit = f(pc.lit)
		}
		out[i] = pc
	}
	return out
}

// glob says whether the whole text fits the pattern; both must be folded alike. The text before the last star
// that fits is never looked at again, so the cost is at most len(s) * len(p).
func (p pattern) glob(s string) bool {
	pi, si := 0, 0
	starPi, starSi := -1, 0
	for {
		if pi == len(p) {
			if si == len(s) {
				return true
			}
		} else {
			pc := p[pi]
			switch {
			case pc.wild == '*':
				pi++
				starPi, starSi = pi, si
				continue
			case pc.wild == '?':
				if si < len(s) {
					_, n := utf8.DecodeRuneInString(s[si:])
					si += n
					pi++
					continue
				}
			case strings.HasPrefix(s[si:], pc.lit):
				si += len(pc.lit)
				pi++
				continue
			}
		}
		if starPi < 0 || starSi >= len(s) {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[starSi:])
		starSi += n
		pi, si = starPi, starSi
	}
}

// fold maps text so that strings which differ only in case (Unicode simple folding) become equal. Bytes that are
// not UTF-8 stay as they are, so that encoded values (utf16) survive.
func fold(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	out := make([]byte, 0, len(s)+8)
	out = append(out, s[:i]...)
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			out = append(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			out = append(out, s[i])
		} else {
			out = utf8.AppendRune(out, foldRune(r))
		}
		i += n
	}
	return string(out)
}

// foldRune gives one representative of all runes that fold together: the ASCII lower-case letter if there is
// one, else the smallest. So ſ (U+017F) becomes s and K (U+212A) becomes k, as in (?i).
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f < least {
			least = f
		}
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}
