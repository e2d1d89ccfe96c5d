// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

func (s *Sensor) tellHealth() {
	for i := range s.caps {
		if c := &s.caps[i]; c.Missed() {
			s.opt.Board.Set(component, health.Degraded, c.Name+": "+c.Reason)
			return
		}
	}
	s.opt.Board.Set(component, health.On, "")
}

// A drained ring is left alone for a moment before it may wake the reader again. Each
// wake-up costs the agent some 400 us of CPU in a guest, however few records it brings:
// reader, spool, publisher, TLS, the broker's answer. So a quiet ring is read at once, a few
// times over, and one that keeps speaking is gathered: 100 programs a second cost a fifth of
// what they did when each was read by itself (docs/benchmarks.md).
const (
	gatherQuiet = time.Millisecond
	gatherBusy  = 100 * time.Millisecond // alerts are to come within 300
	quickBurst  = 8                      // reads at once after a silence
	quickEvery  = 500 * time.Millisecond // one more is earned
)

// pacer says how long a ring is left alone after it was drained.
type pacer struct {
	quick int
	since time.Time // when quick was last earned
}

func (p *pacer) rest(now time.Time) time.Duration {
	if earned := int(now.Sub(p.since) / quickEvery); earned > 0 {
		p.quick = min(p.quick+earned, quickBurst)
		p.since = now
	}
	if p.quick == 0 {
		return gatherBusy
	}
	p.quick--
	return gatherQuiet
}

// read decodes one ring until ctx ends and the ring is drained. It keeps in seen the boot
// time up to which all records are decoded. A hint in hurry ends a rest.
func (s *Sensor) read(ctx context.Context, r *ringbuf.Reader, seen *atomic.Uint64, hurry <-chan struct{}) {
	var rec ringbuf.Record
	var pace pacer
	for {
		at := event.BootNow()
		err := r.ReadInto(&rec)
		switch {
		case errors.Is(err, ringbuf.ErrFlushed):
			seen.Store(at) // nothing was left
			if ctx.Err() != nil {
				return
			}
			continue
		case err != nil: // the ring is broken: no more can come of it
			s.opt.Board.Set(component, health.Degraded, fmt.Sprintf("read a ring: %v", err))
			return
		}
		s.noticeLosses()
		for err == nil {
			if derr := s.dec.record(rec.RawSample); derr != nil {
				s.bad.Add(1)
			}
			if r.AvailableBytes() == 0 {
				if at = event.BootNow(); r.AvailableBytes() == 0 {
					seen.Store(at)
				}
				break
			}
			err = r.ReadInto(&rec)
		}
		select {
		case <-time.After(pace.rest(time.Now())):
		case <-hurry:
		}
	}
}

// watch counts, tells losses and keeps the slot alive, each second, until ctx ends.
func (s *Sensor) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.tellLosses(0)
			return
		case <-tick.C:
			s.opt.Clock.Check()
			s.beat()
			s.tellLosses(0)
			s.publishCounts()
		}
	}
}

// beat shows the other agents that we live. One that was stopped for too long (a paused
// machine) finds its slot taken, and takes another.
func (s *Sensor) beat() {
	if s.cfg.Shared == "" {
		return
	}
	var rec slotRecord
	if err := s.maps["slots"].Lookup(s.slot.Load(), &rec); err != nil {
		return // the next beat tries again
	}
	if s.lastBeat != 0 && (rec.Active == 0 || rec.Beat != s.lastBeat) {
		s.losses.Lock() // a reader that looks for losses meets one slot and its counters
		defer s.losses.Unlock()
		s.dirty = false // what is in that slot is not ours any more
		if err := s.enter(); err != nil {
			s.opt.Board.Set(component, health.Degraded, "lost its place in the shared set: "+err.Error())
			return
		}
		s.last = map[string]Counts{}
		for i, name := range classes {
			s.last[name] = s.counts(s.slot.Load(), i) // of those before us in this slot
		}
		return
	}
	rec.Beat = event.BootNow()
	if s.maps["slots"].Put(s.slot.Load(), rec) == nil {
		s.lastBeat = rec.Beat
	}
}

// Stats gives the counters of our slot per class. Filtered is of the whole set.
func (s *Sensor) Stats() map[string]Counts {
	out := map[string]Counts{}
	for i, name := range classes {
		c := s.counts(s.slot.Load(), i)
		if !s.cfg.scoped() || s.cfg.Shared == "" {
			c.Filtered = s.counts(noSlot, i).Filtered
		}
		out[name] = c
	}
	if s.dec != nil {
		c := out["sensitive"]
		c.Filtered += s.dec.unlisted.Load()
		out["sensitive"] = c
		out["lineage"] = s.dec.births.counts()
	}
	return out
}

// Count gives the counters of the last second per class, as every sensor does: what was
// over the share of one process is lost. Safe for many goroutines.
func (s *Sensor) Count() map[string]health.Count {
	if c := s.counted.Load(); c != nil {
		return *c
	}
	return nil
}

func (s *Sensor) publishCounts() {
	out := map[string]health.Count{"unreadable": {Lost: s.bad.Load()}}
	for class, c := range s.Stats() {
		out[class] = health.Count{Seen: c.Seen, Filtered: c.Filtered, Lost: c.Lost + c.Capped}
	}
	s.counted.Store(&out)
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

// noticeEvery is how often a busy reader looks for losses before it reads on; a look is
// ten system calls, some 15 us.
const noticeEvery = 10 * time.Millisecond

// noticeLosses tells the first loss after a calm second at once and before the records
// that are read from here on, so that what is found in them already knows of it.
func (s *Sensor) noticeLosses() {
	now := time.Now().UnixNano()
	if was := s.noticed.Load(); now-was < int64(noticeEvery) || !s.noticed.CompareAndSwap(was, now) {
		return
	}
	s.tellLosses(time.Second)
}

// tellLosses turns what was lost since the last look into loss windows, of the classes of
// which none was told for some time.
func (s *Sensor) tellLosses(calm time.Duration) {
	s.losses.Lock()
	defer s.losses.Unlock()
	now := time.Now().UnixNano()
	tell := func(class, reason string, n uint64) {
		if n == 0 {
			return
		}
		w := &verdict.LossWindow{Sensor: "kernel", Class: class, FromNs: s.told[class], ToNs: now, Count: n, Reason: reason}
		if now-w.FromNs > int64(time.Second) || w.FromNs > now {
			w.FromNs = now - int64(time.Second) // the counters are looked at each second
		}
		s.opt.Board.Lost(w)
		ev := s.dec.event(event.BootNow(), nil)
		ev.Payload = &event.Event_Loss{Loss: w}
		s.dec.emit(ev)
	}
	for i, name := range classes {
		if at := s.told[name]; now-at < int64(calm) && at <= now {
			continue
		}
		c := s.counts(s.slot.Load(), i)
		old := s.last[name]
		if c.Lost > old.Lost && name == "request" {
			s.dec.lossEpoch.Add(1)
		}
		full, capped := c.Lost-min(old.Lost, c.Lost), c.Capped-min(old.Capped, c.Capped)
		if full+capped == 0 {
			continue
		}
		s.last[name] = c
		tell(name, "ring full", full)
		tell(name, "over the share of one process", capped)
		s.told[name] = now
	}
	if bad := s.bad.Load(); bad != s.lastBad {
		tell("unreadable", "record not understood", bad-s.lastBad)
		s.lastBad, s.told["unreadable"] = bad, now
	}
}
