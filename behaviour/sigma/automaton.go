// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"errors"
	"slices"
)

// Symbols are the 256 bytes and the two ends of the text.
const (
	symStart = 256
	symEnd   = 257
)

// maxStates bounds one automaton; all 3,780 rules of SigmaHQ together need under a tenth.
const maxStates = 1 << 20

// matchFlag marks a transition into a state that ends at least one literal.
const matchFlag = 1 << 31

// automaton finds all literals of one field in one pass: a full transition table after Aho and Corasick
// (CACM 18(6), 1975, §6), over classes of bytes that no literal tells apart. Upper- and lower-case ASCII letters
// share a class, so text needs no folding unless it has other letters.
type automaton struct {
	class  [258]uint32
	stride uint32
	next   []uint32  // next[state+class], states premultiplied by stride
	out    [][]int32 // by state/stride: the atoms that end here, suffixes included
	start  uint32    // the state after symStart
}

// literal is a folded text with its anchors, and the atom that it decides.
type literal struct {
	text       string
	start, end bool
	atom       int32
}

func (l literal) symbols() []uint16 {
	s := make([]uint16, 0, len(l.text)+2)
	if l.start {
		s = append(s, symStart)
	}
	for i := 0; i < len(l.text); i++ {
		s = append(s, uint16(l.text[i]))
	}
	if l.end {
		s = append(s, symEnd)
	}
	return s
}

func newAutomaton(lits []literal) (*automaton, error) {
	a := &automaton{}
	used := [258]bool{symStart: true, symEnd: true}
	for _, l := range lits {
		for _, s := range l.symbols() {
			used[s] = true
		}
	}
	a.stride = 1 // class 0: every byte that occurs in no literal
	for s, u := range used {
		if u {
			a.class[s] = a.stride
			a.stride++
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	// The trie; missing edges are 0, which is the root and no one's child.
	a.next = make([]uint32, a.stride)
	a.out = make([][]int32, 1)
	for _, l := range lits {
		s := uint32(0)
		for _, sym := range l.symbols() {
			edge := s*a.stride + a.class[sym]
			if a.next[edge] == 0 {
				if len(a.out) == maxStates {
					return nil, errors.New("the values of one field need more than a million states")
				}
				a.next[edge] = uint32(len(a.out))
				a.out = append(a.out, nil)
				a.next = append(a.next, make([]uint32, a.stride)...)
			}
			s = a.next[edge]
		}
		if s != 0 && !slices.Contains(a.out[s], l.atom) {
			a.out[s] = append(a.out[s], l.atom)
		}
	}
	a.close()
	return a, nil
}

// close turns the trie into a full table, breadth first, and premultiplies the states.
func (a *automaton) close() {
	n := uint32(len(a.out))
	fail := make([]uint32, n)
	queue := make([]uint32, 0, n)
	for c := uint32(0); c < a.stride; c++ {
		if t := a.next[c]; t != 0 {
			queue = append(queue, t)
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		for _, o := range a.out[fail[s]] {
			if !slices.Contains(a.out[s], o) {
				a.out[s] = append(a.out[s], o)
			}
		}
		for c := uint32(0); c < a.stride; c++ {
			over := a.next[fail[s]*a.stride+c]
			if t := a.next[s*a.stride+c]; t != 0 {
				fail[t] = over
				queue = append(queue, t)
			} else {
				a.next[s*a.stride+c] = over
			}
		}
	}
	for i, t := range a.next {
		a.next[i] = t * a.stride
		if len(a.out[t]) > 0 {
			a.next[i] |= matchFlag
		}
	}
	a.start = a.next[a.class[symStart]] &^ matchFlag
}
