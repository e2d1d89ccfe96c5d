// SPDX-License-Identifier: Apache-2.0

// Package casetest runs cases that are text, for the tests of feed and its children.
//
// In go files of cases: input, a line "----", the expected output, and "====" before
// the next case; out come failures with both texts, or, with -update, rewritten files.
// It believes the first "----" line ends the input. The worst trap: -update makes any
// output the expected one, so read the diff.
package casetest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/feed"
)

var update = flag.Bool("update", false, "rewrite the expected output of the cases")

// Run calls f for each case of the files that match glob.
func Run(t *testing.T, glob string, f func(input string) string) {
	t.Helper()
	files, _ := filepath.Glob(glob)
	if len(files) == 0 {
		t.Fatalf("no cases match %s", glob)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i, c := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n====\n") {
			input, want, _ := strings.Cut(c+"\n", "\n----\n")
			got := strings.TrimRight(f(input), "\n")
			out = append(out, input+"\n----\n"+got)
			if want = strings.TrimRight(want, "\n"); got != want && !*update {
				t.Errorf("%s case %d:\n%s\n---- got\n%s\n---- want\n%s", file, i+1, input, got, want)
			}
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Show prints one indicator on one line, leaving out what is not stated.
func Show(i feed.Indicator) string {
	s := fmt.Sprintf("%s %s", i.Kind, i.Value)
	if len(i.Tags) > 0 {
		s += " tags=" + strings.Join(i.Tags, ",")
	}
	if i.Confidence != 0 {
		s += fmt.Sprintf(" confidence=%.2f", i.Confidence)
	}
	const day = "2006-01-02"
	if !i.FirstSeen.IsZero() {
		s += " first=" + i.FirstSeen.Format(day)
	}
	if !i.LastSeen.IsZero() {
		s += " last=" + i.LastSeen.Format(day)
	}
	if !i.Expires.IsZero() {
		s += " expires=" + i.Expires.Format(day)
	}
	if i.Comment != "" {
		s += fmt.Sprintf(" comment=%q", i.Comment)
	}
	return s + "\n"
}

// Tail prints the report below the indicators.
func Tail(rep feed.Report, err error) string {
	s := fmt.Sprintf("read %d accepted %d skipped %d malformed %d\n", rep.Read, rep.Accepted, rep.Skipped, rep.Malformed)
	for _, n := range rep.Notes {
		s += "note: " + n.Error() + "\n"
	}
	for _, e := range rep.Errors {
		s += "error: " + e.Error() + "\n"
	}
	if err != nil {
		s += "failed: " + err.Error() + "\n"
	}
	return s
}
