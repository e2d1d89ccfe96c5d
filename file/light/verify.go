// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"slices"
)

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
	if p.link {
		// The next link may follow any end.
		s.mach.run(p.forward, data, at, true, scanLimit, func(end int) bool {
			s.backward(p, data, at, end)
			return !s.full(p.slot)
		})
		return
	}
	if end := s.reach(p, data, at); end >= 0 {
		s.backward(p, data, at, end)
	}
}

// backward notes every match that ends at end and has its atom at at.
func (s *Scanner) backward(p *pattern, data []byte, at, end int) {
	if p.backward == nil {
		s.note(p, data, span{at, end - at})
		return
	}
	// The simulation has one set of states: a match in the forward direction
	// that is still running must not lose them.
	m := &s.mach
	if p.link {
		m = &s.back
		m.steps, m.budget = 0, s.mach.budget-s.mach.steps
	}
	m.run(p.backward, data, at, false, scanLimit, func(start int) bool {
		s.note(p, data, span{start, end - start})
		return !s.full(p.slot)
	})
	if p.link {
		s.mach.steps += m.steps
	}
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
	if n := len(spans); n > 0 && spans[n-1] == m {
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

// settle sorts the matches of a slot by offset and keeps one of each: the
// longest, the shortest if the string is lazy, all if it is a link of a chain.
func (s *Scanner) settle(slot int32) {
	m := s.slots[slot]
	if len(m) < 2 {
		return
	}
	st := &s.rules.strings[s.rules.slots[slot]]
	slices.SortFunc(m, func(a, b span) int {
		if a.off != b.off {
			return a.off - b.off
		}
		if st.lazy {
			return a.len - b.len
		}
		return b.len - a.len
	})
	s.slots[slot] = slices.CompactFunc(m, func(a, b span) bool {
		return a.off == b.off && (len(st.gaps) == 0 || a.len == b.len)
	})
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
		if p.link {
			s.mach.run(p.forward, data, i, true, scanLimit, func(end int) bool {
				s.note(p, data, span{i, end - i})
				return !s.full(p.slot)
			})
		} else if end := s.reach(p, data, i); end >= 0 {
			s.note(p, data, span{i, end - i})
		}
	}
}

// matches gives all matches of a string, after verifying the hits that wait
// for it and sweeping its patterns without an atom.
func (s *Scanner) matches(i int32) []span {
	st := &s.rules.strings[i]
	changed := false
	for slot := st.slot; slot <= st.slot+int32(len(st.gaps)); slot++ {
		for at := s.first[slot]; at != 0 && !s.mach.spent(); {
			w := s.waiting[at-1]
			s.verify(&s.rules.patterns[w.pattern], s.data, int(w.at), 0)
			at, changed = w.next, true
		}
		s.first[slot] = 0
	}
	if len(st.slow) > 0 && !slices.Contains(s.swept, i) {
		s.swept, changed = append(s.swept, i), true
		for _, p := range st.slow {
			s.sweep(&s.rules.patterns[p], s.data)
		}
	}
	if changed {
		for slot := st.slot; slot <= st.slot+int32(len(st.gaps)); slot++ {
			s.settle(slot)
		}
	}
	return s.found(st)
}

// found gives the settled matches of a string; those of a chained string are
// the heads that a tail follows within each gap.
func (s *Scanner) found(st *str) []span {
	heads := s.slots[st.slot]
	if len(st.gaps) == 0 || len(heads) == 0 {
		return heads
	}
	var out []span
	for _, h := range heads {
		if n := len(out); n > 0 && out[n-1].off == h.off {
			continue
		}
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
