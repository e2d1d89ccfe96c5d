// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"bufio"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Published values: JA4 of the Sliver agent from FoxIO-LLC/ja4's README (BSD-3); JA3 of
// Firefox and HASSH of OpenSSH from salesforce's READMEs.
const names = `
# own knowledge
ja4:t13d190900_9dc949149365_97f8aa674fd9 malicious Sliver agent
ja3:839bbe3ed07fed922ded5aaf714d6842 benign Firefox
hassh:ec7378c1a92f5a8dde7e8b7a1ddf33d1 benign OpenSSH
ja4:t13d1516h2 malicious short
ja5:00 benign none
ja3:839bbe3ed07fed922ded5aaf714d6842
`

func library(t *testing.T, text string, lookup Lookup) (*Library, []error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, warnings, err := New(Config{Files: dir}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	return l, warnings
}

func tls(ja4, ja3 string, wall int64) *event.Event {
	return &event.Event{Host: "h", WallNs: wall, Payload: &event.Event_Tls{Tls: &event.TlsActivity{Ja4: ja4, Ja3: ja3, Flow: &entity.Flow{}}}}
}

func TestFiles(t *testing.T) {
	l, warnings := library(t, names, nil)
	if l.Len() != 3 || len(warnings) != 3 {
		t.Fatalf("%d names, warnings %v", l.Len(), warnings)
	}
	for i, want := range []string{"line 6: ", "line 7: ", "line 8: "} {
		if !strings.Contains(warnings[i].Error(), "own.txt "+want) {
			t.Errorf("warning %v, want %q in it", warnings[i], want)
		}
	}
	if _, _, err := New(Config{Files: "/nonexistent"}, nil); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func TestJudge(t *testing.T) {
	listed := "ja3:0123456789abcdef0123456789abcdef"
	l, _ := library(t, names, func(kind, value string, _ time.Time) (Known, bool) {
		return Known{Label: "botnet", Malicious: true, Source: "list", Trust: 0.5}, kind == "fingerprint" && value == listed
	})
	judge := func(ev *event.Event) (verdict.Verdict, *verdict.Finding) {
		v, err := l.Judge(context.Background(), ev)
		if err != nil {
			t.Fatal(err)
		}
		return v, l.Finding(ev, v)
	}
	if v, f := judge(tls("t13d190900_9dc949149365_97f8aa674fd9", "", 1)); f == nil || f.Black() || v.Family != "Sliver agent" || f.Id == "" ||
		f.Subjects[0].Kind != entity.Kind_FLOW || f.Subjects[1].Text != "ja4:t13d190900_9dc949149365_97f8aa674fd9" {
		t.Errorf("malicious: %v %v", v, f)
	}
	if v, f := judge(tls("", "839bbe3ed07fed922ded5aaf714d6842", 1)); f != nil || v.Colour != verdict.Colour_WHITE {
		t.Errorf("benign: %v", v)
	}
	// A near miss: one character off is another program.
	if v, f := judge(tls("t13d190900_9dc949149365_97f8aa674fd8", "", 1)); f != nil || v.Colour != verdict.Colour_GREY {
		t.Errorf("unknown: %v", v)
	}
	// One hello is one witness, and a bad name is not washed white by a good one.
	if v, f := judge(tls("t13d190900_9dc949149365_97f8aa674fd9", "839bbe3ed07fed922ded5aaf714d6842", 1)); f == nil || len(f.Evidence) != 1 || v.Colour != verdict.Colour_GREY {
		t.Errorf("both: %v", v)
	}
	ssh := &event.Event{Host: "h", Payload: &event.Event_Ssh{Ssh: &event.SshActivity{Hassh: "ec7378c1a92f5a8dde7e8b7a1ddf33d1"}}}
	if v, _ := judge(ssh); v.Colour != verdict.Colour_WHITE {
		t.Errorf("ssh: %v", v)
	}
	v, f := judge(tls("", listed[4:], 1))
	if f == nil || v.Evidence[0].Weight != 0.5 {
		t.Errorf("list: %v", v)
	}
	// What this host did all week makes a list doubtful.
	for i := range 60 {
		v, _ = judge(tls("", listed[4:], int64(i)*int64(time.Hour)))
	}
	if v.Evidence[0].Weight != 0.125 {
		t.Errorf("common here: %v", v)
	}
}

// TestMemory: two generations bound what strangers can fill.
func TestMemory(t *testing.T) {
	var m memory
	for i := range 3 * habits {
		m.count(string(rune(i)), 1)
	}
	if len(m.now) > habits || len(m.old) > habits {
		t.Errorf("%d and %d kept", len(m.now), len(m.old))
	}
}

// TestPublic holds the malicious names of the data against its ordinary ones: how far a
// fingerprint alone would be wrong. It asserts only that nothing is black.
func TestPublic(t *testing.T) {
	dir := os.Getenv("RINGWALL_DATA")
	if dir == "" {
		t.Skip("RINGWALL_DATA is not set: no public fingerprints")
	}
	f, err := os.Open(filepath.Join(dir, "network", "fingerprints.jsonl.zst"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	bad, good := map[string]bool{}, map[string]bool{}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var r struct{ Label, Ja3, Ja4 string }
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{prefixed("ja3:", r.Ja3), prefixed("ja4:", r.Ja4)} {
			if k == "" {
				continue
			}
			if r.Label == "malicious" {
				bad[k] = true
			} else {
				good[k] = true
			}
		}
	}
	l, _, err := New(Config{}, func(_, value string, _ time.Time) (Known, bool) {
		return Known{Label: "listed", Malicious: true, Source: "data"}, bad[value]
	})
	if err != nil {
		t.Fatal(err)
	}
	told, wrong := 0, 0
	for k := range good {
		ev := tls(strings.TrimPrefix(k, "ja4:"), "", 1)
		if method, value, _ := strings.Cut(k, ":"); method == "ja3" {
			ev = tls("", value, 1)
		}
		v, _ := l.Judge(context.Background(), ev)
		if v.Colour == verdict.Colour_BLACK {
			t.Fatalf("%s is black", k)
		}
		if len(v.Evidence) > 0 {
			told++
		}
	}
	for k := range bad {
		if good[k] {
			wrong++
		}
	}
	t.Logf("%d malicious fingerprints, %d of them ordinary elsewhere; of %d ordinary ones %d would be told", len(bad), wrong, len(good), told)
}

func prefixed(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

// FuzzParse: a line of a file is read or refused.
func FuzzParse(f *testing.F) {
	for l := range strings.SplitSeq(names, "\n") {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if key, k, err := parse(line); err == nil && (key == "" || k.Label == "" || len(key) > 100) {
			t.Fatalf("%q gives %q %v", line, key, k)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	l, _, err := New(Config{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	ev := tls("t13d190900_9dc949149365_97f8aa674fd9", "839bbe3ed07fed922ded5aaf714d6842", 1)
	b.ReportAllocs()
	for b.Loop() {
		l.Judge(context.Background(), ev)
	}
}

func TestSYNOfScanners(t *testing.T) {
	l, _ := library(t, names, nil)
	see := func(shape, from string, inbound bool, at int64) *verdict.Finding {
		ev := &event.Event{Host: "h", WallNs: at, Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_FLOW_OPEN, Syn: shape, Inbound: inbound,
			Flow: entity.NewFlow(netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.9:80"), 6)}}}
		v, err := l.Judge(context.Background(), ev)
		if err != nil {
			t.Fatal(err)
		}
		return l.Finding(ev, v)
	}
	f := see("1024:2:1460:0", "203.0.113.9:40000", true, 1)
	if f == nil || f.Black() || f.Subjects[0].Text != "203.0.113.9" {
		t.Fatalf("a scan of nmap: %v", f)
	}
	if f := see("1024:2:1460:0", "203.0.113.9:40001", true, 2); f != nil {
		t.Error("each SYN of a scan is told")
	}
	if see("1024:2:1460:0", "203.0.113.8:40000", true, 3) == nil || see("1024:2:1460:0", "203.0.113.9:40001", true, 2+2*int64(time.Hour)) == nil {
		t.Error("another scanner, or the same one hours later, is not told")
	}
	for _, shape := range []string{"64240:2-4-8-1-3:1460:7", "65535:2-1-3-1-1-8-4-0:1460:6", "8192:2-1-3-1-1-4:1460:8", ""} {
		if f := see(shape, "203.0.113.7:40000", true, 4); f != nil {
			t.Errorf("the SYN of a system (%s): %v", shape, f)
		}
	}
	if f := see("1024:2:1460:0", "192.0.2.9:40000", false, 5); f != nil {
		t.Error("a scan that our own host makes is told by those whom it meets")
	}
}
