// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// waiting is a batch whose sender has not been told yet.
type waiting struct {
	batch Batch
	size  int
	done  func(error)
}

// tenant is one folder: manifest, segments, and the batches that wait for a flush.
type tenant struct {
	store *Store
	name  string
	dir   string

	rest time.Time // no merge before; only maintain uses it

	flushing sync.Mutex // one flush at a time; guards unsure
	unsure   []Segment  // written, and perhaps named by a journal line that failed

	mu      sync.Mutex // guards all below
	state   *state
	journal *journal
	queue   []*waiting
	bytes   int // encoded size of queue
	rows    int
	room    chan struct{} // closed and replaced when the queue was taken
	closed  bool
	doomed  []doomed // replaced files, kept for the grace time
	readers int      // scans under way in this process: while there is one, no file goes
}

type doomed struct {
	file string
	at   time.Time
}

func openTenant(s *Store, name string) (*tenant, error) {
	dir, err := tenantDir(s.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	t := &tenant{store: s, name: name, dir: dir, room: make(chan struct{})}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, table := range []Table{"", Events, Edges} {
		sub := filepath.Join(dir, "segments", string(table))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, err
		}
		if err := s.share(sub, 0o750); err != nil {
			return nil, err
		}
	}
	if t.journal, t.state, err = openJournal(dir); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", name, err)
	}
	return t, t.sweep()
}

// share lets the reader's group read a path; without such a group it stays the owner's.
func (s *Store) share(path string, mode os.FileMode) error {
	if s.cfg.ReaderGID < 0 {
		return nil
	}
	if err := os.Chown(path, -1, s.cfg.ReaderGID); err != nil {
		return fmt.Errorf("let group %d read %s: %w", s.cfg.ReaderGID, path, err)
	}
	return os.Chmod(path, mode)
}

// sweep removes segment files that the manifest does not name, and refuses to open
// when one that it names is gone.
func (t *tenant) sweep() error {
	known := map[string]bool{}
	for _, g := range t.state.segments {
		known[g.Path()] = true
		if _, err := os.Stat(t.file(g)); err != nil {
			return fmt.Errorf("tenant %s: committed segment %s: %w; put it back, or remove it from MANIFEST to go on without its %d events", t.name, g.Path(), err, g.Rows)
		}
	}
	for _, table := range []Table{Events, Edges} {
		sub := filepath.Join(t.dir, "segments", string(table))
		entries, err := os.ReadDir(sub)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !known[string(table)+"/"+e.Name()] {
				if err := os.Remove(filepath.Join(sub, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *tenant) file(g Segment) string {
	return filepath.Join(t.dir, "segments", string(g.Table), g.File)
}

func (t *tenant) segments() []Segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.state.segments)
}

// pin lists the segments and keeps their files until release is called.
func (t *tenant) pin() (segs []Segment, release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers++
	return slices.Clone(t.state.segments), func() {
		t.mu.Lock()
		t.readers--
		t.mu.Unlock()
	}
}

func (t *tenant) offer(ctx context.Context, w *waiting) error {
	for {
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return ErrClosed
		}
		if t.bytes == 0 || t.bytes+w.size <= t.store.cfg.MaxPending {
			break
		}
		room := t.room
		t.mu.Unlock()
		t.store.wake()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.store.done:
			return ErrClosed
		}
	}
	t.queue = append(t.queue, w)
	t.bytes += w.size
	t.rows += len(w.batch.Events)
	full := t.rows >= t.store.cfg.FlushRows
	t.mu.Unlock()
	if full {
		t.store.wake()
	}
	return nil
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// flush commits what waits and tells the senders.
func (t *tenant) flush() error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	queue := t.queue
	t.queue, t.bytes, t.rows = nil, 0, 0
	close(t.room)
	t.room = make(chan struct{})
	t.mu.Unlock()
	if len(queue) == 0 {
		return nil
	}
	err := typed(t.persist(queue))
	if err != nil {
		err = fmt.Errorf("store %d batches of tenant %s: %w", len(queue), t.name, err)
		t.store.Stats.Failed.Add(1)
	}
	for _, w := range queue {
		w.done(err)
	}
	return err
}

// gathered is a queue, flattened and without doubles.
type gathered struct {
	rows    []*row
	edges   []*edgeRow
	cover   map[spoolLife]*coverage
	doubles uint64
}

// gather flattens the queue. An event already stored, or twice in the queue, is a double.
func (t *tenant) gather(queue []*waiting) (*gathered, error) {
	g := &gathered{cover: map[spoolLife]*coverage{}}
	for _, w := range queue {
		b := &w.batch
		life := spoolLife{b.Host, b.Epoch}
		t.mu.Lock()
		var have runs
		if c := t.state.cover[life]; c != nil {
			have = c.stored
		}
		t.mu.Unlock() // only flush adds to coverage, and flush is one at a time
		add := g.cover[life]
		if add == nil && b.Host != "" {
			add = &coverage{}
			g.cover[life] = add
		}
		if b.Last > 0 {
			add.settled.add(b.First, b.Last)
		}
		if b.Oldest > 1 {
			add.settled.add(1, b.Oldest-1)
		}
		for _, e := range b.Events {
			if have.has(e.Seq) || add.stored.has(e.Seq) {
				g.doubles++
				continue
			}
			add.stored.add(e.Seq, e.Seq)
			blob, err := e.MarshalVT()
			if err != nil {
				return nil, fmt.Errorf("encode event %s: %w", e.ID().Text(), err)
			}
			g.rows = append(g.rows, newRow(e, blob))
		}
		for _, e := range b.Edges {
			g.edges = append(g.edges, newEdgeRow(e))
		}
	}
	return g, nil
}

// persist writes the segments of one flush and commits them.
func (t *tenant) persist(queue []*waiting) error {
	if err := t.repair(); err != nil {
		return err
	}
	g, err := t.gather(queue)
	if err != nil {
		return err
	}
	now := t.store.cfg.Now().UnixNano()
	r := &record{}
	var made []Segment
	defer func() { // files of a commit that did not happen and that no manifest can name
		for _, seg := range made {
			os.Remove(t.file(seg))
		}
	}()
	if len(g.rows) > 0 {
		slices.SortFunc(g.rows, compareRows)
		seg, err := eventsTable.write(t, slices.Values(g.rows), now, 0)
		made = append(made, seg)
		if err != nil {
			return err
		}
	}
	if len(g.edges) > 0 {
		slices.SortFunc(g.edges, compareEdges)
		seg, err := edgesTable.write(t, slices.Values(g.edges), now, 0)
		made = append(made, seg)
		if err != nil {
			return err
		}
	}
	r.Add = slices.Clone(made)
	for life, c := range g.cover {
		r.Cover = append(r.Cover, cover{Host: life.host, Epoch: life.epoch, Stored: c.stored, Settled: c.settled})
	}
	slices.SortFunc(r.Cover, func(a, b cover) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Epoch, b.Epoch))
	})
	wrote, err := t.commit(r)
	if wrote { // the journal may name them: they stay until it has been rewritten
		t.unsure = append(t.unsure, made...)
	}
	if err == nil || wrote {
		made = nil
	}
	if err != nil {
		return err
	}
	t.store.Stats.Rows.Add(uint64(len(g.rows)))
	t.store.Stats.Edges.Add(uint64(len(g.edges)))
	t.store.Stats.Doubles.Add(g.doubles)
	t.store.Stats.Flushes.Add(1)
	return nil
}

// repair rewrites a journal whose last write failed, before anything new is written:
// on a full disk each try would otherwise leave a file behind.
func (t *tenant) repair() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.journal.broken {
		return nil
	}
	if err := t.journal.rewrite(t.state); err != nil {
		return fmt.Errorf("rewrite manifest: %w", err)
	}
	for _, g := range t.unsure {
		os.Remove(t.file(g))
	}
	t.unsure = nil
	return nil
}

// commit appends r to the journal and applies it. wrote tells that an error came after
// bytes of r may have reached the disk, so that files it names must stay until the
// journal has been rewritten.
func (t *tenant) commit(r *record) (wrote bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false, ErrClosed
	}
	r.Next = t.state.next
	if err := t.journal.commit(t.state, r); err != nil {
		return t.journal.broken, err
	}
	t.state.apply(r)
	return false, nil
}

// number gives the next segment file name of this tenant.
func (t *tenant) number() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.state.next
	t.state.next++
	return fmt.Sprintf("%012d.parquet", n)
}

func (t *tenant) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, w := range t.queue {
		w.done(ErrClosed)
	}
	t.queue = nil
	for _, d := range t.doomed {
		os.Remove(d.file)
	}
	return t.journal.close()
}
