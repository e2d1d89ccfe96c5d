// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Set is a compiled set of rules. All methods are safe for many goroutines.
type Set struct {
	rules []*Rule // all that were loaded
	run   []*Rule // single-event rules that are matched
	multi []*Rule // correlations
	known [3]map[string]bool

	groups  atomic.Pointer[map[LogSource]*group]
	growing sync.Mutex // guards replacing groups
}

// maxGroups bounds the cache of log sources; what an event calls itself may be chosen by an attacker. Names that
// no rule uses count as empty, so only real combinations are built.
const maxGroups = 1024

func newSet(rules, run []*Rule) (*Set, error) {
	s := &Set{rules: rules}
	for i := range s.known {
		s.known[i] = map[string]bool{}
	}
	for _, r := range run {
		if r.related != nil {
			s.multi = append(s.multi, r)
			continue
		}
		s.run = append(s.run, r)
		for i, name := range [3]string{r.LogSource.Category, r.LogSource.Product, r.LogSource.Service} {
			s.known[i][name] = true
		}
	}
	s.groups.Store(&map[LogSource]*group{})
	// One group over everything proves that the largest automaton can be built; later groups are parts of it.
	if _, err := newGroup(s.run); err != nil {
		return nil, err
	}
	return s, nil
}

// Rules gives all loaded rules in order of path, those that never fire included.
func (s *Set) Rules() []*Rule { return slices.Clone(s.rules) }

// Prepare builds the index for a log source now instead of at its first event.
func (s *Set) Prepare(source LogSource) { s.group(source) }

func (s *Set) group(ev LogSource) *group {
	if g, ok := (*s.groups.Load())[ev]; ok {
		return g
	}
	return s.grow(ev)
}

func (s *Set) grow(ev LogSource) *group {
	key := ev
	for i, p := range []*string{&key.Category, &key.Product, &key.Service} {
		if !s.known[i][*p] {
			*p = ""
		}
	}
	s.growing.Lock()
	defer s.growing.Unlock()
	old := *s.groups.Load()
	g := old[key]
	if g == nil {
		var rules []*Rule
		for _, r := range s.run {
			if r.LogSource.covers(key) {
				rules = append(rules, r)
			}
		}
		var err error
		if g, err = newGroup(rules); err != nil {
			panic("sigma: a part of the rules needs more than all of them: " + err.Error())
		}
	}
	if len(old) < maxGroups {
		grown := make(map[LogSource]*group, len(old)+2)
		for k, v := range old {
			grown[k] = v
		}
		grown[key] = g
		// The caller's strings may point into a large event.
		grown[LogSource{strings.Clone(ev.Category), strings.Clone(ev.Product), strings.Clone(ev.Service)}] = g
		s.groups.Store(&grown)
	}
	return g
}

// Match calls emit for every single-event rule that matches, in order of path, Quiet ones included. It takes no
// memory that grows with the event, and none at all for values that are plain ASCII.
func (s *Set) Match(ev Fields, emit func(*Rule)) {
	g := s.group(ev.LogSource())
	if len(g.rules) == 0 {
		return
	}
	m := g.pool.Get().(*scratch)
	m.begin(ev)
	for _, f := range g.lead {
		m.scan(f)
	}
	m.called = append(m.called, g.always...)
	slices.Sort(m.called)
	for _, r := range m.called {
		if m.holds(g.rules[r].root) {
			emit(g.rules[r].rule)
		}
	}
	m.end()
	g.pool.Put(m)
}

// scratch is the memory of one match. A number equal to epoch means "in this event", so nothing is cleared.
type scratch struct {
	g      *group
	ev     Fields
	epoch  uint32
	loaded []uint32 // by field: the value was asked for
	there  []bool   // by field: the event has it
	values []string
	folded []string
	fold   []uint32 // by field: folded is set
	passed []uint32 // by field: the automaton ran
	hit    []uint32 // by atom: holds
	asked  []uint32 // by atom with a test: answered
	queued []uint32 // by rule: in called
	called []int32
}

func newScratch(g *group) *scratch {
	n, a := len(g.fields), len(g.atoms)
	return &scratch{g: g, loaded: make([]uint32, n), there: make([]bool, n), values: make([]string, n), folded: make([]string, n),
		fold: make([]uint32, n), passed: make([]uint32, n), hit: make([]uint32, a), asked: make([]uint32, a), queued: make([]uint32, len(g.rules))}
}

func (m *scratch) begin(ev Fields) {
	m.ev = ev
	m.called = m.called[:0]
	m.epoch++
	if m.epoch == 0 { // once in four thousand million events
		for _, s := range [][]uint32{m.loaded, m.fold, m.passed, m.hit, m.asked, m.queued} {
			clear(s)
		}
		m.epoch = 1
	}
}

// end lets go of the event.
func (m *scratch) end() {
	m.ev = nil
	clear(m.values)
	clear(m.folded)
}

func (m *scratch) value(f int32) (string, bool) {
	if m.loaded[f] != m.epoch {
		m.loaded[f] = m.epoch
		if name := m.g.fields[f].name; name != "" {
			m.values[f], m.there[f] = m.ev.Field(name)
		} else {
			m.values[f] = m.ev.Keywords()
			m.there[f] = m.values[f] != ""
		}
	}
	return m.values[f], m.there[f]
}

// scan runs the automaton of a field once.
func (m *scratch) scan(f int32) {
	if m.passed[f] == m.epoch {
		return
	}
	m.passed[f] = m.epoch
	a := m.g.fields[f].auto
	v, ok := m.value(f)
	if !ok || a == nil {
		return
	}
	if m.pass(a, v) >= 0x80 {
		// Text beyond ASCII: what was found stands (folding changes no byte that a folded literal holds), and
		// the folded text may hold more.
		m.pass(a, m.foldedValue(f))
	}
}

// pass follows the text through the automaton and gives the union of its bytes.
func (m *scratch) pass(a *automaton, v string) byte {
	s, all := a.start, byte(0)
	if out := a.out[s/a.stride]; len(out) > 0 {
		m.found(out)
	}
	next := a.next
	for i := 0; i < len(v); i++ {
		c := v[i]
		all |= c
		t := next[s+a.class[c]]
		s = t &^ matchFlag
		if t&matchFlag != 0 {
			m.found(a.out[s/a.stride])
		}
	}
	if t := next[s+a.class[symEnd]]; t&matchFlag != 0 {
		m.found(a.out[(t&^matchFlag)/a.stride])
	}
	return all
}

func (m *scratch) found(atoms []int32) {
	for _, a := range atoms {
		if m.hit[a] == m.epoch {
			continue
		}
		m.hit[a] = m.epoch
		for _, r := range m.g.atoms[a].calls {
			if m.queued[r] != m.epoch {
				m.queued[r] = m.epoch
				m.called = append(m.called, r)
			}
		}
	}
}

func (m *scratch) foldedValue(f int32) string {
	if m.fold[f] != m.epoch {
		m.fold[f] = m.epoch
		v, _ := m.value(f)
		m.folded[f] = fold(v)
	}
	return m.folded[f]
}

func (m *scratch) holds(n int32) bool {
	nd := &m.g.nodes[n]
	switch nd.op {
	case opTest:
		return m.atom(nd.atom)
	case opNot:
		return !m.holds(nd.kids[0])
	case opAnd:
		for _, k := range nd.kids {
			if !m.holds(k) {
				return false
			}
		}
		return true
	}
	for _, k := range nd.kids {
		if m.holds(k) {
			return true
		}
	}
	return false
}

func (m *scratch) atom(id int32) bool {
	a := &m.g.atoms[id]
	if a.test == nil {
		m.scan(a.field)
		return m.hit[id] == m.epoch
	}
	if m.asked[id] != m.epoch {
		m.asked[id] = m.epoch
		if m.ask(a) {
			m.hit[id] = m.epoch
		}
	}
	return m.hit[id] == m.epoch
}

func (m *scratch) ask(a *atom) bool {
	v, ok := m.value(a.field)
	switch t := a.test; t.kind {
	case testNull:
		return !ok
	case testExists:
		return ok == t.want
	case testFieldRef:
		return t.holds(m.ev)
	case testGlob:
		if ok && !t.cased {
			v = m.foldedValue(a.field)
		}
		return ok && t.glob.glob(v)
	default:
		return ok && t.holdsFor(v)
	}
}
