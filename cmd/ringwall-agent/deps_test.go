// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// barred is what the agent must not hold, by the beginning of an import path: the
// archive and its engines, the console, training, the brain, and C.
var barred = []string{
	"github.com/ringwall/ringwall/archive", "github.com/ringwall/ringwall/brain", "github.com/ringwall/ringwall/ledger", "github.com/ringwall/ringwall/console",
	"github.com/ringwall/ringwall/proving", "github.com/ringwall/ringwall/eval", "github.com/ringwall/ringwall/api",
	"github.com/duckdb/", "github.com/marcboeker/", "github.com/parquet-go/", "github.com/apache/arrow", "modernc.org/", "runtime/cgo",
	"gonum.org/", "github.com/prometheus/",
}

// TestDependencies lists what the agent is made of. The test is in the agent's own
// package, so a change of any dependency runs it anew.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("%d dependencies: the list is not whole", len(deps))
	}
	for _, d := range deps {
		for _, b := range barred {
			if d == strings.TrimSuffix(b, "/") || strings.HasPrefix(d, strings.TrimSuffix(b, "/")+"/") {
				t.Errorf("the agent holds %s", d)
			}
		}
	}
}

// TestStatic builds it as the Makefile does: no interpreter, no library.
func TestStatic(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		at := filepath.Join(t.TempDir(), "agent")
		cmd := exec.Command("go", "build", "-trimpath", "-o", at, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", arch, err, out)
		}
		f, err := elf.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s: it has a %v", arch, p.Type)
			}
		}
		if libs, err := f.ImportedLibraries(); err == nil && len(libs) > 0 {
			t.Errorf("%s: it needs %v", arch, libs)
		}
	}
}
