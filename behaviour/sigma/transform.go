// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// dashes are interchangeable under windash: hyphen, slash, en dash, em dash, horizontal bar.
var dashes = []string{"-", "/", "\u2013", "\u2014", "\u2015"}

// maxDashes bounds the variants of one value at 5^5.
const maxDashes = 5

// windash varies every dash that begins an option: not behind a word character, and before one.
func windash(p pattern) ([]pattern, error) {
	out := []pattern{nil}
	varied := 0
	vary := func(choices ...string) {
		var next []pattern
		for _, o := range out {
			for _, ch := range choices {
				next = append(next, concat(o, literalPattern(ch)))
			}
		}
		out = next
	}
	for _, pc := range p {
		if pc.wild != 0 {
			for i := range out {
				out[i] = concat(out[i], pattern{pc})
			}
			continue
		}
		rs := []rune(pc.lit)
		from := 0
		for i, r := range rs {
			if !strings.ContainsRune("-/\u2013\u2014\u2015", r) || i > 0 && isWord(rs[i-1]) || i+1 == len(rs) || !isWord(rs[i+1]) {
				continue
			}
			if varied++; varied > maxDashes {
				return nil, fmt.Errorf("more than %d options in one value", maxDashes)
			}
			if i > from {
				vary(string(rs[from:i]))
			}
			vary(dashes...)
			from = i + 1
		}
		if from < len(rs) {
			vary(string(rs[from:]))
		}
	}
	return out, nil
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

var placeholder = regexp.MustCompile(`\\%|%[A-Za-z0-9_.-]+%`)

// expand puts the configured values in the place of %name%; \% is a plain percent sign.
func (c *chain) expand(p pattern) ([]pattern, error) {
	out := []pattern{nil}
	add := func(choices ...pattern) error {
		if len(out)*len(choices) > maxValues {
			return fmt.Errorf("placeholders multiply to more than %d values", maxValues)
		}
		var next []pattern
		for _, o := range out {
			for _, ch := range choices {
				next = append(next, concat(o, ch))
			}
		}
		out = next
		return nil
	}
	for _, pc := range p {
		if pc.wild != 0 {
			if err := add(pattern{pc}); err != nil {
				return nil, err
			}
			continue
		}
		from := 0
		for _, m := range placeholder.FindAllStringIndex(pc.lit, -1) {
			choices := []pattern{literalPattern("%")}
			if name := pc.lit[m[0]:m[1]]; name != `\%` {
				name = strings.Trim(name, "%")
				values := c.placeholders[name]
				if len(values) == 0 {
					return nil, fmt.Errorf("placeholder %%%s%% has no values in the configuration", name)
				}
				choices = nil
				for _, v := range values {
					choices = append(choices, parsePattern(v))
				}
			}
			if err := add(literalPattern(pc.lit[from:m[0]])); err != nil {
				return nil, err
			}
			if err := add(choices...); err != nil {
				return nil, err
			}
			from = m[1]
		}
		if err := add(literalPattern(pc.lit[from:])); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var encoders = map[string]func(pattern) ([]pattern, error){
	"base64": whole(func(s string) []string { return []string{base64.StdEncoding.EncodeToString([]byte(s))} }),
	"base64offset": whole(func(s string) []string {
		// The parts that do not depend on the bytes before and after, for shifts by 0, 1 and 2 bytes.
		var out []string
		for shift, skip := range []int{0, 2, 3} {
			b := append(make([]byte, shift, shift+len(s)), s...)
			enc := base64.StdEncoding.EncodeToString(b)
			end := len(enc) - [3]int{0, 3, 2}[len(b)%3]
			if skip < end {
				out = append(out, enc[skip:end])
			}
		}
		return out
	}),
	"wide":    utf16Encoder(false, false),
	"utf16le": utf16Encoder(false, false),
	"utf16be": utf16Encoder(true, false),
	"utf16":   utf16Encoder(false, true),
}

// whole wraps an encoder that needs the full text, so no wildcards.
func whole(f func(string) []string) func(pattern) ([]pattern, error) {
	return func(p pattern) ([]pattern, error) {
		s, ok := p.literal()
		if !ok {
			return nil, fmt.Errorf("a value with wildcards cannot be encoded")
		}
		var out []pattern
		for _, e := range f(s) {
			out = append(out, literalPattern(e))
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("value %q is too short", s)
		}
		return out, nil
	}
}

func utf16Encoder(big, mark bool) func(pattern) ([]pattern, error) {
	return func(p pattern) ([]pattern, error) {
		out := p.mapLiterals(func(s string) string {
			var b []byte
			for _, u := range utf16.Encode([]rune(s)) {
				if big {
					b = append(b, byte(u>>8), byte(u))
				} else {
					b = append(b, byte(u), byte(u>>8))
				}
			}
			return string(b)
		})
		if mark {
			out = concat(literalPattern("\xff\xfe"), out)
		}
		return []pattern{out}, nil
	}
}
