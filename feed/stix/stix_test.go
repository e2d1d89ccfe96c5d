// SPDX-License-Identifier: Apache-2.0

package stix_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/internal/casetest"
	"github.com/ringwall/ringwall/feed/stix"
)

// A case whose first line is "observables" takes bare observables.
func TestRead(t *testing.T) {
	casetest.Run(t, "testdata/read*.txt", func(input string) string {
		body, observables := strings.CutPrefix(input, "observables\n")
		var b strings.Builder
		rep, err := stix.Read("case", strings.NewReader(body), stix.Options{Observables: observables}, func(i feed.Indicator) error {
			b.WriteString(casetest.Show(i))
			return nil
		})
		return b.String() + casetest.Tail(rep, err)
	})
}

// Each line of a case is one pattern.
func TestPattern(t *testing.T) {
	casetest.Run(t, "testdata/pattern*.txt", func(input string) string {
		var b strings.Builder
		for line := range strings.SplitSeq(input, "\n") {
			p, err := stix.ParsePattern(line)
			if err != nil {
				fmt.Fprintf(&b, "error: %v\n", err)
				continue
			}
			atoms, note, err := p.Atoms()
			switch {
			case err != nil:
				fmt.Fprintf(&b, "nothing: %v\n", err)
			case note != "":
				fmt.Fprintf(&b, "%v in part\n", atoms)
			default:
				fmt.Fprintf(&b, "%v\n", atoms)
			}
		}
		return b.String()
	})
}

func TestHostileShapes(t *testing.T) {
	indicator := `{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '192.0.2.1']","pattern_type":"stix"}`
	for name, text := range map[string]string{
		"deep array":    strings.Repeat("[", 100_000),
		"deep object":   strings.Repeat(`{"objects":[`, 100_000),
		"deep value":    `{"a":` + strings.Repeat("[", 20_000),
		"huge value":    `{"objects":[{"type":"artifact","payload_bin":"` + strings.Repeat("A", 2*feed.MaxItem) + `"}]}`,
		"cut short":     `{"type":"bundle","objects":[` + indicator,
		"cut in object": `{"type":"bundle","objects":[` + indicator[:40],
		"trailing page": `{"type":"bundle","objects":[` + indicator + `]}<html>`,
		"two commas":    `{"type":"bundle","objects":[` + indicator + `,,` + indicator + `]}`,
		"no list":       `{"type":"bundle","objects":{"a":1}}`,
		"a number":      `17`,
	} {
		if _, err := stix.Read("x", strings.NewReader(text), stix.Options{}, func(feed.Indicator) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestDeepPattern(t *testing.T) {
	for _, s := range []string{strings.Repeat("(", 100_000), "[" + strings.Repeat("(", 100_000), "[" + strings.Repeat("a:b = 1 AND ", 10_000)} {
		if _, err := stix.ParsePattern(s); err == nil {
			t.Errorf("%.20s… passed", s)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("[ipv4-addr:value = '192.0.2.1' OR url:value IN ('http://a.example/', 'b')] FOLLOWEDBY ([file:hashes.'SHA-256' = 'x'] WITHIN 5 SECONDS)")
	f.Add("[NOT a:b[*].'c d' LIKE '%\\'x' AND EXISTS c:d AND t'2020' = 1]")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := stix.ParsePattern(s)
		if err != nil {
			return
		}
		if p.Text != s {
			t.Fatalf("text of %q became %q", s, p.Text)
		}
		if atoms, _, err := p.Atoms(); err == nil && len(atoms) == 0 {
			t.Fatalf("%q: neither atoms nor a reason", s)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(`{"type":"bundle","objects":[{"type":"indicator","id":"indicator--1","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '192.0.2.1']","pattern_type":"stix","confidence":50,"labels":["x"]}]}`, true)
	f.Add(`[{"type":"domain-name","value":"a.example"},{"type":"relationship","relationship_type":"indicates","source_ref":"a","target_ref":"a"}]`, true)
	f.Fuzz(func(t *testing.T, text string, observables bool) {
		n := 0
		rep, err := stix.Read("fuzz", strings.NewReader(text), stix.Options{Observables: observables}, func(i feed.Indicator) error {
			if _, v, err := feed.Canonical(i.Kind, i.Value); err != nil || v != i.Value {
				t.Fatalf("yielded %s %q, which is not canonical", i.Kind, i.Value)
			}
			n++
			return nil
		})
		if rep.Accepted != n || err == nil && n == 0 {
			t.Fatalf("accepted %d, yielded %d, %v", rep.Accepted, n, err)
		}
	})
}
