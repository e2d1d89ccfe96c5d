// SPDX-License-Identifier: Apache-2.0

package light

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
)

var hexByte = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// caseFile splits a case into the file's name, with its size if it is to be
// filled up with zeros, and its bytes. Those that are not printable are written
// as \x00, and EICAR stands for the test string, so that no scanner takes the
// cases for the real thing.
func caseFile(in string) (name string, data []byte) {
	name, text, _ := strings.Cut(in, "\n")
	text = hexByte.ReplaceAllStringFunc(text, func(h string) string {
		b, _ := strconv.ParseUint(h[2:], 16, 8)
		return string([]byte{byte(b)})
	})
	text = strings.ReplaceAll(text, "EICAR", `X5O!P%@AP[4\PZX54(P^)7CC)7}$`+`EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)
	name, size, _ := strings.Cut(name, " ")
	data = []byte(text)
	if n, err := strconv.Atoi(size); err == nil {
		data = append(data, make([]byte, max(n-len(data), 0))...)
	}
	return name, data
}

func scanNames(s *Scanner, name string, data []byte) []string {
	var names []string
	path := name
	if !strings.HasPrefix(path, "/") {
		path = "/x/" + name
	}
	for _, m := range s.Scan(data, Vars{Filename: filepath.Base(name), Filepath: path, Extension: filepath.Ext(name), Filetype: KindOf(data, filepath.Ext(name))}) {
		if m.Mention {
			names = append(names, m.Rule+" mentioned")
			continue
		}
		names = append(names, m.Rule)
	}
	sort.Strings(names)
	return names
}

// TestRules: what must fire and what comes near and must not. A new rule
// needs a case that fires and one that does not.
func TestRules(t *testing.T) {
	s := NewScanner(BuiltIn())
	fired := map[string]bool{}
	silent := 0
	textCases(t, "testdata/rules.txt", func(in string) string {
		name, data := caseFile(in)
		names := scanNames(s, name, data)
		for _, n := range names {
			fired[n] = true
		}
		if len(names) == 0 {
			silent++
		}
		return strings.Join(append(names, ""), "\n")
	})
	for _, r := range BuiltIn().rules {
		if !r.private && !fired[r.name] {
			t.Errorf("rule %s has no case in testdata/rules.txt", r.name)
		}
	}
	if silent < 25 {
		t.Errorf("only %d near misses", silent)
	}
}

// TestProgramThatHoldsTheRules: an agent is no bot because it knows bots.
func TestProgramThatHoldsTheRules(t *testing.T) {
	program := []byte("\x7fELF\x02\x01\x01\x00")
	for _, source := range Sources() {
		program = append(append(program, 0), source...)
	}
	for _, m := range NewScanner(BuiltIn()).Scan(program, Vars{Filetype: KindOf(program, "")}) {
		t.Errorf("%v: %v", m, m.Strings)
	}
}

// TestRulesAsYara holds the rules we ship to yara, over their own cases and,
// with RINGWALL_DATA, over a part of the corpus.
func TestRulesAsYara(t *testing.T) {
	files := map[string][]byte{}
	raw, err := os.ReadFile("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range strings.Split(strings.TrimSpace(string(raw)), "\n\n") {
		in, _, _ := strings.Cut(c+"\n", "\n----\n")
		_, data := caseFile(in)
		files[fmt.Sprintf("case%03d", i)] = data
	}
	if os.Getenv("RINGWALL_DATA") != "" {
		for i, s := range corpus(t, "dev-web", "dev-script") {
			if i%20 == 0 {
				files[fmt.Sprintf("corpus%05d", i)] = s.data
			}
		}
	}
	t.Logf("%d files", len(files))
	for name, source := range Sources() {
		t.Run(name, func(t *testing.T) { compare(t, source, files, Vars{Filename: "x"}, false) })
	}
}

var technique = regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)

// TestRulesSayWhatTheyMean wants every rule to carry its meta and none to be
// slow: an expression without an atom runs over every file.
func TestRulesSayWhatTheyMean(t *testing.T) {
	r := BuiltIn()
	for _, x := range r.rules {
		if x.private {
			continue
		}
		score, err := strconv.ParseFloat(x.meta["score"], 64)
		if x.meta["reads"] != "" && x.reads == 0 {
			t.Errorf("%s/%s: reads %q; want one of %q", x.source, x.name, x.meta["reads"], languages[1:])
		}
		if err != nil || score <= 0 || score > 1 || x.meta["description"] == "" || x.meta["family"] == "" || !technique.MatchString(x.meta["technique"]) {
			t.Errorf("%s/%s: meta wants description, technique, family and a score above 0 up to 1: %v", x.source, x.name, x.meta)
		}
	}
	for _, s := range r.strings {
		if len(s.slow) > 0 {
			t.Logf("%s %s has no atom", r.rules[s.rule].name, s.id)
		}
	}
	t.Logf("%d rules, %d strings, %d atoms, automaton of %d states", r.Len(), len(r.strings), len(r.refs), len(r.auto.outs))
}
