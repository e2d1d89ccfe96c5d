// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// guard gives literals of which at least one must be in the value for a dear test to hold; empty: none known.
func (f *test) guard() []literal {
	switch f.kind {
	case testGlob:
		return globGuard(f.glob)
	case testRegex:
		re, err := syntax.Parse(f.re.String(), syntax.Perl)
		if err != nil {
			return nil
		}
		var out []literal
		for _, s := range required(re.Simplify()) {
			out = append(out, literal{text: fold(s)})
		}
		return out
	}
	return nil
}

// globGuard is the longest literal piece, anchored where it stands at an end.
func globGuard(p pattern) []literal {
	best := -1
	for i, pc := range p {
		if pc.wild == 0 && (best < 0 || len(pc.lit) > len(p[best].lit)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return []literal{{text: fold(p[best].lit), start: best == 0, end: best == len(p)-1}}
}

// maxAlternatives bounds the guard of one regular expression.
const maxAlternatives = 64

// required gives texts of which one must occur in every match, without regard to case; nil: none known.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		s := string(re.Rune)
		// U+FFFD also matches bytes that are not UTF-8.
		if s == "" || strings.ContainsRune(s, utf8.RuneError) {
			return nil
		}
		return []string{s}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if r := required(sub); r != nil && (best == nil || shortest(r) > shortest(best)) {
				best = r
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			r := required(sub)
			if r == nil || len(all)+len(r) > maxAlternatives {
				return nil
			}
			all = append(all, r...)
		}
		return all
	}
	return nil
}

func shortest(ss []string) int {
	n := len(ss[0])
	for _, s := range ss {
		n = min(n, len(s))
	}
	return n
}
