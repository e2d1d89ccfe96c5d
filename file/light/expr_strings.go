// SPDX-License-Identifier: Apache-2.0

package light

import "sort"

// self is the string index that stands for "$ of the innermost for".
const self = int32(-1)

type (
	// foundExpr is $a, $a at X, $a in (X..Y).
	foundExpr struct {
		str    int32
		at     expr
		lo, hi expr
	}
	// countExpr is #a and #a in (X..Y).
	countExpr struct {
		str    int32
		lo, hi expr
	}
	// offsetExpr is @a[i], or !a[i] where length is set.
	offsetExpr struct {
		str    int32
		index  expr
		length bool
	}
	// quantifier is any, all, none, N or N%.
	quantifier struct {
		word    string // "any", "all", "none" or "" for n
		n       expr
		percent bool
	}
	// ofExpr is "Q of them" and its like, over strings or rules.
	ofExpr struct {
		q      quantifier
		strs   []int32
		rules  []int32
		lo, hi expr
	}
	// forOfExpr is "for Q of ($a*) : ( … )".
	forOfExpr struct {
		q    quantifier
		strs []int32
		body expr
	}
	// forInExpr is "for Q i in (X..Y) : ( … )" or "in (1, 2, 3)".
	forInExpr struct {
		q      quantifier
		slot   int
		lo, hi expr
		list   []expr
		body   expr
	}
)

func (f *frame) spans(str int32) []span {
	if str == self {
		str = f.current[len(f.current)-1]
	}
	return f.matches(str)
}

func (e foundExpr) eval(f *frame) value {
	m := f.spans(e.str)
	switch {
	case e.at != nil:
		at := e.at.eval(f)
		if at.kind != number {
			return boolean(false)
		}
		i := sort.Search(len(m), func(i int) bool { return int64(m[i].off) >= at.i })
		return boolean(i < len(m) && int64(m[i].off) == at.i)
	case e.lo != nil:
		n := f.countIn(m, e.lo, e.hi)
		return boolean(n.kind == number && n.i > 0)
	}
	return boolean(len(m) > 0)
}

// countIn counts the matches that begin between lo and hi, both included.
func (f *frame) countIn(m []span, lo, hi expr) value {
	a, b := lo.eval(f), hi.eval(f)
	if a.kind != number || b.kind != number {
		return value{}
	}
	from := sort.Search(len(m), func(i int) bool { return int64(m[i].off) >= a.i })
	to := sort.Search(len(m), func(i int) bool { return int64(m[i].off) > b.i })
	return num(int64(max(0, to-from)))
}

func (e countExpr) eval(f *frame) value {
	m := f.spans(e.str)
	if e.lo != nil {
		return f.countIn(m, e.lo, e.hi)
	}
	return num(int64(len(m)))
}

func (e offsetExpr) eval(f *frame) value {
	m := f.spans(e.str)
	i := e.index.eval(f)
	if i.kind != number || i.i < 1 || i.i > int64(len(m)) {
		return value{}
	}
	if e.length {
		return num(int64(m[i.i-1].len))
	}
	return num(int64(m[i.i-1].off))
}

// enough decides a quantifier when yes of total were true.
func (q quantifier) enough(f *frame, yes, total int) value {
	switch q.word {
	case "any":
		return boolean(yes > 0)
	case "all":
		return boolean(yes == total)
	case "none":
		return boolean(yes == 0)
	}
	n := q.n.eval(f)
	if n.kind != number {
		return value{}
	}
	if q.percent {
		// At least n % of total, rounded up as libyara does.
		return boolean(int64(yes)*100 >= n.i*int64(total))
	}
	return boolean(int64(yes) >= n.i)
}

func (e ofExpr) eval(f *frame) value {
	yes := 0
	for _, s := range e.strs {
		if (foundExpr{str: s, lo: e.lo, hi: e.hi}).eval(f).true() {
			yes++
			if e.q.word == "any" {
				return boolean(true)
			}
		}
	}
	for _, r := range e.rules {
		if f.rule(r) {
			yes++
		}
	}
	return e.q.enough(f, yes, len(e.strs)+len(e.rules))
}

func (e forOfExpr) eval(f *frame) value {
	yes := 0
	for _, s := range e.strs {
		f.current = append(f.current, s)
		if f.round() && e.body.eval(f).true() {
			yes++
		}
		f.current = f.current[:len(f.current)-1]
	}
	return e.q.enough(f, yes, len(e.strs))
}

// round counts a loop round; false when the condition has had enough.
func (f *frame) round() bool {
	f.steps--
	return f.steps > 0
}

func (e forInExpr) eval(f *frame) value {
	yes, total := 0, 0
	try := func(v value) bool {
		total++
		if v.kind != number || !f.round() {
			return f.steps > 0
		}
		f.loop[e.slot] = v.i
		if e.body.eval(f).true() {
			yes++
			if e.q.word == "any" {
				return false
			}
		} else if e.q.word == "all" {
			return false
		}
		return true
	}
	if e.list != nil {
		for _, x := range e.list {
			if !try(x.eval(f)) {
				break
			}
		}
	} else {
		lo, hi := e.lo.eval(f), e.hi.eval(f)
		if lo.kind != number || hi.kind != number || lo.i > hi.i {
			return boolean(false)
		}
		for i := lo.i; try(num(i)) && i < hi.i; i++ {
		}
	}
	if f.steps <= 0 {
		return value{}
	}
	return e.q.enough(f, yes, total)
}
