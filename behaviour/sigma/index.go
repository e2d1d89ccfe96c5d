// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// group is the compiled form of all rules that apply to one log source.
type group struct {
	fields []groupField
	atoms  []atom
	nodes  []node
	rules  []groupRule
	always []int32 // rules that no value calls up
	lead   []int32 // fields that call up rules, always looked at
	pool   sync.Pool
}

type groupField struct {
	name string
	auto *automaton // nil: no literals
	lits []literal
}

// atom is a question answered at most once per event. With test nil it is decided by the automaton of its field.
type atom struct {
	field int32
	test  *test
	calls []int32 // rules that this atom calls up
}

// node is an expression over atoms, in one array.
type node struct {
	op   op
	atom int32
	kids []int32
}

type groupRule struct {
	rule *Rule
	root int32
}

// builder makes a group.
type builder struct {
	*group
	fieldIDs map[string]int32
	atomIDs  map[string]int32
	testIDs  map[*test]int32
	weight   []float64 // by atom: how often it is expected to hold
	uses     []int     // by atom: rules that contain it
	seen     map[int32]bool
	rare     []float64 // by field: what its use to call up rules is charged with
}

// A field that would call up less than one rule in rareField is charged rareCost: reading and passing it costs
// every event more than now and then evaluating those rules for nothing.
const (
	rareField = 20
	rareCost  = 100
)

func newGroup(rules []*Rule) (*group, error) {
	b := &builder{group: &group{}, fieldIDs: map[string]int32{}, atomIDs: map[string]int32{}, testIDs: map[*test]int32{}}
	for _, r := range rules {
		b.seen = map[int32]bool{}
		b.rules = append(b.rules, groupRule{rule: r, root: b.node(r.expr)})
	}
	b.rareFields()
	for i := range b.rules {
		calls, _, ok := b.callers(b.rules[i].root)
		if !ok {
			b.always = append(b.always, int32(i))
			continue
		}
		for _, a := range calls {
			b.atoms[a].calls = append(b.atoms[a].calls, int32(i))
			if f := b.atoms[a].field; !slices.Contains(b.lead, f) {
				b.lead = append(b.lead, f)
			}
		}
	}
	slices.Sort(b.lead)
	for i := range b.fields {
		f := &b.fields[i]
		if len(f.lits) == 0 {
			continue
		}
		var err error
		if f.auto, err = newAutomaton(f.lits); err != nil {
			return nil, fmt.Errorf("index field %q: %w", f.name, err)
		}
		f.lits = nil
	}
	g := b.group
	g.pool.New = func() any { return newScratch(g) }
	return g, nil
}

// rareFields finds the fields that few rules would lead with, by a first round in which all cost the same.
func (b *builder) rareFields() {
	b.rare = make([]float64, len(b.fields))
	rules := make([]int, len(b.fields))
	for i := range b.rare {
		b.rare[i] = 1
	}
	for _, r := range b.rules {
		calls, _, _ := b.callers(r.root)
		for _, a := range calls {
			rules[b.atoms[a].field]++
		}
	}
	for i, n := range rules {
		if n*rareField < len(b.rules) {
			b.rare[i] = rareCost
		}
	}
}

func (b *builder) field(name string) int32 {
	id, ok := b.fieldIDs[name]
	if !ok {
		id = int32(len(b.fields))
		b.fieldIDs[name] = id
		b.fields = append(b.fields, groupField{name: name})
	}
	return id
}

func (b *builder) use(a int32) int32 {
	if !b.seen[a] {
		b.seen[a] = true
		b.uses[a]++
	}
	return a
}

func (b *builder) newAtom(a atom, weight float64) int32 {
	b.atoms = append(b.atoms, a)
	b.weight = append(b.weight, weight)
	b.uses = append(b.uses, 0)
	return int32(len(b.atoms) - 1)
}

// literalAtom is one atom for "the field holds at least one of these".
func (b *builder) literalAtom(field string, lits []literal) int32 {
	var keys []string
	weight := 0.0
	for _, l := range lits {
		keys = append(keys, fmt.Sprintf("%t%t%s", l.start, l.end, l.text))
		n := len(l.text)
		if l.start {
			n++
		}
		if l.end {
			n += 2 // ends of paths and whole values are telling
		}
		weight += 1 / float64(1+n*n)
	}
	sort.Strings(keys)
	key := field + "\x00" + strings.Join(slices.Compact(keys), "\x00")
	if id, ok := b.atomIDs[key]; ok {
		return b.use(id)
	}
	f := b.field(field)
	id := b.newAtom(atom{field: f}, weight)
	b.atomIDs[key] = id
	for _, l := range lits {
		l.atom = id
		b.fields[f].lits = append(b.fields[f].lits, l)
	}
	return b.use(id)
}

func (b *builder) add(n node) int32 {
	b.nodes = append(b.nodes, n)
	return int32(len(b.nodes) - 1)
}

func (b *builder) leafNode(a int32) int32 { return b.add(node{op: opTest, atom: a}) }

// node lowers an expression: alternatives on one field become one atom, dear tests get a guard.
func (b *builder) node(e *expr) int32 {
	switch e.op {
	case opTest:
		return b.testNode(e.test)
	case opNot:
		return b.add(node{op: opNot, kids: []int32{b.node(e.kids[0])}})
	}
	var kids []int32
	if e.op == opOr {
		var order []string
		byField := map[string][]literal{}
		for _, k := range e.kids {
			if k.op == opTest && k.test.kind == testLiteral {
				if byField[k.test.field] == nil {
					order = append(order, k.test.field)
				}
				byField[k.test.field] = append(byField[k.test.field], k.test.literal())
			} else {
				kids = append(kids, b.node(k))
			}
		}
		var cheap []int32
		for _, f := range order {
			cheap = append(cheap, b.leafNode(b.literalAtom(f, byField[f])))
		}
		kids = append(cheap, kids...)
	} else {
		for _, k := range e.kids {
			kids = append(kids, b.node(k))
		}
		// Cheap questions first; the order changes no answer.
		sort.SliceStable(kids, func(i, j int) bool { return b.dear(kids[i]) < b.dear(kids[j]) })
	}
	if len(kids) == 1 {
		return kids[0]
	}
	return b.add(node{op: e.op, kids: kids})
}

func (f *test) literal() literal { return literal{text: f.lit, start: f.start, end: f.end} }

// dear ranks nodes by what asking costs.
func (b *builder) dear(n int32) int {
	worst := 0
	if b.nodes[n].op == opTest {
		if t := b.atoms[b.nodes[n].atom].test; t != nil {
			worst = 1
			if t.kind == testRegex || t.kind == testGlob {
				worst = 2
			}
		}
	}
	for _, k := range b.nodes[n].kids {
		worst = max(worst, b.dear(k))
	}
	return worst
}

func (b *builder) testNode(t *test) int32 {
	// A literal without text and with at most one anchor holds for every value; the automaton cannot say so.
	if t.kind == testLiteral && (t.lit != "" || t.start && t.end) {
		return b.leafNode(b.literalAtom(t.field, []literal{t.literal()}))
	}
	id, ok := b.testIDs[t]
	if !ok {
		id = b.newAtom(atom{field: b.field(t.field), test: t}, 1)
		b.testIDs[t] = id
	}
	n := b.leafNode(b.use(id))
	if guard := t.guard(); len(guard) > 0 {
		return b.add(node{op: opAnd, kids: []int32{b.leafNode(b.literalAtom(t.field, guard)), n}})
	}
	return n
}

// callers finds the set of atoms of which at least one must hold for the node to hold, with the least expected
// cost. ok is false when there is none.
func (b *builder) callers(n int32) (atoms []int32, cost float64, ok bool) {
	nd := &b.nodes[n]
	switch nd.op {
	case opTest:
		if b.atoms[nd.atom].test != nil {
			return nil, 0, false
		}
		// A value that many rules share is ordinary (type: EXECVE), however long.
		return []int32{nd.atom}, b.weight[nd.atom] * float64(b.uses[nd.atom]) * b.rare[b.atoms[nd.atom].field], true
	case opAnd:
		for _, k := range nd.kids {
			if a, c, yes := b.callers(k); yes && (!ok || c < cost) {
				atoms, cost, ok = a, c, true
			}
		}
		return atoms, cost, ok
	case opOr:
		for _, k := range nd.kids {
			a, c, yes := b.callers(k)
			if !yes {
				return nil, 0, false
			}
			for _, x := range a {
				if !slices.Contains(atoms, x) {
					atoms = append(atoms, x)
				}
			}
			cost += c
		}
		return atoms, cost, len(nd.kids) > 0
	}
	return nil, 0, false
}
