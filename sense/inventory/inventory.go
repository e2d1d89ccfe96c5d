// SPDX-License-Identifier: Apache-2.0

// Package inventory tells what a host is: which sockets listen and whose they are, which
// connections stand, which packages, users and containers there are.
//
// In come the kernel's socket tables (sock_diag), /proc, dpkg's records, /etc/passwd and
// the cgroup tree, looked at every few seconds; out go Inventory events: everything on
// the first look, afterwards only what came, changed or went. It believes the kernel for
// sockets and the host's own files for the rest: an intruder with root can make those lie.
//
// The worst trap: what lives shorter than two looks is not here. A connection that came
// later than the sensor is told only once it has stood for two looks; the kernel and
// packet sensors tell the short ones. And what could not be read is not gone: a failed
// look keeps what was known and says so on the health board.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// Config says how often is looked.
type Config struct {
	Every time.Duration `yaml:"every"` // between two looks, 1 s to 1 h
}

// DefaultConfig looks every 10 s: about 1 ms of CPU where nothing changed.
func DefaultConfig() Config { return Config{Every: 10 * time.Second} }

// Validate names what cannot be.
func (c *Config) Validate() error {
	if c.Every < time.Second || c.Every > time.Hour {
		return fmt.Errorf("inventory.every = %v: want 1s to 1h", c.Every)
	}
	return nil
}

// Options join the sensor to its agent. Clock, Board and Emit are required.
type Options struct {
	Root   string // prefix under which this host's files lie; "" for this machine
	Netns  string // file of the host's network namespace; "" for the sensor's own
	Cgroup string // folder in the cgroup2 tree below which the host's containers are; "" for all
	// Owner names the package that a path belongs to, or "" (file/known answers this);
	// nil: dpkg's lists are read.
	Owner func(path string) string
	Clock *event.Clock
	Board *health.Board
	Emit  func(*event.Event)
}

// Counts since start.
type Counts struct {
	Looks, Told uint64
	Short       uint64 // connections and UDP sockets that were there for one look only, not told
	Lost        uint64 // beyond the bound of one kind
}

// Sensor looks at one host. Local may be called from many goroutines, while Run runs.
type Sensor struct {
	cfg   Config
	opt   Options
	root  int
	netns uint64
	diag  *diag

	asks   sync.Mutex // guards query and what Local may still ask
	query  *diag
	second int64
	asked  int

	known   map[event.Inventory_Kind]map[string]item
	pending map[string]bool // one look old
	owners  owners
	pkgs    packages
	users   users
	bad     map[string]string

	looks, told, short, lost atomic.Uint64
}

// Name is the component's name on the health board.
const Name = "sensor.inventory"

// maxItems bounds each kind; about 500 bytes an item.
const maxItems = 20_000

// item is one thing that is there. Two items of one key with equal words are the same.
type item struct {
	inv   *event.Inventory
	actor *entity.Process
	brief bool // told only when it stands for two looks
}

func (i item) words() string {
	return i.inv.Name + "\x00" + i.inv.Version + "\x00" + i.inv.Detail
}

// New opens the host's root and its network namespace.
func New(cfg Config, opt Options) (*Sensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opt.Clock == nil || opt.Board == nil || opt.Emit == nil {
		return nil, errors.New("inventory: Clock, Board and Emit are required")
	}
	s := &Sensor{cfg: cfg, opt: opt, known: map[event.Inventory_Kind]map[string]item{}, pending: map[string]bool{}, bad: map[string]string{}}
	root := opt.Root
	if root == "" {
		root = "/"
	}
	var err error
	if s.root, err = unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("inventory: open the host's root %s: %w", root, err)
	}
	if s.diag, s.netns, err = openDiag(opt.Netns); err == nil {
		s.query, _, err = openDiag(opt.Netns)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Sensor) close() {
	unix.Close(s.root)
	s.diag.close()
	s.asks.Lock()
	defer s.asks.Unlock()
	s.query.close()
	s.query = nil
}

// Stats counts since start.
func (s *Sensor) Stats() Counts {
	return Counts{s.looks.Load(), s.told.Load(), s.short.Load(), s.lost.Load()}
}

// Count gives the counters as every sensor does. Safe for many goroutines.
func (s *Sensor) Count() map[string]health.Count {
	return map[string]health.Count{"fact": {Seen: s.told.Load(), Filtered: s.short.Load(), Lost: s.lost.Load()}}
}

// Run looks until ctx ends; it closes the sensor.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.close()
	defer s.opt.Board.Set(Name, health.Off, "stopped")
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		s.look()
		s.report()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Sensor) report() {
	if len(s.bad) == 0 {
		s.opt.Board.Set(Name, health.On, "")
		return
	}
	var why []string
	for what, err := range s.bad {
		why = append(why, what+": "+err)
	}
	slices.Sort(why)
	s.opt.Board.Set(Name, health.Degraded, strings.Join(why, "; "))
}

// look compares what is there with what was.
func (s *Sensor) look() {
	first := s.looks.Add(1) == 1
	clear(s.bad)
	read := func(what string, f func() (map[event.Inventory_Kind]map[string]item, error)) {
		found, err := f()
		if err != nil {
			s.bad[what] = err.Error()
		}
		for kind, now := range found {
			s.differences(kind, now, first)
		}
	}
	read("packages", s.readPackages)
	read("users", s.readUsers)
	read("containers", s.readContainers)
	read("sockets", s.readSockets)
}

// differences tells what came, changed and went, in the order of the keys.
func (s *Sensor) differences(kind event.Inventory_Kind, now map[string]item, first bool) {
	old := s.known[kind]
	next := make(map[string]item, len(now))
	keys := make([]string, 0, len(now))
	for k := range now {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var lost uint64
	for _, k := range keys {
		it := now[k]
		was, known := old[k]
		mark := kind.String() + k
		switch {
		case len(next) >= maxItems:
			lost++
			continue
		case known && was.words() == it.words():
		case !known && it.brief && !first && !s.pending[mark]:
			s.pending[mark] = true
			continue
		default:
			s.tell(it, false)
		}
		delete(s.pending, mark)
		next[k] = it
	}
	for mark := range s.pending {
		if k, ours := strings.CutPrefix(mark, kind.String()); ours {
			if _, there := now[k]; !there {
				delete(s.pending, mark)
				s.short.Add(1)
			}
		}
	}
	gone := make([]string, 0)
	for k := range old {
		if _, there := next[k]; !there {
			gone = append(gone, k)
		}
	}
	slices.Sort(gone)
	for _, k := range gone {
		s.tell(old[k], true)
	}
	s.known[kind] = next
	if lost > 0 {
		s.tellLost(kind, lost)
	}
}

func (s *Sensor) tellLost(kind event.Inventory_Kind, n uint64) {
	s.lost.Add(n)
	now := time.Now().UnixNano()
	w := &verdict.LossWindow{Sensor: "inventory", Class: strings.ToLower(kind.String()), FromNs: now - int64(s.cfg.Every), ToNs: now, Count: n,
		Reason: fmt.Sprintf("more than %d at once", maxItems)}
	s.opt.Board.Lost(w)
	s.emit(&event.Event{Payload: &event.Event_Loss{Loss: w}})
}

func (s *Sensor) tell(it item, gone bool) {
	s.told.Add(1)
	inv := it.inv
	if gone {
		inv = &event.Inventory{Kind: inv.Kind, Gone: true, Name: inv.Name, Version: inv.Version, Detail: inv.Detail, Flow: inv.Flow}
	}
	s.emit(&event.Event{Actor: it.actor, Payload: &event.Event_Inventory{Inventory: inv}})
}

func (s *Sensor) emit(ev *event.Event) {
	ev.Sensor = event.Sensor_INVENTORY
	s.opt.Clock.Stamp(ev, event.BootNow())
	s.opt.Emit(ev)
}

// asksPerSecond bounds what a flood of log lines can make Local cost: one ask walks the
// kernel's table of connections, 0.4 ms here (BenchmarkLocal).
const asksPerSecond = 100

// Local tells on which address of this host a client's TCP connection ends, and in which
// network namespace; false where there is none, or where too much was asked this second.
func (s *Sensor) Local(client netip.AddrPort) (netip.AddrPort, uint64, bool) {
	s.asks.Lock()
	defer s.asks.Unlock()
	if now := time.Now().Unix(); now != s.second {
		s.second, s.asked = now, 0
	}
	if s.query == nil || s.asked >= asksPerSecond || client.Port() == 0 {
		return netip.AddrPort{}, 0, false
	}
	s.asked++
	var at netip.AddrPort
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := s.query.dump(family, unix.IPPROTO_TCP, connected, client.Port(), func(k socket) bool {
			if k.remote == client {
				at = k.local
			}
			return !at.IsValid()
		})
		if err == nil && at.IsValid() {
			return at, s.netns, true
		}
	}
	return netip.AddrPort{}, 0, false
}

// clean makes valid UTF-8 of at most 4 KiB.
func clean(v string) string { return strings.ToValidUTF8(v[:min(len(v), 4096)], "\uFFFD") }
