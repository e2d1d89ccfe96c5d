// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// state is the small file beside the segments. Clean is false while the spool is open,
// and so after a crash.
type state struct {
	Format  int               `json:"format"`
	Clean   bool              `json:"clean"`
	Counter uint64            `json:"counter"`           // of epochs
	Next    [2]uint64         `json:"next"`              // sequence per class; only when clean
	Trimmed map[uint64]uint64 `json:"trimmed,omitempty"` // stored watermark per epoch; only when clean
	Lost    [2]uint64         `json:"lost"`              // events that the disk did not take at the end
	Closed  time.Time         `json:"closed,omitzero"`
}

// readState reads it; one that is missing or unreadable counts as a crash.
func readState(dir string) (state, error) {
	var st state
	b, err := os.ReadFile(filepath.Join(dir, "state"))
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	if json.Unmarshal(b, &st) != nil {
		return state{}, nil
	}
	if st.Format > formatVersion {
		return st, fmt.Errorf("format %d, and this is format %d: %w", st.Format, formatVersion, ErrFormat)
	}
	return st, nil
}

func writeState(dir string, st state) error {
	st.Format = formatVersion
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "state")
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// nextCounter is above the one before and, where that is lost with the folder, above
// every earlier one by the clock; the random bits are for two clones of one machine.
func nextCounter(before uint64) uint64 {
	return max(before+1, uint64(time.Now().Unix())<<16|uint64(rand.Uint32()&0xffff))
}

// recover reads the segments of a class, cuts the torn tail off the last one, and books
// what does not read back.
func (q *queue) recover() error {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".seg") {
			names = append(names, filepath.Join(q.dir, e.Name()))
		}
	}
	for i, path := range names {
		if err := q.recoverSegment(path, i == len(names)-1); err != nil {
			return err
		}
	}
	slices.SortFunc(q.segments, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.first, b.first))
	})
	return nil
}

func (q *queue) recoverSegment(path string, last bool) error {
	reason := LossCorrupt
	if last {
		reason = LossTorn
	}
	s, bad, modified, err := openSegment(path, q.class)
	if errors.Is(err, errHeader) {
		// Killed between making the file and writing its header: then it holds nothing.
		if info, err := os.Stat(path); err == nil && info.Size() > headerBytes {
			q.spool.losses.add(q.class, LossCorrupt, 0, modified)
		}
		return os.Remove(path)
	}
	if err != nil {
		return err
	}
	if bad > 0 {
		q.spool.losses.add(q.class, reason, bad, modified)
		if err := os.Truncate(path, s.size); err != nil {
			return fmt.Errorf("cut torn tail: %w", err)
		}
	}
	if s.count == 0 {
		return os.Remove(path)
	}
	q.segments = append(q.segments, s)
	q.spool.used.Add(s.size)
	return nil
}

// resume sets the position of the next event: onward after a clean end, else the
// beginning of a new epoch.
func (q *queue) resume(counter uint64, before state) {
	if n := before.Lost[q.class]; n > 0 {
		q.spool.losses.add(q.class, LossDisk, n, before.Closed)
	}
	q.epoch = counter<<1 | uint64(q.class)
	q.next = 1
	if before.Clean {
		q.next = max(1, before.Next[q.class])
		for epoch, seq := range before.Trimmed {
			if epoch&1 == uint64(q.class) {
				q.trimmed[epoch] = seq
			}
		}
	}
	for _, s := range q.segments {
		if s.epoch == q.epoch {
			q.next = max(q.next, s.end())
		}
	}
}
