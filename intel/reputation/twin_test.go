// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/ringwall/ringwall/feed/csv"
)

// The slow twin: plain maps and scans, with the same rules said again in the dullest way.

type twinClaim struct {
	list    int
	conf    float64
	seen    time.Time
	expires time.Time
	tags    []string
}

type twinList struct {
	name     string
	role     role
	half     time.Duration
	claims   map[string]twinClaim // "kind value"
	prefixes map[netip.Prefix]twinClaim
}

type twin struct {
	cfg   Config
	lists []*twinList
}

func (w *twin) add(l *twinList, kind, value string, c twinClaim) {
	if kind == "domain" {
		if s, _ := publicsuffix.PublicSuffix(value); s == value {
			return
		}
	}
	if kind == "url" {
		value = strings.TrimPrefix(strings.TrimPrefix(value, "https://"), "http://")
	}
	fold := func(old twinClaim) twinClaim {
		old.conf = max(old.conf, c.conf)
		if c.seen.After(old.seen) {
			old.seen = c.seen
		}
		if old.expires.IsZero() || c.expires.IsZero() {
			old.expires = time.Time{} // one of them never ends
		} else if c.expires.After(old.expires) {
			old.expires = c.expires
		}
		set := map[string]bool{}
		for _, t := range append(slices.Clone(old.tags), c.tags...) {
			set[t] = true
		}
		old.tags = slices.Sorted(maps.Keys(set))
		return old
	}
	if kind == "prefix" {
		p := netip.MustParsePrefix(value)
		if old, ok := l.prefixes[p]; ok {
			c = fold(old)
		}
		l.prefixes[p] = c
		return
	}
	if old, ok := l.claims[kind+" "+value]; ok {
		c = fold(old)
	}
	l.claims[kind+" "+value] = c
}

type twinHit struct {
	value  string
	width  Width
	factor float64
	claim  twinClaim
}

func (w *twin) exact(kind, key, value string, width Width, factor float64) (hits []twinHit) {
	for i, l := range w.lists {
		if c, ok := l.claims[kind+" "+key]; ok {
			c.list = i
			hits = append(hits, twinHit{value, width, factor, c})
		}
	}
	return hits
}

func (w *twin) addr(a netip.Addr, exact, prefix Width) []twinHit {
	hits := w.exact("ip", a.String(), a.String(), exact, 1)
	var around []twinHit
	for i, l := range w.lists {
		for p, c := range l.prefixes {
			if p.Contains(a) {
				c.list = i
				around = append(around, twinHit{p.String(), prefix, 1, c})
			}
		}
	}
	slices.SortFunc(around, func(x, y twinHit) int {
		return cmp.Or(-cmp.Compare(netip.MustParsePrefix(x.value).Bits(), netip.MustParsePrefix(y.value).Bits()), cmp.Compare(x.claim.list, y.claim.list))
	})
	return append(hits, around...)
}

func (w *twin) domain(d string, exact Width) []twinHit {
	hits := w.exact("domain", d, d, exact, 1)
	top, err := publicsuffix.EffectiveTLDPlusOne(d)
	for name := d; err == nil && name != top; {
		_, name, _ = strings.Cut(name, ".")
		hits = append(hits, w.exact("domain", name, name, Parent, 1)...)
	}
	return hits
}

func (w *twin) url(text string) []twinHit {
	u, _ := url.Parse(text)
	base := u.Host
	parts := strings.Split(u.EscapedPath(), "/") // "", "a", "b"
	key := base + u.EscapedPath()
	full := key
	if u.RawQuery != "" {
		full += "?" + u.RawQuery
	}
	hits := w.exact("url", full, text, Exact, 1)
	if full != key {
		hits = append(hits, w.exact("url", key, key, NoQuery, 1)...)
	}
	if len(parts) > 2 && parts[1] != "" {
		p := base + "/" + parts[1]
		hits = append(hits, w.exact("url", p, p, PathPart, w.cfg.WideURL)...)
		if p += "/"; p != key {
			hits = append(hits, w.exact("url", p, p, PathPart, w.cfg.WideURL)...)
		}
	}
	if key != base+"/" {
		hits = append(hits, w.exact("url", base+"/", base+"/", HostWide, w.cfg.WideURL)...)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return append(hits, w.addr(a, HostWide, HostWide)...)
	}
	return append(hits, w.domain(u.Hostname(), HostWide)...)
}

func (w *twin) lookup(kind, value string, now time.Time) (Answer, bool) {
	var hits []twinHit
	switch kind {
	case "ip":
		hits = w.addr(netip.MustParseAddr(value), Exact, InPrefix)
	case "domain":
		hits = w.domain(value, Exact)
	case "url":
		hits = w.url(value)
	default:
		hits = w.exact(kind, value, value, Exact, 1)
	}
	var ans Answer
	hardText, softText := "", ""
	for _, h := range hits {
		l := w.lists[h.claim.list]
		switch {
		case l.role == hard && hardText == "":
			hardText = "hard: " + l.name
		case l.role == soft && softText == "":
			softText = "soft: " + l.name
		}
		if l.role != listing || !h.claim.expires.IsZero() && !h.claim.expires.After(now) {
			continue
		}
		conf := h.claim.conf * h.factor
		if l.half > 0 && kind != "hash" && kind != "fingerprint" && now.After(h.claim.seen) {
			conf *= math.Pow(0.5, now.Sub(h.claim.seen).Seconds()/l.half.Seconds())
		}
		ans.Matches = append(ans.Matches, Match{l.name, h.value, h.width, h.claim.tags, conf, h.claim.seen, h.claim.expires})
		ans.Confidence = max(ans.Confidence, conf)
	}
	ok := len(ans.Matches) > 0
	switch {
	case hardText != "":
		ans.Level, ans.Confidence, ans.Veto = Allowed, 0, hardText
		return ans, ok
	case softText != "":
		ans.Veto = softText
		ans.Confidence *= w.cfg.SoftFactor
	}
	switch {
	case !ok:
	case ans.Confidence >= w.cfg.Malicious && softText == "":
		ans.Level = Malicious
	case ans.Confidence >= w.cfg.Suspicious:
		ans.Level = Suspicious
	default:
		ans.Level = Listed
	}
	return ans, ok
}

// dice makes values from a small world, so that questions meet claims at every width.
type dice struct{ *rand.Rand }

func (d dice) pick(s ...string) string { return s[d.IntN(len(s))] }

func (d dice) addr() string {
	if d.IntN(4) == 0 {
		return netip.MustParseAddr(fmt.Sprintf("2a0b:%x::%x", d.IntN(3), 1+d.IntN(20))).String()
	}
	return fmt.Sprintf("45.%d.%d.%d", d.IntN(3), d.IntN(3), d.IntN(20))
}

func (d dice) prefix() string {
	a := netip.MustParseAddr(d.addr())
	n := 9 + d.IntN(23)
	if a.Is6() {
		n = 20 + d.IntN(100)
	}
	p, _ := a.Prefix(n)
	return p.String()
}

func (d dice) domain() string {
	name := d.pick("evil", "bad", "shop") + "." + d.pick("com", "co.uk", "github.io", "zz")
	for range d.IntN(4) {
		name = d.pick("a", "b", "www", "c") + "." + name
	}
	return name
}

func (d dice) url() string {
	host := d.domain()
	if d.IntN(5) == 0 {
		host = fmt.Sprintf("45.%d.%d.%d", d.IntN(3), d.IntN(3), d.IntN(20))
	}
	if d.IntN(4) == 0 {
		host += ":8080"
	}
	return d.pick("http", "https") + "://" + host + d.pick("/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "//a") + d.pick("", "", "?q=1", "?q=2")
}

func (d dice) value() (kind, value string) {
	switch d.IntN(7) {
	case 0, 1:
		return "ip", d.addr()
	case 2:
		return "prefix", d.prefix()
	case 3:
		return "domain", d.domain()
	case 4:
		return "hash", strings.Repeat(d.pick("a", "b", "c"), 31) + d.pick("0", "1", "2", "3")
	case 5:
		return "fingerprint", "ja3:" + strings.Repeat(d.pick("a", "b", "c"), 31) + d.pick("0", "1", "2")
	}
	return "url", d.url()
}

// write makes a list of random rows, as a CSV file and in the twin.
func (d dice) write(t *testing.T, path string, w *twin, l *twinList, src Source, base time.Time) {
	t.Helper()
	var b strings.Builder
	b.WriteString("value,kind,confidence,last,expires,tags\n")
	for range 5 + d.IntN(150) {
		kind, value := d.value()
		conf := 1 + d.IntN(100)
		seen := base.Add(-time.Duration(d.IntN(60)) * day)
		var expires time.Time
		expiryText := ""
		if d.IntN(3) == 0 {
			expires = base.Add(time.Duration(1+d.IntN(40)) * day)
			expiryText = expires.Format(time.RFC3339)
		}
		tags := []string{d.pick("x", "y")}
		if d.IntN(2) == 0 {
			tags = append(tags, "z")
		}
		fmt.Fprintf(&b, "%s,%s,%d,%s,%s,%s\n", value, kind, conf, seen.Format(time.RFC3339), expiryText, strings.Join(tags, ";"))
		if own := seen.Add(src.Expiry); l.role == listing && kind != "hash" && kind != "fingerprint" && src.Expiry > 0 && (expires.IsZero() || own.Before(expires)) {
			expires = own
		}
		if l.role == listing && !expires.IsZero() && !expires.After(base) {
			continue // gone before it came
		}
		w.add(l, kind, value, twinClaim{conf: src.Confidence * float64(conf) / 100, seen: seen, expires: expires, tags: tags})
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

var columns = csv.Columns{Value: "value", Kind: "kind", Confidence: "confidence", LastSeen: "last", Expires: "expires", Tags: "tags", TagSeparator: ";"}

func TestTwin(t *testing.T) {
	ctx := context.Background()
	base := time.Date(2026, 6, 7, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(40) {
		d := dice{rand.New(rand.NewPCG(seed, 7))}
		dir := t.TempDir()
		cfg := Config{}
		w := &twin{}
		w.lists = append(w.lists, &twinList{name: "built-in", role: hard}, &twinList{name: "own", role: hard})
		for i := range 1 + d.IntN(2) {
			a := Allow{List: List{Name: fmt.Sprintf("allow%d", i), Path: filepath.Join(dir, fmt.Sprintf("allow%d", i)), Format: "csv", CSV: columns}, Hard: i == 1}
			cfg.Allow = append(cfg.Allow, a)
			l := &twinList{name: a.Name, role: soft, claims: map[string]twinClaim{}, prefixes: map[netip.Prefix]twinClaim{}}
			if a.Hard {
				l.role = hard
			}
			w.lists = append(w.lists, l)
		}
		for i := range 1 + d.IntN(4) {
			s := Source{List: List{Name: fmt.Sprintf("source%d", i), Path: filepath.Join(dir, fmt.Sprintf("source%d", i)), Format: "csv", CSV: columns},
				Confidence: float64(1+d.IntN(10)) / 10, HalfLife: time.Duration(d.IntN(3)) * 10 * day, Expiry: 50 * day}
			cfg.Sources = append(cfg.Sources, s)
			w.lists = append(w.lists, &twinList{name: s.Name, half: s.HalfLife, claims: map[string]twinClaim{}, prefixes: map[netip.Prefix]twinClaim{}})
		}
		lib, err := New(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg = lib.cfg
		rewrite := func(i int, now time.Time) {
			l := w.lists[i]
			clear(l.claims)
			clear(l.prefixes)
			path, src := "", Source{}
			if n := i - 2; n < len(cfg.Allow) {
				path = cfg.Allow[n].Path
			} else {
				src = cfg.Sources[n-len(cfg.Allow)]
				path = src.Path
			}
			d.write(t, path, w, l, src, now)
			// The stamp must differ though the clock may not have moved.
			os.Chtimes(path, now, now.Add(-time.Duration(d.IntN(1e6))*time.Millisecond))
		}
		for round := range 3 {
			now := base.Add(time.Duration(round) * time.Hour)
			for i := 2; i < len(w.lists); i++ {
				if round == 0 || d.IntN(2) == 0 {
					rewrite(i, now)
				}
			}
			// Twice: the second confirms lists that shrank.
			_ = lib.Reload(ctx, now)
			if err := lib.Reload(ctx, now); err != nil {
				t.Fatalf("seed %d round %d: %v", seed, round, err)
			}
			for range 400 {
				kind, value := d.value()
				if kind == "prefix" {
					continue
				}
				at := now.Add(time.Duration(d.IntN(60)) * day)
				got, gok := lib.Lookup(kind, value, at)
				want, wok := w.lookup(kind, value, at)
				if gok != wok || !same(got, want) {
					t.Fatalf("seed %d round %d: %s %s at %v\ngot  %v %+v\nwant %v %+v", seed, round, kind, value, at, gok, got, wok, want)
				}
			}
		}
	}
}

func same(a, b Answer) bool {
	const near = 1e-4 // confidence is kept in 16 bits
	close := func(x, y float64) bool { return math.Abs(x-y) < near }
	// Level may differ only where the figure lies on an edge.
	edge := func(c float64) bool { return close(c, 0.6) || close(c, 0.9) }
	if a.Veto != b.Veto || !close(a.Confidence, b.Confidence) || len(a.Matches) != len(b.Matches) || a.Level != b.Level && !edge(a.Confidence) {
		return false
	}
	for i, m := range a.Matches {
		n := b.Matches[i]
		if m.Source != n.Source || m.Value != n.Value || m.Width != n.Width || !close(m.Confidence, n.Confidence) ||
			!m.LastSeen.Equal(n.LastSeen) || !m.Expires.Equal(n.Expires) || !slices.Equal(m.Tags, n.Tags) {
			return false
		}
	}
	return true
}
