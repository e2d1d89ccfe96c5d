// SPDX-License-Identifier: Apache-2.0

package feed_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/internal/casetest"
)

// Each input line is "kind value" or "? value" (guess).
func TestCanonical(t *testing.T) {
	casetest.Run(t, "testdata/canonical*.txt", func(input string) string {
		var b strings.Builder
		for line := range strings.SplitSeq(input, "\n") {
			word, text, _ := strings.Cut(line, " ")
			var kind feed.Kind
			var value, note string
			var err error
			if word == "?" {
				kind, value, note, err = feed.Guess(text)
			} else {
				kind, value, err = feed.Canonical(feed.Kind(word), text)
			}
			switch {
			case err != nil:
				b.WriteString("error: " + err.Error() + "\n")
			case note != "":
				b.WriteString(string(kind) + " " + value + " (" + note + ")\n")
			default:
				b.WriteString(string(kind) + " " + value + "\n")
			}
		}
		return b.String()
	})
}

func TestTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-06-07T12:00:00Z": "2026-06-07 12:00", "2026-06-07 12:00:00": "2026-06-07 12:00", "2026-06-07": "2026-06-07 00:00",
		"2026-06-07T12:00": "2026-06-07 12:00", "1780833600": "2026-06-07 12:00", "1780833600000": "2026-06-07 12:00",
		"2026-06-07T14:00:00+02:00": "2026-06-07 12:00", "2026-06-07 12:00:00 UTC": "2026-06-07 12:00",
	} {
		if got, err := feed.Time(in); err != nil || got.Format("2006-01-02 15:04") != want {
			t.Errorf("Time(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "None", "never"} {
		if got, err := feed.Time(in); err != nil || !got.IsZero() {
			t.Errorf("Time(%q) = %v, %v; want the zero time", in, got, err)
		}
	}
	for _, in := range []string{"yesterday", "2026-13-01", "0001-01-01T00:00:00Z", "12", "-5"} {
		if got, err := feed.Time(in); err == nil {
			t.Errorf("Time(%q) = %v, want an error", in, got)
		}
	}
}

func TestSniffRefusesWhatIsNoList(t *testing.T) {
	for in, want := range map[string]error{
		"": feed.ErrEmpty, " \n\t\n": feed.ErrEmpty, "\xef\xbb\xbf": feed.ErrEmpty,
		"<!DOCTYPE html><html>": feed.ErrPage, "\n\n  <html>": feed.ErrPage, "\xef\xbb\xbf<?xml version='1.0'?>": feed.ErrPage,
		"\x1f\x8b\x08": feed.ErrPacked, "PK\x03\x04": feed.ErrPacked, "\xff\xfe1\x00": feed.ErrEncoding,
		"192.0.2.1\n": nil,
	} {
		if _, err := feed.Sniff(strings.NewReader(in)); !errors.Is(err, want) {
			t.Errorf("Sniff(%q) = %v, want %v", in, err, want)
		}
	}
}

// A reader that never ends must cost no more than the bound.
type endless struct{ text string }

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	return n, nil
}

func TestJSONIsBounded(t *testing.T) {
	j := feed.NewJSON(io.MultiReader(strings.NewReader(`{"a":"`), endless{"xxxxxxxx"}))
	if _, err := j.Raw(); !errors.Is(err, feed.ErrTooLarge) {
		t.Errorf("an endless string: %v, want %v", err, feed.ErrTooLarge)
	}
	j = feed.NewJSON(endless{"[[[[[[[["})
	if err := j.Skip(); !errors.Is(err, feed.ErrTooDeep) {
		t.Errorf("endless nesting: %v, want %v", err, feed.ErrTooDeep)
	}
}

func TestLongLineIsSkippedAlone(t *testing.T) {
	b, err := feed.Sniff(strings.NewReader("one\n" + strings.Repeat("x", 5*feed.MaxLine) + "\ntwo"))
	if err != nil {
		t.Fatal(err)
	}
	l := feed.NewLines(b)
	var got []string
	for {
		line, _, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, string(line))
	}
	if len(got) != 3 || got[0] != "one" || got[1] != feed.ErrLongLine.Error() || got[2] != "two" {
		t.Errorf("got %q", got)
	}
}

// What is canonical stays as it is, whatever the text was.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"10.0.0.300", "hxxp://evil[.]example/a?b#c", "2001:db8::/32", "[::1]:80", "Bücher.example", "1.2.3.4:80", "http://a.b/../%2e/x\\y", "ja4:t13d1516h2_8daaf6152771_b0da82dd1658"} {
		f.Add("url", s)
		f.Add("?", s)
	}
	f.Fuzz(func(t *testing.T, word, text string) {
		kind, value, err := feed.Canonical(feed.Kind(word), text)
		if word == "?" {
			kind, value, _, err = feed.Guess(text)
		}
		if err != nil {
			return
		}
		again, twice, err := feed.Canonical(kind, value)
		if err != nil || again != kind || twice != value {
			t.Fatalf("%q became %s %q, and that became %s %q, %v", text, kind, value, again, twice, err)
		}
	})
}
