// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
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
	slot          uint32
	dec           *decoder
	bad           atomic.Uint64 // records that could not be read
	last          map[string]Counts
	lastBad       uint64
	lastTold      int64
	closed, dirty bool
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
	s := &Sensor{cfg: cfg, opt: opt, last: map[string]Counts{}}
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
		has, err := kernelHas()
		if err != nil {
			return err
		}
		_, s.caps = wanted(&s.cfg, has)
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
	pidns := s.cfg.PidNamespace
	if pidns == "" {
		pidns = "/proc/self/ns/pid"
	}
	ns, err := inodeOf(pidns)
	if err != nil {
		return err
	}
	if s.slot, err = claimSlot(s.maps, slotRecord{PidNS: uint32(ns), Self: uint32(os.Getpid())}); err != nil {
		return err
	}
	s.dirty = true
	if err := s.maps["precious"].Put(s.slot, s.precious); err != nil {
		return fmt.Errorf("hand the precious ring to the kernel: %w", err)
	}
	if err := s.maps["bulk"].Put(s.slot, s.bulk); err != nil {
		return fmt.Errorf("hand the bulk ring to the kernel: %w", err)
	}
	return putScope(&s.cfg, s.maps, s.slot)
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
		releaseSlot(s.maps, s.slot)
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
	wg.Go(func() { s.read(ctx, readers[0], 0) })
	// Bulk records do not wake the reader one by one.
	wg.Go(func() { s.read(ctx, readers[1], 100*time.Millisecond) })
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

func (s *Sensor) tellHealth() {
	for _, c := range s.caps {
		if c.Set == "A" && !c.On && c.Reason != "the fallback stands in" {
			s.opt.Board.Set(component, health.Degraded, c.Name+": "+c.Reason)
			return
		}
	}
	s.opt.Board.Set(component, health.On, "")
}

// A drained ring is left alone for a moment before it may wake the reader again: the first
// record of a burst is read at once, the rest in one go. A wake-up costs the runtime
// 10-30 us of CPU in a guest; at 1,000 execs a second waiting 20 ms made the sensor's CPU
// a third.
const (
	gatherIdle = time.Millisecond
	gatherBusy = 20 * time.Millisecond
	busyRate   = 500 // records a second
)

// read decodes one ring until ctx ends and the ring is drained. A poll of 0 waits for a
// wake-up.
func (s *Sensor) read(ctx context.Context, r *ringbuf.Reader, poll time.Duration) {
	var rec ringbuf.Record
	last := time.Now()
	for {
		if poll > 0 {
			r.SetDeadline(time.Now().Add(poll))
		}
		err := r.ReadInto(&rec)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ringbuf.ErrFlushed):
			if ctx.Err() != nil {
				return
			}
			continue
		case err != nil: // the ring is broken: no more can come of it
			s.opt.Board.Set(component, health.Degraded, fmt.Sprintf("read a ring: %v", err))
			return
		}
		n := 0
		for err == nil {
			n++
			if derr := s.dec.record(rec.RawSample); derr != nil {
				s.bad.Add(1)
			}
			if r.AvailableBytes() == 0 {
				break
			}
			err = r.ReadInto(&rec)
		}
		now := time.Now()
		pause := gatherIdle
		if time.Duration(n)*time.Second > busyRate*now.Sub(last) {
			pause = gatherBusy
		}
		last = now
		time.Sleep(pause)
	}
}

// watch counts, tells losses and keeps the slot alive, each second, until ctx ends.
func (s *Sensor) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.lastTold = time.Now().UnixNano()
	for {
		select {
		case <-ctx.Done():
			s.tellLosses()
			return
		case <-tick.C:
			s.opt.Clock.Check()
			s.beat()
			s.tellLosses()
		}
	}
}

func (s *Sensor) beat() {
	var rec slotRecord
	if s.maps["slots"].Lookup(s.slot, &rec) == nil && rec.Active != 0 {
		rec.Beat = event.BootNow()
		_ = s.maps["slots"].Put(s.slot, rec) // the next beat tries again
	}
}

// Stats gives the counters of our slot per class. Filtered is of the whole set.
func (s *Sensor) Stats() map[string]Counts {
	out := map[string]Counts{}
	for i, name := range classes {
		c := s.counts(s.slot, i)
		if !s.cfg.scoped() || s.cfg.Shared == "" {
			c.Filtered = s.counts(noSlot, i).Filtered
		}
		out[name] = c
	}
	if s.dec != nil {
		c := out["sensitive"]
		c.Filtered += s.dec.unlisted.Load()
		out["sensitive"] = c
	}
	return out
}

func (s *Sensor) counts(slot uint32, class int) (sum Counts) {
	var per []Counts
	key := slot*uint32(len(classes)) + uint32(class)
	if err := s.maps["counters"].Lookup(key, &per); err != nil {
		return sum // the map is gone: the sensor has ended
	}
	for _, c := range per {
		sum.Seen += c.Seen
		sum.Filtered += c.Filtered
		sum.Lost += c.Lost
		sum.Capped += c.Capped
	}
	return sum
}

// tellLosses turns what was lost since the last look into loss windows.
func (s *Sensor) tellLosses() {
	now := time.Now().UnixNano()
	tell := func(class, reason string, n uint64) {
		if n == 0 {
			return
		}
		w := &verdict.LossWindow{Sensor: "kernel", Class: class, FromNs: s.lastTold, ToNs: now, Count: n, Reason: reason}
		s.opt.Board.Lost(w)
		ev := s.dec.event(event.BootNow(), nil)
		ev.Payload = &event.Event_Loss{Loss: w}
		s.dec.emit(ev)
	}
	for i, name := range classes {
		c := s.counts(s.slot, i)
		old := s.last[name]
		if c.Lost > old.Lost && name == "request" {
			s.dec.lossEpoch.Add(1)
		}
		tell(name, "ring full", c.Lost-min(old.Lost, c.Lost))
		tell(name, "over the share of one process", c.Capped-min(old.Capped, c.Capped))
		s.last[name] = c
	}
	bad := s.bad.Load()
	tell("unreadable", "record not understood", bad-s.lastBad)
	s.lastBad, s.lastTold = bad, now
}

// Probe says which hooks are on, which not and why, and what that costs.
func (s *Sensor) Probe() []Capability {
	return append(append([]Capability(nil), s.caps...), notCovered...)
}
