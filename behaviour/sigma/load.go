// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is one place that rules come from.
type Source struct {
	FS      fs.FS
	Name    string // put in front of paths in Rule.Path and in reports
	License string // for rules that name none, e.g. "DRL-1.1"
}

// Options of Compile; the zero value is usable.
type Options struct {
	// Placeholders gives the values of %name% for the expand modifier. A rule whose placeholder is missing here
	// is refused.
	Placeholders map[string][]string
	// Sensors says which fields are really filled. Rules that cannot fire with them are reported in
	// Report.NeverFires and not run. Nil: no check, everything runs.
	Sensors []Sensor
}

// Report tells what became of every document; it is what `ringwall sigma check` prints.
type Report struct {
	Total      int          `json:"total"`  // documents seen: rules, correlations, filters
	Loaded     int          `json:"loaded"` // documents in the set, those that never fire included
	Refused    []Refused    `json:"refused"`
	NeverFires []NeverFires `json:"never_fires"`
}

// Refused is one document (or one file that is no YAML) that was not loaded.
type Refused struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func (r Refused) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Reason) }

// NeverFires is a rule that no sensor can satisfy, and what is missing.
type NeverFires struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	File    string   `json:"file"`
	Missing []string `json:"missing"`
}

// CompileDirs compiles all rules below the folders (or single files).
func CompileDirs(dirs []string, opt Options) (*Set, *Report, error) {
	sources, err := Dirs(dirs)
	if err != nil {
		return nil, nil, err
	}
	return Compile(sources, opt)
}

// Dirs makes sources of folders or single rule files, each with the licence beside it.
func Dirs(dirs []string) ([]Source, error) {
	var sources []Source
	for _, d := range dirs {
		st, err := os.Stat(d)
		if err != nil {
			return nil, fmt.Errorf("read Sigma rules in %q: %w", d, err)
		}
		if st.IsDir() {
			sources = append(sources, Source{FS: os.DirFS(d), Name: d, License: licenseOf(d)})
			continue
		}
		sources = append(sources, Source{FS: oneFile{os.DirFS(filepath.Dir(d)), filepath.Base(d)}, Name: filepath.Dir(d), License: licenseOf(filepath.Dir(d))})
	}
	return sources, nil
}

// licenseOf finds the licence that the Sigma project puts beside its rules, in the folder or up to three above.
func licenseOf(dir string) string {
	for range 4 {
		if _, err := os.Stat(filepath.Join(dir, "LICENSE.Detection.Rules.md")); err == nil {
			return "DRL-1.1"
		}
		dir = filepath.Join(dir, "..")
	}
	return ""
}

// oneFile is a file system in which only one file of another is seen.
type oneFile struct {
	fs.FS
	name string
}

func (o oneFile) ReadDir(name string) ([]fs.DirEntry, error) {
	st, err := fs.Stat(o.FS, o.name)
	if err != nil {
		return nil, err
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(st)}, nil
}

// caseSuffix marks files that hold cases for Test, not rules.
const caseSuffix = ".cases.yml"

// loader collects documents until all are known: correlations and filters name rules of any file.
type loader struct {
	opt          Options
	report       *Report
	rules        []*Rule
	byID         map[string]*Rule
	byName       map[string]*Rule
	correlations []*pending
	filters      []*pending
}

// pending is a document that waits for the rules it names.
type pending struct {
	rule *Rule
	body *yaml.Node
	top  map[string]*yaml.Node // the whole document
}

// Compile reads every *.yml and *.yaml file of the sources, in order of path. The error tells of sources that
// could not be read; a bad rule is no error but an entry of Report.Refused.
func Compile(sources []Source, opt Options) (*Set, *Report, error) {
	l := newLoader(opt)
	for _, src := range sources {
		err := fs.WalkDir(src.FS, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if ext := path.Ext(p); d.IsDir() || ext != ".yml" && ext != ".yaml" || strings.HasSuffix(p, caseSuffix) {
				return nil
			}
			return l.file(src, p)
		})
		if err != nil {
			return nil, nil, fmt.Errorf("read Sigma rules in %q: %w", src.Name, err)
		}
	}
	return l.finish()
}

// CompileText compiles the documents of one text, as of a file of that name. A bad rule is
// an entry of Report.Refused.
func CompileText(name string, raw []byte, opt Options) (*Set, *Report, error) {
	l := newLoader(opt)
	l.text(Source{}, name, raw)
	return l.finish()
}

func newLoader(opt Options) *loader {
	return &loader{opt: opt, report: &Report{Refused: []Refused{}, NeverFires: []NeverFires{}}, byID: map[string]*Rule{}, byName: map[string]*Rule{}}
}

// finish ties the documents together and makes the set.
func (l *loader) finish() (*Set, *Report, error) {
	l.applyFilters()
	l.applyCorrelations()
	sort.SliceStable(l.report.Refused, func(i, j int) bool {
		a, b := l.report.Refused[i], l.report.Refused[j]
		return a.File < b.File || a.File == b.File && a.Line < b.Line
	})
	for i, r := range l.rules {
		r.index = i
	}
	l.report.Loaded = l.report.Total - len(l.report.Refused)
	run := l.rules
	if l.opt.Sensors != nil {
		run = l.prune()
	}
	set, err := newSet(l.rules, run)
	if err != nil {
		return nil, nil, err
	}
	return set, l.report, nil
}

func (l *loader) refuse(file string, err error) {
	r := Refused{File: file, Line: 1, Reason: err.Error()}
	var f *fault
	if errors.As(err, &f) {
		r.Line, r.Reason = f.line, f.reason
	}
	l.report.Refused = append(l.report.Refused, r)
}

func (l *loader) file(src Source, p string) error {
	st, err := fs.Stat(src.FS, p)
	if err != nil {
		return err
	}
	file := path.Join(filepath.ToSlash(src.Name), p)
	if st.Size() > maxFile {
		l.report.Total++
		l.refuse(file, faultf(1, "file is larger than %d bytes", maxFile))
		return nil
	}
	raw, err := fs.ReadFile(src.FS, p)
	if err != nil {
		return err
	}
	l.text(src, file, raw)
	return nil
}

// text compiles every document of one file's text.
func (l *loader) text(src Source, file string, raw []byte) {
	docs, err := documents(raw)
	if err != nil {
		l.report.Total++
		l.refuse(file, err)
	}
	sum := sha256.Sum256(raw)
	version := hex.EncodeToString(sum[:8])
	for i, d := range docs {
		l.report.Total++
		if err := l.document(src, file, version, i, d); err != nil {
			l.refuse(file, err)
		}
	}
}

// document compiles one document or puts it aside for later.
func (l *loader) document(src Source, file, version string, number int, n *yaml.Node) error {
	entries, err := pairs(n)
	if err != nil {
		return err
	}
	keys := map[string]*yaml.Node{}
	for _, p := range entries {
		keys[p.key.Value] = p.value
	}
	r := &Rule{Path: file, Line: n.Line, License: src.License, Version: version}
	if err := readMeta(r, keys, n.Line); err != nil {
		return err
	}
	if r.ID == "" {
		r.ID = fmt.Sprintf("%s#%d", file, number)
	}
	if err := unsupported(r, keys); err != nil {
		return err
	}
	if other := l.byID[r.ID]; other != nil {
		return faultf(keys["id"].Line, "id %s is already that of %s", r.ID, other.Path)
	}
	if other := l.byName[r.Name]; r.Name != "" && other != nil {
		return faultf(keys["name"].Line, "name %q is already that of %s", r.Name, other.Path)
	}
	switch {
	case keys["correlation"] != nil:
		l.correlations = append(l.correlations, &pending{r, keys["correlation"], keys})
		l.admit(r)
		return nil
	case keys["filter"] != nil:
		l.filters = append(l.filters, &pending{r, keys["filter"], keys})
		return nil
	case keys["detection"] == nil:
		return faultf(n.Line, "no detection, correlation or filter section")
	}
	if r.expr, err = detection(keys["detection"], l.opt.Placeholders); err != nil {
		return err
	}
	l.admit(r)
	return nil
}

func (l *loader) admit(r *Rule) {
	l.rules = append(l.rules, r)
	l.byID[r.ID] = r
	if r.Name != "" {
		l.byName[r.Name] = r
	}
}

// drop takes back a rule that was admitted too early.
func (l *loader) drop(r *Rule) {
	l.rules = slices.DeleteFunc(l.rules, func(x *Rule) bool { return x == r })
	delete(l.byID, r.ID)
	if r.Name != "" {
		delete(l.byName, r.Name)
	}
}

// find gives the rule that an id or a name stands for.
func (l *loader) find(ref string) *Rule {
	if r := l.byID[ref]; r != nil {
		return r
	}
	return l.byName[ref]
}
