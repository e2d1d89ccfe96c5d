// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/intel/reputation"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCompose: a bundle holds what the configuration names, each group its own, the same
// from the same.
func TestCompose(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/sigma/web/a rule.yml", "title: a")
	put(t, dir+"/sigma/readme.txt", "no rule")
	put(t, dir+"/yar/sub/x.yar", "rule x { condition: false }")
	put(t, dir+"/yar/bad.yar", "rule y { condition: nonsense }")
	put(t, dir+"/web/w.yar", "rule w { condition: false }")
	put(t, dir+"/prints/p.txt", "")
	cfg := DefaultConfig()
	cfg.Rules = []string{dir + "/sigma"}
	cfg.Bundles = Bundles{
		Content: Content{FileRules: dir + "/yar", Fingerprints: dir + "/prints", Hashes: []string{put(t, dir+"/known", "")}},
		Groups:  map[string]Content{"web": {FileRules: dir + "/web", MinAgent: "v1.0.0"}},
	}
	list := func(name, text string) reputation.List {
		return reputation.List{Name: name, Path: put(t, filepath.Join(dir, "lists", name), text), Format: "plain"}
	}
	cfg.Intel.Sources = []reputation.Source{{List: list("small", "203.0.113.9\n"), Confidence: 0.7}, {List: list("large", strings.Repeat("#", maxLists+1))}}
	cfg.Intel.Allow = []reputation.Allow{{List: list("ours", "198.51.100.0/24\n"), Hard: true}}
	m, err := readMaterial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if m.except["default"], err = decide.NewExceptions([]*decide.Exception{{ID: "x", Reason: "r", Owner: "o", Expires: time.Now(), Scope: decide.Scope{Rule: "z"}}}); err != nil {
		t.Fatal(err)
	}
	files, notes, err := m.files("default", "default", "0123")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(files))
	for _, want := range []string{"policy.yaml", "exceptions.yaml", "redaction.yaml", "lists.yaml", "rules/sigma/1/web/a_rule.yml", "rules/sigma/own/shell_on_socket.yml", "rules/file/sub/x.yar", "hashes/00-known", "fingerprints/p.txt"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %v", want, names)
		}
	}
	if slices.Contains(names, "rules/file/w.yar") || slices.Contains(names, "rules/sigma/1/readme.txt") {
		t.Errorf("more than wanted: %v", names)
	}
	var lists reputation.Config
	if err := yaml.Unmarshal(files[bundle.ListsFile], &lists); err != nil {
		t.Fatal(err)
	}
	if len(lists.Sources) != 1 || lists.Sources[0].Confidence != 0.7 || len(lists.Allow) != 1 || !lists.Allow[0].Hard {
		t.Errorf("%+v", lists)
	}
	for _, l := range []reputation.List{lists.Sources[0].List, lists.Allow[0].List} {
		if files[bundle.Lists+l.Path] == nil {
			t.Errorf("list %s at %q is not in the bundle", l.Name, l.Path)
		}
	}
	if said := strings.Join(notes, "\n"); !strings.Contains(said, `"large" stays`) || !strings.Contains(said, "bad.yar") {
		t.Errorf("what is left out: %s", said)
	}
	again, _, err := m.files("default", "default", "0123")
	if err != nil || bundle.ContentOf("", again) != bundle.ContentOf("", files) {
		t.Error("the same configuration gives other content")
	}
	if other, _, _ := m.files("default", "default", "4567"); bundle.ContentOf("", other) == bundle.ContentOf("", files) {
		t.Error("another redaction key is the same content")
	}
	if other, _, _ := m.files("red", "default", "0123"); strings.Contains(string(other[bundle.ExceptionsFile]), "rule: z") || !strings.Contains(string(files[bundle.ExceptionsFile]), "rule: z") {
		t.Errorf("exceptions of red %q, of default %q", other[bundle.ExceptionsFile], files[bundle.ExceptionsFile])
	}
	web, _, err := m.files("default", "web", "0123")
	if err != nil || web["rules/file/w.yar"] == nil || web["rules/file/sub/x.yar"] != nil || web["fingerprints/p.txt"] != nil {
		t.Errorf("group web: %v, %v", slices.Sorted(maps.Keys(web)), err)
	}
	cfg.Bundles.FileRules = dir + "/nowhere"
	if _, err := readMaterial(cfg); err == nil {
		t.Error("a folder that is not there is no error")
	}
	cfg.Bundles.Groups = map[string]Content{"no/name": {MinAgent: "three", FileRules: "relative"}}
	err = cfg.Validate()
	for _, want := range []string{"no/name", "min_agent", "absolute"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v names no %s", err, want)
		}
	}
}
