// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestListsAsDocumented: the example of docs/intel.md, with a file of each format, answers
// for each kind of value with source, tags, confidence and expiry.
func TestListsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/intel.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/intel.md has no example")
	}
	dir := t.TempDir()
	now := time.Now().UTC()
	day := func(days int) string { return now.AddDate(0, 0, days).Format(time.RFC3339) }
	hash := strings.Repeat("ab", 32)
	for name, text := range map[string]string{
		"scanners.txt": "# seen knocking\n45.155.205.233\n91.92.240.0/20\nja4:t13d1516h2_8daaf6152771_b0da82dd1658\n66.249.66.1\n",
		"urls.csv": "url,threat,seen,until,certainty\n" +
			"http://kit.example.net/login,phishing," + day(-1) + "," + day(10) + ",98\n" +
			"http://old.example.net/x,phishing," + day(-90) + "," + day(-1) + ",98\n",
		"partner.stix.json": `{"type":"bundle","id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d","objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
			"created":"` + day(-2) + `","modified":"` + day(-2) + `","pattern_type":"stix","pattern":"[domain-name:value = 'c2.example.org']","valid_from":"` + day(-2) + `","valid_until":"` + day(5) + `","labels":["c2"]}]}`,
		"event.misp.json": fmt.Sprintf(`{"Event":{"info":"drop","timestamp":"%d","Tag":[{"name":"dropper"}],"Attribute":[{"type":"sha256","to_ids":true,"value":%q,"timestamp":"%d"}]}}`, now.Unix()-3600, hash, now.Unix()-3600),
		"crawlers.txt":    "66.249.64.0/19\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	write(t, filepath.Join(b.data, "ringwall.yaml"), "metrics: off\n"+strings.ReplaceAll(example, "/var/lib/lists", dir))
	if out, err := command(b.data, "config", "check"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b.start(t)
	type match struct {
		Source     string
		Tags       []string
		Confidence float64
		Expires    time.Time
	}
	type answer struct {
		Lists struct {
			Level, Veto string
			Matches     []match
		}
	}
	for _, c := range []struct{ value, level, source, tag string }{
		{"45.155.205.233", "suspicious", "scanners", "scanner"},
		{"91.92.241.7", "suspicious", "scanners", "scanner"},
		{"ja4:t13d1516h2_8daaf6152771_b0da82dd1658", "suspicious", "scanners", "scanner"},
		{"http://kit.example.net/login", "malicious", "urls", "phishing"},
		{"c2.example.org", "malicious", "partner", "c2"},
		{"www.c2.example.org", "malicious", "partner", "c2"},
		{hash, "malicious", "community", "dropper"},
		{"66.249.66.1", "allowed", "scanners", "scanner"},
		{"45.155.205.234", "unknown", "", ""},
		{"http://old.example.net/x", "unknown", "", ""}, // expired
		{strings.Repeat("cd", 32), "unknown", "", ""},
	} {
		got := document[answer](t, b.data, "intel", "lookup", c.value).Lists
		if got.Level != c.level {
			t.Errorf("%s is %s, want %s (%+v)", c.value, got.Level, c.level, got)
		}
		if c.source == "" {
			continue
		}
		if len(got.Matches) != 1 || got.Matches[0].Source != c.source || !strings.Contains(strings.Join(got.Matches[0].Tags, " "), c.tag) || got.Matches[0].Confidence <= 0 {
			t.Errorf("%s: %+v; want it from %s, tagged %s", c.value, got.Matches, c.source, c.tag)
			continue
		}
		if e := got.Matches[0].Expires; len(c.value) != len(hash) && !strings.HasPrefix(c.value, "ja4:") && (e.Before(now) || e.After(now.AddDate(0, 0, 91))) {
			t.Errorf("%s expires at %v", c.value, e)
		}
	}
	if err := try(b.data, "intel", "lookup", "no value at all"); err == nil || !strings.Contains(err.Error(), "no value at all") {
		t.Errorf("nonsense: %v", err)
	}
	b.stop(t)
}
