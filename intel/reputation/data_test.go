// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ringwall/ringwall/feed/csv"
	"github.com/ringwall/ringwall/feed/plain"
)

// data opens a file of the development data; without it the test is skipped.
func data(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("RINGWALL_DATA")
	if root == "" {
		t.Skip("RINGWALL_DATA is not set: no development data here")
	}
	f, err := os.Open(filepath.Join(root, "intel", name+".zst"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// section gives the entries of one list of allow_warninglists.txt.
func section(b []byte, name string) string {
	var out strings.Builder
	in := false
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if head, ok := strings.CutPrefix(line, "# "); ok {
			in = strings.HasPrefix(head, name+"\t")
		} else if in {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

func healthOf(t *testing.T, l *Library, name string) Health {
	t.Helper()
	for _, h := range l.Health(noon) {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("no list %s", name)
	return Health{}
}

// The real panel: 21 sources with one that is a third resolvers. With the resolver list
// as a hard allow-list not one of them may be acted on (intel.md §8 goal 2).
func TestPanel(t *testing.T) {
	panel := data(t, "ip_panel.tsv")
	resolvers := section(data(t, "allow_warninglists.txt"), "public-dns-v4")
	s := newShelf(t)
	bySource := map[string]*strings.Builder{}
	start := time.Date(2026, 4, 16, 0, 0, 0, 0, time.UTC)
	for line := range bytes.Lines(panel) {
		ip, rest, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		for part := range strings.SplitSeq(rest, ",") {
			source, span, _ := strings.Cut(part, ":")
			var first, last int
			fmt.Sscanf(span, "%d-%d", &first, &last)
			if bySource[source] == nil {
				bySource[source] = &strings.Builder{}
			}
			fmt.Fprintf(bySource[source], "%s\t%s\t%s\n", ip, start.AddDate(0, 0, first).Format(time.DateOnly), start.AddDate(0, 0, last).Format(time.DateOnly))
		}
	}
	cfg := Config{MaxBytes: 256 << 20, Allow: []Allow{s.allow("public-dns", resolvers, true)}}
	for name, text := range bySource {
		src := s.source(name, text.String(), 0.95)
		src.Format, src.CSV = "csv", csv.Columns{Value: "1", FirstSeen: "2", LastSeen: "3", Separator: "\t"}
		cfg.Sources = append(cfg.Sources, src)
	}
	began := cpu()
	l, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sources loaded in %v of CPU, %d records, %d bytes", len(cfg.Sources), time.Duration(cpu()-began), len(l.now.Load().records), l.Bytes())
	malformed := 0
	for _, h := range l.Health(noon) {
		malformed += h.Malformed
	}
	if malformed > 0 {
		t.Errorf("%d lines of the panel are malformed", malformed)
	}
	listed, vetoed, missing := 0, 0, 0
	allowed := map[string]bool{}
	for r := range strings.FieldsSeq(resolvers) {
		allowed[r] = true
	}
	for line := range bytes.Lines(panel) {
		ip, _, _ := strings.Cut(string(line), "\t")
		if strings.Contains(ip, "/") {
			continue
		}
		a, ok := l.Lookup("ip", ip, noon)
		switch {
		case !ok:
			missing++
		case a.Level == Allowed:
			vetoed++
		default:
			listed++
			if allowed[ip] {
				t.Errorf("%s is a public resolver, and %v", ip, a.Level)
			}
		}
	}
	t.Logf("%d listed, %d vetoed, %d gone", listed, vetoed, missing)
	if missing > 0 {
		t.Errorf("%d addresses of the panel are not found", missing)
	}
}

// Everything that people wrote into these files is read, or refused for a reason we meant.
func TestRealLists(t *testing.T) {
	trails := data(t, "trails_by_family.txt")
	s := newShelf(t)
	tsv := csv.Columns{Value: "1", FirstSeen: "2", LastSeen: "3", Separator: "\t"}
	cfg := Config{MaxBytes: 256 << 20, MaxMalformed: 1}
	add := func(name, text, format string) {
		src := s.source(name, text, 0.9)
		src.Format, src.CSV, src.Expiry = format, tsv, -1
		cfg.Sources = append(cfg.Sources, src)
	}
	add("trails", string(bytes.ReplaceAll(trails, []byte("\t+"), nil)), "plain")
	add("openphish", string(data(t, "url_openphish.tsv")), "csv")
	add("threatfox", string(data(t, "c2_threatfox.tsv")), "csv")
	cfg.Allow = append(cfg.Allow, Allow{List: List{Name: "ranges", Path: s.put("ranges", string(data(t, "allow_ranges.txt"))), Format: "plain", Plain: plain.Options{Kind: "prefix"}}})
	began := cpu()
	l, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %v of CPU: %d records, %d bytes", time.Duration(cpu()-began), len(l.now.Load().records), l.Bytes())
	// trails: 91,861 bare paths, which belong to no host, 38 whole TLDs and 30 regular expressions.
	for name, share := range map[string]float64{"trails": 0.07, "openphish": 0.001, "threatfox": 0, "ranges": 0.001} {
		h := healthOf(t, l, name)
		t.Logf("%+v", h)
		if float64(h.Malformed) > share*float64(h.Count+h.Malformed) {
			t.Errorf("%s: %d of %d malformed; at most %v expected", name, h.Malformed, h.Count+h.Malformed, share)
		}
	}
	for _, st := range l.states {
		for i, e := range st.report.Errors {
			if i < 12 {
				t.Log(e)
			}
		}
	}
	// Reserved space is never above Allowed, though the lists hold it.
	for line := range bytes.Lines(data(t, "c2_threatfox.tsv")) {
		ip, _, _ := strings.Cut(string(line), "\t")
		a, _ := l.Lookup("ip", ip, noon)
		if addr := netip.MustParseAddr(ip); (addr.IsPrivate() || addr.IsLoopback() || addr.IsUnspecified() || addr.IsMulticast()) && a.Level != Allowed {
			t.Errorf("%s: %v", ip, a.Level)
		}
	}
}
