// SPDX-License-Identifier: Apache-2.0

package light

import "math/bits"

const (
	// maxLits bounds the alternatives that one pattern may put into the
	// automaton.
	maxLits = 64
	// minQuality is what an atom must be worth to be used. Even a poor atom is
	// better than none, which means trying the expression at every byte.
	minQuality = 4
)

// byteWorth estimates how rarely a byte stands in the files we scan: 4 for
// ordinary bytes, less for padding, space and what source text is full of.
// (libyara's atoms.c uses the same idea.)
var byteWorth = func() (w [256]int) {
	for i := range w {
		w[i] = 4
	}
	for _, b := range []byte{0, ' ', '\n', '\r', '\t', 0xff, 0x90, 0xcc} {
		w[b] = 1
	}
	for _, b := range []byte("etaoinsr()\"';=$,.-/") {
		w[b] = 3
	}
	return
}()

func quality(atom []byte) int {
	var seen byteSet
	q := 0
	for _, b := range atom {
		if seen.has(b) {
			q++ // a repeated byte says little
		} else {
			q += byteWorth[b]
		}
		seen.add(b)
	}
	return q
}

// lit is a beginning that some matches have; done means it cannot be made
// longer.
type lit struct {
	b    []byte
	done bool
}

// prefixes gives a finite set of byte strings, each at most maxLen long, one
// of which every match of the nodes in order begins with. Bytes are folded.
func prefixes(nodes []*node, maxLen int) []lit {
	lits := []lit{{}}
	for _, n := range nodes {
		lits = extend(lits, n, maxLen)
		if allDone(lits) {
			break
		}
	}
	return lits
}

func allDone(lits []lit) bool {
	for _, l := range lits {
		if !l.done {
			return false
		}
	}
	return true
}

func stop(lits []lit) []lit {
	out := make([]lit, len(lits))
	for i, l := range lits {
		out[i] = lit{l.b, true}
	}
	return out
}

func extend(lits []lit, n *node, maxLen int) []lit {
	switch n.op {
	case opSet:
		return extendSet(lits, n.set, maxLen)
	case opCat:
		for _, s := range n.subs {
			lits = extend(lits, s, maxLen)
		}
		return lits
	case opAlt:
		var out []lit
		for _, s := range n.subs {
			out = append(out, extend(lits, s, maxLen)...)
			if len(out) > maxLits {
				return stop(lits)
			}
		}
		return out
	case opRep:
		if n.min == 0 && n.max == 1 {
			out := append(extend(lits, n.subs[0], maxLen), lits...)
			if len(out) > maxLits {
				return stop(lits)
			}
			return out
		}
		for i := 0; i < n.min && i < maxLen && !allDone(lits); i++ {
			lits = extend(lits, n.subs[0], maxLen)
		}
		if n.max != n.min {
			return stop(lits)
		}
		return lits
	}
	return lits // assertions read nothing
}

func extendSet(lits []lit, s byteSet, maxLen int) []lit {
	var members []byte
	var folded byteSet
	for b := 0; b < 256; b++ {
		if f := foldByte(byte(b)); s.has(byte(b)) && !folded.has(f) {
			folded.add(f)
			members = append(members, f)
		}
	}
	open := 0
	for _, l := range lits {
		if !l.done {
			open++
		}
	}
	if len(members) == 0 || len(members) > 16 || len(lits)-open+open*len(members) > maxLits {
		return stop(lits)
	}
	var out []lit
	for _, l := range lits {
		if l.done {
			out = append(out, l)
			continue
		}
		for _, b := range members {
			nb := append(l.b[:len(l.b):len(l.b)], b)
			out = append(out, lit{nb, len(nb) >= maxLen})
		}
	}
	return out
}

// bestSplit chooses the place in a concatenation where atoms are worth most.
// Matches are then verified from nodes[at] forward and before it backward.
func bestSplit(nodes []*node, maxLen int) (at int, atoms [][]byte, ok bool) {
	best := 0
	for i := range nodes {
		if i > 512 {
			break // far enough; long literals repeat themselves
		}
		// Shorter beginnings are fewer: often the only ones that fit.
		for n := maxLen; n >= 2; n = min(n-1, 5) {
			found := atomSet(prefixes(nodes[i:], n))
			q := 1 << 20
			for _, a := range found {
				q = min(q, quality(a))
			}
			q -= bits.Len(uint(len(found))) - 1
			if q >= minQuality && q > best {
				best, at, atoms, ok = q, i, found, true
			}
		}
	}
	return at, atoms, ok
}

// atomSet drops doubles.
func atomSet(lits []lit) (atoms [][]byte) {
	seen := map[string]bool{}
	for _, l := range lits {
		if !seen[string(l.b)] {
			seen[string(l.b)] = true
			atoms = append(atoms, l.b)
		}
	}
	return atoms
}

// bestWindow chooses the bytes of a literal that become its atom.
func bestWindow(b []byte, maxLen int) (at, n int) {
	n = min(len(b), maxLen)
	best := -1
	for i := 0; i+n <= len(b) && i < 4096; i++ {
		if q := quality(b[i : i+n]); q > best {
			best, at = q, i
		}
	}
	return at, n
}
