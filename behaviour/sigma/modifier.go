// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
)

// value is one value of a field on its way through the modifiers.
type value struct {
	kind string // "text", "number", "bool", "null"
	raw  string
	pat  pattern
	line int
}

func readValue(n *yaml.Node) (value, error) {
	v := value{kind: "text", raw: n.Value, line: n.Line}
	switch n.Tag {
	case "!!null":
		v.kind, v.raw = "null", ""
	case "!!bool":
		v.kind, v.raw = "bool", strings.ToLower(n.Value)
		v.pat = literalPattern(v.raw)
	case "!!int":
		v.kind = "number"
		// 0x… and 0… are numbers to YAML, and events carry decimal text.
		if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			v.raw = strconv.FormatInt(i, 10)
		}
		v.pat = literalPattern(v.raw)
	case "!!float":
		v.kind = "number"
		v.pat = literalPattern(v.raw)
	case "!!str", "!!timestamp":
		v.pat = parsePattern(n.Value)
	default:
		return v, faultf(n.Line, "a value of YAML type %s is not known to Sigma", n.Tag)
	}
	return v, nil
}

// chain is the state of one field|modifier|… while its modifiers are applied from left to right.
type chain struct {
	field        string
	values       []value
	placeholders map[string][]string
	line         int

	all, cased, neq bool
	kind            string // "", re, cidr, exists, fieldref
	flags           string // of re
	cmp, part       string
	anchor          string // contains, startswith, endswith
	keyword         bool
	err             error
}

func (c *chain) fail(format string, args ...any) {
	if c.err == nil {
		c.err = faultf(c.line, format, args...)
	}
}

// item compiles field|modifiers: values. field "" with values are keywords.
func item(field string, mods []string, nodes []*yaml.Node, line int, placeholders map[string][]string) (*expr, error) {
	c := &chain{field: field, line: line, placeholders: placeholders, keyword: field == ""}
	for _, n := range nodes {
		v, err := readValue(n)
		if err != nil {
			return nil, err
		}
		c.values = append(c.values, v)
	}
	for _, m := range mods {
		c.apply(m)
		if c.err == nil && len(c.values) > maxValues {
			c.fail("field %q has more than %d values after %q", field, maxValues, m)
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	var tests []*expr
	for _, v := range c.values {
		e, err := c.test(v)
		if err != nil {
			return nil, err
		}
		tests = append(tests, e)
	}
	switch {
	case c.neq:
		// "The field is different from the specified values": it is there, and none of them.
		return and(leaf(&test{kind: testExists, field: field, want: true}), not(or(tests...))), nil
	case c.all:
		return and(tests...), nil
	}
	return or(tests...), nil
}

func (c *chain) apply(m string) {
	switch m {
	case "all":
		c.all = true
		return
	case "neq":
		c.neq = true
		return
	case "cased":
		c.cased = true
		return
	case "i", "m", "s":
		if c.kind != "re" {
			c.fail("modifier %q belongs behind re", m)
		}
		c.flags += m
		return
	}
	if c.kind == "re" || c.kind == "cidr" || c.kind == "exists" || c.cmp != "" {
		c.fail("modifier %q cannot follow %s", m, c.kind+c.cmp)
		return
	}
	switch m {
	case "contains", "startswith", "endswith":
		c.applyAnchor(m)
	case "re", "cidr", "exists":
		if c.anchor != "" || c.kind != "" || c.part != "" {
			c.fail("modifier %q cannot follow %s", m, c.anchor+c.kind+c.part)
		}
		c.kind = m
	case "fieldref":
		if c.kind != "" || c.part != "" {
			c.fail("modifier fieldref cannot follow %s", c.kind+c.part)
		}
		c.kind = m
	case "lt", "lte", "gt", "gte":
		if c.anchor != "" || c.kind != "" {
			c.fail("modifier %q cannot follow %s", m, c.anchor+c.kind)
		}
		c.cmp = m
	case "minute", "hour", "day", "week", "month", "year":
		if c.anchor != "" || c.kind != "" || c.part != "" {
			c.fail("modifier %q cannot follow %s", m, c.anchor+c.kind+c.part)
		}
		c.part = m
	case "windash":
		c.eachText(m, windash)
	case "expand":
		c.eachText(m, c.expand)
	case "base64", "base64offset", "wide", "utf16le", "utf16be", "utf16":
		if c.anchor != "" {
			c.fail("modifier %q must stand before %s", m, c.anchor)
			return
		}
		c.eachText(m, encoders[m])
	default:
		c.fail("modifier %q is not in the specification", m)
	}
}

func (c *chain) applyAnchor(m string) {
	if c.anchor != "" || c.part != "" {
		c.fail("modifier %q cannot follow %s", m, c.anchor+c.part)
		return
	}
	c.anchor = m
	if c.kind == "fieldref" {
		return
	}
	for i, v := range c.values {
		if v.kind == "null" {
			c.fail("null cannot be used with %s", m)
			return
		}
		p := v.pat
		if m != "startswith" {
			p = concat(star, p)
		}
		if m != "endswith" {
			p = concat(p, star)
		}
		c.values[i].pat = p
	}
}

// eachText replaces every value by those that f makes of it.
func (c *chain) eachText(m string, f func(pattern) ([]pattern, error)) {
	if c.kind == "fieldref" || c.part != "" {
		c.fail("modifier %q cannot follow %s", m, c.kind+c.part)
		return
	}
	var out []value
	for _, v := range c.values {
		if v.kind == "null" {
			c.fail("null cannot be used with %s", m)
			return
		}
		made, err := f(v.pat)
		if err != nil {
			c.fail("%s: %v", m, err)
			return
		}
		for _, p := range made {
			out = append(out, value{kind: "text", raw: v.raw, pat: p, line: v.line})
		}
		if len(out) > maxValues {
			c.fail("modifier %q makes more than %d values", m, maxValues)
			return
		}
	}
	c.values = out
}

// test compiles one value after all modifiers.
func (c *chain) test(v value) (*expr, error) {
	t := &test{field: c.field, cased: c.cased}
	if c.keyword && (c.kind != "" && c.kind != "re" || c.cmp != "" || c.part != "" || v.kind == "null") {
		return nil, faultf(v.line, "a keyword must be text or a regular expression")
	}
	switch {
	case c.kind == "re":
		return c.regex(t, v)
	case c.kind == "cidr":
		p, err := netip.ParsePrefix(v.raw)
		if a, e := netip.ParseAddr(v.raw); e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, faultf(v.line, "cidr: %q is not a network such as 10.0.0.0/8", v.raw)
		}
		t.kind, t.prefix = testCIDR, p.Masked()
	case c.kind == "exists":
		if v.kind != "bool" {
			return nil, faultf(v.line, "exists needs true or false, not %q", v.raw)
		}
		t.kind, t.want = testExists, v.raw == "true"
	case c.kind == "fieldref":
		if v.kind != "text" || v.raw == "" {
			return nil, faultf(v.line, "fieldref needs the name of a field")
		}
		t.kind, t.glob = testFieldRef, pattern{{lit: v.raw}}
		t.start = c.anchor == "" || c.anchor == "startswith"
		t.end = c.anchor == "" || c.anchor == "endswith"
	case c.cmp != "" || c.part != "":
		n, err := strconv.ParseFloat(v.raw, 64)
		if err != nil || n != n {
			return nil, faultf(v.line, "%s needs a number, not %q", c.part+c.cmp, v.raw)
		}
		t.kind, t.num, t.part, t.cmp = testCompare, n, c.part, c.cmp
	case v.kind == "null":
		t.kind = testNull
	default:
		p := v.pat
		if c.keyword && c.anchor == "" {
			p = concat(star, p, star)
		}
		t.setPattern(p)
	}
	return leaf(t), nil
}

func (c *chain) regex(t *test, v value) (*expr, error) {
	if v.kind == "null" {
		return nil, faultf(v.line, "null cannot be used with re")
	}
	src := v.raw
	if c.flags != "" {
		src = "(?" + c.flags + ")" + src
	}
	re, err := regexp.Compile(src)
	if err != nil {
		return nil, faultf(v.line, "re: %v (RE2 syntax: no look-around, no back-references)", err)
	}
	t.kind, t.re = testRegex, re
	return leaf(t), nil
}

// setPattern chooses the cheapest test that answers the pattern.
func (t *test) setPattern(p pattern) {
	if len(p) == 1 && p[0].wild == '*' {
		t.kind = testAny
		return
	}
	t.kind, t.glob = testGlob, p
	if t.cased {
		return
	}
	t.glob = p.mapLiterals(fold)
	inner, start, end := t.glob, true, true
	if len(inner) > 0 && inner[0].wild == '*' {
		inner, start = inner[1:], false
	}
	if len(inner) > 0 && inner[len(inner)-1].wild == '*' {
		inner, end = inner[:len(inner)-1], false
	}
	if lit, ok := inner.literal(); ok {
		t.kind, t.lit, t.start, t.end, t.glob = testLiteral, lit, start, end, nil
	}
}

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
