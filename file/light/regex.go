// SPDX-License-Identifier: Apache-2.0

package light

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of one expression. maxRepeat is libyara's RE_MAX_RANGE; nesting and
// program size keep a hostile rule file from costing more than its length.
const (
	maxRepeat = 32767
	maxNest   = 64
)

// regex is a parsed expression and how long its match is taken: libyara takes
// the longest unless a quantifier is lazy.
type regex struct {
	root *node
	lazy bool
}

type regexParser struct {
	src   string
	pos   int
	fold  bool
	dot   byteSet
	depth int
	lazy  bool
	eager bool
}

// parseRegex reads libyara 4.2's regular expression dialect.
func parseRegex(src string, fold, dotAll bool) (regex, error) {
	p := &regexParser{src: src, fold: fold, dot: anyByte}
	if !dotAll {
		p.dot = oneByte('\n').inverse()
	}
	root, err := p.alternation()
	if err != nil {
		return regex{}, fmt.Errorf("at byte %d of the expression: %w", p.pos, err)
	}
	if p.pos < len(src) {
		return regex{}, fmt.Errorf("at byte %d of the expression: ')' without '('", p.pos)
	}
	if p.lazy && p.eager {
		return regex{}, errors.New("greedy and lazy quantifiers in one expression: yara refuses it too")
	}
	return regex{root: root, lazy: p.lazy}, nil
}

func (p *regexParser) alternation() (*node, error) {
	if p.depth++; p.depth > maxNest {
		return nil, fmt.Errorf("nested deeper than %d", maxNest)
	}
	defer func() { p.depth-- }()
	var alts []*node
	for {
		n, err := p.concat()
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if p.pos >= len(p.src) || p.src[p.pos] != '|' {
			break
		}
		p.pos++
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{op: opAlt, subs: alts}, nil
}

func (p *regexParser) concat() (*node, error) {
	var subs []*node
	for p.pos < len(p.src) && p.src[p.pos] != '|' && p.src[p.pos] != ')' {
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		n, err = p.quantified(n)
		if err != nil {
			return nil, err
		}
		subs = append(subs, n)
	}
	return cat(subs...), nil
}

func (p *regexParser) atom() (*node, error) {
	c := p.src[p.pos]
	p.pos++
	switch c {
	case '.':
		return setNode(p.dot), nil
	case '^':
		return &node{op: opBegin}, nil
	case '$':
		return &node{op: opEnd}, nil
	case '[':
		return p.class()
	case '(':
		if p.pos < len(p.src) && p.src[p.pos] == '?' {
			return nil, errors.New("(?…) groups are not supported; yara 4.2 has none")
		}
		n, err := p.alternation()
		if err != nil {
			return nil, err
		}
		if p.pos >= len(p.src) {
			return nil, errors.New("'(' without ')'")
		}
		p.pos++
		if n.op == opCat && len(n.subs) != 1 {
			// Keep the group whole: a quantifier behind it is for all of it.
			return &node{op: opRep, subs: []*node{n}, min: 1, max: 1}, nil
		}
		return n, nil
	case '*', '+', '?':
		return nil, fmt.Errorf("%q has nothing to repeat", c)
	case '\\':
		return p.escaped()
	}
	return p.literal(c), nil
}

func (p *regexParser) literal(c byte) *node {
	s := oneByte(c)
	if p.fold {
		s.fold()
	}
	return setNode(s)
}

func (p *regexParser) escaped() (*node, error) {
	if p.pos >= len(p.src) {
		return nil, errors.New("nothing behind the last backslash")
	}
	switch p.src[p.pos] {
	case 'b':
		p.pos++
		return &node{op: opWord}, nil
	case 'B':
		p.pos++
		return &node{op: opNoWord}, nil
	}
	s, _, err := p.escapeSet()
	if err != nil {
		return nil, err
	}
	if p.fold {
		s.fold()
	}
	return setNode(s), nil
}

var (
	digits = func() (s byteSet) { s.addRange('0', '9'); return }()
	words  = func() (s byteSet) { s = digits; s.addRange('a', 'z'); s.addRange('A', 'Z'); s.add('_'); return }()
	spaces = func() (s byteSet) {
		for _, c := range []byte(" \t\r\n\v\f") {
			s.add(c)
		}
		return
	}()
)

// escapeSet reads what follows a backslash; single says it is one byte.
func (p *regexParser) escapeSet() (s byteSet, single bool, err error) {
	c := p.src[p.pos]
	p.pos++
	switch c {
	case 'd':
		return digits, false, nil
	case 'D':
		return digits.inverse(), false, nil
	case 'w':
		return words, false, nil
	case 'W':
		return words.inverse(), false, nil
	case 's':
		return spaces, false, nil
	case 'S':
		return spaces.inverse(), false, nil
	case 't':
		c = '\t'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 'f':
		c = '\f'
	case 'a':
		c = '\a'
	case 'x':
		if p.pos+2 > len(p.src) {
			return s, false, errors.New(`\x wants two hex digits`)
		}
		v, perr := strconv.ParseUint(p.src[p.pos:p.pos+2], 16, 8)
		if perr != nil {
			return s, false, errors.New(`\x wants two hex digits`)
		}
		p.pos += 2
		c = byte(v)
	default:
		if isWordStart(c) && c != '_' || c >= '0' && c <= '9' {
			return s, false, fmt.Errorf(`escape \%c is not supported`, c)
		}
	}
	return oneByte(c), true, nil
}

func (p *regexParser) class() (*node, error) {
	var s byteSet
	negated := false
	if p.pos < len(p.src) && p.src[p.pos] == '^' {
		negated = true
		p.pos++
	}
	for first := true; ; first = false {
		if p.pos >= len(p.src) {
			return nil, errors.New("'[' without ']'")
		}
		if p.src[p.pos] == ']' && !first {
			p.pos++
			break
		}
		item, single, err := p.classItem()
		if err != nil {
			return nil, err
		}
		rest := p.src[p.pos:]
		if !single || len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
			s.union(item)
			continue
		}
		p.pos++
		high, single, err := p.classItem()
		if err != nil {
			return nil, err
		}
		lo, hi := lowest(item), lowest(high)
		if !single || lo > hi {
			return nil, errors.New("bad range in [ ]")
		}
		s.addRange(lo, hi)
	}
	if p.fold {
		s.fold()
	}
	if negated {
		s = s.inverse()
	}
	return setNode(s), nil
}

func (p *regexParser) classItem() (byteSet, bool, error) {
	c := p.src[p.pos]
	p.pos++
	if c != '\\' {
		return oneByte(c), true, nil
	}
	if p.pos >= len(p.src) {
		return byteSet{}, false, errors.New("nothing behind the last backslash")
	}
	return p.escapeSet()
}

func lowest(s byteSet) byte {
	for b := 0; b < 256; b++ {
		if s.has(byte(b)) {
			return byte(b)
		}
	}
	return 0
}

func (p *regexParser) quantified(n *node) (*node, error) {
	for times := 0; p.pos < len(p.src); times++ {
		lo, hi, at := 0, 0, p.pos
		switch p.src[p.pos] {
		case '*':
			lo, hi = 0, -1
			p.pos++
		case '+':
			lo, hi = 1, -1
			p.pos++
		case '?':
			lo, hi = 0, 1
			p.pos++
		case '{':
			var ok bool
			var err error
			if lo, hi, ok, err = p.braces(); err != nil || !ok {
				return n, err
			}
		default:
			return n, nil
		}
		if p.pos < len(p.src) && p.src[p.pos] == '?' {
			p.pos++
			p.lazy = true
		} else if lo != hi {
			p.eager = true
		}
		if times > 0 {
			return nil, fmt.Errorf("a second quantifier at byte %d", at)
		}
		if n.minLen() == 0 && !n.uses(opSet) {
			return nil, errors.New("a quantifier behind something without length")
		}
		n = &node{op: opRep, subs: []*node{n}, min: lo, max: hi}
	}
	return n, nil
}

// braces reads {n}, {n,}, {,m} and {n,m}; anything else is literal text.
func (p *regexParser) braces() (lo, hi int, ok bool, err error) {
	end := strings.IndexByte(p.src[p.pos:], '}')
	if end < 0 {
		return 0, 0, false, nil
	}
	a, b, comma := strings.Cut(p.src[p.pos+1:p.pos+end], ",")
	if !allDigits(a) || !allDigits(b) || !comma && a == "" {
		return 0, 0, false, nil
	}
	lo, _ = strconv.Atoi(a) // "" is 0
	hi = lo
	if comma {
		hi = -1
		if b != "" {
			hi, _ = strconv.Atoi(b)
		}
	}
	if lo > maxRepeat || hi > maxRepeat || hi >= 0 && lo > hi {
		return 0, 0, false, fmt.Errorf("repeat {%s} is out of order or above %d", clip(p.src[p.pos+1:p.pos+end], 20), maxRepeat)
	}
	p.pos += end + 1
	return lo, hi, true, nil
}

func allDigits(s string) bool {
	if len(s) > 6 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
