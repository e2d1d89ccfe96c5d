// SPDX-License-Identifier: Apache-2.0

package light

import "math/bits"

// byteSet is a set of byte values.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }
func (s *byteSet) addRange(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		s.add(byte(b))
	}
}
func (s *byteSet) union(t byteSet) {
	for i := range s {
		s[i] |= t[i]
	}
}
func (s byteSet) inverse() byteSet {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}
func (s byteSet) count() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

// fold makes the set blind to ASCII case.
func (s *byteSet) fold() {
	for b := byte('a'); b <= 'z'; b++ {
		if s.has(b) || s.has(b-32) {
			s.add(b)
			s.add(b - 32)
		}
	}
}

func oneByte(b byte) (s byteSet) { s.add(b); return }

var anyByte = byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

type nodeOp uint8

const (
	opSet    nodeOp = iota // one byte of set
	opCat                  // subs in order; none matches the empty string
	opAlt                  // one of subs
	opRep                  // subs[0], min to max times; max < 0 is no limit
	opBegin                // offset 0
	opEnd                  // end of data
	opWord                 // \b
	opNoWord               // \B
)

// node is a byte expression: what regular expressions and hex strings both
// become.
type node struct {
	op       nodeOp
	set      byteSet
	subs     []*node
	min, max int
}

func setNode(s byteSet) *node { return &node{op: opSet, set: s} }

func cat(subs ...*node) *node {
	if len(subs) == 1 {
		return subs[0]
	}
	n := &node{op: opCat}
	for _, s := range subs {
		if s.op == opCat {
			n.subs = append(n.subs, s.subs...)
		} else {
			n.subs = append(n.subs, s)
		}
	}
	return n
}

// widen puts a zero byte behind every byte, as UTF-16LE does to ASCII.
func (n *node) widen() *node {
	if n.op == opSet {
		return &node{op: opCat, subs: []*node{n, setNode(oneByte(0))}}
	}
	m := &node{op: n.op, min: n.min, max: n.max}
	for _, s := range n.subs {
		m.subs = append(m.subs, s.widen())
	}
	if m.op == opCat {
		return cat(m.subs...)
	}
	return m
}

// reverse gives the expression that reads the same bytes from the end.
func (n *node) reverse() *node {
	m := &node{op: n.op, set: n.set, min: n.min, max: n.max}
	for i := range n.subs {
		s := n.subs[i]
		if n.op == opCat {
			s = n.subs[len(n.subs)-1-i]
		}
		m.subs = append(m.subs, s.reverse())
	}
	return m
}

// minLen is the least number of bytes a match has.
func (n *node) minLen() int {
	switch n.op {
	case opSet:
		return 1
	case opCat:
		sum := 0
		for _, s := range n.subs {
			sum += s.minLen()
		}
		return sum
	case opAlt:
		least := n.subs[0].minLen()
		for _, s := range n.subs[1:] {
			least = min(least, s.minLen())
		}
		return least
	case opRep:
		return n.min * n.subs[0].minLen()
	}
	return 0
}

func (n *node) uses(op nodeOp) bool {
	if n.op == op {
		return true
	}
	for _, s := range n.subs {
		if s.uses(op) {
			return true
		}
	}
	return false
}

// firstBytes adds to s every byte a match can begin with and reports whether
// n can match without reading a byte.
func (n *node) firstBytes(s *byteSet) (empty bool) {
	switch n.op {
	case opSet:
		s.union(n.set)
		return false
	case opCat:
		for _, sub := range n.subs {
			if !sub.firstBytes(s) {
				return false
			}
		}
		return true
	case opAlt:
		for _, sub := range n.subs {
			if sub.firstBytes(s) {
				empty = true
			}
		}
		return empty
	case opRep:
		return n.subs[0].firstBytes(s) || n.min == 0
	}
	return true
}
