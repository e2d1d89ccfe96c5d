// SPDX-License-Identifier: Apache-2.0

package light

import (
	"sort"
	"strings"
)

// lookup finds the string a token names and marks it used; all says that its
// first match is not enough for what the condition asks.
func (p *parser) lookup(t token, all bool) (int32, error) {
	if t.text == "" {
		if p.inFor == 0 {
			return 0, p.fail(t, "a bare $, #, @ or ! stands only inside for … of")
		}
		if all {
			for _, d := range p.rule.strings {
				d.all = true // any of them may be the current one
			}
		}
		return self, nil
	}
	for _, d := range p.rule.strings {
		if d.id == t.text {
			d.used = true
			d.all = d.all || all
			return d.index, nil
		}
	}
	return 0, p.fail(t, "string $%s is not declared", t.text)
}

func (p *parser) found(t token) (expr, error) {
	at, in := p.peek().word("at"), p.peek().word("in")
	s, err := p.lookup(t, at || in)
	if err != nil {
		return nil, err
	}
	e := foundExpr{str: s}
	switch {
	case at:
		p.next()
		e.at, err = p.numberExpr()
	case in:
		p.next()
		e.lo, e.hi, err = p.span()
	}
	return e, err
}

func (p *parser) count(t token) (expr, error) {
	s, err := p.lookup(t, true)
	if err != nil {
		return nil, err
	}
	e := countExpr{str: s}
	if p.acceptWord("in") {
		e.lo, e.hi, err = p.span()
	}
	return e, err
}

func (p *parser) offset(t token) (expr, error) {
	s, err := p.lookup(t, true)
	if err != nil {
		return nil, err
	}
	e := offsetExpr{str: s, index: literalExpr{num(1)}, length: t.kind == tokLength}
	if p.accept("[") {
		if e.index, err = p.numberExpr(); err != nil {
			return nil, err
		}
		err = p.expect("]")
	}
	return e, err
}

// atQuantifier looks ahead for "any of", "2 of", "50% of" and the like. A
// quantifier that is an expression ("#a of") is left to none: YARA rules in
// the wild have whole numbers.
func (p *parser) atQuantifier() bool {
	t, i := p.peek(), p.pos+1
	if t.kind == tokInt {
		if p.toks[i].is("%") {
			i++
		}
	} else if !t.word("any") && !t.word("all") && !t.word("none") {
		return false
	}
	return i < len(p.toks) && p.toks[i].word("of")
}

func (p *parser) quantifier() (quantifier, error) {
	t := p.next()
	switch {
	case t.word("any"), t.word("all"), t.word("none"):
		return quantifier{word: t.text}, nil
	case t.kind == tokInt:
		q := quantifier{n: literalExpr{num(t.num)}, percent: p.accept("%")}
		if q.percent && (t.num < 1 || t.num > 100) {
			return q, p.fail(t, "a percentage goes from 1 to 100")
		}
		return q, nil
	}
	return quantifier{}, p.fail(t, "want any, all, none or a whole number, found %v", t)
}

func (p *parser) of() (expr, error) {
	q, err := p.quantifier()
	if err != nil {
		return nil, err
	}
	p.next() // of
	e := ofExpr{q: q}
	if p.peek().is("(") && p.toks[p.pos+1].kind == tokIdent {
		e.rules, err = p.ruleSet()
		return e, err
	}
	strs, err := p.stringSet()
	if err != nil {
		return nil, err
	}
	if p.acceptWord("in") {
		if e.lo, e.hi, err = p.span(); err != nil {
			return nil, err
		}
	}
	for _, d := range strs {
		d.used = true
		d.all = d.all || e.lo != nil
		e.strs = append(e.strs, d.index)
	}
	return e, nil
}

// stringSet reads "them" or "($a, $b*)".
func (p *parser) stringSet() ([]*stringDecl, error) {
	if t := p.peek(); t.word("them") {
		p.next()
		if len(p.rule.strings) == 0 {
			return nil, p.fail(t, "the rule has no strings")
		}
		return p.rule.strings, nil
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var out []*stringDecl
	for {
		t := p.next()
		if t.kind != tokString {
			return nil, p.fail(t, "want a string, found %v", t)
		}
		prefix, wild := strings.CutSuffix(t.text, "*")
		n := len(out)
		for _, d := range p.rule.strings {
			if d.id == t.text && !wild || wild && strings.HasPrefix(d.id, prefix) {
				out = append(out, d)
			}
		}
		if len(out) == n {
			return nil, p.fail(t, "no string is called $%s", t.text)
		}
		if !p.accept(",") {
			return out, p.expect(")")
		}
	}
}

func (p *parser) ruleSet() ([]int32, error) {
	p.next() // (
	var out []int32
	for {
		t := p.next()
		n := len(out)
		if p.accept("*") {
			for name, r := range p.rules {
				if strings.HasPrefix(name, t.text) {
					out = append(out, r)
				}
			}
			sort.Slice(out[n:], func(i, j int) bool { return out[n+i] < out[n+j] })
		} else if r, ok := p.rules[t.text]; ok {
			out = append(out, r)
		}
		if t.kind != tokIdent || len(out) == n {
			return nil, p.fail(t, "no rule above is called %v", t)
		}
		if !p.accept(",") {
			return out, p.expect(")")
		}
	}
}

// maxLoops is libyara's YR_MAX_LOOP_NESTING.
const maxLoops = 4

func (p *parser) forLoop() (expr, error) {
	q, err := p.quantifier()
	if err != nil {
		return nil, err
	}
	if q.word == "none" {
		return nil, p.fail(p.peek(), "for none is not supported: yara 4.2 takes it as always true; write not for any")
	}
	if len(p.vars)+p.inFor >= maxLoops {
		return nil, p.fail(p.peek(), "more than %d loops in one another", maxLoops)
	}
	if p.acceptWord("of") {
		return p.forOf(q)
	}
	name := p.next()
	if name.kind != tokIdent || keywords[name.text] {
		return nil, p.fail(name, "want of or a loop variable, found %v", name)
	}
	if p.accept(",") {
		return nil, p.fail(p.peek(), "loops with two variables are not supported")
	}
	if !p.acceptWord("in") {
		return nil, p.fail(p.peek(), "want in, found %v", p.peek())
	}
	e := forInExpr{q: q, slot: len(p.vars)}
	if err := p.loopRange(&e); err != nil {
		return nil, err
	}
	p.vars = append(p.vars, name.text)
	e.body, err = p.loopBody()
	p.vars = p.vars[:len(p.vars)-1]
	return e, err
}

func (p *parser) forOf(q quantifier) (expr, error) {
	strs, err := p.stringSet()
	if err != nil {
		return nil, err
	}
	e := forOfExpr{q: q}
	for _, d := range strs {
		d.used = true
		e.strs = append(e.strs, d.index)
	}
	p.inFor++
	e.body, err = p.loopBody()
	p.inFor--
	return e, err
}

func (p *parser) loopBody() (expr, error) {
	if err := p.expect(":"); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

// loopRange reads "(lo..hi)" or "(1, 2, 3)".
func (p *parser) loopRange(e *forInExpr) error {
	if err := p.expect("("); err != nil {
		return err
	}
	first, err := p.numberExpr()
	if err != nil {
		return err
	}
	if p.accept("..") {
		e.lo = first
		if e.hi, err = p.numberExpr(); err != nil {
			return err
		}
		return p.expect(")")
	}
	e.list = []expr{first}
	for p.accept(",") {
		x, err := p.numberExpr()
		if err != nil {
			return err
		}
		e.list = append(e.list, x)
	}
	return p.expect(")")
}
