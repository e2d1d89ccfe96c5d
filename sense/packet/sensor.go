// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/wire/ip"
)

// Sensor reads the interfaces of one network namespace.
type Sensor struct {
	cfg    Config
	opt    Options
	ring   *ring
	engine *engine
	ifaces interfaces
	counts atomic.Pointer[Counts]
	closed bool
}

// interfaces is what the namespace has at the moment.
type interfaces struct {
	chosen   []int // by the configured names; nil where none are named
	loopback int   // index, 0 when there is none
	missing  []string
	own      map[netip.Addr]bool
}

// New opens the ring; packets come from Run on. Without CAP_NET_RAW it fails with an
// error that wraps unix.EPERM.
func New(cfg Config, opt Options) (*Sensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := opt.check(); err != nil {
		return nil, err
	}
	if opt.Clock == nil {
		opt.Clock = event.NewClock()
	}
	s := &Sensor{cfg: cfg, opt: opt}
	file := cfg.Netns
	if file == "" {
		file = "/proc/self/ns/net"
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return nil, fmt.Errorf("packet sensor: network namespace %s: %w", file, err)
	}
	if s.opt.Netns == 0 {
		s.opt.Netns = st.Ino
	}
	if s.opt.Local == nil {
		s.opt.Local = func(a netip.Addr) bool { return a.IsLoopback() || s.ifaces.own[a] }
	}
	err := inNetns(cfg.Netns, func() (err error) {
		if s.ifaces, err = look(cfg.Interfaces); err != nil {
			return err
		}
		s.ring, err = openRing(cfg.Ring)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("packet sensor: %w", err)
	}
	if err := s.filter(); err != nil {
		s.Close()
		return nil, fmt.Errorf("packet sensor: %w", err)
	}
	s.engine = newEngine(&s.cfg, &s.opt)
	s.counts.Store(&Counts{})
	s.tellHealth()
	return s, nil
}

// inNetns calls f on a thread of its own in the namespace that the file names; the
// thread ends with it.
func inNetns(file string, f func() error) error {
	if file == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others any more
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd) // only looked at
		}
		if err != nil {
			done <- fmt.Errorf("enter network namespace %s: %w", file, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// look lists the interfaces of the calling thread's namespace.
func look(patterns []string) (interfaces, error) {
	var out interfaces
	list, err := net.Interfaces()
	if err != nil {
		return out, fmt.Errorf("list interfaces: %w", err)
	}
	out.own = map[netip.Addr]bool{}
	met := map[string]bool{}
	if len(patterns) > 0 {
		out.chosen = []int{}
	}
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 {
			out.loopback = i.Index
		}
		addrs, err := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && err == nil {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					out.own[ip.Unmap()] = true
				}
			}
		}
		for _, p := range patterns {
			if ok, _ := path.Match(p, i.Name); ok { // Validate has tried the pattern
				met[p] = true
				if !slices.Contains(out.chosen, i.Index) {
					out.chosen = append(out.chosen, i.Index)
				}
			}
		}
	}
	for _, p := range patterns {
		if !met[p] {
			out.missing = append(out.missing, p)
		}
	}
	return out, nil
}

func (s *Sensor) filter() error {
	skip := s.ifaces.loopback
	if s.cfg.Loopback {
		skip = 0
	}
	return s.ring.filter(s.ifaces.chosen, skip, s.ifaces.loopback, s.cfg.Snaplen)
}

func (s *Sensor) tellHealth() {
	switch m := s.ifaces.missing; {
	case len(m) > 0:
		s.opt.Board.Set(Name, health.Degraded, "no interface is named "+strings.Join(m, ", ")+" at the moment")
	case len(s.ifaces.chosen) > maxNamed:
		s.opt.Board.Set(Name, health.Degraded, fmt.Sprintf("%d interfaces match packet.interfaces, the first %d are read; name none to read all", len(s.ifaces.chosen), maxNamed))
	default:
		s.opt.Board.Set(Name, health.On, "")
	}
}

// Close gives the ring back. Run does it at its end; call it only when Run was not.
func (s *Sensor) Close() {
	if !s.closed {
		s.closed = true
		s.ring.close()
	}
}

// Counts are those of the last second. Safe for many goroutines.
func (s *Sensor) Counts() Counts { return *s.counts.Load() }

// Count gives the counters per class as every sensor does. Safe for many goroutines.
func (s *Sensor) Count() map[string]health.Count {
	c := s.Counts()
	return map[string]health.Count{
		"packet":  {Seen: c.Packets, Filtered: c.Other + c.Doubles, Lost: c.Dropped + c.Malformed},
		"flow":    {Seen: c.Flows, Lost: c.Shed},
		"content": {Seen: c.Read, Lost: c.Cut + c.Gaps},
		"dns":     {Seen: c.DNS, Lost: c.DNSShed},
	}
}

// lookEvery is how often interfaces that come and go are noticed where some are named,
// and own addresses in any case.
const lookEvery = 5 * time.Second

// Run reads until ctx ends. Flows that are open then are not told closed.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.Close()
	defer s.opt.Board.Set(Name, health.Off, "stopped")
	if err := s.ring.start(); err != nil {
		return fmt.Errorf("packet sensor: %w", err)
	}
	var p ip.Packet
	visit := func(etherType uint16, data []byte, wall int64, iface int32) {
		if err := p.Decode(etherType, data); err != nil {
			s.engine.unread(err)
			return
		}
		s.engine.packet(&p, wall, iface)
	}
	now := time.Now()
	second, looked := now, now
	for ctx.Err() == nil {
		for n := 0; n < 64 && s.ring.ready(); n++ { // then the clock has its turn
			s.ring.block(visit)
		}
		now = time.Now()
		s.engine.tick(now.UnixNano())
		if now.Sub(second) >= time.Second {
			second = now
			s.everySecond(now)
		}
		if now.Sub(looked) >= lookEvery {
			looked = now
			s.lookAgain()
		}
		if s.ring.ready() {
			continue
		}
		ms := 200
		if len(s.engine.waiting) > 0 {
			ms = retire
		}
		if err := s.ring.wait(ms); err != nil {
			return fmt.Errorf("packet sensor: %w", err)
		}
	}
	s.everySecond(time.Now())
	return nil
}

func (s *Sensor) everySecond(now time.Time) {
	if n, err := s.ring.drops(); err == nil { // it asks again in a second
		s.engine.count.Dropped += n
	}
	s.engine.losses(now.UnixNano())
	c := s.engine.counts()
	s.counts.Store(&c)
}

// lookAgain takes note of interfaces and addresses that came or went.
func (s *Sensor) lookAgain() {
	old := s.ifaces
	err := inNetns(s.cfg.Netns, func() (err error) {
		s.ifaces, err = look(s.cfg.Interfaces)
		return err
	})
	if err == nil && (!slices.Equal(old.chosen, s.ifaces.chosen) || old.loopback != s.ifaces.loopback) {
		err = s.filter()
	}
	if err != nil {
		if !errors.Is(err, unix.EINTR) {
			s.opt.Board.Set(Name, health.Degraded, err.Error())
		}
		s.ifaces = old
		return
	}
	s.tellHealth()
}
