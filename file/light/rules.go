// SPDX-License-Identifier: Apache-2.0

package light

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

//go:embed rules/*.yar
var builtin embed.FS

// Sources gives the rule text that is built in, by file name. The caller owns
// the map.
func Sources() map[string]string {
	out := map[string]string{}
	entries, err := builtin.ReadDir("rules")
	if err != nil {
		panic(err) // embedded: cannot fail
	}
	for _, e := range entries {
		raw, err := builtin.ReadFile(path.Join("rules", e.Name()))
		if err != nil {
			panic(err)
		}
		out[e.Name()] = string(raw)
	}
	return out
}

// BuiltIn gives the built-in rules, compiled once.
var BuiltIn = sync.OnceValue(func() *Rules { return MustCompile(Sources()) })

// Load compiles the built-in rules together with every *.yar and *.yara file
// below the folders, an operator's own. A file named as a built-in one, or as
// one of a folder before, takes its place. Empty names are left out.
func Load(dirs ...string) (*Rules, []Refusal, error) {
	sources, total, own := Sources(), 0, false
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		own = true
		if err := gather(dir, sources, &total); err != nil {
			return nil, nil, fmt.Errorf("load rules from %q: %w", dir, err)
		}
	}
	if !own {
		return BuiltIn(), nil, nil
	}
	return Compile(sources)
}

// gather adds the rule files below a folder.
func gather(dir string, sources map[string]string, total *int) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ext := strings.ToLower(filepath.Ext(name))
		if !d.Type().IsRegular() || ext != ".yar" && ext != ".yara" {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if *total += int(min(info.Size(), maxSource+1)); *total > maxSource {
			return fmt.Errorf("more than %d MiB of rules", maxSource>>20)
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			rel = name
		}
		sources[filepath.ToSlash(rel)] = string(raw)
		return nil
	})
}

// Score reads meta score: the calibrated probability that a file the rule is
// true for is malicious. THOR and signature-base write 0 to 100, which is
// taken as percent. A rule without a score gives 0.5: it says something, but
// convicts nobody. Nor does what is only mentioned.
func (m Match) Score() float64 {
	v, err := strconv.ParseFloat(m.Meta["score"], 64)
	switch {
	case err != nil || v < 0 || v != v:
		v = unscored
	case v > 1:
		v = min(v/100, 1)
	}
	if m.Mention {
		v = min(v, unscored)
	}
	return v
}

const unscored = 0.5

// Described is one rule as its author wrote of it.
type Described struct {
	Name, Source    string
	Private, Global bool
	Tags            []string
	Meta            map[string]string
}

// List describes all rules, in the order in which they were compiled. The maps are the
// rules' own: do not change them.
func (r *Rules) List() []Described {
	out := make([]Described, len(r.rules))
	for i, x := range r.rules {
		out[i] = Described{x.name, x.source, x.private, x.global, x.tags, x.meta}
	}
	return out
}
