// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Table names a family of segments.
type Table string

// The tables. Names are folders on disk: never change one.
const (
	Events Table = "events"
	Edges  Table = "edges"
)

// Segment is one immutable Parquet file that the manifest has committed.
type Segment struct {
	Table  Table  `json:"table"`
	File   string `json:"file"`   // name inside the tenant's folder of that table
	Schema int    `json:"schema"` // version of the columns it was written with
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	MinNs  int64  `json:"min_ns"` // wall time of the first and the last fact
	MaxNs  int64  `json:"max_ns"`
	Level  int    `json:"level"`   // 0: as flushed; one more for each merge
	MadeNs int64  `json:"made_ns"` // when the newest of its rows was stored, by the archive's clock
}

// cover is what one commit adds to the coverage of one spool life.
type cover struct {
	Host    string `json:"host"`
	Epoch   uint64 `json:"epoch"`
	Stored  runs   `json:"stored,omitempty"`
	Settled runs   `json:"settled,omitempty"`
}

// record is one line of the journal: all of it holds, or none.
type record struct {
	Reset bool      `json:"reset,omitempty"` // the whole state follows; forget what was before
	Next  uint64    `json:"next,omitempty"`  // number of the next segment file
	Add   []Segment `json:"add,omitempty"`
	Del   []string  `json:"del,omitempty"` // "table/file"
	Cover []cover   `json:"cover,omitempty"`
}

type spoolLife struct {
	host  string
	epoch uint64
}

// state is the sum of the records.
type state struct {
	next     uint64
	segments []Segment
	cover    map[spoolLife]*coverage
	forced   uint64 // holes closed because a coverage grew past its bound
}

func newState() *state {
	return &state{next: 1, cover: map[spoolLife]*coverage{}}
}

func (s *state) apply(r *record) {
	if r.Reset {
		forced := s.forced
		*s = *newState()
		s.forced = forced
	}
	s.next = max(s.next, r.Next)
	if len(r.Del) > 0 {
		s.segments = slices.DeleteFunc(s.segments, func(g Segment) bool { return slices.Contains(r.Del, g.Path()) })
	}
	s.segments = append(s.segments, r.Add...)
	for _, c := range r.Cover {
		have := s.coverage(spoolLife{c.Host, c.Epoch})
		for _, x := range c.Stored {
			s.forced += uint64(have.stored.add(x[0], x[1]))
			s.forced += uint64(have.settled.add(x[0], x[1]))
		}
		for _, x := range c.Settled {
			s.forced += uint64(have.settled.add(x[0], x[1]))
		}
	}
}

func (s *state) coverage(l spoolLife) *coverage {
	c := s.cover[l]
	if c == nil {
		c = &coverage{}
		s.cover[l] = c
	}
	return c
}

// snapshot is the one record that says all of s.
func (s *state) snapshot() *record {
	r := &record{Reset: true, Next: s.next, Add: s.segments}
	for l, c := range s.cover {
		r.Cover = append(r.Cover, cover{Host: l.host, Epoch: l.epoch, Stored: c.stored, Settled: c.settled})
	}
	return r
}

// Path is the file below Dir: "events/000000000001.parquet".
func (g Segment) Path() string { return string(g.Table) + "/" + g.File }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes a record as "<crc32c, 8 hex digits> <json>\n": readable at three in
// the morning, and a torn or flipped line shows.
func (r *record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body), nil
}

func decodeRecord(line []byte) (*record, error) {
	if len(line) < 10 || line[8] != ' ' {
		return nil, errors.New("not a journal line")
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return nil, errors.New("checksum does not match")
	}
	r := &record{}
	if err := json.Unmarshal(line[9:], r); err != nil {
		return nil, err
	}
	for _, g := range r.Add {
		if !segmentName(g.File) || (g.Table != Events && g.Table != Edges) {
			return nil, fmt.Errorf("segment name %q", g.Path())
		}
	}
	return r, nil
}

// segmentName refuses anything but a plain file name, so that a manifest from
// elsewhere cannot point out of its folder.
func segmentName(s string) bool {
	return s != "" && s == filepath.Base(s) && s[0] != '.' && filepath.Ext(s) == ".parquet"
}

// replayJournal sums the lines of data. A bad last line is a torn write: it was never
// acknowledged and good tells where it starts. A bad line with good ones after it
// is damage, and an error.
func replayJournal(data []byte) (s *state, good int64, err error) {
	s = newState()
	for n := 1; len(data) > 0; n++ {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		r, bad := decodeRecord(line)
		if bad == nil && !whole {
			bad = errors.New("line has no end")
		}
		if bad != nil {
			if later := bytes.IndexByte(rest, '\n'); later >= 0 {
				if _, e := decodeRecord(rest[:later]); e == nil {
					return nil, good, fmt.Errorf("line %d: %w; the lines after it are whole, so this is damage and not a torn write", n, bad)
				}
			}
			return s, good, nil
		}
		s.apply(r)
		good += int64(len(line)) + 1
		data = rest
	}
	return s, good, nil
}

// journal is the open MANIFEST of one tenant. Its caller serialises.
type journal struct {
	dir    string
	f      *os.File
	size   int64
	broken bool // the last write or sync failed: what is on disk is not known
}

const manifestName = "MANIFEST"

// rewriteAt is the size past which the journal is replaced by its snapshot.
const rewriteAt = 8 << 20

// openJournal reads and repairs the manifest in dir.
func openJournal(dir string) (*journal, *state, error) {
	name := filepath.Join(dir, manifestName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	s, good, err := replayJournal(data)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w; move the damaged line away to go on without what it committed", name, err)
	}
	if good < int64(len(data)) {
		if err := f.Truncate(good); err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("%s: cut the torn tail at %d: %w", name, good, err)
		}
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		f.Close()
		return nil, nil, err
	}
	return &journal{dir: dir, f: f, size: good}, s, syncDir(dir)
}

// commit makes r durable. before is the state without r; it is what a journal that
// failed earlier is rewritten from.
func (j *journal) commit(before *state, r *record) error {
	if j.broken || j.size > rewriteAt {
		if err := j.rewrite(before); err != nil {
			return err
		}
	}
	line, err := r.encode()
	if err != nil {
		return err
	}
	if _, err := j.f.Write(line); err != nil {
		_, back := j.f.Seek(j.size, io.SeekStart)
		j.broken = back != nil || j.f.Truncate(j.size) != nil
		return err
	}
	if err := j.f.Sync(); err != nil {
		// After a failed fsync the kernel may have dropped the pages: only a new file is sure.
		j.broken = true
		return err
	}
	j.size += int64(len(line))
	return nil
}

// rewrite replaces the journal by the snapshot of s: new file, fsync, rename, fsync of the folder.
func (j *journal) rewrite(s *state) error {
	line, err := s.snapshot().encode()
	if err != nil {
		return err
	}
	tmp := filepath.Join(j.dir, manifestName+".new")
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(line); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(j.dir, manifestName))
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return err
	}
	j.f.Close()
	j.f, j.size, j.broken = f, int64(len(line)), false
	return nil
}

func (j *journal) close() error { return j.f.Close() }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Segments lists what is committed for a tenant under root, as any process may read
// it while the archive is open elsewhere. No tenant folder is no segments.
func Segments(root, tenant string) ([]Segment, error) {
	dir, err := tenantDir(root, tenant)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, _, err := replayJournal(data)
	if err != nil {
		return nil, fmt.Errorf("read manifest of tenant %s: %w", tenant, err)
	}
	return s.segments, nil
}

// Dir is the folder of a tenant's segments, by Segment.Path below it: all that a hunt
// of that tenant may read.
func Dir(root, tenant string) (string, error) {
	dir, err := tenantDir(root, tenant)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "segments"), nil
}

// tenantDir refuses names that could leave root.
func tenantDir(root, tenant string) (string, error) {
	ok := tenant != "" && len(tenant) <= 64 && tenant[0] != '.'
	for _, c := range []byte(tenant) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return "", fmt.Errorf("tenant %q: want 1 to 64 of a-z A-Z 0-9 - _ . and no leading dot", tenant)
	}
	return filepath.Join(root, tenant), nil
}
