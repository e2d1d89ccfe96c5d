// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// position says how far an inode was read: behind the last whole line.
type position struct {
	Dev       uint64 `json:"dev"`
	Inode     uint64 `json:"inode"`
	Offset    int64  `json:"offset"`
	PrefixLen int64  `json:"prefix_len"` // of the head that Prefix sums up: inode numbers are used again
	Prefix    uint64 `json:"prefix"`     // FNV-1a
}

// state is what outlives a restart. Safe for many goroutines.
type state struct {
	file string
	lost string // why nothing is remembered although there was a state file

	mu    sync.Mutex
	kept  kept
	dirty bool
}

type kept struct {
	Saved  int64               `json:"saved"` // wall ns; files born later are read from their start
	Files  map[string]position `json:"files"`
	Cursor string              `json:"cursor,omitempty"` // of journald
}

// maxState bounds what is read back: 4096 positions.
const maxState = 1 << 20

// loadState reads the positions. Where they cannot be understood, logs are read from
// their end, and that is told as loss.
func loadState(file string) (*state, error) {
	fresh := kept{Saved: time.Now().UnixNano(), Files: map[string]position{}}
	s := &state{file: file, kept: fresh, dirty: true}
	if file == "" {
		return s, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log positions: %w", err)
	}
	var k kept
	switch err := json.Unmarshal(b[:min(len(b), maxState)], &k); {
	case err != nil:
		s.lost = fmt.Sprintf("log positions %s cannot be read (%v): logs are read from their end", file, err)
		return s, nil
	case k.Files == nil:
		k.Files = fresh.Files
	}
	for p, at := range k.Files {
		if at.Offset < 0 || at.PrefixLen < 0 || at.PrefixLen > prefixBytes {
			delete(k.Files, p)
		}
	}
	s.kept = k
	return s, nil
}

func (s *state) get(p string) (position, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.kept.Files[p]
	return at, ok
}

func (s *state) put(p string, at position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.Files[p] != at {
		s.kept.Files[p], s.dirty = at, true
	}
}

func (s *state) forget(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept.Files, p)
	s.dirty = true
}

func (s *state) cursor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Cursor
}

func (s *state) setCursor(c string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Cursor, s.dirty = c, true
}

// save writes the positions where they changed. A kill between two saves repeats at most
// a second of lines.
func (s *state) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" || !s.dirty {
		return nil
	}
	s.kept.Saved = time.Now().UnixNano()
	b, err := json.Marshal(&s.kept)
	if err != nil {
		return fmt.Errorf("keep log positions: %w", err)
	}
	if err := os.WriteFile(s.file+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep log positions: %w; after a restart lines come twice", err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return fmt.Errorf("keep log positions: %w; after a restart lines come twice", err)
	}
	s.dirty = false
	return nil
}
