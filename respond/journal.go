// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
)

// ErrRunning is wrapped when another enforcer holds the journal.
var ErrRunning = errors.New("an enforcer runs here")

// entry is one line of the journal: where an action stands. The last line of an id counts.
type entry struct {
	Record action.Record `json:"record"`
	Target string        `json:"target,omitempty"`
	Place  *place        `json:"place,omitempty"` // a line of its own, at each start
}

// place is where the enforcer of this journal works, for whoever undoes it later.
type place struct {
	Root  string `json:"root"`
	Netns string `json:"netns"`
	Host  string `json:"host"`
}

// journal is append-only and fsynced before an append returns. A torn last line, from
// a kill in the middle of a write, is cut off at the next start: what it would have
// said had not been acted upon.
type journal struct {
	path string
	lock *os.File
	f    *os.File
	size int64
}

const (
	journalName = "actions.journal"
	longest     = 1 << 20 // bytes of one line
	compactAt   = 8 << 20 // bytes of the file
)

// openJournal gives what stands in it, oldest first.
func openJournal(dir string) (*journal, []entry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("journal of actions: %w", err)
	}
	j := &journal{path: filepath.Join(dir, journalName)}
	var err error
	if j.lock, err = os.OpenFile(j.path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, nil, fmt.Errorf("journal of actions: %w", err)
	}
	// A child that was just forked holds our descriptors, and this lock, until its exec:
	// one that was let go a moment ago may look taken.
	for try := 0; ; try++ {
		if err = unix.Flock(int(j.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil || try == 20 {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if err != nil {
		j.lock.Close()
		return nil, nil, fmt.Errorf("journal of actions %s: %w; ask it, or stop it first", j.path, ErrRunning)
	}
	if j.f, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		j.lock.Close()
		return nil, nil, fmt.Errorf("journal of actions: %w", err)
	}
	entries, good, err := readJournal(j.f)
	if err == nil {
		err = j.f.Truncate(good)
	}
	if err == nil {
		_, err = j.f.Seek(good, io.SeekStart)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		j.close()
		return nil, nil, fmt.Errorf("journal of actions %s: %w", j.path, err)
	}
	j.size = good
	return j, entries, nil
}

// readJournal stops at the first line that is not whole and tells how many bytes were good.
func readJournal(r io.Reader) (entries []entry, good int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return entries, good, nil
		}
		if err != nil {
			return entries, good, err
		}
		var e entry
		if json.Unmarshal(line, &e) != nil || e.Record.ID == "" && e.Place == nil {
			return entries, good, nil
		}
		good += int64(len(line))
		entries = append(entries, e)
	}
}

// readLine gives a whole line, its end included; a longer one than any we write, or
// one without an end, is io.EOF.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > longest {
			return nil, io.EOF
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return line, err
	}
}

func (j *journal) append(e entry) error {
	line, err := json.Marshal(e)
	if err == nil && len(line) >= longest {
		err = fmt.Errorf("a line of %d bytes is too long", len(line))
	}
	if err == nil {
		_, err = j.f.Write(append(line, '\n'))
	}
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// Half a line would hide every later one: go back to where the last whole one ended.
		if e := j.f.Truncate(j.size); e == nil {
			_, _ = j.f.Seek(j.size, io.SeekStart)
		}
		return fmt.Errorf("write the journal of actions %s: %w; nothing is done that could not be undone after a crash", j.path, err)
	}
	j.size += int64(len(line)) + 1
	return nil
}

// rewrite replaces the journal by these entries, atomically.
func (j *journal) rewrite(entries []entry) error {
	var buf bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		buf.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(buf.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		f.Close()
		return err
	}
	j.f.Close()
	j.f, j.size = f, int64(buf.Len())
	return syncDir(filepath.Dir(j.path))
}

func (j *journal) close() {
	j.f.Close()
	j.lock.Close() // lets go of the lock
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// worthKeeping: live ones always; of the others, those that may be ordered again.
func worthKeeping(r *action.Record, now time.Time) bool {
	return r.State.Live() || now.Before(r.Deadline.Add(24*time.Hour))
}
