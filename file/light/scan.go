// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// scanLimit is how far an expression may reach from its atom in each
// direction, libyara's YR_RE_SCAN_LIMIT (limits.h).
const scanLimit = 4096

// Bounds per file. A file that reaches one is cut (Work.Cut).
const (
	// maxSpans is how many matches of one string are kept.
	maxSpans = 10_000
	// stepsPerByte and baseSteps bound the expression simulation: ordinary
	// files use under 1 step a byte.
	stepsPerByte = 16
	baseSteps    = 4 << 20
	// maxRounds bounds loop rounds of all conditions of one file.
	maxRounds = 1 << 20
	// maxHits bounds verifications: 64 a byte would be 20 times the worst
	// ordinary file.
	hitsPerByte = 4
	baseHits    = 1 << 20

	maxShown   = 8  // strings shown per match
	maxExcerpt = 64 // bytes of each
)

// Match is a rule that is true for the file. Tags and Meta belong to the
// rules: read only.
type Match struct {
	Rule    string
	Source  string
	Tags    []string
	Meta    map[string]string
	Strings []StringMatch // the first match of at most 8 strings, by offset of declaration
}

// StringMatch is where a string was found. Offset counts bytes from the start
// of the file. Excerpt is at most 64 bytes of the match, what is not
// printable ASCII escaped as in Go.
type StringMatch struct {
	ID      string
	Offset  int
	Excerpt string
}

// Work is what the last Scan did.
type Work struct {
	Bytes int64 // scanned
	Hits  int64 // atoms found
	Steps int64 // states visited by expressions
	// Cut names the bound that was reached, or is empty. The file has then
	// been judged only in part: what matched did match, what did not may have.
	Cut string
}

// Scanner scans files one after another; it is for one goroutine and reuses
// its memory. Many Scanners can share one Rules.
type Scanner struct {
	rules   *Rules
	mach    machine
	slots   [][]span
	touched []int32 // slots with matches
	state   []uint8 // per rule
	asked   []int32
	askSet  []bool
	work    Work
	maxHits int64
}

const (
	unknown uint8 = iota
	isTrue
	isFalse
)

// NewScanner makes a Scanner; about 40 bytes a rule string.
func NewScanner(r *Rules) *Scanner {
	return &Scanner{
		rules:  r,
		slots:  make([][]span, len(r.slots)),
		state:  make([]uint8, len(r.rules)),
		askSet: make([]bool, len(r.rules)),
	}
}

// Work tells what the last Scan did.
func (s *Scanner) Work() Work { return s.work }

// Scan runs all rules over data, which it does not keep. The same data and
// vars give the same matches in the same order: that of sources by name, then
// of rules in their source.
func (s *Scanner) Scan(data []byte, vars Vars) []Match {
	s.reset(data)
	r := s.rules
	if len(r.refs) > 0 {
		r.auto.scan(data, func(atom int32, end int) bool {
			s.work.Hits++
			if s.work.Hits > s.maxHits {
				s.cut("atom hits")
				return false
			}
			ref := r.refs[atom]
			s.verify(&r.patterns[ref.pattern], data, end-int(ref.len), int(ref.off))
			return !s.mach.spent()
		})
	}
	for _, i := range r.slow {
		s.sweep(&r.patterns[i], data)
	}
	for _, slot := range s.touched {
		s.settle(slot)
	}
	out := s.judge(data, &vars)
	s.work.Steps = s.mach.steps
	if s.mach.spent() {
		s.cut("expression steps")
	}
	return out
}

func (s *Scanner) cut(why string) {
	if s.work.Cut == "" {
		s.work.Cut = why
	}
}

func (s *Scanner) reset(data []byte) {
	for _, slot := range s.touched {
		s.slots[slot] = s.slots[slot][:0]
		if cap(s.slots[slot]) > 256 {
			s.slots[slot] = nil // one noisy file must not hold memory for good
		}
	}
	s.touched = s.touched[:0]
	for _, i := range s.asked {
		s.askSet[i] = false
	}
	s.asked = s.asked[:0]
	clear(s.state)
	s.work = Work{Bytes: int64(len(data))}
	s.mach.steps = 0
	s.mach.budget = baseSteps + stepsPerByte*int64(len(data))
	s.maxHits = baseHits + hitsPerByte*int64(len(data))
}

// verify checks the pattern around an atom found at data[at:].
func (s *Scanner) verify(p *pattern, data []byte, at, off int) {
	if s.full(p.slot) {
		return
	}
	if p.lit != nil {
		if start := at - off; start >= 0 && p.equal(data[start:]) {
			s.note(p, data, span{start, len(p.lit)})
		}
		return
	}
	end := s.reach(p, data, at)
	if end < 0 {
		return
	}
	if p.backward == nil {
		s.note(p, data, span{at, end - at})
		return
	}
	s.mach.run(p.backward, data, at, false, scanLimit, func(start int) bool {
		s.note(p, data, span{start, end - start})
		return !s.full(p.slot)
	})
}

// reach gives the end of the forward match from at, or -1: the nearest if the
// expression is lazy, or nobody asks how long it is, else the farthest.
func (s *Scanner) reach(p *pattern, data []byte, at int) int {
	end := -1
	near := p.lazy || p.word == noWord && !s.rules.strings[s.rules.slots[p.slot]].all
	s.mach.run(p.forward, data, at, true, scanLimit, func(e int) bool {
		end = e
		return !near
	})
	return end
}

// equal compares a literal with the beginning of data.
func (p *pattern) equal(data []byte) bool {
	if len(data) < len(p.lit) {
		return false
	}
	data = data[:len(p.lit)]
	switch {
	case p.xor:
		key := data[0] ^ p.lit[0]
		if key < p.xorMin || key > p.xorMax {
			return false
		}
		for i, c := range p.lit {
			if c^key != data[i] {
				return false
			}
		}
		return true
	case p.fold:
		for i, c := range p.lit {
			if foldByte(c) != foldByte(data[i]) {
				return false
			}
		}
		return true
	}
	return bytes.Equal(data, p.lit)
}

// full reports that more matches of the slot's string change nothing.
func (s *Scanner) full(slot int32) bool {
	n := len(s.slots[slot])
	return n > 0 && !s.rules.strings[s.rules.slots[slot]].all || n >= maxSpans
}

func (s *Scanner) note(p *pattern, data []byte, m span) {
	if p.word != noWord && !wholeWord(data, m, p.word) {
		return
	}
	spans := s.slots[p.slot]
	if n := len(spans); n > 0 && spans[n-1].off == m.off {
		spans[n-1].len = max(spans[n-1].len, m.len)
		return
	}
	if len(spans) == 0 {
		s.touched = append(s.touched, p.slot)
		s.ask(s.rules.strings[s.rules.slots[p.slot]].rule)
	}
	s.slots[p.slot] = append(spans, m)
	if len(spans)+1 >= maxSpans {
		s.settle(p.slot) // doubles may be what filled it
		if len(s.slots[p.slot]) > maxSpans/2 {
			s.cut("matches of one string")
		}
	}
}

func (s *Scanner) ask(rule int32) {
	if !s.askSet[rule] {
		s.askSet[rule] = true
		s.asked = append(s.asked, rule)
	}
}

// wholeWord checks that no letter or digit touches the match
// (libyara/scan.c, _yr_scan_match_callback).
func wholeWord(data []byte, m span, kind wordKind) bool {
	end := m.off + m.len
	if kind == asciiWord {
		return !(m.off > 0 && alnum(data[m.off-1])) && !(end < len(data) && alnum(data[end]))
	}
	return !(m.off > 1 && data[m.off-1] == 0 && alnum(data[m.off-2])) &&
		!(end+1 < len(data) && data[end+1] == 0 && alnum(data[end]))
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// settle sorts the matches of a slot by offset and drops doubles.
func (s *Scanner) settle(slot int32) {
	m := s.slots[slot]
	if len(m) < 2 {
		return
	}
	slices.SortFunc(m, func(a, b span) int {
		if a.off != b.off {
			return a.off - b.off
		}
		return b.len - a.len
	})
	s.slots[slot] = slices.CompactFunc(m, func(a, b span) bool { return a.off == b.off })
}

// sweep runs a pattern that has no atom from every byte that can begin it.
func (s *Scanner) sweep(p *pattern, data []byte) {
	for i := range data {
		if !p.first.has(data[i]) {
			continue
		}
		if s.mach.spent() || s.full(p.slot) {
			return
		}
		if end := s.reach(p, data, i); end >= 0 {
			s.note(p, data, span{i, end - i})
		}
	}
}

// matches gives the settled matches of a string; those of a chained string
// are the heads that a tail follows within each gap.
func (s *Scanner) matches(i int32) []span {
	st := &s.rules.strings[i]
	heads := s.slots[st.slot]
	if len(st.gaps) == 0 || len(heads) == 0 {
		return heads
	}
	var out []span
	for _, h := range heads {
		if end := s.follow(st, 0, h.off+h.len); end >= 0 {
			out = append(out, span{h.off, end - h.off})
		}
	}
	return out
}

// follow finds link i+1 behind end and returns where the chain ends, or -1.
func (s *Scanner) follow(st *str, i int, end int) int {
	if i == len(st.gaps) {
		return end
	}
	gap := st.gaps[i]
	tails := s.slots[st.slot+int32(i)+1]
	from, _ := slices.BinarySearchFunc(tails, end+gap.gapMin, func(m span, at int) int { return m.off - at })
	for _, t := range tails[from:] {
		s.mach.steps++
		if gap.gapMax >= 0 && t.off > end+gap.gapMax || s.mach.spent() {
			break
		}
		if e := s.follow(st, i+1, t.off+t.len); e >= 0 {
			return e
		}
	}
	return -1
}

// judge evaluates the conditions of every rule that could be true.
func (s *Scanner) judge(data []byte, vars *Vars) []Match {
	for _, i := range s.rules.always {
		s.ask(i)
	}
	slices.Sort(s.asked)
	f := &frame{data: data, vars: vars, matches: s.matches, mach: &s.mach, steps: maxRounds}
	f.rule = func(i int32) bool { return s.isTrue(f, i) }
	var out []Match
	for _, i := range s.asked {
		r := &s.rules.rules[i]
		if r.private || !s.isTrue(f, i) || !s.globalsTrue(f, r.source) {
			continue
		}
		out = append(out, Match{Rule: r.name, Source: r.source, Tags: r.tags, Meta: r.meta, Strings: s.show(r, data)})
	}
	if f.steps <= 0 {
		s.cut("loop rounds")
	}
	return out
}

func (s *Scanner) isTrue(f *frame, i int32) bool {
	if s.state[i] == unknown {
		s.state[i] = isFalse
		r := &s.rules.rules[i]
		if !r.needsHit || s.askSet[i] {
			// A rule asked for inside a loop of another has loops of its own.
			loop, current := f.loop, f.current
			f.loop, f.current = [maxLoops]int64{}, nil
			if r.cond.eval(f).true() {
				s.state[i] = isTrue
			}
			f.loop, f.current = loop, current
		}
	}
	return s.state[i] == isTrue
}

func (s *Scanner) globalsTrue(f *frame, source string) bool {
	for _, i := range s.rules.globals[source] {
		if !s.isTrue(f, i) {
			return false
		}
	}
	return true
}

func (s *Scanner) show(r *rule, data []byte) []StringMatch {
	var out []StringMatch
	for _, i := range r.strings {
		st := &s.rules.strings[i]
		m := s.matches(i)
		if len(m) == 0 || st.private {
			continue
		}
		end := min(m[0].off+m[0].len, m[0].off+maxExcerpt, len(data))
		text := strconv.QuoteToASCII(string(data[m[0].off:end]))
		out = append(out, StringMatch{ID: st.id, Offset: m[0].off, Excerpt: text[1 : len(text)-1]})
		if len(out) == maxShown {
			break
		}
	}
	return out
}

func (m Match) String() string { return fmt.Sprintf("%s/%s", m.Source, m.Rule) }
