// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// sigmaData is the folder of outside Sigma content, for tests that use it.
func sigmaData(t testing.TB) string {
	t.Helper()
	root := os.Getenv("RINGWALL_DATA")
	if root == "" {
		t.Skip("RINGWALL_DATA is not set: it names the folder with behaviour/sigma, which is not part of this repository")
	}
	return filepath.Join(root, "behaviour", "sigma")
}

// compileOne compiles one document and fails the test when it is refused.
func compileOne(t testing.TB, doc string, opt Options) *Set {
	t.Helper()
	set, rep := compileText(t, doc, opt)
	if len(rep.Refused) > 0 {
		t.Fatalf("refused: %v\n%s", rep.Refused[0], doc)
	}
	return set
}

func compileText(t testing.TB, doc string, opt Options) (*Set, *Report) {
	t.Helper()
	set, rep, err := Compile([]Source{{FS: oneDoc(doc), Name: "test"}}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return set, rep
}

func matched(s *Set, ev Fields) []string {
	var ids []string
	s.Match(ev, func(r *Rule) { ids = append(ids, r.ID) })
	return ids
}

func asText(v any) string {
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v)
}

var update = flag.Bool("update", false, "rewrite the expected part of text cases")
