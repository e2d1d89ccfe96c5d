// SPDX-License-Identifier: Apache-2.0

package csv_test

import (
	"strings"
	"testing"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/csv"
	"github.com/ringwall/ringwall/feed/internal/casetest"
)

// The first line of a case is the mapping: field=column pairs.
func mapping(line string) (c csv.Columns) {
	for pair := range strings.FieldsSeq(line) {
		k, v, _ := strings.Cut(pair, "=")
		switch k {
		case "value":
			c.Value = v
		case "kind":
			c.Kind = v
		case "tags":
			c.Tags = v
		case "first":
			c.FirstSeen = v
		case "last":
			c.LastSeen = v
		case "expires":
			c.Expires = v
		case "confidence":
			c.Confidence = v
		case "comment":
			c.Comment = v
		case "fixed":
			c.Fixed = feed.Kind(v)
		case "method":
			c.Method = v
		case "tab":
			c.Separator = "\t"
		}
	}
	return c
}

func TestRead(t *testing.T) {
	casetest.Run(t, "testdata/*.txt", func(input string) string {
		head, body, _ := strings.Cut(input, "\n")
		var b strings.Builder
		rep, err := csv.Read("case", strings.NewReader(body), mapping(head), func(i feed.Indicator) error {
			b.WriteString(casetest.Show(i))
			return nil
		})
		return b.String() + casetest.Tail(rep, err)
	})
}

func TestValidate(t *testing.T) {
	for _, c := range []csv.Columns{{}, {Value: "1", Separator: "ab"}, {Value: "1", Fixed: "email"}, {Value: "1", Scale: -1}} {
		if c.Validate() == nil {
			t.Errorf("%+v passed", c)
		}
	}
	if err := (csv.Columns{Value: "ioc"}).Validate(); err != nil {
		t.Error(err)
	}
}

// One stray quote costs one line, not the file.
func TestStrayQuote(t *testing.T) {
	text := "192.0.2.1,a\n\"192.0.2.2,b\n" + strings.Repeat("192.0.2.3,c\n", 50)
	n := 0
	rep, err := csv.Read("x", strings.NewReader(text), csv.Columns{Value: "1"}, func(feed.Indicator) error { n++; return nil })
	if err != nil || n != 51 || rep.Malformed != 1 {
		t.Errorf("%d rows, %d malformed, %v", n, rep.Malformed, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("# \"first\",\"ioc\",\"type\"\n\"2026-01-01\", \"192.0.2.1:80\", \"ip:port\"\n", "ioc", "type", ",")
	f.Add("a\tb\n\"x\ny\"\t192.0.2.1\n", "2", "", "\t")
	f.Fuzz(func(t *testing.T, text, value, kind, sep string) {
		n := 0
		c := csv.Columns{Value: value, Kind: kind, Separator: sep, Tags: "3", FirstSeen: "4", Confidence: "5"}
		rep, err := csv.Read("fuzz", strings.NewReader(text), c, func(i feed.Indicator) error {
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
