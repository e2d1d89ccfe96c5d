// SPDX-License-Identifier: Apache-2.0

// Package files tells of new and changed files under watched roots, within
// milliseconds of their close, and after a start of what changed meanwhile.
//
// In come fanotify marks on the file systems that hold the roots; out go
// FileActivity events (CLOSE_WRITE, RENAME, SWEPT) with the inode as stat sees it.
// It believes fanotify for when content is complete and for the writer's pid; who
// that is, and under which request, the kernel sensor knows better.
//
// The worst trap: a mark on a file system reports every write on it, so most of what
// comes is dropped here by path, counted as filtered. A file system mounted below a root
// is one of its own: the list of mounts is watched, and what comes is marked and swept.
// And an overflowing queue says nothing of what was lost: it is answered by a sweep.
package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// Config says what is watched.
type Config struct {
	Roots   []string `yaml:"roots"`   // absolute paths as the host sees them
	Exclude []string `yaml:"exclude"` // below the roots, left alone
	Sweep   bool     `yaml:"sweep"`   // at start, look at what changed while off; default on
}

// DefaultConfig watches where intrusions leave things: web roots, places that are run
// by themselves, and places everyone may write.
func DefaultConfig() Config {
	return Config{
		Roots: []string{
			"/var/www", "/srv", "/usr/share/nginx", "/opt",
			"/etc/cron.d", "/etc/cron.daily", "/etc/cron.hourly", "/etc/crontab", "/var/spool/cron",
			"/etc/systemd/system", "/etc/ld.so.preload", "/etc/profile.d", "/etc/init.d", "/etc/rc.local",
			"/root", "/home", "/tmp", "/var/tmp", "/dev/shm",
		},
		Sweep: true,
	}
}

// Validate names what cannot be watched.
func (c *Config) Validate() error {
	for _, r := range append(append([]string{}, c.Roots...), c.Exclude...) {
		if !filepath.IsAbs(r) {
			return fmt.Errorf("files.roots: %q is not an absolute path", r)
		}
	}
	return nil
}

// Options join the sensor to its agent.
type Options struct {
	Root  string // prefix under which this host's files lie; "" or "/" for this machine
	State string // file that remembers when the sensor last looked
	Clock *event.Clock
	Board *health.Board
	Emit  func(*event.Event)
}

// Sensor is one fanotify group and its sweep.
type Sensor struct {
	cfg  Config
	opt  Options
	root string
	fid  int // closes after a write and renames, by file handle; -1 where refused
	fds  int // closes, by descriptor, of file systems that give no handles

	table   *os.File           // the kernel's list of mounts; nil where it cannot be read
	marked  map[string]fsMark  // by device
	refused map[string]string  // mount point → why
	mounts  map[[8]byte]string // file system id → a place to turn its handles into paths
	opened  map[[8]byte]int    // of those, descriptors for the events of one read

	seen, filtered, lost, overflows atomic.Uint64
}

// Name is the component's name on the health board.
const Name = "sensor.files"

// New opens the groups and sets the marks. Without CAP_SYS_ADMIN it fails with an
// error that wraps unix.EPERM.
func New(cfg Config, opt Options) (*Sensor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sensor{cfg: cfg, opt: opt, root: strings.TrimSuffix(opt.Root, "/"), fid: -1, marked: map[string]fsMark{}, refused: map[string]string{}, mounts: map[[8]byte]string{}, opened: map[[8]byte]int{}}
	fds, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE, unix.O_RDONLY|unix.O_LARGEFILE|unix.O_CLOEXEC|unix.O_NOATIME)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w; run as root or give CAP_SYS_ADMIN", err)
	}
	s.fds = fds
	if fid, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_REPORT_DFID_NAME, 0); err == nil {
		s.fid = fid
	}
	s.table = openTable(s.root)
	s.mark()
	if len(s.marked) == 0 {
		s.Close()
		return nil, fmt.Errorf("none of the roots %v can be watched here: %s", cfg.Roots, s.trouble())
	}
	s.report()
	return s, nil
}

// Close ends the marks.
func (s *Sensor) Close() {
	unix.Close(s.fds)
	if s.fid >= 0 {
		unix.Close(s.fid)
	}
	if s.table != nil {
		s.table.Close()
	}
}

// Count gives the counters as every sensor does. Lost are events whose file could not be
// looked at any more, and overflows of the queue, each as one. Safe for many goroutines.
func (s *Sensor) Count() map[string]health.Count {
	return map[string]health.Count{"file": {Seen: s.seen.Load(), Filtered: s.filtered.Load(), Lost: s.lost.Load() + s.overflows.Load()}}
}

// Run reads both groups until ctx ends; it closes the sensor.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.Close()
	defer s.opt.Board.Set(Name, health.Off, "stopped")
	since := s.lastLook()
	if s.cfg.Sweep {
		go s.sweep(ctx, s.cfg.Roots, since)
	}
	defer s.remember()
	buf := make([]byte, 256<<10)
	polls := []unix.PollFd{{Fd: int32(s.fds), Events: unix.POLLIN}}
	if s.fid >= 0 {
		polls = append(polls, unix.PollFd{Fd: int32(s.fid), Events: unix.POLLIN})
	}
	if s.table != nil {
		polls = append(polls, unix.PollFd{Fd: int32(s.table.Fd()), Events: unix.POLLPRI})
	}
	next := time.Now().Add(rememberEvery)
	for ctx.Err() == nil {
		if _, err := unix.Poll(polls, 200); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for file events: %w", err)
		}
		for _, p := range polls {
			if s.table != nil && p.Fd == int32(s.table.Fd()) {
				if p.Revents != 0 { // a mount came or went (proc_pid_mountinfo(5))
					s.remark(ctx)
				}
				continue
			}
			if p.Revents&unix.POLLIN == 0 {
				continue
			}
			n, err := unix.Read(int(p.Fd), buf)
			if err != nil {
				if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
					continue
				}
				return fmt.Errorf("read file events: %w", err)
			}
			s.decode(buf[:n], ctx)
		}
		if now := time.Now(); now.After(next) {
			s.remember()
			next = now.Add(rememberEvery)
		}
	}
	return nil
}

// metadata is struct fanotify_event_metadata, include/uapi/linux/fanotify.h.
type metadata = unix.FanotifyEventMetadata

const metaLen = int(unsafe.Sizeof(metadata{}))

// decode walks the events of one read.
func (s *Sensor) decode(b []byte, ctx context.Context) {
	self := int32(os.Getpid())
	for len(b) >= metaLen {
		m := (*metadata)(unsafe.Pointer(&b[0]))
		if int(m.Event_len) < metaLen || int(m.Event_len) > len(b) {
			return
		}
		switch {
		case m.Mask&unix.FAN_Q_OVERFLOW != 0:
			s.overflow(ctx)
		case m.Fd >= 0:
			if m.Pid != self {
				s.closed(int(m.Fd), m.Pid)
			}
			unix.Close(int(m.Fd))
		case m.Pid == self:
		case m.Mask&unix.FAN_CLOSE_WRITE != 0:
			s.closedAs(b[metaLen:m.Event_len], m.Pid)
		default:
			s.renamed(b[metaLen:m.Event_len], m.Pid)
		}
		b = b[m.Event_len:]
	}
	// Not kept for longer: they would keep file systems from being unmounted.
	for id, fd := range s.opened {
		unix.Close(fd)
		delete(s.opened, id)
	}
}

// overflow: what was lost is not told, so the roots are looked through.
func (s *Sensor) overflow(ctx context.Context) {
	s.overflows.Add(1)
	now := time.Now().UnixNano()
	w := &verdict.LossWindow{Sensor: "files", Class: "close_write", FromNs: now - int64(time.Second), ToNs: now, Count: 1, Reason: "fanotify queue overflow; swept"}
	s.opt.Board.Lost(w)
	s.emit(&event.Event{Payload: &event.Event_Loss{Loss: w}})
	go s.sweep(ctx, s.cfg.Roots, now-int64(10*time.Second))
}

// closed tells of one file that was closed after a write.
func (s *Sensor) closed(fd int, pid int32) {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		s.lost.Add(1)
		return
	}
	name = s.inHost(name)
	if !s.watched(name) {
		s.filtered.Add(1)
		return
	}
	f, ok := describe(fd, "", unix.AT_EMPTY_PATH)
	if !ok { // a pipe or a socket
		s.filtered.Add(1)
		return
	}
	f.Path = strings.TrimSuffix(name, " (deleted)")
	s.tell(event.FileActivity_CLOSE_WRITE, f, "", pid)
}

// inHost strips the prefix of a scoped host where the kernel shows it.
func (s *Sensor) inHost(name string) string {
	if rest, ok := strings.CutPrefix(name, s.root+"/"); ok && s.root != "" {
		return "/" + rest
	}
	return name
}

func (s *Sensor) watched(name string) bool {
	return under(name, s.cfg.Roots) && !under(name, s.cfg.Exclude)
}

func under(name string, roots []string) bool {
	for _, r := range roots {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(r, "/")); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// describe asks statx, which alone tells the birth time.
func describe(dir int, name string, flags int) (*entity.File, bool) {
	var st unix.Statx_t
	if err := unix.Statx(dir, name, flags|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return nil, false
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, false
	}
	f := &entity.File{
		Fs: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino, Size: st.Size,
		Mode: uint32(st.Mode), Nlink: st.Nlink, Uid: st.Uid,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		f.BirthNs = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return f, true
}

func (s *Sensor) tell(op event.FileActivity_Op, f *entity.File, to string, pid int32) {
	s.seen.Add(1)
	ev := &event.Event{Payload: &event.Event_File{File: &event.FileActivity{Op: op, File: f, NewPath: to}}}
	if pid > 0 {
		ev.Actor = &entity.Process{Pid: uint32(pid)}
	}
	s.emit(ev)
}

func (s *Sensor) emit(ev *event.Event) {
	ev.Sensor = event.Sensor_FILES
	s.opt.Clock.Stamp(ev, event.BootNow())
	s.opt.Emit(ev)
}
