// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/verdict"
)

const ja4 = "ja4:t13d1516h2_8daaf6152771_02713d6af862"

// contents of a bundle that has one of everything.
func contents() map[string][]byte {
	return map[string][]byte{
		bundle.ExceptionsFile:         []byte("- {id: x, scope: {rule: light/mark}, reason: ours, owner: me, expires: 2099-01-01T00:00:00Z}\n"),
		bundle.RedactionFile:          []byte("key_id: 0123456789abcdef\n"),
		bundle.ListsFile:              []byte("sources:\n  - {name: tools, path: 00-tools, format: plain, plain: {kind: fingerprint}, confidence: 0.95, tags: [beacon]}\n"),
		bundle.Lists + "00-tools":     []byte(ja4 + "\n"),
		bundle.FileRules + "mark.yar": []byte(`rule mark { meta: score = 95 strings: $a = "the mark" condition: $a }`),
		bundle.Hashes + "00-h":        []byte(strings.Repeat("ab", 32) + " black known\n"),
		bundle.Fingerprints + "a.txt": []byte(strings.ToLower("ja3:"+strings.Repeat("0a", 16)) + " malicious tool\n"),
		"models/of-a-later-brain.bin": {1, 2, 3},
	}
}

type fixture struct {
	t   *testing.T
	key *identity.SigningKey
	a   *Agent
	dir string
}

func newFixture(t *testing.T, data string) *fixture {
	t.Helper()
	key, err := identity.OpenSigningKey(filepath.Join(data, "keys"), "sign.key")
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Sensors = map[string]Switch{}
	self := &identity.Agent{Tenant: "red", Host: "h", Group: "web", Keys: []identity.PublicKey{key.Public()}}
	a, err := New(cfg, Options{Data: filepath.Join(data, "a"), Self: self, Secret: make([]byte, 32), Version: "v1.4.0-3-gabcdef0", Board: health.NewBoard(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.shelf.close)
	return &fixture{t, key, a, filepath.Join(data, "a", "bundle")}
}

func (f *fixture) take(version uint64, files map[string][]byte, change ...func(*bundle.Manifest)) error {
	f.t.Helper()
	m := bundle.Manifest{Tenant: "red", Group: "web", Version: version, Created: time.Now()}
	for _, c := range change {
		c(&m)
	}
	raw, err := bundle.Build(m, files, f.key, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _, _, err = f.a.takeBundle(f.t.Context(), raw)
	return err
}

func (f *fixture) board(name string) (state, reason string) {
	for _, c := range f.a.opt.Board.Components() {
		if c.Name == name {
			return c.State, c.Reason
		}
	}
	return "", ""
}

// TestWork: everything a bundle holds for a host is in force, and is after a restart.
func TestWork(t *testing.T) {
	data := t.TempDir()
	f := newFixture(t, data)
	if f.a.work != nil {
		t.Fatal("an agent without a bundle has one")
	}
	before := f.a.layers.Load()
	if err := f.take(1, contents()); err != nil {
		t.Fatal(err)
	}
	check := func(a *Agent) {
		t.Helper()
		w := a.work
		if w == nil || !strings.HasPrefix(w.ref, "web/1/") || len(w.wrong) > 0 {
			t.Fatalf("%+v", w)
		}
		path := filepath.Join(data, "marked.txt")
		if err := os.WriteFile(path, []byte("this bears the mark\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := a.layers.Load().file.judge.Path(t.Context(), path)
		if err != nil || len(r.Engines) == 0 || r.Engines[0].Name != "light/mark" {
			t.Errorf("the file rule of the bundle: %+v, %v", r, err)
		}
		if k, ok := w.lookup()("fingerprint", ja4, time.Now()); !ok || !k.Malicious || k.Label != "beacon" || k.Source != "tools" {
			t.Errorf("the list of the bundle: %+v %v", k, ok)
		}
		hit, miss := &verdict.Finding{Rule: "light/mark", Colour: verdict.Colour_BLACK, Score: 0.9}, &verdict.Finding{Rule: "light/other", Colour: verdict.Colour_BLACK, Score: 0.9}
		w.mark(hit)
		w.mark(miss)
		if hit.Bundle != w.ref || hit.Black() || len(hit.Evidence) != 1 || miss.Bundle != w.ref || !miss.Black() {
			t.Errorf("the exception of the bundle: %v, %v", hit, miss)
		}
	}
	check(f.a)
	if f.a.layers.Load() == before || f.a.layers.Load().network == before.network {
		t.Error("the layers are those of before")
	}
	if state, reason := f.board("redaction"); state != "degraded" || !strings.Contains(reason, "not its tenant's") {
		t.Errorf("another redaction key: %s %s", state, reason)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "work-of-a-kill"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The next life, on what this one has on disk.
	next := t.TempDir()
	for _, dir := range []string{"keys", "a/bundle"} {
		if err := os.CopyFS(filepath.Join(next, dir), os.DirFS(filepath.Join(data, dir))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(next, "keys", "sign.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = newFixture(t, next)
	check(f.a)
	if left, _ := filepath.Glob(filepath.Join(f.dir, workPrefix+"*")); len(left) != 1 {
		t.Errorf("unpacked: %v", left)
	}
}

// TestRefusedBundles: what does not work as a whole changes nothing at all.
func TestRefusedBundles(t *testing.T) {
	f := newFixture(t, t.TempDir())
	if err := f.take(5, contents()); err != nil {
		t.Fatal(err)
	}
	work, layers := f.a.work, f.a.layers.Load()
	with := func(name, text string) map[string][]byte {
		files := contents()
		files[name] = []byte(text)
		return files
	}
	n := uint64(0)
	for what, c := range map[string]struct {
		version uint64
		files   map[string][]byte
		change  func(*bundle.Manifest)
		want    string
	}{
		"older":                           {version: 4, files: contents(), want: bundle.ErrOlder.Error()},
		"newer agent":                     {version: 6, files: contents(), change: func(m *bundle.Manifest) { m.MinAgent = "v1.5.0" }, want: bundle.ErrAgentTooOld.Error()},
		"exceptions that are none":        {version: 6, files: with(bundle.ExceptionsFile, "- {id: x}"), want: "exception"},
		"exceptions that are no YAML":     {version: 6, files: with(bundle.ExceptionsFile, "\t{"), want: bundle.ExceptionsFile},
		"lists that are elsewhere":        {version: 6, files: with(bundle.ListsFile, "sources: [{name: a, path: ../../current.rwb, format: plain}]"), want: "has no file"},
		"lists of an unknown format":      {version: 6, files: with(bundle.ListsFile, "sources: [{name: a, path: 00-tools, format: exe}]"), want: "format"},
		"a redaction file that is a list": {version: 6, files: with(bundle.RedactionFile, "- a"), want: bundle.RedactionFile},
	} {
		change := func(*bundle.Manifest) {}
		if c.change != nil {
			change = c.change
		}
		if err := f.take(c.version, c.files, change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		n++
		if f.a.work != work || f.a.layers.Load() != layers || f.a.Refused()["bundles"] != n {
			t.Fatalf("%s: something changed, or it is not counted (%d of %d)", what, f.a.Refused()["bundles"], n)
		}
		if state, reason := f.board("bundle"); state != "degraded" || !strings.Contains(reason, work.ref) {
			t.Errorf("%s: told as %s %s", what, state, reason)
		}
		if left, _ := filepath.Glob(filepath.Join(f.dir, workPrefix+"*")); len(left) != 1 {
			t.Errorf("%s leaves %v", what, left)
		}
	}
	// A least agent that a build behind its tag satisfies; and a rule that does not compile is
	// left out and told, because agents may be of several ages.
	files := with(bundle.FileRules+"new.yar", "rule x { condition: of_a_later_year }")
	if err := f.take(6, files, func(m *bundle.Manifest) { m.MinAgent = "v1.4.0" }); err != nil {
		t.Fatal(err)
	}
	if state, reason := f.board("bundle"); state != "degraded" || !strings.Contains(reason, "left out") {
		t.Errorf("a rule that does not compile: %s %s", state, reason)
	}
	if err := f.take(7, contents()); err != nil {
		t.Fatal(err)
	}
	if state, reason := f.board("bundle"); state != "on" || !strings.HasPrefix(reason, "web/7/") {
		t.Errorf("%s %s", state, reason)
	}
}

// TestOpenedLater: a bundle on disk that could not be opened at the start, with the disk
// full, is in force as soon as it is offered again, and is not taken for the one that is.
func TestOpenedLater(t *testing.T) {
	f := newFixture(t, t.TempDir())
	if err := f.take(1, contents()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(f.dir, "current.rwb"))
	if err != nil {
		t.Fatal(err)
	}
	f.a.work.remove()
	f.a.work = nil // as lastGood leaves it
	before := f.a.layers.Load()
	ref, changed, settled, err := f.a.takeBundle(t.Context(), raw)
	if err != nil || !changed || !settled || f.a.work == nil || f.a.work.ref != ref || f.a.layers.Load() == before {
		t.Errorf("%s, changed %v, settled %v, %v; works from %+v", ref, changed, settled, err, f.a.work)
	}
	if _, changed, _, err := f.a.takeBundle(t.Context(), raw); changed || err != nil {
		t.Errorf("once more: changed %v, %v", changed, err)
	}
}

// TestOneOwner: two processes never share a shelf, and a file given to an agent that runs
// goes through it.
func TestOneOwner(t *testing.T) {
	data := t.TempDir()
	f := newFixture(t, data)
	if _, err := openShelf(filepath.Join(data, "a"), "dev", f.a.opt.Self.Verifier(nil)); !errors.Is(err, ErrRunning) {
		t.Fatalf("a second owner: %v", err)
	}
	raw, err := bundle.Build(bundle.Manifest{Tenant: "red", Group: "web", Version: 1, Created: time.Now()}, contents(), f.key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f.a.Refused()["bundles"] == 0 { // what housekeeping does once a second
			f.a.bundleGiven(t.Context())
			time.Sleep(time.Millisecond)
		}
	}()
	log := slog.New(slog.DiscardHandler)
	got, err := GiveBundle(t.Context(), filepath.Join(data, "a"), "dev", raw, log)
	if err != nil || !got.Changed || !strings.HasPrefix(got.Bundle, "web/1/") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = GiveBundle(t.Context(), filepath.Join(data, "a"), "dev", raw, log); err != nil || got.Changed {
		t.Errorf("again: %+v, %v", got, err)
	}
	if _, err := GiveBundle(t.Context(), filepath.Join(data, "a"), "dev", []byte("junk"), log); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("junk: %v", err)
	}
	<-done
	if _, err := GiveBundle(t.Context(), filepath.Join(data, "nowhere"), "dev", raw, log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
