// SPDX-License-Identifier: Apache-2.0

package light

import (
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

	// maxWaiting is how many atom hits of expressions are kept until a
	// condition asks: 3 MB. Ordinary files have 30,000 a megabyte.
	maxWaiting = 1 << 18

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
	// Mention: the file is text, but not of the language the rule reads.
	Mention bool
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
	back    machine // for links of a chain
	slots   [][]span
	touched []int32                 // slots with matches
	state   []uint8                 // per rule
	read    [len(languages)]reading // per language, for this file
	asked   []int32
	askSet  []bool
	swept   []int32 // strings whose slow patterns have run
	data    []byte

	// Atom hits of expressions wait here, in lists per slot, until a condition
	// asks for their string: most conditions are decided before they do.
	waiting     []waiter
	first, last []int32 // per slot, index+1 into waiting
	waitSlots   []int32 // slots with a list
	work        Work
	maxHits     int64
}

type waiter struct{ next, pattern, at int32 }

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
		first:  make([]int32, len(r.slots)),
		last:   make([]int32, len(r.slots)),
	}
}

// Work tells what the last Scan did.
func (s *Scanner) Work() Work { return s.work }

// Scan runs all rules over data, which it does not keep. The same data and
// vars give the same matches in the same order: that of sources by name, then
// of rules in their source.
func (s *Scanner) Scan(data []byte, vars Vars) []Match {
	s.reset(data)
	for i, l := range languages {
		s.read[i] = read(vars.Filetype, l)
	}
	r := s.rules
	if len(r.refs) > 0 {
		r.auto.scan(data, func(atom int32, end int) bool {
			s.work.Hits++
			if s.work.Hits > s.maxHits {
				s.cut("atom hits")
				return false
			}
			ref := r.refs[atom]
			p := &r.patterns[ref.pattern]
			if s.read[r.reads[p.slot]] == never {
				return true
			}
			if p.lit == nil && len(s.waiting) < maxWaiting {
				s.wait(p.slot, ref.pattern, end-int(ref.len))
				return true
			}
			s.verify(p, data, end-int(ref.len), int(ref.off))
			return !s.mach.spent()
		})
	}
	for _, slot := range s.touched {
		s.settle(slot)
	}
	out := s.judge(data, &vars)
	s.data = nil
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
	s.swept = s.swept[:0]
	for _, slot := range s.waitSlots {
		s.first[slot], s.last[slot] = 0, 0
	}
	s.waitSlots, s.waiting = s.waitSlots[:0], s.waiting[:0]
	s.data = data
	s.work = Work{Bytes: int64(len(data))}
	s.mach.steps = 0
	s.mach.budget = baseSteps + stepsPerByte*int64(len(data))
	s.maxHits = baseHits + hitsPerByte*int64(len(data))
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
		out = append(out, Match{Rule: r.name, Source: r.source, Tags: r.tags, Meta: r.meta, Strings: s.show(r, data), Mention: s.read[r.reads] == mentions})
	}
	if f.steps <= 0 {
		s.cut("loop rounds")
	}
	return out
}

// wait keeps an atom hit for later. Its rule has to be asked: it might match.
func (s *Scanner) wait(slot, pattern int32, at int) {
	s.waiting = append(s.waiting, waiter{pattern: pattern, at: int32(at)})
	n := int32(len(s.waiting))
	if s.first[slot] == 0 {
		s.first[slot] = n
		s.waitSlots = append(s.waitSlots, slot)
		s.ask(s.rules.strings[s.rules.slots[slot]].rule)
	} else {
		s.waiting[s.last[slot]-1].next = n
	}
	s.last[slot] = n
}

func (s *Scanner) isTrue(f *frame, i int32) bool {
	if s.state[i] == unknown {
		s.state[i] = isFalse
		r := &s.rules.rules[i]
		if s.read[r.reads] != never && (!r.needsHit || s.askSet[i]) {
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
		m := s.found(st)
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
