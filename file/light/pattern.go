// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// pattern is one thing the automaton's hits are verified against. A string
// has several: ascii and wide forms, base64 shifts, top-level alternatives.
type pattern struct {
	slot int32 // where its matches go

	lit            []byte // plain text, or nil
	fold           bool
	xor            bool
	xorMin, xorMax byte

	forward, backward *prog   // expression from the atom on, and before it
	first             byteSet // bytes a match begins with, if it has no atom
	lazy              bool
	link              bool // one of a chained hex string

	word wordKind
}

type wordKind uint8

const (
	noWord wordKind = iota
	asciiWord
	wideWord
)

// atomRef says which pattern an atom belongs to, how far into its literal the
// atom lies, and how long the atom is.
type atomRef struct {
	pattern int32
	off     int32
	len     int32
}

// patternBuilder collects patterns and atoms of all rules.
type patternBuilder struct {
	patterns []pattern
	atoms    [][]byte
	refs     []atomRef
	slow     []int32 // patterns without an atom
	maxAtom  int
}

func (b *patternBuilder) atom(text []byte, off int) {
	folded := make([]byte, len(text))
	for i, c := range text {
		folded[i] = foldByte(c)
	}
	b.atoms = append(b.atoms, folded)
	b.refs = append(b.refs, atomRef{pattern: int32(len(b.patterns)), off: int32(off), len: int32(len(text))})
}

func (b *patternBuilder) addLiteral(p pattern) {
	at, n := bestWindow(p.lit, b.maxAtom)
	if !p.xor {
		b.atom(p.lit[at:at+n], at)
	} else {
		for key := int(p.xorMin); key <= int(p.xorMax); key++ {
			x := bytes.Clone(p.lit[at : at+n])
			for i := range x {
				x[i] ^= byte(key)
			}
			b.atom(x, at)
		}
	}
	b.patterns = append(b.patterns, p)
}

// addNode adds an expression.
func (b *patternBuilder) addNode(n *node, p pattern) error {
	n = n.simplify()
	if n.op == opAlt && p.word == noWord {
		for _, s := range n.subs {
			if err := b.addNode(s, p); err != nil {
				return err
			}
		}
		return nil
	}
	if text, fold, ok := n.literal(); ok {
		p.lit, p.fold = text, fold
		b.addLiteral(p)
		return nil
	}
	nodes := []*node{n}
	if n.op == opCat {
		nodes = n.subs
	}
	at, atoms, ok := bestSplit(nodes, b.maxAtom)
	var err error
	if p.forward, err = compileNode(cat(nodes[at:]...)); err != nil {
		return err
	}
	if at > 0 {
		if p.backward, err = compileNode(cat(nodes[:at]...).reverse()); err != nil {
			return err
		}
	}
	if !ok {
		n.firstBytes(&p.first)
		b.slow = append(b.slow, int32(len(b.patterns)))
	}
	for _, a := range atoms {
		b.atom(a, 0)
	}
	b.patterns = append(b.patterns, p)
	return nil
}

// simplify unwraps groups that no quantifier stands behind.
func (n *node) simplify() *node {
	if n.op == opRep && n.min == 1 && n.max == 1 {
		return n.subs[0].simplify()
	}
	m := &node{op: n.op, set: n.set, min: n.min, max: n.max}
	for _, s := range n.subs {
		m.subs = append(m.subs, s.simplify())
	}
	if m.op == opCat {
		return cat(m.subs...)
	}
	return m
}

// literal reports whether n is plain text, case-sensitive or case-free.
func (n *node) literal() (text []byte, fold, ok bool) {
	nodes := []*node{n}
	if n.op == opCat {
		nodes = n.subs
	}
	exact, folded := true, true
	for _, s := range nodes {
		if s.op != opSet {
			return nil, false, false
		}
		b := foldByte(lowest(s.set))
		twoCase := oneByte(b)
		twoCase.fold()
		exact = exact && s.set.count() == 1
		folded = folded && s.set == twoCase
		if !exact && !folded {
			return nil, false, false
		}
		text = append(text, lowest(s.set))
	}
	return text, !exact, len(text) > 0
}

func widenText(b []byte) []byte {
	w := make([]byte, 0, 2*len(b))
	for _, c := range b {
		w = append(w, c, 0)
	}
	return w
}

// base64Shifts gives the three texts by which b shows inside base64, cut to
// the characters that do not depend on its neighbours (libyara/base64.c).
func base64Shifts(b []byte, alphabet string) [][]byte {
	enc := base64.NewEncoding(alphabet)
	var out [][]byte
	for shift, lead := range []int{0, 2, 3} {
		padded := append(bytes.Repeat([]byte{'A'}, shift), b...)
		text := []byte(enc.EncodeToString(padded))
		if pad := bytes.Count(text[max(0, len(text)-2):], []byte{'='}); pad > 0 {
			text = text[:len(text)-pad-1]
		}
		if len(text) > lead {
			out = append(out, text[lead:])
		}
	}
	return out
}

const stdAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// addString turns one declared string into patterns whose matches go to slot
// and, for a chained hex string, the slots behind it.
func (b *patternBuilder) addString(d *stringDecl, slot int32) error {
	m := d.mods
	forms := []bool{}
	if m.ascii || !m.wide {
		forms = append(forms, false)
	}
	if m.wide {
		forms = append(forms, true)
	}
	switch d.kind {
	case tokText:
		return b.addText(d, slot, forms)
	case tokHex:
		for i, link := range d.links {
			if err := b.addNode(link.root, pattern{slot: slot + int32(i), lazy: true, link: len(d.links) > 1}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, wide := range forms {
		p := pattern{slot: slot, lazy: d.re.lazy}
		n := d.re.root
		if m.fullword {
			p.word = asciiWord
		}
		if wide {
			if n.uses(opWord) || n.uses(opNoWord) {
				return errors.New(`\b and \B with wide are not supported`)
			}
			n = n.widen()
			if m.fullword {
				p.word = wideWord
			}
		}
		if err := b.addNode(n, p); err != nil {
			return err
		}
	}
	return nil
}

func (b *patternBuilder) addText(d *stringDecl, slot int32, forms []bool) error {
	m := d.mods
	for _, wide := range forms {
		text := []byte(d.text)
		word := noWord
		if m.fullword {
			word = asciiWord
		}
		if wide {
			text = widenText(text)
			if m.fullword {
				word = wideWord
			}
		}
		if m.base64 == "" && m.base64wide == "" {
			b.addLiteral(pattern{slot: slot, lit: text, fold: m.nocase, xor: m.xor, xorMin: m.xorMin, xorMax: m.xorMax, word: word})
			continue
		}
		if len(text) < 3 {
			return fmt.Errorf("base64 needs a text of at least 3 bytes")
		}
		if m.base64 != "" {
			for _, s := range base64Shifts(text, m.base64) {
				b.addLiteral(pattern{slot: slot, lit: s})
			}
		}
		if m.base64wide != "" {
			for _, s := range base64Shifts(text, m.base64wide) {
				b.addLiteral(pattern{slot: slot, lit: widenText(s)})
			}
		}
	}
	return nil
}
