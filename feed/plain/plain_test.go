// SPDX-License-Identifier: Apache-2.0

package plain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/internal/casetest"
	"github.com/ringwall/ringwall/feed/plain"
)

// The first line of a case is "kind method" (or "guess").
func TestRead(t *testing.T) {
	casetest.Run(t, "testdata/*.txt", func(input string) string {
		head, body, _ := strings.Cut(input, "\n")
		var opt plain.Options
		if f := strings.Fields(head); f[0] != "guess" {
			opt.Kind = feed.Kind(f[0])
			if len(f) > 1 {
				opt.Method = f[1]
			}
		}
		var b strings.Builder
		rep, err := plain.Read("case", strings.NewReader(body), opt, func(i feed.Indicator) error {
			b.WriteString(casetest.Show(i))
			return nil
		})
		return b.String() + casetest.Tail(rep, err)
	})
}

func TestErrorsNameFeedAndLine(t *testing.T) {
	rep, err := plain.Read("urlhaus", strings.NewReader(strings.Repeat("\n", 811)+"10.0.0.300\n192.0.2.1\n"), plain.Options{}, func(feed.Indicator) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rep.Errors[0].Error(), `read feed "urlhaus": line 812: "10.0.0.300" is not an address; line skipped`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrorListIsBounded(t *testing.T) {
	rep, err := plain.Read("x", strings.NewReader("192.0.2.1\n"+strings.Repeat("bad bad\n", 10_000)), plain.Options{}, func(feed.Indicator) error { return nil })
	if err != nil || rep.Malformed != 10_000 || len(rep.Errors) > 64 {
		t.Errorf("malformed %d, kept %d, %v", rep.Malformed, len(rep.Errors), err)
	}
}

func TestYieldStopsReading(t *testing.T) {
	stop, n := errors.New("enough"), 0
	_, err := plain.Read("x", strings.NewReader("192.0.2.1\n192.0.2.2\n"), plain.Options{}, func(feed.Indicator) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("||evil.example^$all\n0.0.0.0 a.example b.example # x\n192.0.2.0/24 ; SBL1\nhttp://x.example/#y", "")
	f.Add("\xef\xbb\xbf192.0.2.1\r\n", "ip")
	f.Fuzz(func(t *testing.T, text, kind string) {
		n := 0
		rep, err := plain.Read("fuzz", strings.NewReader(text), plain.Options{Kind: feed.Kind(kind)}, func(i feed.Indicator) error {
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
