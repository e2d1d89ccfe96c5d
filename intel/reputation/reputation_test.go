// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/feed/csv"
	"github.com/ringwall/ringwall/feed/plain"
)

var noon = time.Date(2026, 6, 7, 12, 0, 0, 0, time.UTC)

// shelf is a folder of lists under test.
type shelf struct {
	t   *testing.T
	dir string
	age time.Duration // each write is a second newer, so that stamps differ
}

func newShelf(t *testing.T) *shelf { return &shelf{t: t, dir: t.TempDir()} }

func (s *shelf) put(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.age += time.Second
	at := noon.Add(-time.Hour).Add(s.age)
	if err := os.Chtimes(path, at, at); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *shelf) library(cfg Config) *Library {
	s.t.Helper()
	l, err := New(cfg, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *shelf) source(name, text string, confidence float64) Source {
	return Source{List: List{Name: name, Path: s.put(name, text), Format: "plain"}, Confidence: confidence}
}

func (s *shelf) allow(name, text string, hard bool) Allow {
	return Allow{List: List{Name: name, Path: s.put(name, text), Format: "plain"}, Hard: hard}
}

// expect checks the level, and the width of the first match ("" for none).
func expect(t *testing.T, l *Library, kind, value string, level Level, width Width) Answer {
	t.Helper()
	a, ok := l.Lookup(kind, value, noon)
	got := Width("")
	if len(a.Matches) > 0 {
		got = a.Matches[0].Width
	}
	if a.Level != level || got != width || ok != (width != "") {
		t.Errorf("%s %s: %v %q ok=%v, want %v %q; %+v", kind, value, a.Level, got, ok, level, width, a)
	}
	return a
}

func TestEveryKindAndWidth(t *testing.T) {
	s := newShelf(t)
	l := s.library(Config{Sources: []Source{s.source("one", `
45.0.0.1
45.1.0.0/16
2a0b::1
evil.com
deep.bad.co.uk
me.github.io
http://shop.com/kit/
http://shop.com/page?id=1
http://host.com/
http://45.9.9.9/x
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856
ja4:t13d1516h2_8daaf6152771_b0da82dd1658
`, 1)}})
	expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
	expect(t, l, "ip", "::ffff:45.0.0.1", Malicious, Exact)
	expect(t, l, "ip", "45.0.0.2", Unknown, "")
	if a := expect(t, l, "ip", "45.1.2.3", Malicious, InPrefix); a.Matches[0].Value != "45.1.0.0/16" {
		t.Errorf("%+v", a)
	}
	expect(t, l, "ip", "45.2.0.0", Unknown, "")
	expect(t, l, "prefix", "45.1.2.0/24", Malicious, InPrefix)
	expect(t, l, "prefix", "45.0.0.0/8", Unknown, "")
	expect(t, l, "ip", "2a0b::1", Malicious, Exact)
	expect(t, l, "domain", "evil.com", Malicious, Exact)
	expect(t, l, "domain", "EVIL.com.", Malicious, Exact)
	if a := expect(t, l, "domain", "a.b.evil.com", Malicious, Parent); a.Matches[0].Value != "evil.com" {
		t.Errorf("%+v", a)
	}
	expect(t, l, "domain", "notevil.com", Unknown, "")
	expect(t, l, "domain", "bad.co.uk", Unknown, "")
	expect(t, l, "domain", "x.deep.bad.co.uk", Malicious, Parent)
	expect(t, l, "domain", "a.me.github.io", Malicious, Parent)
	expect(t, l, "domain", "you.github.io", Unknown, "")
	expect(t, l, "url", "https://shop.com/kit/", Malicious, Exact)
	expect(t, l, "url", "http://shop.com/kit/login.php?a=b", Suspicious, PathPart)
	expect(t, l, "url", "http://shop.com/other", Unknown, "")
	expect(t, l, "url", "http://shop.com/page?id=1", Malicious, Exact)
	expect(t, l, "url", "http://shop.com/page?id=2", Unknown, "")
	expect(t, l, "url", "http://shop.com/page", Unknown, "")
	expect(t, l, "url", "http://shop.com/kit/?x=1", Malicious, NoQuery)
	expect(t, l, "url", "https://host.com/any/where", Suspicious, HostWide)
	expect(t, l, "url", "https://host.com:8443/any", Unknown, "")
	expect(t, l, "url", "http://www.evil.com/x", Malicious, Parent)
	expect(t, l, "url", "http://45.1.2.3/x", Malicious, HostWide)
	expect(t, l, "url", "http://45.9.9.9/x", Malicious, Exact)
	expect(t, l, "ip", "45.9.9.9", Unknown, "") // a page is listed, not its host
	expect(t, l, "hash", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B856", Malicious, Exact)
	expect(t, l, "fingerprint", "ja4:t13d1516h2_8daaf6152771_b0da82dd1658", Malicious, Exact)
	if l.Malformed() != 0 {
		t.Errorf("%d malformed", l.Malformed())
	}
	for _, q := range [][2]string{{"ip", "10.0.0.300"}, {"domain", "a b"}, {"hash", "xyz"}, {"email", "a@b.com"}, {"url", "::"}, {"ip", ""}} {
		if _, ok := l.Lookup(q[0], q[1], noon); ok {
			t.Errorf("%v answered", q)
		}
	}
	if l.Malformed() != 6 {
		t.Errorf("%d malformed, want 6", l.Malformed())
	}
}

func TestPublicSuffixesAreRefused(t *testing.T) {
	s := newShelf(t)
	l := s.library(Config{Sources: []Source{s.source("one", "github.io\nco.uk\nazurewebsites.net\nevil.com\n", 1)},
		Allow: []Allow{s.allow("good", "blogspot.com\nfine.com\n", true)}})
	expect(t, l, "domain", "x.github.io", Unknown, "")
	expect(t, l, "domain", "github.io", Unknown, "")
	expect(t, l, "domain", "shop.co.uk", Unknown, "")
	for _, h := range l.Health(noon) {
		if h.Name == "one" && (h.Suffixes != 3 || h.Count != 1) {
			t.Errorf("%+v", h)
		}
	}
}

func TestVetoes(t *testing.T) {
	s := newShelf(t)
	list := "10.1.2.3\n0.0.0.0\n8.8.8.8\n127.0.0.1\n198.41.0.4\n203.0.113.66\n45.0.0.1\n45.7.0.0/16\n45.8.0.1\n45.9.0.1\nfine.com\ncdn.com\nhttp://fine.com/x\nd41d8cd98f00b204e9800998ecf8427e\n::1\nfd00::1\n"
	cfg := Config{
		Sources:       []Source{s.source("one", list, 1)},
		Allow:         []Allow{s.allow("partners", "45.7.1.0/24\nfine.com\n", true), s.allow("clouds", "45.8.0.0/16\ncdn.com\n", false)},
		Own:           []netip.Prefix{netip.MustParsePrefix("45.9.0.0/24")},
		CountReserved: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
	}
	l := s.library(cfg)
	for _, v := range []string{"10.1.2.3", "0.0.0.0", "8.8.8.8", "127.0.0.1", "198.41.0.4", "45.9.0.1", "::1", "fd00::1"} {
		if a := expect(t, l, "ip", v, Allowed, Exact); !strings.HasPrefix(a.Veto, "hard: ") || a.Confidence != 0 {
			t.Errorf("%s: %+v", v, a)
		}
	}
	expect(t, l, "ip", "203.0.113.66", Malicious, Exact)
	expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
	expect(t, l, "ip", "45.7.2.1", Malicious, InPrefix)
	expect(t, l, "ip", "45.7.1.1", Allowed, InPrefix)
	expect(t, l, "ip", "192.168.0.1", Allowed, "") // no list names it; the veto still answers
	expect(t, l, "domain", "www.fine.com", Allowed, Parent)
	expect(t, l, "url", "http://fine.com/x", Allowed, Exact)
	expect(t, l, "hash", "d41d8cd98f00b204e9800998ecf8427e", Allowed, Exact)
	if a := expect(t, l, "ip", "45.8.0.1", Listed, Exact); a.Veto != "soft: clouds" || a.Confidence != 0.5 {
		t.Errorf("%+v", a)
	}
	if a := expect(t, l, "domain", "x.cdn.com", Listed, Parent); a.Veto != "soft: clouds" {
		t.Errorf("%+v", a)
	}
}

// An allow-list that could never be read must not turn its entries into targets.
func TestMissingHardAllowListCaps(t *testing.T) {
	s := newShelf(t)
	cfg := Config{Sources: []Source{s.source("one", "45.0.0.1\n", 1)},
		Allow: []Allow{{List: List{Name: "gone", Path: filepath.Join(s.dir, "gone"), Format: "plain"}, Hard: true}}}
	l, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err == nil || !strings.Contains(err.Error(), `list "gone"`) {
		t.Errorf("error %v does not name the list", err)
	}
	if a := expect(t, l, "ip", "45.0.0.1", Listed, Exact); !strings.Contains(a.Veto, "gone") {
		t.Errorf("%+v", a)
	}
	s.put("gone", "45.0.0.2\n")
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
}

// Ten copies of a list weigh as one (intel.md §8 goal 3).
func TestCopiesMintNoConfidence(t *testing.T) {
	s := newShelf(t)
	one := s.library(Config{Sources: []Source{s.source("a", "45.0.0.1\n", 0.7)}})
	var many Config
	for i := range 10 {
		many.Sources = append(many.Sources, s.source(fmt.Sprintf("copy%d", i), "45.0.0.1\n", 0.7))
	}
	a, _ := one.Lookup("ip", "45.0.0.1", noon)
	b, _ := s.library(many).Lookup("ip", "45.0.0.1", noon)
	if a.Confidence != b.Confidence || len(b.Matches) != 10 {
		t.Errorf("%v alone, %v with ten copies", a.Confidence, b.Confidence)
	}
}

func TestDecayAndExpiry(t *testing.T) {
	s := newShelf(t)
	src := s.source("one", "value,seen,until\n45.0.0.1,2026-06-07,\n45.0.0.2,2026-06-07,2026-06-10\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856,2020-01-01,\n45.0.0.3,2026-01-01,\n", 1)
	src.Format, src.CSV = "csv", csv.Columns{Value: "value", LastSeen: "seen", Expires: "until"}
	src.HalfLife, src.Expiry = 10*day, 30*day
	l := s.library(Config{Sources: []Source{src}})
	at := func(value string, days int) (float64, bool) {
		kind := "ip"
		if len(value) == 64 {
			kind = "hash"
		}
		a, ok := l.Lookup(kind, value, time.Date(2026, 6, 7, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days))
		return a.Confidence, ok
	}
	near := func(got, want float64) bool { return got > want-0.001 && got < want+0.001 }
	if c, _ := at("45.0.0.1", 10); !near(c, 0.5) {
		t.Errorf("after one half-life %v", c)
	}
	if c, ok := at("45.0.0.1", 29); !ok || !near(c, 0.134) {
		t.Errorf("after 29 days %v %v", c, ok)
	}
	if _, ok := at("45.0.0.1", 30); ok {
		t.Error("outlived the source's expiry")
	}
	if _, ok := at("45.0.0.2", 2); !ok {
		t.Error("ended before its own expiry")
	}
	if _, ok := at("45.0.0.2", 3); ok {
		t.Error("outlived its own expiry")
	}
	if c, _ := at("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856", 0); !near(c, 1) {
		t.Errorf("a hash decayed to %v", c)
	}
	if _, ok := at("45.0.0.3", 0); ok {
		t.Error("expired when loaded, yet answers")
	}
	for _, h := range l.Health(noon) {
		if h.Name == "one" && h.Expired != 1 {
			t.Errorf("%+v", h)
		}
	}
}

// Whatever a source turns into, the last good state stays and health names the guilty.
func TestBadVersionKeepsLastGood(t *testing.T) {
	var good strings.Builder
	for i := range 200 {
		fmt.Fprintf(&good, "45.0.%d.%d\n", i/100, i%100)
	}
	bundle := `{"type":"bundle","objects":[{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '45.0.0.1']","pattern_type":"stix"}]}`
	for _, c := range []struct{ name, format, good, bad, says string }{
		{"page", "plain", good.String(), "<!DOCTYPE html><html>limit</html>", "HTML"},
		{"empty", "plain", good.String(), "", "empty"},
		{"comments", "plain", good.String(), "# nothing today\n", "no indicator"},
		{"prose", "plain", good.String(), "Your quota is used up\n", "no indicator"},
		{"packed", "plain", good.String(), "\x1f\x8b\x08\x00\x00", "unpack"},
		{"swapped", "plain", good.String(), "45.9.9.9\n" + strings.Repeat("name surname\n", 5), "not understood"},
		{"cut", "plain", good.String(), "45.0.0.1\n", "shrank from 200 to 1"},
		{"cut json", "stix", bundle, bundle[:len(bundle)-5], "cut short"},
		{"other json", "stix", bundle, `{"error":"no key"}`, "no type"},
		{"misp error", "misp", `{"Event":{"Attribute":[{"type":"ip-dst","to_ids":true,"value":"45.0.0.1"}]}}`, `{"name":"Authentication failed."}`, "no indicator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelf(t)
			src := s.source("feed", c.good, 1)
			src.Format = c.format
			other := s.source("other", "45.5.5.5\n", 1)
			l := s.library(Config{Sources: []Source{src, other}})
			expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
			s.put("feed", c.bad)
			s.put("other", "45.5.5.6\n")
			err := l.Reload(context.Background(), noon)
			if err == nil || !strings.Contains(err.Error(), `list "feed"`) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v; want the list's name and %q", err, c.says)
			}
			expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
			expect(t, l, "ip", "45.5.5.6", Malicious, Exact) // the rest moves on
			expect(t, l, "ip", "45.5.5.5", Unknown, "")
			for _, h := range l.Health(noon) {
				if bad := h.Error != ""; bad != (h.Name == "feed") || !h.Loaded {
					t.Errorf("health %+v", h)
				}
			}
			s.put("feed", c.good+"\n")
			if err := l.Reload(context.Background(), noon); err != nil {
				t.Errorf("after mending: %v", err)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		s := newShelf(t)
		l := s.library(Config{Sources: []Source{s.source("feed", "45.0.0.1\n", 1)}})
		os.Remove(filepath.Join(s.dir, "feed"))
		if err := l.Reload(context.Background(), noon); err == nil {
			t.Error("no error for a missing file")
		}
		expect(t, l, "ip", "45.0.0.1", Malicious, Exact)
	})
}

func TestShrinkIsTakenWhenItStays(t *testing.T) {
	s := newShelf(t)
	var good strings.Builder
	for i := range 200 {
		fmt.Fprintf(&good, "45.0.%d.%d\n", i/100, i%100)
	}
	l := s.library(Config{Sources: []Source{s.source("feed", good.String(), 1)}})
	s.put("feed", "45.0.0.1\n")
	if err := l.Reload(context.Background(), noon); err == nil {
		t.Fatal("taken at once")
	}
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "ip", "45.0.0.2", Unknown, "")
}

// The same file coming back must clear the error that its absence, or a bad version, left.
func TestErrorEndsWithItsCause(t *testing.T) {
	s := newShelf(t)
	path := s.put("feed", strings.Repeat("45.0.0.1\n", 3))
	l := s.library(Config{Sources: []Source{{List: List{Name: "feed", Path: path, Format: "plain"}, Confidence: 1}}})
	aside := path + ".aside"
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if l.Reload(context.Background(), noon) == nil {
		t.Fatal("no error for a missing file")
	}
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Error(err)
	}
	s.put("feed", "")
	for range 2 { // the second reload sees an unchanged file, and says the same
		if err := l.Reload(context.Background(), noon); err == nil || strings.Count(err.Error(), `list "feed"`) != 1 {
			t.Errorf("error %v", err)
		}
	}
}

func TestBudget(t *testing.T) {
	s := newShelf(t)
	var big strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&big, "45.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	l, err := New(Config{MaxBytes: 1 << 20, Sources: []Source{s.source("big", big.String(), 1), s.source("small", "45.200.0.1\n", 1)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background(), noon); err == nil || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("error %v", err)
	}
	expect(t, l, "ip", "45.200.0.1", Malicious, Exact)
}

// A file that is rewritten with the same bytes is not fresh (intel.md §7).
func TestRewrittenIsNotRenewed(t *testing.T) {
	s := newShelf(t)
	src := s.source("feed", "45.0.0.1\n", 1)
	src.StaleAfter = 2 * time.Hour
	l := s.library(Config{Sources: []Source{src}})
	s.put("feed", "45.0.0.1\n")
	if err := l.Reload(context.Background(), noon); err != nil {
		t.Fatal(err)
	}
	h := l.Health(noon.Add(2 * time.Hour))[2]
	if !h.Stale || h.Age != 3*time.Hour-time.Second {
		t.Errorf("%+v", h)
	}
}

func TestFolderOfMISP(t *testing.T) {
	s := newShelf(t)
	dir := filepath.Join(s.dir, "misp")
	os.Mkdir(dir, 0o700)
	s.put("misp/manifest.json", `{"5a3b0000-0000-4000-8000-000000000001":{}}`)
	s.put("misp/5a3b0000-0000-4000-8000-000000000001.json", `{"Event":{"Tag":[{"name":"tlp:green"}],"Attribute":[{"type":"domain","to_ids":true,"value":"evil.com"}]}}`)
	l := s.library(Config{Sources: []Source{{List: List{Name: "circl", Path: dir, Format: "misp"}, Confidence: 0.95, Tags: []string{"osint"}}}})
	a := expect(t, l, "domain", "www.evil.com", Malicious, Parent)
	if fmt.Sprint(a.Matches[0].Tags) != "[osint tlp:green]" {
		t.Errorf("%+v", a)
	}
}

func TestValidateNamesTheFault(t *testing.T) {
	for want, c := range map[string]Config{
		"twice":          {Sources: []Source{{List: List{Name: "a", Path: "x", Format: "plain"}}, {List: List{Name: "a", Path: "x", Format: "plain"}}}},
		"format":         {Sources: []Source{{List: List{Name: "a", Path: "x", Format: "xml"}}}},
		"path":           {Sources: []Source{{List: List{Name: "a", Format: "plain"}}}},
		"confidence":     {Sources: []Source{{List: List{Name: "a", Path: "x", Format: "plain"}, Confidence: 85}}},
		"name the colum": {Sources: []Source{{List: List{Name: "a", Path: "x", Format: "csv"}}}},
		"kind":           {Allow: []Allow{{List: List{Name: "a", Path: "x", Format: "plain", Plain: plain.Options{Kind: "email"}}}}},
		"must rise":      {Suspicious: 0.95},
		"max_bytes":      {MaxBytes: 5},
		"own":            {Own: []netip.Prefix{{}}},
	} {
		if _, err := New(c, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

// Look-ups go on while generations change; each sees one whole generation.
func TestLookupDuringReload(t *testing.T) {
	s := newShelf(t)
	l := s.library(Config{Sources: []Source{s.source("feed", "45.0.0.1\nevil.com\n", 1), s.source("other", "45.1.0.0/16\n", 0.95)}})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, q := range [][2]string{{"ip", "45.0.0.1"}, {"ip", "45.1.0.1"}, {"domain", "a.evil.com"}} {
					if a, ok := l.Lookup(q[0], q[1], noon); !ok || a.Level != Malicious {
						t.Errorf("%v: %+v", q, a)
						return
					}
				}
				l.Health(noon)
			}
		})
	}
	for i := range 50 {
		s.put("feed", fmt.Sprintf("45.0.0.1\nevil.com\n45.3.0.%d\n", i))
		if err := l.Reload(context.Background(), noon); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := newShelf(t)
	src := s.source("feed", "45.0.0.1\n", 1)
	src.Expiry = -1 // Run dates by the real clock, the list is dated in the past
	l, err := New(Config{Reload: time.Second, Sources: []Source{src}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	found := false
	for range 5000 {
		if _, found = l.Lookup("ip", "45.0.0.1", noon); found {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if !found {
		t.Error("Run loaded nothing")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
