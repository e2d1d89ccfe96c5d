// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestCorrelationCases(t *testing.T) {
	dir := "testdata/correlation"
	set, rep, err := CompileDirs([]string{dir}, Options{})
	if err != nil || len(rep.Refused) > 0 {
		t.Fatal(err, rep)
	}
	runCases(t, set, dir)
}

// TestCorrelationQuiet: rules that serve a correlation are not told alone, unless it says generate.
func TestCorrelationQuiet(t *testing.T) {
	set, _, err := CompileDirs([]string{"testdata/correlation"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	quiet := map[string]bool{}
	for _, r := range set.Rules() {
		quiet[r.Name] = r.Quiet
	}
	want := map[string]bool{"failed_login": true, "good_login": false, "shell": false, "three_failures": true, "guessed": false, "spray": false, "near": false, "few": false}
	for n, w := range want {
		if quiet[n] != w {
			t.Errorf("%s: quiet %v, want %v", n, quiet[n], w)
		}
	}
}

// TestStreamBounded floods a stream with groups and sees that memory stays within its budget, that the loss is
// counted, and that the match carries the caller's numbers.
func TestStreamBounded(t *testing.T) {
	set, _, err := CompileDirs([]string{"testdata/correlation"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := NewStream(set, StreamConfig{Budget: 64 << 10})
	var got []Match
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	src := LogSource{Product: "linux", Service: "sshd"}
	for i := range 20000 {
		ev := MapEvent{Source: src, Values: map[string]string{"outcome": "failure", "User": fmt.Sprint("u", i)}}
		s.Match(start.Add(time.Duration(i)*time.Millisecond), uint64(i), ev, func(m Match) { got = append(got, m) })
		if st := s.Stats(); st.Bytes > 64<<10 {
			t.Fatalf("after %d events %d bytes", i, st.Bytes)
		}
	}
	if st := s.Stats(); st.Evicted == 0 || st.Ungrouped == 0 || st.Windows == 0 {
		t.Errorf("stats %+v: evictions and events without src_ip must be counted", st)
	}
	if len(got) > 0 {
		t.Errorf("%d matches on single failures", len(got))
	}
	for i := range 3 {
		ev := MapEvent{Source: src, Values: map[string]string{"outcome": "failure", "User": fmt.Sprint("v", i), "src_ip": "192.0.2.1"}}
		s.Match(start.Add(time.Minute+time.Duration(i)*time.Second), uint64(100+i), ev, func(m Match) { got = append(got, m) })
	}
	if len(got) != 1 || got[0].Rule.Name != "spray" || !slices.Equal(got[0].Refs, []uint64{100, 101, 102}) || got[0].Count != 3 || got[0].Group[0] != "192.0.2.1" {
		t.Errorf("got %+v", got)
	}
	s.Advance(start.Add(time.Hour), func(Match) {})
	for _, w := range s.windows {
		if w.heapAt >= 0 {
			t.Errorf("window %v is still waiting for its end", w.group)
		}
	}
}

// TestStreamReplay: the same events give the same matches.
func TestStreamReplay(t *testing.T) {
	set, _, err := CompileDirs([]string{"testdata/correlation"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := func() string {
		var out strings.Builder
		s := NewStream(set, StreamConfig{Budget: 8 << 10})
		for i := range 3000 {
			ev := MapEvent{Source: LogSource{Product: "linux", Service: "sshd"}, Values: map[string]string{
				"outcome": []string{"failure", "success"}[i%5/4], "User": fmt.Sprint(i * i % 31), "src_ip": fmt.Sprint(i * 7 % 13)}}
			s.Match(time.Unix(int64(i+i*i%11), 0), uint64(i), ev, func(m Match) {
				fmt.Fprintln(&out, m.Rule.Name, m.At.Unix(), m.First.Unix(), m.Group, m.Count, m.Refs)
			})
		}
		return out.String()
	}
	a, b := run(), run()
	if a != b || a == "" {
		t.Errorf("two runs differ, or nothing matched: %d and %d bytes", len(a), len(b))
	}
}

// TestRefused holds every reason to refuse, as text cases: file above, reasons below.
func TestRefused(t *testing.T) {
	const file = "testdata/refused.txt"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range strings.Split(string(raw), "\n====\n") {
		doc, want, _ := strings.Cut(c, "\n----\n")
		_, rep, err := Compile([]Source{{FS: fstest.MapFS{"r.yml": {Data: []byte(doc)}}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rep.Refused {
			got = append(got, r.String())
		}
		if len(got) == 0 {
			got = []string{"loaded"}
		}
		if g := strings.Join(got, "\n"); g != strings.TrimSpace(want) && !*update {
			t.Errorf("%s\n----\ngot  %s\nwant %s", doc, g, strings.TrimSpace(want))
		}
		out = append(out, doc+"\n----\n"+strings.Join(got, "\n"))
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
