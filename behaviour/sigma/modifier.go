// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

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
