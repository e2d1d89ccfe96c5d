// SPDX-License-Identifier: Apache-2.0

package light

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Refusal says which rule was not taken and why. Rule is empty where the text
// was so broken that no rule name was found.
type Refusal struct {
	Source, Rule string
	Line, Col    int // from 1; Col in bytes
	Reason       string
}

func (r Refusal) Error() string {
	return fmt.Sprintf("%s:%d:%d: rule %q: %s", r.Source, r.Line, r.Col, r.Rule, r.Reason)
}

// parseError is a reason with its place.
type parseError struct {
	at     token
	reason string
}

func (e *parseError) Error() string { return e.reason }

type stringMods struct {
	nocase, wide, ascii, fullword, private bool
	xor                                    bool
	xorMin, xorMax                         byte
	base64, base64wide                     string // alphabet, "" is off
}

// stringDecl is a declared string. all is set when the condition asks for
// more than whether it occurs; otherwise its first match is enough.
type stringDecl struct {
	id    string // without $
	at    token
	kind  tokenKind
	text  string
	re    regex
	links []hexLink
	mods  stringMods
	index int32
	all   bool
	used  bool
}

// parsedRule is a rule that was understood. ID numbers are its own; compile
// places it among the others.
type parsedRule struct {
	name            string
	private, global bool
	tags            []string
	meta            map[string]string
	strings         []*stringDecl
	cond            expr
}

type parser struct {
	toks  []token
	pos   int
	rules map[string]int32 // rules of this source understood so far
	mods  map[string]bool  // imported modules
	rule  *parsedRule
	vars  []string // loop variables in scope
	inFor int      // inside "for … of", where $ alone has a meaning
	depth int
	// next number, across sources
	nextString int32
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) fail(t token, format string, args ...any) error {
	if t.kind == tokBad {
		return &parseError{t, t.text}
	}
	return &parseError{t, fmt.Sprintf(format, args...)}
}

func (p *parser) expect(punct string) error {
	if t := p.next(); !t.is(punct) {
		return p.fail(t, "want %q, found %v", punct, t)
	}
	return nil
}

func (p *parser) accept(punct string) bool {
	if p.peek().is(punct) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) acceptWord(w string) bool {
	if p.peek().word(w) {
		p.pos++
		return true
	}
	return false
}

// keywords cannot name rules or variables.
var keywords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`all and any ascii at base64 base64wide condition contains
		endswith entrypoint false filesize for fullword global import icontains iendswith iequals in include
		int16 int16be int32 int32be int8 int8be istartswith matches meta nocase none not of or private rule
		startswith strings them true uint16 uint16be uint32 uint32be uint8 uint8be wide xor defined`) {
		m[w] = true
	}
	return m
}()

// parseSource reads all rules of one source; what is wrong with one rule does
// not touch the others.
func (p *parser) parseSource(source string, take func(*parsedRule) error) (refused []Refusal) {
	for p.peek().kind != tokEOF {
		start := p.peek()
		p.rule, p.vars, p.inFor, p.depth = nil, nil, 0, 0
		err := p.topLevel(take)
		if err == nil {
			continue
		}
		r := Refusal{Source: source, Line: start.line, Col: start.col, Reason: err.Error()}
		var pe *parseError
		if errors.As(err, &pe) {
			r.Line, r.Col = pe.at.line, pe.at.col
		}
		if p.rule != nil {
			r.Rule = p.rule.name
		}
		refused = append(refused, r)
		p.resync(start)
	}
	return refused
}

// resync moves to the next rule. The word "rule" with a name and then ':' or
// '{' behind it stands nowhere else.
func (p *parser) resync(start token) {
	if p.peek() == start {
		p.next()
	}
	for p.peek().kind != tokEOF {
		i := p.pos
		for p.toks[i].word("private") || p.toks[i].word("global") {
			i++
		}
		if p.toks[i].word("import") && p.toks[i+1].kind == tokText {
			return
		}
		if p.toks[i].word("rule") && p.toks[i+1].kind == tokIdent && (p.toks[i+2].is(":") || p.toks[i+2].is("{")) {
			return
		}
		p.next()
	}
}

func (p *parser) topLevel(take func(*parsedRule) error) error {
	t := p.peek()
	switch {
	case t.word("import"):
		p.next()
		name := p.next()
		if name.kind != tokText {
			return p.fail(name, "import wants a module name in quotes")
		}
		p.mods[name.text] = true // refused where it is used
		return nil
	case t.word("include"):
		return p.fail(t, "include is not supported; give all files as sources")
	}
	p.rule = &parsedRule{meta: map[string]string{}}
	for {
		if p.acceptWord("private") {
			p.rule.private = true
		} else if p.acceptWord("global") {
			p.rule.global = true
		} else {
			break
		}
	}
	if !p.acceptWord("rule") {
		return p.fail(p.peek(), "want a rule, found %v", p.peek())
	}
	if err := p.ruleBody(); err != nil {
		return err
	}
	return take(p.rule)
}

func (p *parser) ruleBody() error {
	name := p.next()
	if name.kind != tokIdent || keywords[name.text] {
		return p.fail(name, "want a rule name, found %v", name)
	}
	p.rule.name = name.text
	if _, twice := p.rules[name.text]; twice {
		return p.fail(name, "a rule of this name stands above")
	}
	if p.accept(":") {
		for p.peek().kind == tokIdent {
			p.rule.tags = append(p.rule.tags, p.next().text)
		}
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	if p.peek().word("meta") {
		if err := p.meta(); err != nil {
			return err
		}
	}
	if p.peek().word("strings") {
		if err := p.strings(); err != nil {
			return err
		}
	}
	if !p.acceptWord("condition") {
		return p.fail(p.peek(), "want condition, found %v", p.peek())
	}
	if err := p.expect(":"); err != nil {
		return err
	}
	cond, err := p.expression(0)
	if err != nil {
		return err
	}
	p.rule.cond = cond
	if err := p.expect("}"); err != nil {
		return err
	}
	for _, s := range p.rule.strings {
		if !s.used && !strings.HasPrefix(s.id, "_") {
			return p.fail(s.at, "string $%s is never used", s.id)
		}
	}
	return nil
}

func (p *parser) meta() error {
	p.next()
	if err := p.expect(":"); err != nil {
		return err
	}
	for p.peek().kind == tokIdent && p.toks[p.pos+1].is("=") {
		key := p.next().text
		p.next()
		t := p.next()
		switch {
		case t.kind == tokText:
			p.rule.meta[key] = t.text
		case t.kind == tokInt:
			p.rule.meta[key] = strconv.FormatInt(t.num, 10)
		case t.is("-") && p.peek().kind == tokInt:
			p.rule.meta[key] = strconv.FormatInt(-p.next().num, 10)
		case t.word("true"), t.word("false"):
			p.rule.meta[key] = t.text
		default:
			return p.fail(t, "meta %s wants text, a whole number, true or false", key)
		}
	}
	return nil
}

func (p *parser) strings() error {
	p.next()
	if err := p.expect(":"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.peek().kind == tokString {
		id := p.next()
		if strings.HasSuffix(id.text, "*") {
			return p.fail(id, "a string name cannot end in *")
		}
		if id.text != "" && seen[id.text] {
			return p.fail(id, "string $%s is declared twice", id.text)
		}
		seen[id.text] = true
		if err := p.expect("="); err != nil {
			return err
		}
		d := &stringDecl{id: id.text, at: id, index: p.nextString + int32(len(p.rule.strings))}
		if err := p.stringValue(d); err != nil {
			return err
		}
		p.rule.strings = append(p.rule.strings, d)
	}
	if len(p.rule.strings) == 0 {
		return p.fail(p.peek(), "want a string, found %v", p.peek())
	}
	return nil
}

func (p *parser) stringValue(d *stringDecl) error {
	t := p.next()
	d.kind = t.kind
	if t.kind != tokText && t.kind != tokHex && t.kind != tokRegex {
		return p.fail(t, "want a text, hex string or regular expression, found %v", t)
	}
	if err := p.modifiers(d); err != nil {
		return err
	}
	var err error
	switch t.kind {
	case tokText:
		if t.text == "" {
			return p.fail(t, "empty string")
		}
		d.text = t.text
	case tokHex:
		d.links, err = parseHex(t.text)
	case tokRegex:
		d.re, err = parseRegex(t.text, d.mods.nocase || strings.Contains(t.flags, "i"), strings.Contains(t.flags, "s"))
		if err == nil && d.re.root.minLen() == 0 {
			err = errors.New("the expression matches the empty string, so it matches every file")
		}
	}
	if err != nil {
		return p.fail(t, "%v", err)
	}
	return nil
}
