// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/coregx/ahocorasick"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// textCases runs a testdata file of cases: input, "----", output, empty line.
func textCases(t *testing.T, file string, run func(in string) string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, c := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		in, want, ok := strings.Cut(c+"\n", "\n----\n")
		if !ok {
			t.Fatalf("%s: case %d has no ----", file, i)
		}
		got := run(in)
		fmt.Fprintf(&out, "%s\n----\n%s\n", in, got)
		if got != want && !*update {
			t.Errorf("%s:\n%s\ngot:\n%swant:\n%s", file, in, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefusals(t *testing.T) {
	textCases(t, "testdata/refused.txt", func(in string) string {
		_, refused, err := Compile(map[string]string{"s": in})
		if err != nil {
			return err.Error() + "\n"
		}
		var b strings.Builder
		for _, r := range refused {
			fmt.Fprintf(&b, "%d:%d rule %q: %s\n", r.Line, r.Col, r.Rule, r.Reason)
		}
		return b.String()
	})
}

func mustScan(t *testing.T, source string, data []byte) ([]Match, Work) {
	t.Helper()
	rules, refused, err := Compile(map[string]string{"s": source})
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	s := NewScanner(rules)
	return s.Scan(data, Vars{}), s.Work()
}

func TestMatchTellsWhere(t *testing.T) {
	m, _ := mustScan(t, `rule a : x y { meta: score = "0.9" n = -2 ok = true strings: $a = "ev\x00al" $b = "zz" condition: any of them }`, []byte("..ev\x00al"))
	got := fmt.Sprintf("%+v", m)
	want := `[s/a]`
	if got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(m[0].Tags, m[0].Meta, m[0].Strings), `[x y] map[n:-2 ok:true score:0.9] [{$a 2 ev\x00al}]`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// TestGlobalRule is not left to yara alone: it must silence its own source only.
func TestGlobalRule(t *testing.T) {
	rules, _, err := Compile(map[string]string{
		"a": `global rule big { condition: filesize > 10 } rule x { condition: true }`,
		"b": `rule y { condition: true }`,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := NewScanner(rules)
	if got := fmt.Sprint(s.Scan([]byte("small"), Vars{})); got != "[b/y]" {
		t.Error(got)
	}
	if got := fmt.Sprint(s.Scan([]byte("large enough"), Vars{})); got != "[a/big a/x b/y]" {
		t.Error(got)
	}
}

// TestBounds feeds what was made to be slow and wants it cut, and told.
func TestBounds(t *testing.T) {
	for _, c := range []struct{ name, source, data string }{
		{"expression steps", `rule a { strings: $a = /ab(a|b|c)*[^abc](a|b|c|d){9}x/ condition: $a }`, strings.Repeat("ab", 1<<19)},
		{"matches of one string", `rule a { strings: $a = "aa" condition: #a == 3 }`, strings.Repeat("a", 1<<20)},
		{"atom hits", `rule a { strings: $ = "aaaa1" $ = "aaa" $ = "aaaa" $ = "aaaaa" $ = "aaaaaa" $ = "aa" $ = "aaaaaaa" condition: all of them }`, strings.Repeat("a", 1<<20)},
		{"loop rounds", `rule a { condition: for all i in (1..1000000000) : ( for all j in (1..1000000) : ( i + j > 0 ) ) }`, "x"},
	} {
		_, w := mustScan(t, c.source, []byte(c.data))
		if w.Cut != c.name {
			t.Errorf("%s: cut is %q after %+v", c.name, w.Cut, w)
		}
		if w.Steps > 2*(baseSteps+stepsPerByte*int64(len(c.data))) {
			t.Errorf("%s: %d steps", c.name, w.Steps)
		}
	}
	// The near miss: a large, ordinary file is not cut.
	_, w := mustScan(t, `rule a { strings: $a = /eval\s*\(\$_(GET|POST)/ condition: $a }`, []byte(strings.Repeat("function evaluate($x) { eval ( $y ); }\n", 1<<16)))
	if w.Cut != "" {
		t.Errorf("ordinary file cut: %+v", w)
	}
}

// TestScannerForgets wants a second scan to be as the first on a new Scanner.
func TestScannerForgets(t *testing.T) {
	source, err := os.ReadFile("testdata/differential.yar")
	if err != nil {
		t.Fatal(err)
	}
	rules, _, err := Compile(map[string]string{"d": string(source)})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	used := NewScanner(rules)
	for i := 0; i < 200; i++ {
		data := randomFile(rng)
		a, b := fmt.Sprintf("%+v", used.Scan(data, Vars{})), fmt.Sprintf("%+v", NewScanner(rules).Scan(data, Vars{}))
		if a != b {
			t.Fatalf("used scanner %s, fresh one %s on %q", a, b, data)
		}
	}
}

// TestAutomaton compares with a search by hand and with coregx/ahocorasick.
func TestAutomaton(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for round := 0; round < 200; round++ {
		var atoms [][]byte
		for n := 1 + rng.IntN(20); n > 0; n-- {
			atom := make([]byte, 1+rng.IntN(5))
			for i := range atom {
				atom[i] = "ab\x00"[rng.IntN(3)]
			}
			atoms = append(atoms, atom)
		}
		data := make([]byte, rng.IntN(60))
		for i := range data {
			data[i] = "aAbB\x00c"[rng.IntN(6)]
		}
		folded := bytes.ToLower(data)
		var want, got, other []string
		for i, atom := range atoms {
			for at := range folded {
				if bytes.HasPrefix(folded[at:], atom) {
					want = append(want, fmt.Sprint(i, at+len(atom)))
				}
			}
		}
		a, err := buildAutomaton(atoms)
		if err != nil {
			t.Fatal(err)
		}
		a.scan(data, func(atom int32, end int) bool {
			got = append(got, fmt.Sprint(atom, end))
			return true
		})
		b := ahocorasick.NewBuilder()
		for _, atom := range atoms {
			b.AddPattern(atom)
		}
		lib, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lib.FindAllOverlapping(folded) {
			other = append(other, fmt.Sprint(m.PatternID, m.End))
		}
		sort.Strings(want)
		sort.Strings(got)
		sort.Strings(other)
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Fatalf("atoms %q in %q: got %v, want %v", atoms, data, got, want)
		}
		if fmt.Sprint(want) != fmt.Sprint(other) {
			t.Fatalf("coregx differs: atoms %q in %q: %v, want %v", atoms, data, other, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, file := range []string{"testdata/differential.yar", "testdata/refused.txt"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, line := range strings.Split(string(raw), "\n") {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, source string) {
		rules, _, err := Compile(map[string]string{"f": source})
		if err == nil {
			NewScanner(rules).Scan([]byte("eval(exec\x00\x7fELF aaaa"), Vars{Filename: "a.php"})
		}
	})
}

func FuzzScan(f *testing.F) {
	source, err := os.ReadFile("testdata/differential.yar")
	if err != nil {
		f.Fatal(err)
	}
	rules, _, err := Compile(map[string]string{"d": string(source)})
	if err != nil {
		f.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for i := 0; i < 20; i++ {
		f.Add(randomFile(rng), "a.php")
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		NewScanner(rules).Scan(data, Vars{Filename: name, Extension: name})
	})
}
