// SPDX-License-Identifier: Apache-2.0

package application

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/event"
)

var update = flag.Bool("update", false, "rewrite the expected halves of testdata/*.txt")

// TestRequests judges the requests of testdata/requests.txt: a request as on the wire
// above, what the stages say below ----. Lines end with CRLF on the way in.
func TestRequests(t *testing.T) {
	const file = "testdata/requests.txt"
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i, c := range strings.Split(string(text), "\n====\n") {
		raw, want, _ := strings.Cut(strings.TrimSuffix(c, "\n"), "\n----\n")
		r := parseRaw(raw)
		got := verdictText(t, e, r)
		if got != want && !*update {
			t.Errorf("case %d %s %s:\ngot\n%s\nwant\n%s", i, r.Method, r.URI, got, want)
		}
		if i > 0 {
			out.WriteString("\n====\n")
		}
		out.WriteString(raw + "\n----\n" + got)
	}
	out.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// parseRaw reads a case. Lines before the request line that begin with # are comments.
func parseRaw(raw string) *record {
	for strings.HasPrefix(raw, "#") {
		_, raw, _ = strings.Cut(raw, "\n")
	}
	head, body, _ := strings.Cut(raw, "\n\n")
	lines := strings.Split(head, "\n")
	r := &record{Body: strings.ReplaceAll(body, "\n", "\r\n")}
	r.Method, r.URI, _ = strings.Cut(lines[0], " ")
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		r.Headers = append(r.Headers, [2]string{name, value})
		if name == "Host" {
			r.Site = value
		}
	}
	return r
}

func verdictText(t *testing.T, e *Engine, r *record) string {
	a := r.activity()
	if e.White(a) {
		return "white"
	}
	res, err := e.Judge(a)
	if err != nil {
		t.Fatal(err)
	}
	ev := &event.Event{Tenant: "t", Host: "web", Epoch: 1, Seq: 1, WallNs: 1, Payload: &event.Event_Http{Http: a}}
	f := e.Finding(ev, &res)
	if f == nil {
		return fmt.Sprintf("nothing, anomaly %d", res.Anomaly)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.2f %s %s", strings.ToLower(f.Colour.String()), f.Score, f.Rule, strings.Join(f.Techniques, " "))
	for _, ev := range f.Evidence {
		fmt.Fprintf(&b, "\n%s (%s, %.1f)", ev.What, ev.Where, ev.Weight)
	}
	return b.String()
}
