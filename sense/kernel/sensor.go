// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

const component = "sensor.kernel"

// Redactor replaces secrets before an event leaves the sensor; *event.Redactor is one.
type Redactor interface {
	Argv([]string) []string
	Env([]string) []string
	URI(string) string
	Header(name, value string) string
	Param(name, value string) string
	Text(string) string
}

// Options are what the sensor works with. Emit and Redact are required. Emit is called
// from one goroutine per ring (two), each in the order of the kernel, and from a third for
// loss windows; it must not block for long, or the rings fill and loss is counted.
type Options struct {
	Board  *health.Board
	Emit   func(*event.Event)
	Redact Redactor
	Clock  *event.Clock
}

// Counts of one class since start. Lost: the ring was full or the record unreadable.
// Capped: over the process's share. Filtered: outside every scope, or not told on purpose.
type Counts struct{ Seen, Filtered, Lost, Capped uint64 }

// Sensor is one agent's view of the kernel. Build with New, end by ending Run's context.
type Sensor struct {
	cfg  Config
	opt  Options
	caps []Capability

	coll          *ebpf.Collection // nil in shared mode
	on            []hook
	maps          map[string]*ebpf.Map
	precious      *ebpf.Map
	bulk          *ebpf.Map
	slot          atomic.Uint32 // Run takes another one where it was lost
	dec           *decoder
	bad           atomic.Uint64 // records that could not be read
	counted       atomic.Pointer[map[string]health.Count]
	last          map[string]Counts
	lastBad       uint64
	told          map[string]int64 // per class: up to when losses were told
	noticed       atomic.Int64     // when a reader last looked for losses
	losses        sync.Mutex       // guards last, lastBad and told
	lastBeat      uint64
	closed, dirty bool

	seen  atomic.Uint64                  // boot time up to which the precious ring is decoded
	wake  atomic.Pointer[ringbuf.Reader] // of the precious ring; nil unless Run runs
	hurry chan struct{}                  // a hint: read it now
}

// New loads the programs (or opens the shared set) and makes the rings. Nothing is
// attached before Run. It needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
func New(cfg Config, opt Options) (*Sensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opt.Emit == nil || opt.Redact == nil {
		return nil, errors.New("kernel sensor: Emit and Redact are required")
	}
	if opt.Board == nil {
		opt.Board = health.NewBoard()
	}
	if opt.Clock == nil {
		opt.Clock = event.NewClock()
	}
	opt.Board.Set(component, health.Off, "not started")
	s := &Sensor{cfg: cfg, opt: opt, last: map[string]Counts{}, told: map[string]int64{}, hurry: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		s.Close()
		opt.Board.Set(component, health.Off, err.Error())
		return nil, err
	}
	s.dec = newDecoder(&s.cfg, &s.opt)
	s.dec.mute = func(cookie uint64) {
		_ = s.maps["muted"].Put(cookie, uint32(1)) // a socket not muted costs room, no truth
	}
	return s, nil
}

func (s *Sensor) open() (err error) {
	if s.cfg.Shared != "" {
		if s.maps, err = openShared(s.cfg.Shared); err != nil {
			return err
		}
		kernel, err := kernelOffers()
		if err != nil {
			return err
		}
		_, s.caps = wanted(&s.cfg, kernel)
		for i := range s.caps { // what counts is what the shared set was loaded with
			c := &s.caps[i]
			_, program, _ := strings.Cut(c.Name, "/")
			if _, err := os.Stat(filepath.Join(s.cfg.Shared, "link_"+program)); err == nil {
				c.On, c.Reason = true, ""
			} else if c.On {
				c.On, c.Reason = false, "the shared set was loaded without it"
			}
		}
	} else {
		if s.coll, s.on, s.caps, err = load(&s.cfg); err != nil {
			return err
		}
		s.maps = s.coll.Maps
	}
	if s.precious, err = newRing("precious", s.cfg.PreciousRing); err != nil {
		return err
	}
	if s.bulk, err = newRing("bulk", s.cfg.BulkRing); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	for _, p := range s.cfg.Sensitive {
		key, err := sensitiveKey(p)
		if err != nil {
			return err
		}
		if err := s.maps["sensitive"].Put(key, uint32(1)); err != nil {
			return fmt.Errorf("list sensitive path %q in the kernel: %w", p, err)
		}
	}
	return nil
}

func newRing(name string, size int) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.RingBuf, MaxEntries: uint32(size)})
	if err != nil {
		return nil, fmt.Errorf("make the %s ring of %d bytes: %w", name, size, err)
	}
	return m, nil
}

// enter takes a slot, puts our rings in it and registers our scope.
func (s *Sensor) enter() error {
	unlock, err := lockDir(s.cfg.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	pidns, self := s.cfg.PidNamespace, uint32(0)
	if pidns == "" {
		pidns, self = "/proc/self/ns/pid", uint32(os.Getpid())
	}
	ns, err := inodeOf(pidns)
	if err != nil {
		return err
	}
	slot, err := claimSlot(s.maps, slotRecord{PidNS: uint32(ns), Self: self})
	if err != nil {
		return err
	}
	s.slot.Store(slot)
	s.dirty, s.lastBeat = true, 0
	if err := s.maps["precious"].Put(slot, s.precious); err != nil {
		return fmt.Errorf("hand the precious ring to the kernel: %w", err)
	}
	if err := s.maps["bulk"].Put(slot, s.bulk); err != nil {
		return fmt.Errorf("hand the bulk ring to the kernel: %w", err)
	}
	return putScope(&s.cfg, s.maps, slot)
}

// Close gives back what New took. Run does it at its end; call it only when Run was not.
func (s *Sensor) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.leave()
	for _, m := range []*ebpf.Map{s.precious, s.bulk} {
		if m != nil {
			_ = m.Close()
		}
	}
	if s.coll != nil {
		s.coll.Close()
	} else {
		closeMaps(s.maps)
	}
	if s.dec != nil {
		s.dec.procs.cgroups.close()
	}
}

// leave takes our scope and rings out of the kernel.
func (s *Sensor) leave() {
	if !s.dirty {
		return
	}
	s.dirty = false
	if unlock, err := lockDir(s.cfg.Shared); err == nil {
		releaseSlot(s.maps, s.slot.Load())
		unlock()
	} // the folder is gone: so is the set
}

// Run attaches the hooks, tells of what runs already, and reads until ctx ends.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.Close()
	defer s.opt.Board.Set(component, health.Off, "stopped")
	var links []link.Link
	if s.coll != nil {
		var err error
		if links, err = attach(s.coll, s.on); err != nil {
			s.opt.Board.Set(component, health.Off, err.Error())
			return err
		}
	}
	defer func() {
		for _, l := range links {
			_ = l.Close()
		}
	}()
	readers := make([]*ringbuf.Reader, 0, 2)
	for _, m := range []*ebpf.Map{s.precious, s.bulk} {
		r, err := ringbuf.NewReader(m)
		if err != nil {
			return fmt.Errorf("read a ring: %w", err)
		}
		defer r.Close()
		readers = append(readers, r)
	}
	s.dec.snapshot(&s.cfg)
	s.tellHealth()
	var wg sync.WaitGroup
	s.wake.Store(readers[0])
	defer s.wake.Store(nil)
	wg.Go(func() { s.read(ctx, readers[0], &s.seen, s.hurry) })
	wg.Go(func() { s.read(ctx, readers[1], new(atomic.Uint64), nil) })
	s.watch(ctx)
	// No more records; then the readers drain the rings and end themselves (closing a ring
	// under its reader is not safe).
	s.leave()
	for _, r := range readers {
		_ = r.Flush() // makes read see that ctx has ended
	}
	wg.Wait()
	return nil
}

// Probe says which hooks are on, which not and why, and what that costs.
func (s *Sensor) Probe() []Capability {
	return append(append(append([]Capability(nil), s.caps...), goroutines()), notCovered...)
}
