// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"golang.org/x/mod/semver"

	"github.com/ringwall/ringwall/identity"
)

func validVersion(v string) bool { return semver.IsValid(v) }

// described is what git describe puts behind the tag that a build comes after; to semver
// it would be older than that tag.
var described = regexp.MustCompile(`-[0-9]+-g[0-9a-f]+(-dirty)?$|-dirty$`)

// Store is an agent's folder of bundles: the current one, the one before, and the
// highest version ever taken. Safe for many goroutines.
//
//	current.rwb  previous.rwb  highest.json
type Store struct {
	dir      string
	agent    string
	verifier *identity.Verifier

	mu      sync.Mutex // guards what follows and the files
	current mark       // zero: none
	highest mark
}

// mark is the highest version ever taken, kept apart from the bundles so that a damaged
// one lets no older one in.
type mark struct {
	Version uint64 `json:"version"`
	ID      string `json:"id"`
}

// OpenStore opens the folder (made 0700) and looks for the last good bundle: the current
// one, or the one before if the current file is damaged. Having none is no error: ask
// Good. One process at a time may own the folder. agentVersion is this build's (v1.2.3); one that is no semantic version, as of
// a development build, takes every bundle. Expiry does not count for what was taken.
func OpenStore(dir, agentVersion string, v *identity.Verifier) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open bundle store: %w", err)
	}
	s := &Store{dir: dir, agent: described.ReplaceAllString(agentVersion, ""), verifier: v}
	b, err := os.ReadFile(filepath.Join(dir, "highest.json"))
	if err == nil {
		err = json.Unmarshal(b, &s.highest)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open bundle store: highest version: %w", err)
	}
	if good := s.good(); len(good) > 0 {
		s.current = mark{good[0].Version, good[0].ID}
	}
	if s.current.Version > s.highest.Version {
		s.highest = s.current
	}
	return s, nil
}

// load reads a bundle that was taken once, at a time when it was valid.
func (s *Store) load(name string) (*Bundle, error) {
	raw, err := ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	signed, _, err := split(raw)
	if err != nil {
		return nil, err
	}
	issued, _, err := identity.Validity(signed)
	if err != nil {
		return nil, err
	}
	return Open(raw, s.verifier, issued)
}

// ReadFile reads a bundle file, no more than a bundle may hold.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", path, err)
	}
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("read bundle %s: %w: over %d MiB", path, ErrMalformed, MaxBytes>>20)
	}
	return raw, nil
}

// Good reads the bundles that can be worked from, verified again, the best first: the
// current one and the one before it. A damaged one is left out. They are not kept in
// memory, because lists and models are large.
func (s *Store) Good() []*Bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good()
}

func (s *Store) good() (out []*Bundle) {
	for _, name := range []string{"current.rwb", "previous.rwb"} {
		if b, err := s.load(name); err == nil {
			out = append(out, b)
		}
	}
	return out
}

// Current reads the bundle in use; ErrNone where there is none.
func (s *Store) Current() (*Bundle, error) {
	if good := s.Good(); len(good) > 0 {
		return good[0], nil
	}
	return nil, fmt.Errorf("bundle store %s: %w", s.dir, ErrNone)
}

// Apply takes a bundle: it must verify, want no newer agent, and be newer than every
// one taken before. try is called with it and may refuse it, after which nothing has
// changed; nil tries nothing. The bundle that is current already is no error: changed
// is false then. raw must not be changed afterwards.
func (s *Store) Apply(raw []byte, now time.Time, try func(*Bundle) error) (b *Bundle, changed bool, err error) {
	b, err = Open(raw, s.verifier, now)
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.ID == b.ID {
		return b, false, nil
	}
	fail := func(err error) (*Bundle, bool, error) {
		return nil, false, fmt.Errorf("apply bundle %s/%s version %d: %w", b.Tenant, b.Group, b.Version, err)
	}
	switch {
	case b.Version < s.highest.Version:
		return fail(fmt.Errorf("%w (version %d); to go back, publish the old content as a new version", ErrOlder, s.highest.Version))
	case b.Version == s.highest.Version && b.ID != s.highest.ID:
		return fail(ErrReused)
	case b.MinAgent != "" && validVersion(s.agent) && semver.Compare(s.agent, b.MinAgent) < 0:
		return fail(fmt.Errorf("%w: %s, and this is %s", ErrAgentTooOld, b.MinAgent, s.agent))
	}
	if try != nil {
		if err := try(b); err != nil {
			return fail(err)
		}
	}
	if err := s.keep(b); err != nil {
		return fail(err)
	}
	s.current = mark{b.Version, b.ID}
	s.highest = s.current
	return b, true, nil
}

// keep writes the bundle so that at every moment a good one is on disk.
func (s *Store) keep(b *Bundle) error {
	current, previous := filepath.Join(s.dir, "current.rwb"), filepath.Join(s.dir, "previous.rwb")
	if err := writeSynced(current+".new", b.raw); err != nil {
		return err
	}
	// The mark goes first: after a crash in between, this very bundle can be taken again.
	text, err := json.Marshal(mark{b.Version, b.ID})
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(s.dir, "highest.json"), text); err != nil {
		return err
	}
	// Only a bundle that works replaces the one before; a damaged current file does not.
	if _, err := s.load("current.rwb"); err == nil {
		if err := os.Rename(current, previous); err != nil {
			return err
		}
	}
	if err := os.Rename(current+".new", current); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// WriteFile replaces a file (0600) so that after a crash the old or the new one is there,
// whole.
func WriteFile(path string, data []byte) error {
	if err := writeSynced(path+".new", data); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
