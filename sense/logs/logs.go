// SPDX-License-Identifier: Apache-2.0

// Package logs follows the logs that a host's programs write: what only they know, such
// as how an SSH login ended.
//
// In come log files, journald's journal and the kernel's audit messages; out go
// Authentication, HttpActivity (seen LOG, source port 0) and LogRecord events, secrets
// replaced. Positions survive restarts; rotation and truncation lose nothing that was
// still on disk. It believes a line's text and, where the line is fresh, its own clock.
//
// The worst trap: a log line is testimony, not observation. Any local user may write a
// line under any tag (logger -t sshd), and a remote one chooses user names and request
// targets. So lines are read from the end that the program wrote, an address is
// believed only where the line is unambiguous or a connection from there exists, and
// journald's attested sender must be the program whose name the line bears.
package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// Source is a set of files of one kind.
type Source struct {
	Path string `yaml:"path"` // absolute as the host sees it; * ? [ ] in names
	Kind string `yaml:"kind"` // syslog, access, audit, plain
	Unit string `yaml:"unit"` // of access and plain lines: nginx, apache, vsftpd…
}

// Config says what is followed.
type Config struct {
	Files   []Source `yaml:"files"`
	Journal bool     `yaml:"journal"` // journald, where journalctl and a journal exist
	Audit   bool     `yaml:"audit"`   // the kernel's audit messages by netlink, beside auditd
	// PerSecond is how many events of one source and class leave in a second; more are
	// dropped, counted and told. Logins have a budget of their own of the same size.
	PerSecond int `yaml:"per_second"`
}

// DefaultConfig follows what Debian, Red Hat and SUSE write.
func DefaultConfig() Config {
	return Config{
		Files: []Source{
			{Path: "/var/log/auth.log", Kind: "syslog"}, {Path: "/var/log/secure", Kind: "syslog"},
			{Path: "/var/log/syslog", Kind: "syslog"}, {Path: "/var/log/messages", Kind: "syslog"},
			{Path: "/var/log/cron", Kind: "syslog"}, {Path: "/var/log/cron.log", Kind: "syslog"},
			{Path: "/var/log/nginx/*access*log", Kind: "access", Unit: "nginx"},
			{Path: "/var/log/nginx/*error*log", Kind: "plain", Unit: "nginx"},
			{Path: "/var/log/apache2/*access*log", Kind: "access", Unit: "apache"},
			{Path: "/var/log/apache2/*error*log", Kind: "plain", Unit: "apache"},
			{Path: "/var/log/httpd/*access*log", Kind: "access", Unit: "apache"},
			{Path: "/var/log/httpd/*error*log", Kind: "plain", Unit: "apache"},
			{Path: "/var/log/audit/audit.log", Kind: "audit"},
			{Path: "/var/log/vsftpd.log", Kind: "plain", Unit: "vsftpd"},
			{Path: "/var/log/clamav/clamav.log", Kind: "plain", Unit: "clamav"},
		},
		Journal: true, PerSecond: 2000,
	}
}

var kinds = []string{"syslog", "access", "audit", "plain"}

// Validate names what cannot be followed.
func (c *Config) Validate() error {
	var errs []error
	for _, f := range c.Files {
		if !path.IsAbs(f.Path) {
			errs = append(errs, fmt.Errorf("logs.files: %q is not an absolute path", f.Path))
		}
		if _, err := filepath.Match(f.Path, ""); err != nil {
			errs = append(errs, fmt.Errorf("logs.files: %q: %w", f.Path, err))
		}
		if !slices.Contains(kinds, f.Kind) {
			errs = append(errs, fmt.Errorf("logs.files: %q: kind %q is none of %v", f.Path, f.Kind, kinds))
		}
	}
	if c.PerSecond < 1 {
		errs = append(errs, fmt.Errorf("logs.per_second = %d: want at least 1", c.PerSecond))
	}
	return errors.Join(errs...)
}

// Redactor replaces secrets before an event leaves; *event.Redactor is one.
type Redactor interface {
	Argv([]string) []string
	URI(string) string
	Header(name, value string) string
	Text(string) string
	Hash(string) string
}

// Options join the sensor to its agent. Clock, Board, Redact and Emit are required.
type Options struct {
	Root  string // prefix under which this host's files lie, such as /proc/PID/root; "" for this machine
	State string // file of positions; "" keeps none
	// Local tells on which address of this host a client's TCP connection ends, and in
	// which network namespace; false where there is none now. nil: logins carry no
	// destination unless the log names it (sshd at LogLevel VERBOSE does).
	Local  func(client netip.AddrPort) (at netip.AddrPort, netns uint64, ok bool)
	Clock  *event.Clock
	Board  *health.Board
	Redact Redactor
	Emit   func(*event.Event) // called from several goroutines
}

// Counts since start. Filtered: told already by another source, or comments. Capped:
// over the budget. Bad: too long or unreadable.
type Counts struct{ Seen, Filtered, Capped, Bad uint64 }

// Sensor follows all sources. Build with New; one Run per Sensor.
type Sensor struct {
	cfg  Config
	opt  Options
	root int // descriptor of the host's root
	st   *state

	mu      sync.Mutex // guards what follows: sources speak at once
	logins  logins
	twins   twins
	caps    map[string]*budget
	audited struct { // the last system call of the audit system
		serial string
		pid    uint32
	}
	told int64 // until when losses were told, wall ns

	seen, filtered, capped, bad atomic.Uint64
}

// Name is the component's name on the health board.
const Name = "sensor.logs"

// pollEvery bounds how late a line is seen where inotify does not help: half of the 200 ms
// that a login may wait for its outcome. A poll costs a few system calls per file.
const pollEvery = 100 * time.Millisecond

// New opens the host's root and the positions. Files need not exist yet.
func New(cfg Config, opt Options) (*Sensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opt.Clock == nil || opt.Board == nil || opt.Redact == nil || opt.Emit == nil {
		return nil, errors.New("log sensor: Clock, Board, Redact and Emit are required")
	}
	root := opt.Root
	if root == "" {
		root = "/"
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("log sensor: open the host's root %s: %w", root, err)
	}
	st, err := loadState(opt.State)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Sensor{cfg: cfg, opt: opt, root: fd, st: st, logins: newLogins(), caps: map[string]*budget{}}, nil
}

// Stats counts since start.
func (s *Sensor) Stats() Counts {
	return Counts{s.seen.Load(), s.filtered.Load(), s.capped.Load(), s.bad.Load()}
}

// Count gives the counters as every sensor does. Safe for many goroutines.
func (s *Sensor) Count() map[string]health.Count {
	return map[string]health.Count{"line": {Seen: s.seen.Load(), Filtered: s.filtered.Load(), Lost: s.capped.Load() + s.bad.Load()}}
}

// Run follows until ctx ends, and keeps the positions.
func (s *Sensor) Run(ctx context.Context) error {
	defer unix.Close(s.root)
	defer s.opt.Board.Set(Name, health.Off, "stopped")
	s.told = time.Now().UnixNano()
	var wg sync.WaitGroup
	defer wg.Wait()
	notes := s.beside(ctx, &wg)
	t := newTailer(s)
	wg.Go(t.wake.run)
	defer t.close()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	next := time.Now().Add(time.Second)
	if s.st.lost != "" {
		s.tellLost("all", s.st.lost, 0)
	}
	t.discover()
	s.report(t, notes)
	t.poll()
	for {
		select {
		case <-ctx.Done():
			t.poll()
			t.wake.close()
			wg.Wait()
			s.tellLosses()
			return s.st.save()
		case <-t.wake.c:
			t.written()
		case now := <-poll.C:
			t.poll()
			if now.Before(next) {
				continue
			}
			next = now.Add(time.Second)
			t.discover()
			s.tellLosses()
			if err := s.st.save(); err != nil {
				notes.set("state", err.Error())
			} else {
				notes.set("state", "")
			}
			s.report(t, notes)
		}
	}
}

// report says on the board what is followed.
func (s *Sensor) report(t *tailer, n *notes) {
	n.set("files", t.trouble())
	on := n.on() || len(t.open) > 0
	switch why := n.text(); {
	case !on:
		s.opt.Board.Set(Name, health.Degraded, "no configured log file exists yet and there is no journal; set logs.files. "+why)
	case why != "":
		s.opt.Board.Set(Name, health.Degraded, why)
	default:
		s.opt.Board.Set(Name, health.On, "")
	}
}

// tellLosses makes one loss window of what each source's budget dropped.
func (s *Sensor) tellLosses() {
	s.mu.Lock()
	now := time.Now().UnixNano()
	var ws []*verdict.LossWindow
	for class, b := range s.caps {
		if n := b.take(); n > 0 {
			ws = append(ws, &verdict.LossWindow{Sensor: "logs", Class: class, FromNs: s.told, ToNs: now, Count: n,
				Reason: fmt.Sprintf("more than %d a second (logs.per_second)", s.cfg.PerSecond)})
		}
	}
	s.told = now
	s.mu.Unlock()
	slices.SortFunc(ws, func(a, b *verdict.LossWindow) int { return compare(a.Class, b.Class) })
	for _, w := range ws {
		s.opt.Board.Lost(w)
		ev := &event.Event{Sensor: event.Sensor_LOGS, Payload: &event.Event_Loss{Loss: w}}
		s.opt.Clock.Stamp(ev, event.BootNow())
		s.opt.Emit(ev)
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// tellLost is a loss that no budget made: bytes that rotation took away, messages that
// the kernel dropped. 0 is an unknown number.
func (s *Sensor) tellLost(class, reason string, n uint64) {
	now := time.Now().UnixNano()
	w := &verdict.LossWindow{Sensor: "logs", Class: class, FromNs: now - int64(time.Second), ToNs: now, Count: n, Reason: reason}
	s.opt.Board.Lost(w)
	ev := &event.Event{Sensor: event.Sensor_LOGS, Payload: &event.Event_Loss{Loss: w}}
	s.opt.Clock.Stamp(ev, event.BootNow())
	s.opt.Emit(ev)
}

// budget lets so many pass in a second.
type budget struct {
	second  int64
	used    int
	dropped uint64
}

func (b *budget) allow(now time.Time, most int) bool {
	if sec := now.Unix(); sec != b.second {
		b.second, b.used = sec, 0
	}
	if b.used >= most {
		b.dropped++
		return false
	}
	b.used++
	return true
}

func (b *budget) take() uint64 {
	n := b.dropped
	b.dropped = 0
	return n
}

// native reads a header field of a netlink message.
var native = binary.NativeEndian
