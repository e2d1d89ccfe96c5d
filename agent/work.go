// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/file/light"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/network/fingerprint"
	"github.com/ringwall/ringwall/verdict"
)

// work is one bundle as this host works from it. It does not change, so that what a
// finding says of its bundle is true of everything that made it.
type work struct {
	ref    string // what findings record
	dir    string // its files; nothing else lies there
	except *decide.Exceptions
	lists  *reputation.Library // nil: the bundle has none
	keyID  string              // of the tenant's redaction key; "": the bundle does not say
	wrong  []string            // rules and lines that are left out
}

// workPrefix begins the folders of unpacked bundles. They hold nothing that the signed
// file beside them does not, and are made anew from it at every start.
const workPrefix = "work-"

// openWork unpacks a bundle below dir and reads all that the host needs of it. An error
// leaves nothing behind.
func openWork(ctx context.Context, dir string, b *bundle.Bundle, log *slog.Logger) (*work, error) {
	into, err := os.MkdirTemp(dir, workPrefix)
	if err != nil {
		return nil, fmt.Errorf("unpack bundle: %w", err)
	}
	unpacked := &work{ref: b.Ref(), dir: into}
	if err := unpacked.read(ctx, b, log); err != nil {
		unpacked.remove()
		return nil, err
	}
	return unpacked, nil
}

// read fills it from the bundle.
func (w *work) read(ctx context.Context, b *bundle.Bundle, log *slog.Logger) (err error) {
	if err := b.Unpack(w.dir, bundle.FileRules, bundle.Hashes, bundle.Fingerprints, bundle.Lists); err != nil {
		return err
	}
	var except []*decide.Exception
	if err := part(b, bundle.ExceptionsFile, &except); err != nil {
		return err
	}
	if w.except, err = decide.NewExceptions(except); err != nil {
		return fmt.Errorf("%s: %w", bundle.ExceptionsFile, err)
	}
	var redaction bundle.Redaction
	if err := part(b, bundle.RedactionFile, &redaction); err != nil {
		return err
	}
	w.keyID = redaction.KeyID
	if err := w.readLists(ctx, b, log); err != nil {
		return err
	}
	_, refused, err := light.Load(w.folders(bundle.FileRules)...)
	if err != nil {
		return err
	}
	for _, r := range refused {
		w.wrong = append(w.wrong, r.Error())
	}
	_, warnings, err := fingerprint.New(fingerprint.Config{More: w.folders(bundle.Fingerprints)}, nil)
	for _, x := range warnings {
		w.wrong = append(w.wrong, x.Error())
	}
	return err
}

// part reads one file of a bundle; what newer brains write beside is left out.
func part(b *bundle.Bundle, name string, into any) error {
	raw, ok := b.File(name)
	if !ok {
		return nil
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readLists loads the lists once: fresher ones come with the next bundle.
func (w *work) readLists(ctx context.Context, b *bundle.Bundle, log *slog.Logger) error {
	var cfg reputation.Config
	if err := part(b, bundle.ListsFile, &cfg); err != nil {
		return err
	}
	if len(cfg.Sources) == 0 {
		return nil
	}
	place := func(l *reputation.List) error {
		if _, ok := b.File(bundle.Lists + l.Path); !ok {
			return fmt.Errorf("%s: the bundle has no file %.200q for list %q", bundle.ListsFile, bundle.Lists+l.Path, l.Name)
		}
		l.Path = filepath.Join(w.dir, filepath.FromSlash(bundle.Lists+l.Path))
		return nil
	}
	var errs []error
	for i := range cfg.Sources {
		errs = append(errs, place(&cfg.Sources[i].List))
	}
	for i := range cfg.Allow {
		errs = append(errs, place(&cfg.Allow[i].List))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	lib, err := reputation.New(cfg, log)
	if err != nil {
		return err
	}
	if err := lib.Reload(ctx, time.Now()); err != nil {
		w.wrong = append(w.wrong, err.Error())
	}
	w.lists = lib
	return nil
}

// folders gives a folder of the bundle where it has one.
func (w *work) folders(folder string) []string {
	dir := filepath.Join(w.dir, filepath.FromSlash(folder))
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	return []string{dir}
}

// over lays the bundle below the host's own configuration: both count, and of two files
// of one name the host's.
func (w *work) over(cfg Config) Config {
	if w == nil {
		return cfg
	}
	cfg.File.More = w.folders(bundle.FileRules)
	cfg.Network.Fingerprint.More = w.folders(bundle.Fingerprints)
	for _, dir := range w.folders(bundle.Hashes) {
		names, _ := filepath.Glob(filepath.Join(dir, "*")) // the pattern is good
		cfg.File.Hashes = append(slices.Clip(cfg.File.Hashes), names...)
	}
	return cfg
}

// lookup is what the lists say of a fingerprint; nil without lists.
func (w *work) lookup() fingerprint.Lookup {
	if w == nil || w.lists == nil {
		return nil
	}
	return func(kind, value string, now time.Time) (fingerprint.Known, bool) {
		a, ok := w.lists.Lookup(kind, value, now)
		if !ok || a.Veto != "" || a.Level < reputation.Suspicious || len(a.Matches) == 0 {
			return fingerprint.Known{}, false
		}
		m := a.Matches[0]
		return fingerprint.Known{Label: strings.Join(m.Tags, ", "), Malicious: true, Source: m.Source, Trust: a.Confidence}, true
	}
}

// mark says in a finding which bundle it rests on. What an exception covers was ordinary:
// it is sent as grey, so that the fact stays and nobody is woken, the brain away or not.
func (w *work) mark(f *verdict.Finding) {
	if w == nil {
		return
	}
	f.Bundle = w.ref
	if x := w.except.Match(f, time.Unix(0, f.WallNs)); x != nil {
		f.Colour, f.Score = verdict.Colour_GREY, 0
		f.Evidence = append(f.Evidence, &verdict.Evidence{What: "excepted: " + x.Reason, Where: x.Owner, Engine: "exception/" + x.ID})
	}
}

// remove deletes the unpacked files, which no layer reads once it is built.
func (w *work) remove() {
	if w != nil {
		_ = os.RemoveAll(w.dir)
	}
}
