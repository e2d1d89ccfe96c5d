// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/semver"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/file/light"
	"github.com/ringwall/ringwall/intel/reputation"
)

// Bundles says what agents get to work from, beside policy, exceptions, Sigma rules and
// lists, which the brain has in sections of their own.
type Bundles struct {
	Content `yaml:",inline"`
	// Groups replaces Content for the hosts of a group.
	Groups map[string]Content `yaml:"groups"`
}

// Content is what the agents of a group get.
type Content struct {
	FileRules    string   `yaml:"file_rules"`   // folder of *.yar, beside the built-in ones
	Hashes       []string `yaml:"hashes"`       // lists of lines "SHA256 white|black [note]"
	Fingerprints string   `yaml:"fingerprints"` // folder of *.txt: "METHOD:VALUE benign|malicious NAME"
	MinAgent     string   `yaml:"min_agent"`    // v1.2.3: older agents keep what they have
}

func (c *Content) validate(where string) error {
	var errs []error
	for _, p := range append([]string{c.FileRules, c.Fingerprints}, c.Hashes...) {
		if p != "" && !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", where, p))
		}
	}
	if c.MinAgent != "" && !semver.IsValid(c.MinAgent) {
		errs = append(errs, fmt.Errorf("%s.min_agent: %q; want a version such as v1.4.0", where, c.MinAgent))
	}
	return errors.Join(errs...)
}

// of is what a group gets.
func (b *Bundles) of(group string) Content {
	if c, ok := b.Groups[group]; ok {
		return c
	}
	return b.Content
}

// material is what bundles are made of, read when a configuration is taken: the brain
// judges by the same rules.
type material struct {
	shared map[string][]byte             // of every group
	groups map[string]map[string][]byte  // of each Content: "" is the common one
	except map[string]*decide.Exceptions // in force for each tenant; the caller sets them
	cfg    Config
	notes  []string // what is left out
}

// Bounds of what is read for a bundle, which agents download and unpack.
const (
	maxBundled = 64 << 20 // of all rules, hash lists and fingerprints of a group
	maxLists   = 8 << 20  // of the lists that agents get; the others stay with the brain
)

// readMaterial reads everything but the lists, which change more often.
func readMaterial(cfg Config) (*material, error) {
	m := &material{shared: map[string][]byte{}, groups: map[string]map[string][]byte{}, except: map[string]*decide.Exceptions{}, cfg: cfg}
	fail := func(err error) (*material, error) { return nil, fmt.Errorf("read what bundles are made of: %w", err) }
	if err := m.shape(bundle.PolicyFile, cfg.Policy); err != nil {
		return fail(err)
	}
	more, err := sigma.Dirs(cfg.Rules)
	if err != nil {
		return fail(err)
	}
	own := sigma.Own()
	if err := addFolder(m.shared, own.FS, bundle.SigmaRules+"own/", ".yml", ".yaml"); err != nil {
		return fail(err)
	}
	for i, src := range more {
		if err := addFolder(m.shared, src.FS, bundle.SigmaRules+strconv.Itoa(i+1)+"/", ".yml", ".yaml"); err != nil {
			return fail(fmt.Errorf("%s: %w", src.Name, err))
		}
	}
	if m.groups[""], err = m.group(cfg.Bundles.Content); err != nil {
		return fail(err)
	}
	for name, c := range cfg.Bundles.Groups {
		if m.groups[name], err = m.group(c); err != nil {
			return fail(fmt.Errorf("group %s: %w", name, err))
		}
	}
	return m, nil
}

// group reads what one Content names.
func (m *material) group(c Content) (map[string][]byte, error) {
	files := map[string][]byte{}
	if c.FileRules != "" {
		_, refused, err := light.Load(c.FileRules)
		if err != nil {
			return nil, err
		}
		for _, r := range refused {
			m.notes = append(m.notes, "agents leave out "+r.Error())
		}
		if err := addFolder(files, os.DirFS(c.FileRules), bundle.FileRules, ".yar", ".yara"); err != nil {
			return nil, fmt.Errorf("%s: %w", c.FileRules, err)
		}
	}
	if c.Fingerprints != "" {
		if err := addFolder(files, os.DirFS(c.Fingerprints), bundle.Fingerprints, ".txt"); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Fingerprints, err)
		}
	}
	for i, name := range c.Hashes {
		raw, err := readBounded(name, maxBundled)
		if err != nil {
			return nil, err
		}
		files[fmt.Sprintf("%s%02d-%s", bundle.Hashes, i, bundle.CleanName(filepath.Base(name)))] = raw
	}
	return files, nil
}

// shape writes a part of the configuration.
func (m *material) shape(name string, value any) error {
	raw, err := yaml.Marshal(value)
	if err == nil {
		m.shared[name] = raw
	}
	return err
}

// addFolder takes the files of some endings below a folder.
func addFolder(into map[string][]byte, from fs.FS, under string, endings ...string) error {
	total := 0
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		ext := strings.ToLower(path.Ext(name))
		wanted := strings.HasSuffix(name, "LICENSE.Detection.Rules.md")
		for _, e := range endings {
			wanted = wanted || e == ext
		}
		if !wanted {
			return nil
		}
		raw, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		if total += len(raw); total > maxBundled {
			return fmt.Errorf("more than %d MiB of files", maxBundled>>20)
		}
		clean := under + bundle.CleanName(name)
		if _, double := into[clean]; double {
			return fmt.Errorf("two files would be called %s", clean)
		}
		into[clean] = raw
		return nil
	})
}

func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("read %s: more than %d MiB", name, most>>20)
	}
	return raw, err
}

// files gives the contents of a group's bundle, the lists as they are now, and what is
// left out of it.
func (m *material) files(tenant, group, keyID string) (files map[string][]byte, notes []string, err error) {
	files = maps.Clone(m.shared)
	own, named := m.groups[group]
	if !named {
		own = m.groups[""]
	}
	maps.Copy(files, own)
	if files[bundle.RedactionFile], err = yaml.Marshal(bundle.Redaction{KeyID: keyID}); err != nil {
		return nil, nil, err
	}
	if files[bundle.ExceptionsFile], err = yaml.Marshal(m.except[tenant].List()); err != nil {
		return nil, nil, err
	}
	left, err := addLists(files, m.cfg.Intel)
	return files, append(left, m.notes...), err
}

// addLists takes the lists that fit, in the order of the configuration, and what the
// library needs to read them alike.
func addLists(files map[string][]byte, cfg reputation.Config) (left []string, err error) {
	total := int64(0)
	add := func(l *reputation.List) bool {
		st, err := os.Stat(l.Path)
		switch {
		case err != nil:
			left = append(left, fmt.Sprintf("list %q stays with the brain: %v", l.Name, err))
			return false
		case !st.Mode().IsRegular() || total+st.Size() > maxLists:
			left = append(left, fmt.Sprintf("list %q stays with the brain: it is a folder, or over the %d MiB that agents get", l.Name, maxLists>>20))
			return false
		}
		raw, err := readBounded(l.Path, maxLists)
		if err != nil {
			left = append(left, fmt.Sprintf("list %q stays with the brain: %v", l.Name, err))
			return false
		}
		total += int64(len(raw))
		l.Path = fmt.Sprintf("%02d-%s", len(files), bundle.CleanName(l.Name))
		files[bundle.Lists+l.Path] = raw
		return true
	}
	in := cfg
	in.Sources, in.Allow = nil, nil
	for _, a := range cfg.Allow { // first: without what it forbids no list may speak
		if !add(&a.List) {
			return left, nil
		}
		in.Allow = append(in.Allow, a)
	}
	for _, s := range cfg.Sources {
		if add(&s.List) {
			in.Sources = append(in.Sources, s)
		}
	}
	if len(in.Sources) == 0 {
		return left, nil
	}
	files[bundle.ListsFile], err = yaml.Marshal(in)
	return left, err
}
