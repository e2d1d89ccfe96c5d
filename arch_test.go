// SPDX-License-Identifier: Apache-2.0

package ringwall_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ringwall/ringwall"

// rows is the direction of the house, top row first. A package imports only from
// rows above its own, or its own children. ARCHITECTURE.md tells the reasons.
var rows = []struct {
	name     string
	packages []string
}{
	{"names", []string{"entity"}},
	{"judgements", []string{"verdict"}},
	{"facts", []string{"event", "action", "identity", "health"}},
	{"outside bytes", []string{"wire", "code", "feed", "foreign"}},
	{"mechanisms", []string{"funnel", "spool", "bundle", "bus", "archive", "ledger", "graph"}},
	{"sense", []string{"sense"}},
	{"layers", []string{"network", "file", "behaviour", "intel"}},
	{"answer", []string{"decide", "respond"}},
	{"supervision", []string{"supervise"}},
	{"wiring", []string{"agent", "brain"}},
	{"doors", []string{"api", "console", "gate", "export", "fleet", "doctor", "eval"}},
	{"proof", []string{"proving"}},
	{"top", []string{"cli"}},
	{"commands", []string{"cmd"}},
}

// sidewise lists the exceptions, each with its reason.
var sidewise = map[string]string{
	"archive/measure→archive/query":      "measure proves archive and query together",
	"archive/measure→archive/synth":      "measure proves archive and query together",
	"behaviour/incident→behaviour/trace": "an incident is findings with their traces",
	"proving/play→proving/lab":           "inside proving: lab and scenario, then play, then score",
	"proving/play→proving/scenario":      "inside proving: lab and scenario, then play, then score",
	"proving/score→proving/play":         "inside proving: lab and scenario, then play, then score",
	"proving/score→proving/scenario":     "inside proving: lab and scenario, then play, then score",
}

func rowOf(pkg string) int {
	top, _, _ := strings.Cut(pkg, "/")
	for i, r := range rows {
		for _, p := range r.packages {
			if p == top {
				return i
			}
		}
	}
	return -1
}

// eachFile calls f for every Go file of the module, tests left out.
func eachFile(t *testing.T, f func(pkg, path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "var" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && filepath.Dir(path) != "." {
			f(filepath.ToSlash(filepath.Dir(path)), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsGoDown(t *testing.T) {
	eachFile(t, func(pkg, path string) {
		row := rowOf(pkg)
		if row < 0 {
			t.Errorf("%s: package %s stands in no row; add it to the table and to ARCHITECTURE.md", path, pkg)
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, imp := range file.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			dep, ours := strings.CutPrefix(name, module+"/")
			if !ours {
				continue
			}
			if related(pkg, dep) || sidewise[pkg+"→"+dep] != "" {
				continue
			}
			if d := rowOf(dep); d >= row {
				t.Errorf("%s (row %q) imports %s (row %q): imports go to rows above only", path, rows[row].name, dep, rows[d].name)
			}
		}
	})
}

// related: a package may import its own children and its own parents' children of
// the same layer only when one is inside the other.
func related(a, b string) bool {
	return strings.HasPrefix(b, a+"/") || strings.HasPrefix(a, b+"/")
}

func TestPackagesAreDocumented(t *testing.T) {
	doc, all := map[string]bool{}, map[string]bool{}
	eachFile(t, func(pkg, path string) {
		all[pkg] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Error(err)
			return
		}
		if file.Doc != nil && !strings.HasPrefix(file.Doc.Text(), "SPDX") && !strings.HasPrefix(file.Doc.Text(), "Code generated") && strings.Count(strings.TrimSpace(file.Doc.Text()), "\n") >= 2 {
			doc[pkg] = true
		}
	})
	for pkg := range all {
		if !doc[pkg] {
			t.Errorf("package %s has no doc of three lines: say what goes in, what comes out, what it believes, its worst trap", pkg)
		}
	}
}

func TestFilesCarryLicence(t *testing.T) {
	eachFile(t, func(_, path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		head := string(b[:min(len(b), 300)])
		if !strings.Contains(head, "SPDX-License-Identifier") && !strings.Contains(head, "Code generated") {
			t.Errorf("%s: no SPDX-License-Identifier line", path)
		}
	})
}
