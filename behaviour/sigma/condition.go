// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"errors"
	"fmt"
	"strings"
)

// maxCondition bounds the text of a condition and of what its patterns multiply to.
const maxCondition = 1 << 14

// conditionParser reads the grammar of the specification ("Condition"), least binding first:
//
//	or   = and { "or" and }
//	and  = not { "and" not }
//	not  = "not" not | atom
//	atom = "(" or ")" | ("1" | "any" | "all") "of" ("them" | pattern) | identifier
//
// Operators ignore case, identifiers do not.
type conditionParser struct {
	tokens []string
	pos    int
	depth  int
	terms  int
	names  []string // search identifiers in the order of the file
	found  map[string]*expr
}

func parseCondition(s string, names []string, found map[string]*expr) (*expr, error) {
	if len(s) > maxCondition {
		return nil, fmt.Errorf("longer than %d bytes", maxCondition)
	}
	if i := strings.IndexByte(s, '|'); i >= 0 {
		return nil, fmt.Errorf("%q: aggregation by pipe left the specification with 2.0; write a correlation rule", strings.TrimSpace(s[i:]))
	}
	p := &conditionParser{names: names, found: found}
	p.tokens = strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))
	if len(p.tokens) == 0 {
		return nil, errors.New("empty")
	}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.tokens) {
		return nil, fmt.Errorf("%q is not expected here", p.tokens[p.pos])
	}
	return e, nil
}

// peek gives the next token in lower case, "" at the end.
func (p *conditionParser) peek() string {
	if p.pos < len(p.tokens) {
		return strings.ToLower(p.tokens[p.pos])
	}
	return ""
}

func (p *conditionParser) or() (*expr, error) {
	return p.chain("or", p.and, or)
}

func (p *conditionParser) and() (*expr, error) {
	return p.chain("and", p.not, and)
}

func (p *conditionParser) chain(word string, next func() (*expr, error), join func(...*expr) *expr) (*expr, error) {
	var kids []*expr
	for {
		e, err := next()
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
		if p.peek() != word {
			return join(kids...), nil
		}
		p.pos++
	}
}

func (p *conditionParser) not() (*expr, error) {
	if p.peek() != "not" {
		return p.atom()
	}
	p.pos++
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	e, err := p.not()
	if err != nil {
		return nil, err
	}
	return not(e), nil
}

func (p *conditionParser) atom() (*expr, error) {
	if p.pos == len(p.tokens) {
		return nil, errors.New("ends where a search identifier is needed")
	}
	word := p.tokens[p.pos]
	p.pos++
	switch low := strings.ToLower(word); {
	case low == "(":
		if p.depth++; p.depth > maxDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		defer func() { p.depth-- }()
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, errors.New("a bracket is not closed")
		}
		p.pos++
		return e, nil
	case p.peek() == "of" && p.found[word] == nil:
		p.pos++
		return p.of(low)
	case low == ")" || low == "and" || low == "or":
		return nil, fmt.Errorf("%q where a search identifier is needed", word)
	}
	return p.search(word)
}

func (p *conditionParser) search(name string) (*expr, error) {
	e := p.found[name]
	if e == nil {
		return nil, fmt.Errorf("no search identifier is named %q", name)
	}
	if p.terms++; p.terms > maxCondition {
		return nil, fmt.Errorf("more than %d terms", maxCondition)
	}
	return e, nil
}

func (p *conditionParser) of(count string) (*expr, error) {
	if count != "1" && count != "any" && count != "all" {
		return nil, fmt.Errorf("%q of: the specification has 1, any and all", count)
	}
	if p.pos == len(p.tokens) {
		return nil, errors.New(`ends after "of"`)
	}
	want := p.tokens[p.pos]
	p.pos++
	them := strings.EqualFold(want, "them")
	var kids []*expr
	for _, name := range p.names {
		if them && strings.HasPrefix(name, "_") || !them && !nameGlob(want).glob(name) {
			continue
		}
		e, err := p.search(name)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		return nil, fmt.Errorf("no search identifier fits %q", want)
	}
	if count == "all" {
		return and(kids...), nil
	}
	return or(kids...), nil
}

// nameGlob reads the pattern of "1 of": only * is a wildcard.
func nameGlob(s string) pattern {
	var p pattern
	for i, part := range strings.Split(s, "*") {
		if i > 0 {
			p = concat(p, star)
		}
		p = concat(p, literalPattern(part))
	}
	return p
}
