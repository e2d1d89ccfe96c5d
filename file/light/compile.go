// SPDX-License-Identifier: Apache-2.0

package light

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Vars are the external variables a rule may name: filename, filepath,
// extension (with its dot, lower case), filetype and owner. Empty where not
// known. They are signature-base's and THOR's. Filetype is KindOf; by it the
// rules with meta reads know whether the file is theirs.
type Vars struct {
	Filename, Filepath, Extension, Filetype, Owner string
}

var externals = map[string]func(*Vars) string{
	"filename":  func(v *Vars) string { return v.Filename },
	"filepath":  func(v *Vars) string { return v.Filepath },
	"extension": func(v *Vars) string { return v.Extension },
	"filetype":  func(v *Vars) string { return v.Filetype },
	"owner":     func(v *Vars) string { return v.Owner },
}

func (v *Vars) get(name string) string { return externals[name](v) }

// rule is a compiled rule.
type rule struct {
	name, source    string
	private, global bool
	tags            []string
	meta            map[string]string
	cond            expr
	reads           uint8   // index into languages
	strings         []int32 // indexes into Rules.strings
	// needsHit: the condition cannot be true unless a string matched.
	needsHit bool
}

// str is a compiled string. Its matches lie in slot; a chained hex string has
// one slot per link and gaps between them.
type str struct {
	id      string
	rule    int32
	slot    int32
	gaps    []hexLink // of links 1…; root unused
	slow    []int32   // its patterns without an atom, run when a condition asks
	all     bool
	lazy    bool // of several matches at one offset the shortest counts
	private bool
}

// Rules are compiled rules. They do not change and serve many Scanners.
type Rules struct {
	rules    []rule
	strings  []str
	slots    []int32 // slot -> string
	reads    []uint8 // slot -> language of its rule
	patterns []pattern
	refs     []atomRef
	auto     *automaton
	always   []int32 // rules that are asked even when no string matched
	globals  map[string][]int32
	version  string
}

// Version names the rule set by a hash over its text: findings record it.
func (r *Rules) Version() string { return r.version }

// Len is the number of rules, private ones included.
func (r *Rules) Len() int { return len(r.rules) }

// Bounds of a rule set, so that a wrong file given as rules cannot exhaust
// memory. signature-base, the largest open set, has 5,910 rules in 12 MB.
const (
	maxSource = 32 << 20
	maxRules  = 100_000
)

// Compile reads rule text; the keys of sources name it in errors and separate
// it: rule names need only be unique within one source, and a rule can refer
// only to rules above it in the same source. Rules that are wrong or use what
// this engine does not have are left out and listed; an error means that none
// can be used. An empty result without error is possible.
func Compile(sources map[string]string) (*Rules, []Refusal, error) {
	// Long atoms hit less but need more memory; fall back when they do not fit.
	var err error
	for _, maxAtom := range []int{8, 5, 4, 3} {
		var r *Rules
		var refused []Refusal
		if r, refused, err = compile(sources, maxAtom); err == nil || !errors.Is(err, errTooLarge) {
			return r, refused, err
		}
	}
	return nil, nil, err
}

var errTooLarge = fmt.Errorf("compile rules: the automaton would need more than %d MiB; load fewer rules", maxAutomatonBytes>>20)

func compile(sources map[string]string, maxAtom int) (*Rules, []Refusal, error) {
	names := make([]string, 0, len(sources))
	total := 0
	for name, s := range sources {
		names = append(names, name)
		total += len(s)
	}
	if total > maxSource {
		return nil, nil, fmt.Errorf("compile rules: %d bytes of rule text, more than %d MiB", total, maxSource>>20)
	}
	sort.Strings(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%q %d\n%s", name, len(sources[name]), sources[name])
	}
	r := &Rules{globals: map[string][]int32{}, version: hex.EncodeToString(h.Sum(nil)[:8])}
	b := &patternBuilder{maxAtom: maxAtom}
	var refused []Refusal
	for _, name := range names {
		p := &parser{toks: pad(lex(sources[name])), rules: map[string]int32{}, mods: map[string]bool{}}
		p.nextString = int32(len(r.strings))
		refused = append(refused, p.parseSource(name, func(pr *parsedRule) error {
			if len(r.rules) >= maxRules {
				return fmt.Errorf("more than %d rules", maxRules)
			}
			if err := r.add(name, pr, b); err != nil {
				return err
			}
			p.rules[pr.name] = int32(len(r.rules) - 1)
			p.nextString = int32(len(r.strings))
			return nil
		})...)
	}
	auto, err := buildAutomaton(b.atoms)
	if err != nil {
		return nil, nil, err
	}
	r.auto, r.patterns, r.refs = auto, b.patterns, b.refs
	return r, refused, nil
}

// pad lets the parser look two tokens ahead of the end.
func pad(toks []token) []token {
	end := toks[len(toks)-1]
	return append(toks, end, end, end)
}

// add compiles the strings of a parsed rule and appends it, or leaves r and b
// as they were.
func (r *Rules) add(source string, pr *parsedRule, b *patternBuilder) error {
	index := int32(len(r.rules))
	oldStrings, oldSlots := len(r.strings), len(r.slots)
	old := *b
	out := rule{
		name: pr.name, source: source, private: pr.private, global: pr.global,
		tags: pr.tags, meta: pr.meta, cond: pr.cond,
		needsHit: needsHit(pr.cond), reads: languageOf(pr.meta),
	}
	for _, d := range pr.strings {
		s := str{id: "$" + d.id, rule: index, slot: int32(len(r.slots)), all: d.all, lazy: d.kind == tokHex || d.re.lazy, private: d.mods.private}
		if len(d.links) > 1 {
			s.gaps = d.links[1:]
			s.all = true
		}
		for i := 0; i < max(1, len(d.links)); i++ {
			r.slots = append(r.slots, int32(len(r.strings)))
			r.reads = append(r.reads, out.reads)
		}
		out.strings = append(out.strings, int32(len(r.strings)))
		slow := len(b.slow)
		err := b.addString(d, s.slot)
		if s.slow = b.slow[slow:]; len(s.slow) > 0 {
			out.needsHit = false // nobody knows until it is asked
		}
		r.strings = append(r.strings, s)
		if err != nil {
			r.strings, r.slots, r.reads = r.strings[:oldStrings], r.slots[:oldSlots], r.reads[:oldSlots]
			*b = old
			return &parseError{d.at, err.Error()}
		}
	}
	r.rules = append(r.rules, out)
	if !out.needsHit {
		r.always = append(r.always, index)
	}
	if out.global {
		r.globals[source] = append(r.globals[source], index)
	}
	return nil
}

// needsHit reports that e cannot be true while no string of its rule matched.
// It may say false when it does not know.
func needsHit(e expr) bool {
	switch e := e.(type) {
	case literalExpr:
		return !e.v.true()
	case andExpr:
		return needsHit(e.l) || needsHit(e.r)
	case orExpr:
		return needsHit(e.l) && needsHit(e.r)
	case foundExpr:
		return true
	case ofExpr:
		return len(e.strs) > 0 && e.q.positive()
	case forOfExpr:
		return e.q.positive() && needsHit(e.body)
	case arithExpr:
		if c, ok := e.l.(countExpr); ok && c.lo == nil {
			n, ok := e.r.(literalExpr)
			return ok && (e.op == ">" && n.v.i >= 0 || e.op == ">=" && n.v.i >= 1 || e.op == "==" && n.v.i != 0)
		}
	}
	return false
}

// positive reports that the quantifier wants at least one.
func (q quantifier) positive() bool {
	if q.word != "" {
		return q.word != "none"
	}
	n, ok := q.n.(literalExpr)
	return ok && n.v.i > 0
}

// MustCompile is Compile for rules that are part of the program: it panics on
// any refusal.
func MustCompile(sources map[string]string) *Rules {
	r, refused, err := Compile(sources)
	if err != nil {
		panic(err)
	}
	if len(refused) > 0 {
		var b strings.Builder
		for _, x := range refused {
			b.WriteString("\n" + x.Error())
		}
		panic("light: built-in rules are refused:" + b.String())
	}
	return r
}
