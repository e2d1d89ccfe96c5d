// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/archive/synth"
	"github.com/ringwall/ringwall/event"
)

var update = flag.Bool("update", false, "rewrite testdata/columns.txt and the tables of docs/formats/archive.md")

// A column once written is there for ever, in its place and with its type: old
// segments are read by name, and people's saved hunts too. Only adding is allowed.
func TestColumnsOnlyGrow(t *testing.T) {
	var now []string
	for _, table := range []Table{Events, Edges} {
		for _, c := range Columns(table) {
			if c.Since < 1 || c.Since > Schema || c.Type == "" || c.Doc == "" {
				t.Errorf("column %s.%s: since %d, type %q, doc %q", table, c.Name, c.Since, c.Type, c.Doc)
			}
			now = append(now, fmt.Sprintf("%s %s %s since %d", table, c.Name, c.Type, c.Since))
		}
	}
	name := filepath.Join("testdata", "columns.txt")
	b, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if line != "" && !slices.Contains(now, line) {
			t.Errorf("column %q was removed or changed; add a new one under a new name instead", line)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(name, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range now {
		if !strings.Contains(string(b), line+"\n") {
			t.Errorf("column %q is new: raise Schema, give it since, and run with -update", line)
		}
	}
}

func TestDocumentNamesEveryColumn(t *testing.T) {
	name := filepath.Join("..", "docs", "formats", "archive.md")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, table := range []Table{Events, Edges} {
		var w strings.Builder
		fmt.Fprintf(&w, "<!-- %s -->\n| column | type | since | |\n|---|---|---|---|\n", table)
		for _, c := range Columns(table) {
			fmt.Fprintf(&w, "| %s | %s | %d | %s |\n", c.Name, c.Type, c.Since, c.Doc)
		}
		w.WriteString("<!-- end -->\n")
		from := strings.Index(text, fmt.Sprintf("<!-- %s -->\n", table))
		if from < 0 {
			t.Fatalf("%s has no place for the columns of %s", name, table)
		}
		to := from + strings.Index(text[from:], "<!-- end -->\n") + len("<!-- end -->\n")
		if text[from:to] != w.String() && !*update {
			t.Errorf("%s: the columns of %s are out of date; run go test ./archive -update", name, table)
		}
		text = text[:from] + w.String() + text[to:]
	}
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// testdata/schema1.parquet was written by schema 1. It comes back whole and merges with
// today's (archive/query hunts it too).
func TestOldSegmentsStayReadable(t *testing.T) {
	dir := t.TempDir()
	s := store(t, Config{Dir: dir, FlushEvery: time.Hour})
	AdoptSegment(t, s, "acme", filepath.Join("testdata", "schema1.parquet"), 1, 120)
	src := synth.New("acme", 3, 41, 1e6)
	var want []*event.Event
	for range 6 {
		_, events := src.Batch(20)
		want = append(want, events...)
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(want))
	fresh := &event.Event{Tenant: "acme", Host: "host-0001", Epoch: 2, Seq: 1, WallNs: synth.Start - 1, Arrival: 7}
	s.Offer(t.Context(), Batch{Tenant: "acme", Host: "host-0001", Epoch: 2, Events: []*event.Event{fresh}}, func(error) {})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	tn, _ := s.tenant("acme")
	if err := tn.merge(t.Context(), tn.segments()); err != nil {
		t.Fatal(err)
	}
	sameEvents(t, collect(t, s, "acme", Range{}), byWall(append(want, fresh)))
	got := collect(t, s, "acme", Range{Order: ByArrival})
	if last := got[len(got)-1]; last.Arrival != 7 {
		t.Errorf("the last to arrive is %v", last)
	}
}

// AdoptSegment commits a copy of a segment file that another schema wrote.
func AdoptSegment(t testing.TB, s *Store, tenant, file string, schema int, rows int64) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tn, err := s.tenant(tenant)
	if err != nil {
		t.Fatal(err)
	}
	seg := Segment{Table: Events, File: tn.number(), Schema: schema, Rows: rows, Bytes: int64(len(b)), MinNs: synth.Start, MaxNs: synth.Start + 1e12, MadeNs: time.Now().UnixNano()}
	if err := os.WriteFile(tn.file(seg), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := tn.commit(&record{Add: []Segment{seg}}); err != nil {
		t.Fatal(err)
	}
}
