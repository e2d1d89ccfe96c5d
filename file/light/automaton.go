// SPDX-License-Identifier: Apache-2.0

package light

// automaton finds all atoms in one pass: a complete Aho-Corasick DFA over
// byte classes. ASCII case is folded in the classes, so atoms are blind to
// case at no cost and the verifier decides.
//
// coregx/ahocorasick is as fast, but returns all hits in one slice (a hostile
// file of 16 MiB would make it allocate gigabytes) and has no case folding;
// the test compares the two.
type automaton struct {
	class [256]uint8
	width int      // number of classes
	next  []uint32 // state*width+class -> premultiplied state, hitFlag on states with output
	outs  [][]int32
	depth int // longest atom
}

const hitFlag = 1 << 31

// maxAutomatonBytes bounds the transition table. 64 MiB: signature-base's
// 5,910 rules need 30.
const maxAutomatonBytes = 64 << 20

func foldByte(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 32
	}
	return b
}

// buildAutomaton takes atoms in folded form. Atom i is reported as i.
func buildAutomaton(atoms [][]byte) (*automaton, error) {
	a := &automaton{width: 1}
	for _, atom := range atoms {
		for _, b := range atom {
			if f := foldByte(b); a.class[f] == 0 {
				a.class[f] = uint8(a.width)
				a.width++
			}
		}
	}
	for b := byte('A'); b <= 'Z'; b++ {
		a.class[b] = a.class[b+32]
	}
	trie := [][]int32{make([]int32, a.width)}
	outs := [][]int32{nil}
	for i, atom := range atoms {
		a.depth = max(a.depth, len(atom))
		s := int32(0)
		for _, b := range atom {
			c := a.class[foldByte(b)]
			if trie[s][c] == 0 {
				if len(trie)*a.width*4 > maxAutomatonBytes {
					return nil, errTooLarge
				}
				trie = append(trie, make([]int32, a.width))
				outs = append(outs, nil)
				trie[s][c] = int32(len(trie) - 1)
			}
			s = trie[s][c]
		}
		outs[s] = append(outs[s], int32(i))
	}
	a.link(trie, outs)
	return a, nil
}

// link turns the trie into a DFA, breadth first: a missing edge of a state is
// the edge of its failure state, which is shallower and so already complete.
func (a *automaton) link(trie [][]int32, outs [][]int32) {
	fail := make([]int32, len(trie))
	queue := make([]int32, 0, len(trie))
	for _, t := range trie[0] {
		if t != 0 {
			queue = append(queue, t)
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		f := fail[s]
		if len(outs[f]) > 0 {
			outs[s] = append(outs[s][:len(outs[s]):len(outs[s])], outs[f]...)
		}
		for c, t := range trie[s] {
			if t == 0 {
				trie[s][c] = trie[f][c]
			} else {
				fail[t] = trie[f][c]
				queue = append(queue, t)
			}
		}
	}
	a.outs = outs
	a.next = make([]uint32, len(trie)*a.width)
	for s, row := range trie {
		for c, t := range row {
			v := uint32(int(t) * a.width)
			if len(outs[t]) > 0 {
				v |= hitFlag
			}
			a.next[s*a.width+c] = v
		}
	}
}

// scan calls hit for every atom that ends before data[end], until it returns
// false. It allocates nothing.
func (a *automaton) scan(data []byte, hit func(atom int32, end int) bool) {
	next, class := a.next, &a.class
	state := uint32(0)
	for i, b := range data {
		v := next[state+uint32(class[b])]
		if v < hitFlag {
			state = v
			continue
		}
		state = v &^ hitFlag
		for _, atom := range a.outs[int(state)/a.width] {
			if !hit(atom, i+1) {
				return
			}
		}
	}
}
