// SPDX-License-Identifier: Apache-2.0

package light

import (
	"strings"
)

// binaryLevels is YARA's grammar.y, loosest first; each row binds to the left.
var binaryLevels = [][]string{
	{"or"},
	{"and"},
	{"==", "!=", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iequals", "matches"},
	{"<", "<=", ">", ">="},
	{"|"},
	{"^"},
	{"&"},
	{"<<", ">>"},
	{"+", "-"},
	{"*", "\\", "%"},
}

const notLevel = 2 // not and defined bind tighter than and, looser than ==

func (p *parser) expression(level int) (expr, error) {
	if p.depth++; p.depth > maxNest*len(binaryLevels) {
		return nil, p.fail(p.peek(), "condition nested too deep")
	}
	defer func() { p.depth-- }()
	if level == len(binaryLevels) {
		return p.unary()
	}
	if level == notLevel && (p.peek().word("not") || p.peek().word("defined")) {
		word := p.next().text
		e, err := p.expression(notLevel)
		if err != nil {
			return nil, err
		}
		if word == "not" {
			return notExpr{e}, nil
		}
		return definedExpr{e}, nil
	}
	left, err := p.expression(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		op, ok := p.operator(level)
		if !ok {
			return left, nil
		}
		if left, err = p.binary(left, op, level); err != nil {
			return nil, err
		}
	}
}

func (p *parser) operator(level int) (token, bool) {
	t := p.peek()
	if t.kind != tokPunct && t.kind != tokIdent {
		return t, false
	}
	for _, op := range binaryLevels[level] {
		if t.text == op {
			return p.next(), true
		}
	}
	return t, false
}

func (p *parser) binary(left expr, op token, level int) (expr, error) {
	if op.text == "matches" {
		re := p.next()
		if re.kind != tokRegex {
			return nil, p.fail(re, "matches wants a regular expression, found %v", re)
		}
		return p.matchesExpr(left, re)
	}
	right, err := p.expression(level + 1)
	if err != nil {
		return nil, err
	}
	if err := p.checkTypes(op, left, right); err != nil {
		return nil, err
	}
	switch op.text {
	case "or":
		return orExpr{left, right}, nil
	case "and":
		return andExpr{left, right}, nil
	}
	if op.kind == tokIdent {
		return textExpr{op.text, left, right}, nil
	}
	return arithExpr{op.text, left, right}, nil
}

type exprType uint8

const (
	isNumber exprType = iota
	isText
	isBool
)

func typeOf(e expr) exprType {
	switch e := e.(type) {
	case literalExpr:
		if e.v.kind == text {
			return isText
		}
		return isNumber
	case externalExpr:
		return isText
	case filesizeExpr, loopVarExpr, countExpr, offsetExpr, readExpr, negExpr:
		return isNumber
	case arithExpr:
		if strings.ContainsAny(e.op, "<>=!") && e.op != "<<" && e.op != ">>" {
			return isBool
		}
		return isNumber
	}
	return isBool
}

func (p *parser) checkTypes(op token, l, r expr) error {
	a, b := typeOf(l), typeOf(r)
	ok := true
	switch op.text {
	case "or", "and":
	case "==", "!=", "<", "<=", ">", ">=":
		ok = a == b && a != isBool
	default:
		if op.kind == tokIdent {
			ok = a == isText && b == isText
		} else {
			ok = a == isNumber && b == isNumber
		}
	}
	if !ok {
		return p.fail(op, "%s does not fit what stands at its sides", op.text)
	}
	return nil
}

func (p *parser) matchesExpr(left expr, re token) (expr, error) {
	if typeOf(left) != isText {
		return nil, p.fail(re, "matches wants a text at its left")
	}
	parsed, err := parseRegex(re.text, strings.Contains(re.flags, "i"), strings.Contains(re.flags, "s"))
	if err != nil {
		return nil, p.fail(re, "%v", err)
	}
	e := matchesExpr{e: left}
	if parsed.root.firstBytes(&e.first) {
		e.first = anyByte
	}
	if e.p, err = compileNode(parsed.root); err != nil {
		return nil, p.fail(re, "%v", err)
	}
	return e, nil
}

func (p *parser) unary() (expr, error) {
	t := p.peek()
	if !t.is("-") && !t.is("~") {
		return p.primary()
	}
	p.next()
	if p.depth++; p.depth > maxNest*len(binaryLevels) {
		return nil, p.fail(t, "condition nested too deep")
	}
	e, err := p.unary()
	if err != nil {
		return nil, err
	}
	p.depth--
	if typeOf(e) != isNumber {
		return nil, p.fail(t, "%s wants a number", t.text)
	}
	return negExpr{e, t.text == "~"}, nil
}

func (p *parser) primary() (expr, error) {
	if p.atQuantifier() {
		return p.of()
	}
	t := p.next()
	switch t.kind {
	case tokInt:
		return literalExpr{num(t.num)}, nil
	case tokText:
		return literalExpr{value{kind: text, s: t.text}}, nil
	case tokString:
		return p.found(t)
	case tokCount:
		return p.count(t)
	case tokOffset, tokLength:
		return p.offset(t)
	case tokIdent:
		return p.ident(t)
	}
	if !t.is("(") {
		return nil, p.fail(t, "want a condition, found %v", t)
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

func (p *parser) ident(t token) (expr, error) {
	switch t.text {
	case "true", "false":
		return literalExpr{boolean(t.text == "true")}, nil
	case "filesize":
		return filesizeExpr{}, nil
	case "for":
		return p.forLoop()
	case "entrypoint":
		return nil, p.fail(t, "entrypoint is not supported (YARA itself advises against it)")
	}
	if r, ok := readers[t.text]; ok {
		at, err := p.parenNumber()
		if err != nil {
			return nil, err
		}
		r.at = at
		return r, nil
	}
	for i := len(p.vars) - 1; i >= 0; i-- {
		if p.vars[i] == t.text {
			return loopVarExpr{i}, nil
		}
	}
	if _, ok := externals[t.text]; ok {
		return externalExpr{t.text}, nil
	}
	if p.mods[t.text] || p.peek().is(".") {
		return nil, p.fail(t, "module %s is not supported", t.text)
	}
	if r, ok := p.rules[t.text]; ok {
		return ruleExpr{r}, nil
	}
	return nil, p.fail(t, "%q is no rule above, no external variable and no word of the language", t.text)
}

var readers = map[string]readExpr{
	"int8": {size: 1, signed: true}, "int16": {size: 2, signed: true}, "int32": {size: 4, signed: true},
	"uint8": {size: 1}, "uint16": {size: 2}, "uint32": {size: 4},
	"int8be": {size: 1, signed: true, big: true}, "int16be": {size: 2, signed: true, big: true}, "int32be": {size: 4, signed: true, big: true},
	"uint8be": {size: 1, big: true}, "uint16be": {size: 2, big: true}, "uint32be": {size: 4, big: true},
}

// numberExpr reads an expression that must be a number.
func (p *parser) numberExpr() (expr, error) {
	t := p.peek()
	e, err := p.expression(4) // looser rows give booleans
	if err == nil && typeOf(e) != isNumber {
		return nil, p.fail(t, "want a number, found %v", t)
	}
	return e, err
}

func (p *parser) parenNumber() (expr, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	e, err := p.numberExpr()
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

// span reads "(lo..hi)".
func (p *parser) span() (lo, hi expr, err error) {
	if err = p.expect("("); err != nil {
		return
	}
	if lo, err = p.numberExpr(); err != nil {
		return
	}
	if err = p.expect(".."); err != nil {
		return
	}
	if hi, err = p.numberExpr(); err != nil {
		return
	}
	return lo, hi, p.expect(")")
}
