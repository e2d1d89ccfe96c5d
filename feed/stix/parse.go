// SPDX-License-Identifier: Apache-2.0

package stix

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

// ParsePattern reads a pattern by STIX 2.1 §9. Numbers, timestamps, hex and binary
// constants are kept as text. An error names the byte where the text stops making sense.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("pattern is longer than %d bytes", maxPattern)
	}
	p := parser{s: text}
	p.advance()
	root, err := p.observations(0)
	if err == nil && p.kind != tokEnd {
		err = p.unexpected("the end")
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", feed.Quote(text), err)
	}
	return &Pattern{Text: text, root: root}, nil
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokBad
	tokWord   // keyword, path, number, true
	tokString // '…', also t'…', h'…', b'…'
	tokPunct  // [ ] ( ) , and comparison signs
)

type parser struct {
	s    string
	pos  int // behind the current token
	kind tokenKind
	text string
	at   int
}

var errDepth = fmt.Errorf("nested deeper than %d", maxNesting)

func (p *parser) unexpected(want string) error {
	got := feed.Quote(p.text)
	if p.kind == tokEnd {
		got = "the end"
	}
	return fmt.Errorf("byte %d: %s where %s was expected", p.at, got, want)
}

// keyword reports whether the current token is this word, whatever its case.
func (p *parser) keyword(w string) bool { return p.kind == tokWord && strings.EqualFold(p.text, w) }

func (p *parser) punct(c string) bool { return p.kind == tokPunct && p.text == c }

func (p *parser) expect(c string) error {
	if !p.punct(c) {
		return p.unexpected(feed.Quote(c))
	}
	p.advance()
	return nil
}

// observations: FOLLOWEDBY binds weakest, then OR, then AND (§9.2).
func (p *parser) observations(depth int) (*node, error) {
	return p.chain("FOLLOWEDBY", opFollowed, func() (*node, error) {
		return p.chain("OR", opOr, func() (*node, error) {
			return p.chain("AND", opTogether, func() (*node, error) { return p.observation(depth) })
		})
	})
}

// chain reads one or more parts joined by word.
func (p *parser) chain(word string, o op, part func() (*node, error)) (*node, error) {
	first, err := part()
	if err != nil || !p.keyword(word) {
		return first, err
	}
	n := &node{op: o, kids: []*node{first}}
	for p.keyword(word) {
		p.advance()
		next, err := part()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, next)
	}
	return n, nil
}

func (p *parser) observation(depth int) (n *node, err error) {
	if depth > maxNesting {
		return nil, errDepth
	}
	switch {
	case p.punct("["):
		p.advance()
		if n, err = p.comparisons(depth + 1); err == nil {
			err = p.expect("]")
		}
	case p.punct("("):
		p.advance()
		if n, err = p.observations(depth + 1); err == nil {
			err = p.expect(")")
		}
	default:
		err = p.unexpected(`"[" or "("`)
	}
	if err != nil {
		return nil, err
	}
	return p.qualifiers(n)
}

// qualifiers: WITHIN n SECONDS, REPEATS n TIMES, START t'…' STOP t'…'.
func (p *parser) qualifiers(n *node) (*node, error) {
	for {
		var words int
		switch {
		case p.keyword("WITHIN"), p.keyword("REPEATS"):
			words = 3
		case p.keyword("START"):
			words = 4
		default:
			return n, nil
		}
		for range words {
			if p.kind != tokWord && p.kind != tokString {
				return nil, p.unexpected("a qualifier")
			}
			p.advance()
		}
		n = &node{op: opQualified, kids: []*node{n}}
	}
}

func (p *parser) comparisons(depth int) (*node, error) {
	return p.chain("OR", opOr, func() (*node, error) {
		return p.chain("AND", opAnd, func() (*node, error) { return p.comparison(depth) })
	})
}

func (p *parser) comparison(depth int) (*node, error) {
	if depth > maxNesting {
		return nil, errDepth
	}
	if p.punct("(") {
		p.advance()
		n, err := p.comparisons(depth + 1)
		if err == nil {
			err = p.expect(")")
		}
		return n, err
	}
	n := &node{op: opCompare}
	if p.keyword("NOT") { // STIX 2.1 allows it before the verb; some tools write it first
		n.verb = "NOT "
		p.advance()
	}
	if p.keyword("EXISTS") {
		n.verb += "EXISTS"
		p.advance()
		var err error
		n.path, err = p.path()
		return n, err
	}
	var err error
	if n.path, err = p.path(); err != nil {
		return nil, err
	}
	if p.keyword("NOT") {
		n.verb = "NOT "
		p.advance()
	}
	return n, p.verb(n)
}

// path takes quotes out of object:'a b'.x and hashes.'SHA-256'.
func (p *parser) path() (string, error) {
	if p.kind != tokWord || !strings.Contains(p.text, ":") {
		return "", p.unexpected("an object path (type:property)")
	}
	s := strings.ReplaceAll(p.text, "'", "")
	p.advance()
	return s, nil
}

func (p *parser) verb(n *node) error {
	word := strings.ToUpper(p.text)
	switch word {
	case "=", "==", "!=", "<>", "<", ">", "<=", ">=":
		if p.kind != tokPunct {
			return p.unexpected("a comparison")
		}
	case "IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET":
		if p.kind != tokWord {
			return p.unexpected("a comparison")
		}
	default:
		return p.unexpected("a comparison")
	}
	n.verb += word
	p.advance()
	if word != "IN" {
		return p.constant(n)
	}
	if err := p.expect("("); err != nil {
		return err
	}
	for {
		if err := p.constant(n); err != nil {
			return err
		}
		if !p.punct(",") {
			return p.expect(")")
		}
		p.advance()
	}
}

func (p *parser) constant(n *node) error {
	if p.kind != tokString && p.kind != tokWord {
		return p.unexpected("a constant")
	}
	n.values = append(n.values, p.text)
	p.advance()
	return nil
}

// advance reads the next token.
func (p *parser) advance() {
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n\f\v", p.s[p.pos]) >= 0 {
		p.pos++
	}
	p.at, p.text = p.pos, ""
	rest := p.s[p.pos:]
	if rest == "" {
		p.kind = tokEnd
		return
	}
	switch c := rest[0]; {
	case c == '\'':
		p.quoted(rest, 1)
	case (c == 't' || c == 'h' || c == 'b') && strings.HasPrefix(rest[1:], "'"):
		p.quoted(rest, 2)
	case strings.IndexByte("[](),", c) >= 0:
		p.take(tokPunct, 1)
	case strings.IndexByte("=!<>", c) >= 0:
		n := 1
		if len(rest) > 1 && strings.IndexByte("=>", rest[1]) >= 0 {
			n = 2
		}
		p.take(tokPunct, n)
	default:
		p.word(rest)
	}
}

func (p *parser) take(k tokenKind, n int) {
	p.kind, p.text, p.pos = k, p.s[p.pos:p.pos+n], p.pos+n
}

// quoted reads '…' with \' and \\ (§9.1); open is the number of bytes before the text.
func (p *parser) quoted(rest string, open int) {
	var b strings.Builder
	for i := open; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		case c == '\'':
			p.kind, p.text, p.pos = tokString, b.String(), p.pos+i+1
			return
		default:
			b.WriteByte(c)
		}
	}
	p.kind, p.text, p.pos = tokBad, rest, len(p.s)
}

// word reads a keyword, number or object path; a path may hold quoted steps and [*].
func (p *parser) word(rest string) {
	i, path := 0, false
	for i < len(rest) {
		c := rest[i]
		if c == '\'' && path {
			end := strings.IndexByte(rest[i+1:], '\'')
			if end < 0 {
				break
			}
			i += end + 2
			continue
		}
		if c == '[' && path {
			end := strings.IndexByte(rest[i:], ']')
			if end < 0 {
				break
			}
			i += end + 1
			continue
		}
		if strings.IndexByte(" \t\r\n\f\v'[](),=!<>", c) >= 0 {
			break
		}
		path = path || c == ':'
		i++
	}
	if i == 0 {
		p.kind, p.text, p.pos = tokBad, rest[:1], p.pos+1
		return
	}
	p.take(tokWord, i)
}
