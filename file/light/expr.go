// SPDX-License-Identifier: Apache-2.0

package light

import (
	"encoding/binary"
	"strings"
)

// value is what an expression gives: a whole number (booleans are 0 and 1), a
// text, or nothing. Nothing ("undefined" in YARA) comes from reading outside
// the file or asking for a match that is not there; it is never true, and
// whatever is computed from it is nothing too, but and/or take it as false.
type value struct {
	kind valueKind
	i    int64
	s    string
}

type valueKind uint8

const (
	undefined valueKind = iota
	number
	text
)

func num(i int64) value { return value{kind: number, i: i} }

func boolean(b bool) value {
	if b {
		return num(1)
	}
	return num(0)
}

func (v value) true() bool { return v.kind == number && v.i != 0 || v.kind == text && v.s != "" }

// expr is a piece of a condition. eval must not keep f.
type expr interface{ eval(f *frame) value }

// span is a match: offset in the file and length, in bytes.
type span struct{ off, len int }

// frame is what a condition sees of the file while it is evaluated.
type frame struct {
	data    []byte
	vars    *Vars
	matches func(str int32) []span
	rule    func(rule int32) bool
	loop    [maxLoops]int64 // loop variables
	current []int32         // string that $ stands for, innermost last
	mach    *machine
	steps   int // loop rounds left
}

type (
	literalExpr  struct{ v value }
	filesizeExpr struct{}
	externalExpr struct{ name string }
	loopVarExpr  struct{ slot int }
	ruleExpr     struct{ index int32 }
	andExpr      struct{ l, r expr }
	orExpr       struct{ l, r expr }
	notExpr      struct{ e expr }
	definedExpr  struct{ e expr }
	negExpr      struct {
		e    expr
		bits bool // ~ rather than -
	}
	arithExpr struct {
		op   string
		l, r expr
	}
	textExpr struct {
		op   string
		l, r expr
	}
	matchesExpr struct {
		e     expr
		p     *prog
		first byteSet
	}
	readExpr struct {
		size   int
		signed bool
		big    bool
		at     expr
	}
)

func (e literalExpr) eval(*frame) value  { return e.v }
func (filesizeExpr) eval(f *frame) value { return num(int64(len(f.data))) }
func (e loopVarExpr) eval(f *frame) value {
	return num(f.loop[e.slot])
}
func (e ruleExpr) eval(f *frame) value { return boolean(f.rule(e.index)) }
func (e externalExpr) eval(f *frame) value {
	return value{kind: text, s: f.vars.get(e.name)}
}

func (e andExpr) eval(f *frame) value { return boolean(e.l.eval(f).true() && e.r.eval(f).true()) }
func (e orExpr) eval(f *frame) value  { return boolean(e.l.eval(f).true() || e.r.eval(f).true()) }

func (e notExpr) eval(f *frame) value {
	v := e.e.eval(f)
	if v.kind == undefined {
		return v
	}
	return boolean(!v.true())
}

func (e definedExpr) eval(f *frame) value { return boolean(e.e.eval(f).kind != undefined) }

func (e negExpr) eval(f *frame) value {
	v := e.e.eval(f)
	if v.kind != number {
		return value{}
	}
	if e.bits {
		return num(^v.i)
	}
	return num(-v.i)
}

func (e arithExpr) eval(f *frame) value {
	a, b := e.l.eval(f), e.r.eval(f)
	if a.kind == text && b.kind == text {
		return compareText(e.op, a.s, b.s)
	}
	if a.kind != number || b.kind != number {
		return value{}
	}
	switch e.op {
	case "+":
		return num(a.i + b.i)
	case "-":
		return num(a.i - b.i)
	case "*":
		return num(a.i * b.i)
	case "\\", "%":
		if b.i == 0 || b.i == -1 && a.i == -1<<63 {
			return value{}
		}
		if e.op == "%" {
			return num(a.i % b.i)
		}
		return num(a.i / b.i)
	case "&":
		return num(a.i & b.i)
	case "|":
		return num(a.i | b.i)
	case "^":
		return num(a.i ^ b.i)
	case "<<", ">>":
		return shift(e.op, a.i, b.i)
	case "==":
		return boolean(a.i == b.i)
	case "!=":
		return boolean(a.i != b.i)
	case "<":
		return boolean(a.i < b.i)
	case "<=":
		return boolean(a.i <= b.i)
	case ">":
		return boolean(a.i > b.i)
	default: // ">="
		return boolean(a.i >= b.i)
	}
}

// shift follows libyara: a negative distance is undefined, one past the width
// gives 0.
func shift(op string, a, n int64) value {
	switch {
	case n < 0:
		return value{}
	case n >= 64:
		return num(0)
	case op == "<<":
		return num(a << uint(n))
	}
	return num(a >> uint(n))
}

func compareText(op, a, b string) value {
	c := strings.Compare(a, b)
	switch op {
	case "==":
		return boolean(c == 0)
	case "!=":
		return boolean(c != 0)
	case "<":
		return boolean(c < 0)
	case "<=":
		return boolean(c <= 0)
	case ">":
		return boolean(c > 0)
	case ">=":
		return boolean(c >= 0)
	}
	return value{}
}

func (e textExpr) eval(f *frame) value {
	l, r := e.l.eval(f), e.r.eval(f)
	if l.kind != text || r.kind != text {
		return value{}
	}
	a, b, op := l.s, r.s, e.op
	if op[0] == 'i' {
		a, b, op = lower(a), lower(b), op[1:]
	}
	switch op {
	case "contains":
		return boolean(strings.Contains(a, b))
	case "startswith":
		return boolean(strings.HasPrefix(a, b))
	case "endswith":
		return boolean(strings.HasSuffix(a, b))
	default: // equals
		return boolean(a == b)
	}
}

// lower folds ASCII only, as libyara does.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = foldByte(b[i])
	}
	return string(b)
}

func (e matchesExpr) eval(f *frame) value {
	v := e.e.eval(f)
	if v.kind != text {
		return value{}
	}
	s := []byte(v.s)
	found := false
	for i := 0; i <= len(s) && !found; i++ {
		if i < len(s) && !e.first.has(s[i]) {
			continue
		}
		f.mach.run(e.p, s, i, true, scanLimit, func(int) bool { found = true; return false })
	}
	return boolean(found)
}

func (e readExpr) eval(f *frame) value {
	at := e.at.eval(f)
	if at.kind != number || at.i < 0 || at.i > int64(len(f.data)-e.size) {
		return value{}
	}
	b := f.data[at.i : at.i+int64(e.size)]
	var order binary.ByteOrder = binary.LittleEndian
	if e.big {
		order = binary.BigEndian
	}
	switch {
	case e.size == 1 && e.signed:
		return num(int64(int8(b[0])))
	case e.size == 1:
		return num(int64(b[0]))
	case e.size == 2 && e.signed:
		return num(int64(int16(order.Uint16(b))))
	case e.size == 2:
		return num(int64(order.Uint16(b)))
	case e.signed:
		return num(int64(int32(order.Uint32(b))))
	}
	return num(int64(order.Uint32(b)))
}
