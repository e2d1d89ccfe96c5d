// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/event"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

// listen replays packets and gives the events as lines.
func listen(t testing.TB, cfg Config, src source) (lines []string, c Counts) {
	t.Helper()
	opt := Options{Redact: redact, Emit: func(ev *event.Event) { lines = append(lines, show(ev)) },
		Local: func(a netip.Addr) bool { return a == netip.MustParseAddr("198.51.100.2") }}
	c, err := replay(context.Background(), src, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	return lines, c
}

// TestCases runs testdata/*.txt: "== name", a script, "----", the events.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for i, c := range strings.Split("\n"+string(raw), "\n== ") {
			if i == 0 {
				out.WriteString(strings.TrimPrefix(c, "\n"))
				continue
			}
			in, want, _ := strings.Cut(c, "\n----\n")
			name, body, _ := strings.Cut(in, "\n")
			lines, _ := listen(t, DefaultConfig(), &slice{packets: run(t, body).packets})
			got := strings.Join(lines, "\n") + "\n"
			if got == "\n" {
				got = ""
			}
			if want = strings.TrimSuffix(strings.TrimRight(want, "\n")+"\n", ""); strings.TrimSpace(want) == "" {
				want = ""
			}
			if got != want && !*update {
				t.Errorf("%s: %s\n--- got\n%s--- want\n%s", file, name, got, want)
			}
			out.WriteString("\n== " + in + "\n----\n" + got)
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.TrimPrefix(out.String(), "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The events say the same about their flow as an independent computation does.
func TestEventsAreStamped(t *testing.T) {
	s := run(t, "open 192.0.2.1:40000 198.51.100.2:80\n> \"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\"\n> fin\n< fin\n> ack")
	var events []*event.Event
	opt := Options{Redact: redact, Netns: 77, Emit: func(ev *event.Event) { events = append(events, ev) }}
	if _, err := replay(context.Background(), &slice{packets: s.packets}, DefaultConfig(), opt); err != nil {
		t.Fatal(err)
	}
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	for i, ev := range events {
		if ev.Sensor != event.Sensor_PACKET || ev.ClassUid == 0 || ev.WallNs < s.packets[0].WallNs || ev.BootNs != uint64(ev.WallNs) {
			t.Errorf("%d: %+v", i, ev)
		}
	}
	n := events[0].GetNetwork()
	if n.CommunityId != n.Flow.CommunityID() || n.Flow.Netns != 77 || events[0].WallNs != s.packets[0].WallNs || events[1].WallNs != s.packets[3].WallNs {
		t.Errorf("%+v", n)
	}
}

func TestReplayIsTheSame(t *testing.T) {
	raw, err := os.ReadFile("testdata/http.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, c := range strings.Split("\n"+string(raw), "\n== ")[1:] {
		in, _, _ := strings.Cut(c, "\n----\n")
		_, body, _ := strings.Cut(in, "\n")
		all.WriteString(body + "\n")
	}
	one, _ := listen(t, DefaultConfig(), &slice{packets: run(t, all.String()).packets})
	two, _ := listen(t, DefaultConfig(), &slice{packets: run(t, all.String()).packets})
	if !slices.Equal(one, two) {
		t.Error("two replays differ")
	}
}
