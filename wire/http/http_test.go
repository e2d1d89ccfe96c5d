// SPDX-License-Identifier: Apache-2.0

package http

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output of testdata/*.txt")

// script is one case: feeds, gaps and an end.
type script struct {
	responses bool
	expect    []string
	steps     []move
}

type move struct {
	do   string // feed, cut, gap, close
	text string
	n    int
}

func readScript(t *testing.T, in string) script {
	t.Helper()
	var s script
	for line := range strings.SplitSeq(strings.TrimSpace(in), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case word == "requests" || word == "responses":
			s.responses, s.expect = word == "responses", strings.Fields(rest)
		case word == "close":
			s.steps = append(s.steps, move{do: "close"})
		case word == "gap":
			n, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(line, err)
			}
			s.steps = append(s.steps, move{do: "gap", n: n})
		default:
			do, n := "feed", 0
			if word == "cut" {
				var num string
				num, line, _ = strings.Cut(rest, " ")
				n, _ = strconv.Atoi(num)
				do = "cut"
			}
			text, err := strconv.Unquote(line)
			if err != nil {
				t.Fatal(line, err)
			}
			s.steps = append(s.steps, move{do, text, n})
		}
	}
	return s
}

// run plays a script; with single every byte is a feed of its own.
func (s script) run(single bool) string {
	p := &Parser{Responses: s.responses}
	for _, m := range s.expect {
		p.Expect(m)
	}
	var out strings.Builder
	for _, st := range s.steps {
		switch {
		case st.do == "gap":
			show(&out, p.Gap(st.n))
		case st.do == "close":
			show(&out, p.Close())
		case single:
			for i := range len(st.text) {
				show(&out, p.Feed([]byte(st.text[i:i+1])))
			}
			if st.do == "cut" {
				show(&out, p.Gap(st.n-len(st.text)))
			}
		case st.do == "cut":
			show(&out, p.FeedTruncated([]byte(st.text), st.n))
		default:
			show(&out, p.Feed([]byte(st.text)))
		}
	}
	return out.String()
}

// bodyFlags are set after the Head event; whether they are seen at it depends
// on how the stream was cut.
const bodyFlags = BodyCut | BodyGap | NoEnd | BadChunk | BareLF

func show(out *strings.Builder, events []Event) {
	for _, e := range events {
		m := e.Message
		switch e.Kind {
		case Head:
			if m.Status != 0 || m.Method == "" {
				fmt.Fprintf(out, "head %q %d %q", m.Proto, m.Status, m.Reason)
			} else {
				fmt.Fprintf(out, "head %q %q %q", m.Method, m.Target, m.Proto)
			}
			fmt.Fprintf(out, " at %d, %d bytes %s\n", m.Offset, m.HeadLen, m.Flags&^bodyFlags)
			for _, h := range m.Headers {
				fmt.Fprintf(out, "  %q: %q\n", h.Name, h.Value)
			}
		case End:
			fmt.Fprintf(out, "end %q of %d, stated %d, whole %v %s\n", m.Body, m.BodyLen, m.Stated, m.Whole(), m.Flags)
		case Tunnel:
			fmt.Fprintf(out, "tunnel\n")
		case Lost:
			fmt.Fprintf(out, "lost\n")
		}
	}
}

func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cases := strings.Split(string(raw), "\n====\n")
		for i, c := range cases {
			in, want, _ := strings.Cut(c, "\n----\n")
			if i == len(cases)-1 {
				in = strings.TrimSuffix(in, "\n----\n")
			}
			s := readScript(t, strings.TrimSuffix(strings.TrimSpace(in), "----"))
			got := s.run(false)
			if single := s.run(true); single != got {
				t.Errorf("%s case %d: byte by byte gives\n%s\nwhole gives\n%s\ninput\n%s", f, i+1, single, got, in)
			}
			if *update {
				cases[i] = strings.TrimSuffix(strings.TrimSpace(in), "\n----") + "\n----\n" + got
			} else if got != want+"\n" && got != want {
				t.Errorf("%s case %d:\n%s\ngot\n%s\nwant\n%s", f, i+1, in, got, want)
			}
		}
		if *update {
			if err := os.WriteFile(f, []byte(strings.Join(cases, "\n====\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
