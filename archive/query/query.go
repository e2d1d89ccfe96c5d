// SPDX-License-Identifier: Apache-2.0

// Package query answers SQL over the archive: a pool of engine processes, one tenant
// each, that own nothing and may do nothing but read that tenant's segments.
//
// In come a tenant, a SELECT and limits; out come rows of plain JSON values. It
// believes nothing of the SQL, and little of the child that runs it: what the child
// says is bounded and parsed like any outside bytes.
//
// What confines the engine, each by itself enough against most of what is tried:
// one statement of a reading kind only; DuckDB with external access off but for the
// segment folder, no extension, configuration locked; Landlock (read the segment folder
// and nothing else); seccomp (no exec, no socket, no opening for write, no change
// of names); no_new_privs; limits on memory, files, processor time; and when Ringwall
// is root: a root folder that holds only the segments, user nobody, a network
// namespace without a network. Doctor shows Confinement.
//
// The worst trap: this package links DuckDB (cgo). Only the full binary may import it.
package query

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/ringwall/ringwall/archive"
)

// Errors that callers decide on. Each comes wrapped with what was asked and the mend.
var (
	ErrRefused = errors.New("hunt refused")        // not a single reading statement, or not allowed
	ErrSQL     = errors.New("hunt has an error")   // DuckDB could not understand or run it
	ErrTime    = errors.New("hunt took too long")  // Limits.Time
	ErrMemory  = errors.New("hunt needs too much") // Limits.MemoryMB
	ErrEngine  = errors.New("hunt engine failed")  // the child could not be started or died
)

// Config of the pool. The zero value of a field means its default.
type Config struct {
	Root    string   // the archive's folder
	Command []string // starts a process that calls Serve; default: this binary with archive-query
	UID     int      // who the engine becomes when we are root; default 65534, nobody
	GID     int      // archive.Config.ReaderGID
	Limits  archive.Limits
	Threads int           // of the engine; default: all processors, 4 at most
	Most    int           // hunts at once, the rest wait; default 4
	Idle    time.Duration // a warm child without work ends after; default 2 minutes
}

// Validate fills in defaults.
func (c *Config) Validate() error {
	if c.Root == "" {
		return errors.New("archive.dir is empty: name the folder that holds the archive")
	}
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if len(c.Command) == 0 {
		c.Command = []string{"/proc/self/exe", "archive-query"}
	}
	set(&c.UID, 65534)
	set(&c.GID, 65534)
	set(&c.Limits.Rows, 10_000)
	set(&c.Limits.MemoryMB, 512)
	set(&c.Threads, min(4, runtime.NumCPU()))
	set(&c.Most, 4)
	if c.Limits.Time == 0 {
		c.Limits.Time = 30 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = 2 * time.Minute
	}
	if c.UID < 0 || c.GID < 0 || c.Threads < 0 || c.Most < 0 {
		return errors.New("archive.query: negative uid, gid, threads or most")
	}
	return nil
}

// Pool starts and keeps engine processes. Safe for many goroutines.
type Pool struct {
	cfg   Config
	slots chan struct{}

	mu     sync.Mutex // guards the two below
	warm   map[string][]*child
	closed bool
}

var _ archive.Hunter = (*Pool)(nil)

// New makes a pool; nothing is started yet.
func New(cfg Config) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Pool{cfg: cfg, slots: make(chan struct{}, cfg.Most), warm: map[string][]*child{}}, nil
}

// Hunt implements archive.Hunter. Limits above the pool's own are cut to them.
func (p *Pool) Hunt(ctx context.Context, tenant, sql string, lim archive.Limits, row func([]any) error) (*archive.Answer, error) {
	lim = p.bound(lim)
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a hunt engine: %w", ctx.Err())
	}
	for try := 0; ; try++ {
		segs, err := archive.Segments(p.cfg.Root, tenant)
		if err != nil {
			return nil, err
		}
		c, err := p.take(tenant)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEngine, err)
		}
		ans, rows, err := c.hunt(ctx, request{Segments: segs, SQL: sql, Limits: lim, Threads: p.cfg.Threads}, row)
		if err == nil || errors.Is(err, ErrSQL) || errors.Is(err, ErrRefused) {
			p.give(c)
		} else {
			c.kill()
		}
		// A merge whose grace has passed may have taken a file between manifest and open,
		// and a warm child may have died since its last hunt.
		if err != nil && rows == 0 && try == 0 && ctx.Err() == nil && (errors.Is(err, errGone) || (errors.Is(err, ErrEngine) && c.used > 1)) {
			continue
		}
		return ans, err
	}
}

func (p *Pool) bound(lim archive.Limits) archive.Limits {
	own := p.cfg.Limits
	if lim.Rows <= 0 || lim.Rows > own.Rows {
		lim.Rows = own.Rows
	}
	if lim.Time <= 0 || lim.Time > own.Time {
		lim.Time = own.Time
	}
	if lim.MemoryMB <= 0 || lim.MemoryMB > own.MemoryMB {
		lim.MemoryMB = own.MemoryMB
	}
	return lim
}

// Warm starts an engine for a tenant, so that its first hunt need not wait for it.
func (p *Pool) Warm(tenant string) error {
	c, err := p.take(tenant)
	if err != nil {
		return err
	}
	p.give(c)
	return nil
}

// recycle is how many hunts one process answers: what leaks in the engine ends with it.
const recycle = 500

func (p *Pool) take(tenant string) (*child, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, archive.ErrClosed
	}
	if idle := p.warm[tenant]; len(idle) > 0 {
		c := idle[len(idle)-1]
		p.warm[tenant] = idle[:len(idle)-1]
		c.idle.Stop()
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	dir, err := archive.Dir(p.cfg.Root, tenant)
	if err != nil {
		return nil, err
	}
	return start(p.cfg, tenant, dir)
}

func (p *Pool) give(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.used >= recycle || len(p.warm[c.tenant]) >= p.cfg.Most {
		go c.kill()
		return
	}
	c.idle = time.AfterFunc(p.cfg.Idle, func() { p.retire(c) })
	p.warm[c.tenant] = append(p.warm[c.tenant], c)
}

func (p *Pool) retire(c *child) {
	p.mu.Lock()
	for i, w := range p.warm[c.tenant] {
		if w == c {
			p.warm[c.tenant] = append(p.warm[c.tenant][:i], p.warm[c.tenant][i+1:]...)
			p.mu.Unlock()
			c.kill()
			return
		}
	}
	p.mu.Unlock()
}

// Close ends all idle engines; those at work end with their hunt.
func (p *Pool) Close() {
	p.mu.Lock()
	warm := p.warm
	p.warm, p.closed = map[string][]*child{}, true
	p.mu.Unlock()
	for _, cs := range warm {
		for _, c := range cs {
			c.idle.Stop()
			c.kill()
		}
	}
}

// Confinement says, for doctor, what holds the engine here and what is missing.
func Confinement() []string {
	var out []string
	if os.Geteuid() == 0 {
		out = append(out, "runs as nobody in a root folder of its own, without a network")
	} else {
		out = append(out, "runs as the same user: start Ringwall as root to have it run as nobody")
	}
	if abi := landlockABI(); abi > 0 {
		out = append(out, fmt.Sprintf("Landlock ABI %d", abi))
	} else {
		out = append(out, "no Landlock in this kernel: needs 5.13 or later with landlock in its LSM list")
	}
	return out
}
