// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/archive/query"
)

var rows = flag.Int("rows", 1_000_000, "events of BenchmarkHunts")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "archive-query" {
		os.Exit(query.Serve(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestReport(t *testing.T) {
	r, err := Run(t.Context(), Config{Dir: t.TempDir(), Rows: 20_000, Hosts: 20, Runs: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	if r.Rows != 20_000 || len(r.Hunts) != len(Hunts) || !strings.Contains(b.String(), "median ms") {
		t.Errorf("%+v\n%s", r, b.String())
	}
	for _, h := range r.Hunts {
		if h.Rows == 0 && h.Name != "three addresses" {
			t.Errorf("hunt %q found nothing", h.Name)
		}
	}
}

// BenchmarkHunts prints the table: go test -bench Hunts -benchtime 1x -rows 10000000
func BenchmarkHunts(b *testing.B) {
	for b.Loop() {
		r, err := Run(b.Context(), Config{Dir: b.TempDir(), Rows: *rows})
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Table(os.Stdout); err != nil {
			b.Fatal(err)
		}
	}
}
