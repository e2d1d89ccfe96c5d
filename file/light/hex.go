// SPDX-License-Identifier: Apache-2.0

package light

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// chainGap is libyara's STRING_CHAINING_THRESHOLD: a longer jump splits the
// string into links that are found on their own and then joined, so that a
// jump of a megabyte costs no program states.
const chainGap = 200

// hexLink is one piece of a hex string and the jump that leads to it from the
// end of the piece before: gapMin to gapMax bytes, gapMax < 0 is no limit.
type hexLink struct {
	root           *node
	gapMin, gapMax int
}

type hexParser struct {
	src   string
	pos   int
	depth int
}

func parseHex(src string) ([]hexLink, error) {
	p := &hexParser{src: src}
	links, err := p.links()
	if err != nil {
		return nil, fmt.Errorf("in hex string at byte %d: %w", p.pos, err)
	}
	return links, nil
}

func (p *hexParser) links() ([]hexLink, error) {
	links := []hexLink{{}}
	var subs []*node
	jump := true // none may lead
	for p.skip(); p.pos < len(p.src); p.skip() {
		if p.src[p.pos] != '[' {
			n, err := p.item()
			if err != nil {
				return nil, err
			}
			subs, jump = append(subs, n), false
			continue
		}
		if jump {
			return nil, errors.New("a jump must stand between bytes")
		}
		lo, hi, err := p.jump()
		if err != nil {
			return nil, err
		}
		jump = true
		if hi >= 0 && hi <= chainGap {
			subs = append(subs, &node{op: opRep, subs: []*node{setNode(anyByte)}, min: lo, max: hi})
			continue
		}
		links[len(links)-1].root = cat(subs...)
		subs = nil
		links = append(links, hexLink{gapMin: lo, gapMax: hi})
	}
	if jump {
		return nil, errors.New("empty, or a jump at the end")
	}
	links[len(links)-1].root = cat(subs...)
	return links, nil
}

// skip passes over space and comments.
func (p *hexParser) skip() {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.pos++
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			p.pos += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				n = len(rest) - 4
			}
			p.pos += n + 4
		default:
			return
		}
	}
}

func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c == '?':
		return 16
	}
	return -1
}

func (p *hexParser) item() (*node, error) {
	if p.src[p.pos] == '(' {
		return p.alternatives()
	}
	if p.src[p.pos] == '~' {
		return nil, errors.New("~ (not) is not supported; yara 4.2 has none")
	}
	if p.pos+1 >= len(p.src) || nibble(p.src[p.pos]) < 0 || nibble(p.src[p.pos+1]) < 0 {
		return nil, fmt.Errorf("%q is no pair of hex digits or ?", clip(p.src[p.pos:], 2))
	}
	hi, lo := nibble(p.src[p.pos]), nibble(p.src[p.pos+1])
	p.pos += 2
	var s byteSet
	for b := 0; b < 256; b++ {
		if (hi == 16 || b>>4 == hi) && (lo == 16 || b&15 == lo) {
			s.add(byte(b))
		}
	}
	return setNode(s), nil
}

func (p *hexParser) alternatives() (*node, error) {
	if p.depth++; p.depth > maxNest {
		return nil, fmt.Errorf("nested deeper than %d", maxNest)
	}
	defer func() { p.depth-- }()
	p.pos++
	alt := &node{op: opAlt}
	var subs []*node
	for p.skip(); p.pos < len(p.src); p.skip() {
		switch c := p.src[p.pos]; c {
		case '|', ')':
			p.pos++
			if len(subs) == 0 {
				return nil, errors.New("empty alternative")
			}
			alt.subs = append(alt.subs, cat(subs...))
			subs = nil
			if c == ')' {
				return alt, nil
			}
		case '[':
			lo, hi, err := p.jump()
			if err != nil {
				return nil, err
			}
			if hi < 0 || hi > chainGap || len(subs) == 0 {
				return nil, fmt.Errorf("a jump inside ( ) must stand behind a byte and be at most %d", chainGap)
			}
			subs = append(subs, &node{op: opRep, subs: []*node{setNode(anyByte)}, min: lo, max: hi})
		default:
			n, err := p.item()
			if err != nil {
				return nil, err
			}
			subs = append(subs, n)
		}
	}
	return nil, errors.New("'(' without ')'")
}

// jump reads [n], [n-m], [n-], [-m] or [-].
func (p *hexParser) jump() (lo, hi int, err error) {
	end := strings.IndexByte(p.src[p.pos:], ']')
	if end < 0 {
		return 0, 0, errors.New("'[' without ']'")
	}
	text := strings.ReplaceAll(p.src[p.pos+1:p.pos+end], " ", "")
	a, b, dash := strings.Cut(text, "-")
	if len(a) > 9 || len(b) > 9 {
		return 0, 0, errors.New("jump too long")
	}
	if a != "" {
		if lo, err = strconv.Atoi(a); err != nil || lo < 0 {
			return 0, 0, fmt.Errorf("jump [%s] is not understood", clip(text, 20))
		}
	}
	hi = lo
	if dash {
		hi = -1
		if b != "" {
			if hi, err = strconv.Atoi(b); err != nil || hi < lo {
				return 0, 0, fmt.Errorf("jump [%s] is not understood", clip(text, 20))
			}
		}
	} else if a == "" {
		return 0, 0, errors.New("empty jump")
	}
	p.pos += end + 1
	return lo, hi, nil
}
