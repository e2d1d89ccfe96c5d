// SPDX-License-Identifier: Apache-2.0

package light

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomRegex makes an expression over a tiny alphabet, so that it matches
// often and in many ways. Quantifiers are all greedy: yara refuses a mix.
func randomRegex(rng *rand.Rand, depth int) string {
	var b strings.Builder
	for n := 1 + rng.IntN(4); n > 0; n-- {
		switch rng.IntN(12) {
		case 0:
			b.WriteByte('.')
		case 1:
			b.WriteString([]string{"[ab]", "[^a]", "[a-c]", `\w`, `\s`, `\W`, "[^bc]"}[rng.IntN(7)])
		case 2:
			b.WriteString([]string{`\b`, `\B`}[rng.IntN(2)])
			continue
		case 3, 4:
			if depth > 0 {
				b.WriteString("(" + randomRegex(rng, depth-1) + "|" + randomRegex(rng, depth-1) + ")")
				break
			}
			fallthrough
		default:
			b.WriteByte("abc"[rng.IntN(3)])
		}
		if rng.IntN(4) == 0 {
			b.WriteString([]string{"*", "+", "?", "{2}", "{1,3}", "{2,}"}[rng.IntN(6)])
		}
	}
	return b.String()
}

func randomHex(rng *rand.Rand) string {
	var b strings.Builder
	b.WriteString("61")
	for n := 1 + rng.IntN(5); n > 0; n-- {
		b.WriteString([]string{" 61", " 62", " 63", " 6?", " ?1", " ??", " ( 61 | 62 63 )", " ( 62 | ?? 61 )", " [1-3] 62", " [0-2] 63", " [2] 61", " [0-260] 62 63", " [-] 63 61"}[rng.IntN(13)])
	}
	return b.String()
}

// randomString gives a string with its modifiers.
func randomString(rng *rand.Rand) string {
	if rng.IntN(3) == 0 {
		return "{ " + randomHex(rng) + " }"
	}
	s := "/" + randomRegex(rng, 2) + "/"
	if rng.IntN(4) == 0 {
		s += "i"
	}
	if !strings.Contains(s, `\b`) && !strings.Contains(s, `\B`) {
		s += []string{"", "", " wide", " nocase"}[rng.IntN(4)]
	}
	return s
}

func randomText(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(40))
	for j := range b {
		b[j] = "aaabbbcccABC  \n."[rng.IntN(16)]
	}
	if rng.IntN(4) == 0 {
		b = widenText(b)
	}
	return b
}

// ends is the slow twin of the whole verifier: every place where a match of n
// that begins at pos can end, by trying everything.
func ends(n *node, data []byte, pos int) map[int]bool {
	out := map[int]bool{}
	switch n.op {
	case opSet:
		if pos < len(data) && n.set.has(data[pos]) {
			out[pos+1] = true
		}
	case opCat:
		out[pos] = true
		for _, s := range n.subs {
			next := map[int]bool{}
			for p := range out {
				for e := range ends(s, data, p) {
					next[e] = true
				}
			}
			out = next
		}
	case opAlt:
		for _, s := range n.subs {
			for e := range ends(s, data, pos) {
				out[e] = true
			}
		}
	case opRep:
		seen := map[int]bool{pos: true}
		for i := 0; n.max < 0 || i <= n.max; i++ {
			next := map[int]bool{}
			for p := range seen {
				if i >= n.min {
					out[p] = true
				}
				for e := range ends(n.subs[0], data, p) {
					if i < n.min || !out[e] {
						next[e] = true
					}
				}
			}
			if seen = next; len(seen) == 0 {
				break
			}
		}
	case opBegin:
		out[pos] = pos == 0
	case opEnd:
		out[pos] = pos == len(data)
	case opWord:
		out[pos] = wordBoundary(data, pos)
	case opNoWord:
		out[pos] = !wordBoundary(data, pos)
	}
	for p, ok := range out {
		if !ok {
			delete(out, p)
		}
	}
	return out
}

// whole gives the one expression that a declared string stands for.
func whole(t *testing.T, text string) *node {
	toks := lex("$a = " + text)
	p := &parser{toks: pad(toks)}
	p.pos = 2
	d := &stringDecl{}
	if err := p.stringValue(d); err != nil {
		return nil
	}
	n := d.re.root
	for i, l := range d.links {
		if i == 0 {
			n = l.root
			continue
		}
		gap := &node{op: opRep, subs: []*node{setNode(anyByte)}, min: l.gapMin, max: l.gapMax}
		n = cat(n, gap, l.root)
	}
	if d.mods.wide {
		n = n.widen()
	}
	return n
}

func TestRandomStringsAsSlowTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 3))
	tried := 0
	for i := 0; i < 1500; i++ {
		text := randomString(rng)
		n := whole(t, text)
		if n == nil {
			continue // matches the empty string, for one
		}
		tried++
		rules, refused, err := Compile(map[string]string{"d": "rule r { strings: $a = " + text + " condition: #a > 0 }"})
		if err != nil || len(refused) > 0 {
			t.Fatal(text, err, refused)
		}
		s := NewScanner(rules)
		for j := 0; j < 20; j++ {
			data := randomText(rng)
			var want, got []int
			for pos := range data {
				if len(ends(n, data, pos)) > 0 {
					want = append(want, pos)
				}
			}
			s.Scan(data, Vars{})
			for _, m := range s.found(&s.rules.strings[0]) {
				got = append(got, m.off)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s on %q: found at %v, want %v", text, data, got, want)
			}
		}
	}
	t.Logf("%d random strings, 20 files each", tried)
}

// TestRandomStringsAsYara wants every match that yara finds. Not the other way
// round: yara 4.2.3 misses some (/a?[a-c]{1,3}/i in "a ab" at 0).
func TestRandomStringsAsYara(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	var b strings.Builder
	for i := 0; i < 300; i++ {
		var s string
		for s == "" || whole(t, s) == nil || strings.Count(s, "(") > 1 { // nested groups exhaust yara's fibers
			s = randomString(rng)
		}
		fmt.Fprintf(&b, "rule r%d { strings: $a = %s condition: %s }\n", i, s, []string{"$a", "$a at 0", "$a in (3..9)"}[rng.IntN(3)])
	}
	files := map[string][]byte{}
	for i := 0; i < 200; i++ {
		files[fmt.Sprintf("f%d", i)] = randomText(rng)
	}
	compare(t, b.String(), files, Vars{}, true)
}
