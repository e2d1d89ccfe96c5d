// SPDX-License-Identifier: Apache-2.0

// Package archive keeps immutable facts: every event and finding, and the edges of
// the behaviour graph, per tenant, until their age or the space they take ends them.
//
// In come batches of events of one spool life of one host; out go a watermark that
// alone may trim that spool, the events again (Scan, in the order that replay needs),
// edges by entity and time, and Parquet segments that package archive/query hunts in
// SQL. It believes the subject a batch came on, not the batch: an event that names
// another tenant, host or epoch refuses the whole batch (ErrForeign).
//
// A commit is, in this order: segment files written and fsynced, their folder fsynced,
// one checksummed line appended to MANIFEST and fsynced; then, and only then, the
// senders are told. The line holds segments, coverage of sequence numbers and deletions
// together, so a kill at any point leaves all of it or none; segment files that no
// line names are removed at the next Open.
//
// The worst trap: a folder listing is not the truth. Files that compaction replaced
// stay for Config.Grace so that a running hunt can finish; read the manifest
// (Segments), never the folder.
//
// The package is pure Go: the agent does not link it, and neither does it link the
// query engine.
package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Facts is what the brain asks of an archive, embedded (Store) or distributed.
type Facts interface {
	// Append returns when all of b is durable, or with an error and none of it acknowledged.
	Append(ctx context.Context, b Batch) error
	// Watermarks is, for each spool life of a host, the last sequence number up to which
	// everything is settled. Empty for a host never seen. The map is the caller's.
	Watermarks(tenant, host string) map[uint64]uint64
	// Scan yields events again; see Range for the order.
	Scan(ctx context.Context, tenant string, r Range) iter.Seq2[*event.Event, error]
	// Edges yields the edges of one entity in [from, to], oldest first.
	Edges(ctx context.Context, tenant string, key entity.Key, from, to time.Time) iter.Seq2[Edge, error]
}

// Hunter answers SQL (package query; a distributed store by its own engine). row is
// called for each row in turn and must not keep its slice; an error from it ends the hunt.
type Hunter interface {
	Hunt(ctx context.Context, tenant, sql string, lim Limits, row func([]any) error) (*Answer, error)
}

// Limits bound one hunt. Zero values mean the engine's defaults.
type Limits struct {
	Rows     int           // most rows handed out
	Time     time.Duration // most wall time
	MemoryMB int           // most memory of the engine
	Raw      bool          // it may see events whole: a permission of its own
}

// Answer is the shape of a hunt's result; the rows went to the callback.
type Answer struct {
	Columns   []string      `json:"columns"`
	Types     []string      `json:"types"`
	Rows      int           `json:"rows"`
	Truncated bool          `json:"truncated"` // there was more than Limits.Rows
	Elapsed   time.Duration `json:"elapsed_ns"`
}

// Batch is a piece of one spool, as the bus delivers it.
type Batch struct {
	Tenant, Host string // of the authenticated subject
	Epoch        uint64
	// First and Last span the sequence numbers the batch settles: what is in the span
	// and not in Events was dropped by the sender. Both 0: exactly the events' own numbers.
	First, Last uint64
	// Oldest is the first number still in the sender's spool: all before it are settled. 0: not told.
	Oldest uint64
	Events []*event.Event
	Edges  []Edge
}

// Errors that callers decide on.
var (
	// ErrForeign: the batch speaks of another tenant, host, epoch or span than its subject.
	ErrForeign = errors.New("event does not belong to the subject it came on")
	// ErrDiskFull: nothing of the batch was stored; send it again when there is room.
	ErrDiskFull = errors.New("archive disk is full; free space or lower the retention, it recovers by itself")
	// ErrRaw: the hunt would show events whole, and Limits.Raw does not let it.
	ErrRaw = errors.New("it would show events whole")
	// ErrClosed: Run has ended.
	ErrClosed = errors.New("archive is closed")
)

// Config of the embedded archive. The zero value of a field means its default.
type Config struct {
	Dir        string        // root folder, made 0700
	FlushEvery time.Duration // 1 s: an event can be hunted within 5 s
	FlushRows  int           // 50,000 rows flush at once
	MaxPending int           // 16 MiB of encoded events wait at most (about 60,000, 60 MB as rows); then Append waits
	FanIn      int           // 8 segments of a level make one of the next
	MaxRows    int64         // 1,000,000 rows end a segment's growth (platform.md §3)
	Grace      time.Duration // 90 s a replaced file stays: longer than any hunt may run
	MaxAge     time.Duration // 0: kept however old
	MaxBytes   int64         // per tenant; 0: however large
	// ReaderGID may read segment files, so that the query engine needs no privilege.
	// 0: nobody's group (65534) when root, the own group otherwise.
	ReaderGID int
	Now       func() time.Time
}

// Validate fills in defaults and names what cannot be.
func (c *Config) Validate() error {
	if c.Dir == "" {
		return errors.New("archive.dir is empty: name the folder that shall hold the archive")
	}
	def(&c.FlushEvery, time.Second)
	def(&c.FlushRows, 50_000)
	def(&c.MaxPending, 16<<20)
	def(&c.FanIn, 8)
	def(&c.MaxRows, 1_000_000)
	def(&c.Grace, 90*time.Second)
	if c.ReaderGID == 0 {
		c.ReaderGID = -1
		if os.Geteuid() == 0 {
			c.ReaderGID = 65534
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FanIn < 2 || c.FlushRows < 1 || c.FlushEvery < 0 || c.MaxAge < 0 || c.MaxBytes < 0 {
		return fmt.Errorf("archive: fan_in %d, flush_rows %d, flush_every %v, max_age %v, max_bytes %d: want at least 2, 1 and nothing negative",
			c.FanIn, c.FlushRows, c.FlushEvery, c.MaxAge, c.MaxBytes)
	}
	return nil
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Stats counts since Open. All fields only grow.
type Stats struct {
	Rows, Edges, Doubles, Flushes, Failed, Merges, MergedRows atomic.Uint64
	ExpiredSegments, ExpiredRows, ExpiredBytes, Foreign       atomic.Uint64
}

// Store is the embedded archive. All methods are safe for many goroutines.
type Store struct {
	cfg    Config
	Stats  Stats
	lock   *os.File
	kick   chan struct{}
	done   chan struct{}
	window int64 // rows a scan holds at once

	mu      sync.Mutex // guards the two below
	tenants map[string]*tenant
	failure error // of the last flush; nil when it went well
}

// Open takes the folder, replays every manifest and removes what was never committed.
// A second Open of the same folder, by any process, is refused.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make archive folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open archive lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("archive %s is open in another process; stop that one first: %w", cfg.Dir, err)
	}
	s := &Store{cfg: cfg, lock: lock, kick: make(chan struct{}, 1), done: make(chan struct{}), window: windowRows, tenants: map[string]*tenant{}}
	entries, err := os.ReadDir(cfg.Dir)
	for i := 0; i < len(entries) && err == nil; i++ {
		if entries[i].IsDir() {
			_, err = s.tenant(entries[i].Name())
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open archive %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// tenant gives the tenant, opened at first use.
func (s *Store) tenant(name string) (*tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[name]; t != nil {
		return t, nil
	}
	t, err := openTenant(s, name)
	if err != nil {
		return nil, err
	}
	s.tenants[name] = t
	return t, nil
}

func (s *Store) all() []*tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*tenant, 0, len(s.tenants))
	for _, t := range s.tenants {
		out = append(out, t)
	}
	return out
}

// Run flushes, merges and expires until ctx ends; then it flushes what waits, closes
// the files and returns. Append before Run waits for it.
func (s *Store) Run(ctx context.Context) error {
	var keep sync.WaitGroup
	keep.Go(func() { s.keep(ctx) })
	tick := time.NewTicker(s.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			close(s.done)
			keep.Wait()
			for _, t := range s.all() {
				s.report(t.flush())
			}
			return s.close()
		case <-tick.C:
		case <-s.kick:
		}
		for _, t := range s.all() {
			s.report(t.flush())
		}
	}
}

// keep is the background work that nobody waits for.
func (s *Store) keep(ctx context.Context) {
	tick := time.NewTicker(s.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, t := range s.all() {
				if err := t.maintain(ctx); err != nil && ctx.Err() == nil {
					s.report(err)
				}
			}
		}
	}
}

func (s *Store) report(err error) {
	s.mu.Lock()
	s.failure = err
	s.mu.Unlock()
}

// Failure is why the last flush or merge stored nothing; nil when all is well.
func (s *Store) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

func (s *Store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, t := range s.tenants {
		errs = append(errs, t.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Append implements Facts. Many may wait at once: one flush serves them all.
func (s *Store) Append(ctx context.Context, b Batch) error {
	done := make(chan error, 1)
	if err := s.Offer(ctx, b, func(err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may still be stored; a repeat is dropped as a double
	}
}

// Offer takes b and returns; done is called once, when all of it is durable or with
// why none of it is. It waits while MaxPending is taken. done must not block.
func (s *Store) Offer(ctx context.Context, b Batch, done func(error)) error {
	t, err := s.tenant(b.Tenant)
	if err != nil {
		return err
	}
	size, err := b.check()
	if err != nil {
		s.Stats.Foreign.Add(1)
		return err
	}
	return t.offer(ctx, &waiting{batch: b, size: size, done: done})
}

// check refuses what its subject does not cover, and gives the encoded size.
func (b *Batch) check() (size int, err error) {
	if b.Host == "" && (len(b.Events) > 0 || b.Last > 0 || b.Oldest > 0) {
		return 0, fmt.Errorf("%w: batch without a host", ErrForeign)
	}
	if b.First > b.Last {
		return 0, fmt.Errorf("%w: span %d to %d", ErrForeign, b.First, b.Last)
	}
	for _, e := range b.Events {
		if e.Tenant != b.Tenant || e.Host != b.Host || e.Epoch != b.Epoch {
			return 0, fmt.Errorf("%w: event %s in a batch of %s/%s/%d", ErrForeign, e.ID().Text(), b.Tenant, b.Host, b.Epoch)
		}
		if b.Last > 0 && (e.Seq < b.First || e.Seq > b.Last) {
			return 0, fmt.Errorf("%w: sequence %d outside %d to %d", ErrForeign, e.Seq, b.First, b.Last)
		}
		size += e.SizeVT()
	}
	return size + len(b.Edges)*edgeSize, nil
}

// known is the tenant if it was ever opened; nil otherwise.
func (s *Store) known(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[name]
}

// Watermarks implements Facts.
func (s *Store) Watermarks(tenant, host string) map[uint64]uint64 {
	t := s.known(tenant)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[uint64]uint64{}
	for life, c := range t.state.cover {
		if life.host == host {
			out[life.epoch] = c.settled.contiguous()
		}
	}
	return out
}

// Watermark is that of one spool life; 0 when nothing of it is settled from its start.
func (s *Store) Watermark(tenant, host string, epoch uint64) uint64 {
	t := s.known(tenant)
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.state.cover[spoolLife{host, epoch}]; c != nil {
		return c.settled.contiguous()
	}
	return 0
}

// Hosts lists the hosts of a tenant that ever sent something, sorted.
func (s *Store) Hosts(tenant string) []string {
	t := s.known(tenant)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for life := range t.state.cover {
		out = append(out, life.host)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Size is what a tenant has on disk that is committed.
func (s *Store) Size(tenant string) (segments int, rows, bytes int64) {
	t := s.known(tenant)
	if t == nil {
		return 0, 0, 0
	}
	for _, g := range t.segments() {
		segments++
		bytes += g.Bytes
		if g.Table == Events {
			rows += g.Rows
		}
	}
	return segments, rows, bytes
}

// Flush makes all that waits durable now.
func (s *Store) Flush() error {
	var errs []error
	for _, t := range s.all() {
		errs = append(errs, t.flush())
	}
	return errors.Join(errs...)
}

// typed turns "no space left" into ErrDiskFull.
func typed(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (%v)", ErrDiskFull, err)
	}
	return err
}
