// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// A drained ring is left alone for a moment before it may wake the reader again: the first
// record of a burst is read at once, the rest in one go. A wake-up costs the runtime
// 10-30 us of CPU in a guest; at 1,000 execs a second waiting 20 ms made the sensor's CPU
// a third, and 50 ms the agent's (spool and bus are woken with it) two thirds of that.
const (
	gatherIdle  = time.Millisecond
	gatherBusy  = 50 * time.Millisecond
	gatherStorm = 100 * time.Millisecond
	busyRate    = 500 // records a second
	stormRate   = 2000
)

// pause is how long a ring that gave n records in a while is left alone.
func pause(n int, while time.Duration) time.Duration {
	switch got := time.Duration(n) * time.Second; {
	case got > stormRate*while:
		return gatherStorm
	case got > busyRate*while:
		return gatherBusy
	}
	return gatherIdle
}

// read decodes one ring until ctx ends and the ring is drained. A poll of 0 waits for a
// wake-up. It keeps in seen the boot time up to which all records are decoded.
func (s *Sensor) read(ctx context.Context, r *ringbuf.Reader, poll time.Duration, seen *atomic.Uint64) {
	var rec ringbuf.Record
	last := time.Now()
	for {
		if poll > 0 {
			r.SetDeadline(time.Now().Add(poll))
		}
		at := event.BootNow()
		err := r.ReadInto(&rec)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ringbuf.ErrFlushed):
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
		n := 0
		for err == nil {
			n++
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
		now := time.Now()
		rest := pause(n, now.Sub(last))
		last = now
		time.Sleep(rest)
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
	if err := s.maps["slots"].Lookup(s.slot, &rec); err != nil {
		return // the next beat tries again
	}
	if s.lastBeat != 0 && (rec.Active == 0 || rec.Beat != s.lastBeat) {
		if err := s.enter(); err != nil {
			s.opt.Board.Set(component, health.Degraded, "lost its place in the shared set: "+err.Error())
			return
		}
		s.losses.Lock()
		defer s.losses.Unlock()
		s.last = map[string]Counts{}
		for i, name := range classes {
			s.last[name] = s.counts(s.slot, i) // of those before us in this slot
		}
		return
	}
	rec.Beat = event.BootNow()
	if s.maps["slots"].Put(s.slot, rec) == nil {
		s.lastBeat = rec.Beat
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
		s.told[class] = now
	}
	for i, name := range classes {
		if at := s.told[name]; now-at < int64(calm) && at <= now {
			continue
		}
		c := s.counts(s.slot, i)
		old := s.last[name]
		if c.Lost > old.Lost && name == "request" {
			s.dec.lossEpoch.Add(1)
		}
		full, capped := c.Lost-min(old.Lost, c.Lost), c.Capped-min(old.Capped, c.Capped)
		if full+capped == 0 {
			continue
		}
		s.last[name] = c
		from := s.told[name]
		tell(name, "ring full", full)
		s.told[name] = from // one stretch of time, two reasons
		tell(name, "over the share of one process", capped)
		s.told[name] = now
	}
	bad := s.bad.Load()
	tell("unreadable", "record not understood", bad-s.lastBad)
	s.lastBad = bad
}
