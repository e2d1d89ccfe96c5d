// SPDX-License-Identifier: Apache-2.0

package light

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// yara runs Debian's yara with the rules over every file in dir and gives the
// sorted rule names per file.
func yara(t *testing.T, rules, dir string, vars Vars) map[string][]string {
	t.Helper()
	bin, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("yara is not installed (apt-get install yara): the comparison with it is not made")
	}
	cmd := exec.Command(bin, "-w", "-r", "-d", "filename="+vars.Filename, "-d", "filepath="+vars.Filepath,
		"-d", "extension="+vars.Extension, "-d", "filetype="+vars.Filetype, "-d", "owner="+vars.Owner, rules, dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 {
		t.Fatalf("yara: %v: %s", err, errs.String())
	}
	got := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if rule, file, ok := strings.Cut(line, " "); ok {
			got[filepath.Base(file)] = append(got[filepath.Base(file)], rule)
		}
	}
	for _, rules := range got {
		sort.Strings(rules)
	}
	return got
}

// randomFile joins pieces that the rules look for with noise.
func randomFile(rng *rand.Rand) []byte {
	pieces := []string{
		"eval", "eval", "EVAL", "exec", "exec", "system", "SysTem(", "syslog", "shell", "cmd", "passthru", "shell_exec",
		"(", ")", "%", " ", "\n", "\t", "$", "aaa", "aaaaaaa", "ab", "abab", "c", "x", "xaaab", "x{y", "0", "123", "a1f0bc", "-x", "]x%",
		"a\"b\\c\td\x00e\n", "${$\t./\\", "\x7fELF\x01", "\xff\xfe\x80", "\x00", "\x00\x00", "eval(x)", "eval%", "evalx%", "bz%", "ay7",
	}
	var b []byte
	for n := rng.IntN(60); n >= 0; n-- {
		p := []byte(pieces[rng.IntN(len(pieces))])
		switch rng.IntN(24) {
		case 0, 1, 2:
			p = widenText(p)
		case 3:
			for i := range p {
				p[i] ^= byte(20 + n)
			}
		case 4:
			p = []byte(base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{'z'}, n%3), p...)))
		case 5:
			p = widenText([]byte(base64.StdEncoding.EncodeToString(p)))
		case 6:
			p = []byte(base64.NewEncoding("zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA9876543210+/").EncodeToString(p))
		case 7:
			p = []byte(base64.StdEncoding.EncodeToString(widenText(p)))
		case 8:
			w := widenText(p)
			for i := range w {
				w[i] ^= byte(n)
			}
			p = w
		case 9:
			p = make([]byte, rng.IntN(400))
			for i := range p {
				p[i] = byte(rng.UintN(256))
			}
		}
		b = append(b, p...)
	}
	return b
}

// compare scans every file both ways. atLeast accepts matches that only this
// engine has.
func compare(t *testing.T, source string, files map[string][]byte, vars Vars, atLeast bool) {
	t.Helper()
	rules, refused, err := Compile(map[string]string{"d": source})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refused {
		t.Errorf("refused: %v", r)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "files")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(data, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ruleFile := filepath.Join(dir, "r.yar")
	if err := os.WriteFile(ruleFile, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	want := yara(t, ruleFile, data, vars)
	scanner := NewScanner(rules)
	fired := map[string]int{}
	for name, b := range files {
		var got []string
		for _, m := range scanner.Scan(b, vars) {
			got = append(got, m.Rule)
		}
		sort.Strings(got)
		for _, r := range want[name] {
			fired[r]++
		}
		if more := minus(want[name], got); len(more) > 0 || !atLeast && len(got) != len(want[name]) {
			t.Errorf("%s (%d bytes): only here %v, only yara %v\n%q", name, len(b), minus(got, want[name]), more, clip(string(b), 300))
		}
	}
	for _, r := range rules.rules {
		if n := fired[r.name]; !r.private && (n == 0 || n == len(files)) && len(files) > 100 {
			t.Logf("rule %s says nothing here: true for %d of %d files", r.name, n, len(files))
		}
	}
}

func minus(a, b []string) (out []string) {
	in := map[string]bool{}
	for _, x := range b {
		in[x] = true
	}
	for _, x := range a {
		if !in[x] {
			out = append(out, x)
		}
	}
	return out
}

func TestSameVerdictAsYara(t *testing.T) {
	source, err := os.ReadFile("testdata/differential.yar")
	if err != nil {
		t.Fatal(err)
	}
	for seed := uint64(1); seed <= 2; seed++ {
		rng := rand.New(rand.NewPCG(seed, 7))
		files := map[string][]byte{}
		for i := 0; i < 600; i++ {
			files[fmt.Sprintf("f%d", i)] = randomFile(rng)
		}
		vars := Vars{Filename: "a.php", Filepath: "/var/www/a.php", Extension: ".php", Filetype: "php"}
		if seed == 2 {
			vars = Vars{Filename: "a.jsp", Filepath: "/srv/X", Owner: "root"}
		}
		compare(t, string(source), files, vars, false)
	}
}
