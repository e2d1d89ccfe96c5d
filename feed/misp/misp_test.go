// SPDX-License-Identifier: Apache-2.0

package misp_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/internal/casetest"
	"github.com/ringwall/ringwall/feed/misp"
)

func TestRead(t *testing.T) {
	casetest.Run(t, "testdata/read*.txt", func(input string) string {
		var b strings.Builder
		rep, err := misp.Read("case", strings.NewReader(input), func(i feed.Indicator) error {
			b.WriteString(casetest.Show(i))
			return nil
		})
		return b.String() + casetest.Tail(rep, err)
	})
}

// A case is a folder: "-- name --" lines open its files.
func TestReadDir(t *testing.T) {
	casetest.Run(t, "testdata/folder*.txt", func(input string) string {
		dir := fstest.MapFS{}
		for part := range strings.SplitSeq("\n"+input, "\n-- ") {
			if name, body, ok := strings.Cut(part, " --\n"); ok {
				dir[name] = &fstest.MapFile{Data: []byte(body)}
			}
		}
		var b strings.Builder
		rep, err := misp.ReadDir("case", dir, func(i feed.Indicator) error {
			b.WriteString(casetest.Show(i))
			return nil
		})
		return b.String() + casetest.Tail(rep, err)
	})
}

func TestHostileShapes(t *testing.T) {
	for name, text := range map[string]string{
		"deep":      strings.Repeat(`{"Event":`, 100_000),
		"deep list": `{"response":` + strings.Repeat(`[`, 100_000),
		"deep skip": `{"Galaxy":` + strings.Repeat(`[`, 100_000),
		"huge":      `{"Event":{"Attribute":[{"value":"` + strings.Repeat("A", 2*feed.MaxItem) + `"}]}}`,
		"cut short": `{"Event":{"Attribute":[{"type":"ip-dst","value":"192.0.2.1","to_ids":true}`,
		"a word":    `null`,
		"html":      `<html>`,
		"tail":      `{"Event":{"Attribute":[{"type":"ip-dst","value":"192.0.2.1","to_ids":true}]}} oops`,
	} {
		if _, err := misp.Read("x", strings.NewReader(text), func(feed.Indicator) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"response":[{"Event":{"info":"x","Attribute":[{"type":"ip-dst|port","value":"192.0.2.1|80","to_ids":"1","timestamp":"1780833600","Tag":[{"name":"tlp:green"}]}],"Object":[{"Attribute":[{"type":"domain|ip","value":"a.example|192.0.2.1","to_ids":true}]}],"Tag":[{"name":"misp:confidence-level=\"unconfident\""}]}}]}`)
	f.Add(`{"response":{"Attribute":[{"type":"filename|sha256","value":"a|b|c","to_ids":1}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		rep, err := misp.Read("fuzz", strings.NewReader(text), func(i feed.Indicator) error {
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
