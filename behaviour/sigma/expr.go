// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

type op uint8

const (
	opTest op = iota
	opAnd
	opOr
	opNot
)

// expr is a compiled condition: a tree of and, or, not over tests. Subtrees may be shared and are never changed.
type expr struct {
	op   op
	kids []*expr
	test *test
}

type testKind uint8

const (
	testLiteral testKind = iota // lit, anchored at start and end as said; folded
	testAny                     // the field is there (a lone "*")
	testGlob                    // glob, folded unless cased
	testRegex
	testCIDR
	testCompare
	testNull
	testExists
	testFieldRef
)

// test is one question about one field. field "" asks Keywords.
type test struct {
	kind       testKind
	field      string
	lit        string
	start, end bool
	glob       pattern
	cased      bool
	re         *regexp.Regexp
	prefix     netip.Prefix
	cmp        string // lt lte gt gte eq
	part       string // minute … year, or "" for the number itself
	num        float64
	want       bool // testExists
}

func (f *test) get(ev Fields, name string) (string, bool) {
	if name == "" {
		s := ev.Keywords()
		return s, s != ""
	}
	return ev.Field(name)
}

// holds answers the test from the event alone, without index: the slow and simple way.
func (f *test) holds(ev Fields) bool {
	v, ok := f.get(ev, f.field)
	switch f.kind {
	case testNull:
		return !ok
	case testExists:
		return ok == f.want
	case testFieldRef:
		other, ok2 := f.get(ev, f.glob[0].lit)
		return ok && ok2 && f.refers(v, other)
	}
	return ok && f.holdsFor(v)
}

// holdsFor answers the test for a value that is there.
func (f *test) holdsFor(v string) bool {
	switch f.kind {
	case testLiteral:
		return anchored(fold(v), f.lit, f.start, f.end)
	case testAny:
		return true
	case testGlob:
		if !f.cased {
			v = fold(v)
		}
		return f.glob.glob(v)
	case testRegex:
		return f.re.MatchString(v)
	case testCIDR:
		a, err := netip.ParseAddr(strings.Trim(v, "[]"))
		return err == nil && f.prefix.Contains(a.Unmap().WithZone(""))
	case testCompare:
		return f.compares(v)
	}
	return false
}

func anchored(v, lit string, start, end bool) bool {
	switch {
	case start && end:
		return v == lit
	case start:
		return strings.HasPrefix(v, lit)
	case end:
		return strings.HasSuffix(v, lit)
	}
	return strings.Contains(v, lit)
}

// refers compares with the value of another field, itself plain text; start and end as for literals.
func (f *test) refers(v, other string) bool {
	if !f.cased {
		v, other = fold(v), fold(other)
	}
	return anchored(v, other, f.start, f.end)
}

func (f *test) compares(v string) bool {
	var x float64
	if f.part == "" {
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return false
		}
		x = n
	} else {
		t, ok := parseTime(v)
		if !ok {
			return false
		}
		x = float64(timePart(t, f.part))
	}
	switch f.cmp {
	case "lt":
		return x < f.num
	case "lte":
		return x <= f.num
	case "gt":
		return x > f.num
	case "gte":
		return x >= f.num
	}
	return x == f.num
}

// parseTime takes the usual forms and keeps the zone that is written: the specification converts none.
func parseTime(v string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(form, v); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func timePart(t time.Time, part string) int {
	switch part {
	case "minute":
		return t.Minute()
	case "hour":
		return t.Hour()
	case "day":
		return t.Day()
	case "week":
		_, w := t.ISOWeek()
		return w
	case "month":
		return int(t.Month())
	}
	return t.Year()
}

func and(kids ...*expr) *expr { return join(opAnd, kids) }
func or(kids ...*expr) *expr  { return join(opOr, kids) }
func not(kid *expr) *expr     { return &expr{op: opNot, kids: []*expr{kid}} }
func leaf(t *test) *expr      { return &expr{op: opTest, test: t} }

// join flattens nested nodes of the same kind.
func join(o op, kids []*expr) *expr {
	var flat []*expr
	for _, k := range kids {
		if k.op == o {
			flat = append(flat, k.kids...)
		} else {
			flat = append(flat, k)
		}
	}
	if len(flat) == 1 {
		return flat[0]
	}
	return &expr{op: o, kids: flat}
}

// Hit is one test that speaks for a match: the field, what it holds (cut at 256 bytes) and what was looked for.
type Hit struct {
	Field  string
	Value  string
	Wanted string
}

// Explain says which tests of the rule hold on the event: the evidence of a finding. It is slow (no index) and
// meant for matches only. Tests below a `not` are left out. The second result is whether the rule matches.
func (r *Rule) Explain(ev Fields) ([]Hit, bool) {
	if r.expr == nil {
		return nil, false
	}
	var hits []Hit
	ok := r.expr.holds(ev, &hits)
	if !ok {
		return nil, false
	}
	return hits, true
}

func (e *expr) holds(ev Fields, hits *[]Hit) bool {
	switch e.op {
	case opNot:
		return !e.kids[0].holds(ev, nil)
	case opTest:
		ok := e.test.holds(ev)
		if ok && hits != nil {
			v, _ := e.test.get(ev, e.test.field)
			*hits = append(*hits, Hit{Field: e.test.field, Value: v[:min(len(v), 256)], Wanted: e.test.wanted()})
		}
		return ok
	}
	before := 0
	if hits != nil {
		before = len(*hits)
	}
	found := e.op == opAnd
	for _, k := range e.kids {
		ok := k.holds(ev, hits)
		if e.op == opAnd && !ok {
			found = false
			break
		}
		found = found || ok
	}
	if !found && hits != nil {
		*hits = (*hits)[:before]
	}
	return found
}

// wanted prints a test for people.
func (f *test) wanted() string {
	switch f.kind {
	case testLiteral:
		s := f.lit
		if !f.start {
			s = "*" + s
		}
		if !f.end {
			s += "*"
		}
		return s
	case testGlob:
		var b strings.Builder
		for _, pc := range f.glob {
			if pc.wild != 0 {
				b.WriteByte(pc.wild)
			}
			b.WriteString(pc.lit)
		}
		return b.String()
	case testRegex:
		return "/" + f.re.String() + "/"
	case testCIDR:
		return f.prefix.String()
	case testCompare:
		return strings.TrimSpace(f.part + " " + f.cmp + " " + strconv.FormatFloat(f.num, 'g', -1, 64))
	case testFieldRef:
		return "the value of " + f.glob[0].lit
	case testNull:
		return "null"
	case testExists:
		return "exists " + strconv.FormatBool(f.want)
	}
	return "*"
}
