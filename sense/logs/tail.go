// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLine     = 16 << 10 // rsyslog cuts at 8 KiB, nginx writes a request line of up to 8 KiB twice
	maxOpen     = 256      // files followed at once
	chunk       = 256 << 10
	perPoll     = 16               // chunks of one file per poll, so that a flooded file does not starve the rest
	prefixBytes = 256              // of the head, that tell a file from another with its inode number
	drainFor    = 60 * time.Second // how long a rotated file is still read: nginx writes to it until told
	tooMany     = "more than %d log files match logs.files; the rest is not followed"
)

// follower reads one inode.
type follower struct {
	src   Source
	path  string // as the host sees it
	f     *os.File
	pos   position
	part  []byte    // a line whose end was not written yet
	skip  bool      // within a line that is too long
	wd    int       // of inotify
	until time.Time // a rotated file is let go then; zero: the current one
}

// tailer follows all configured files. One goroutine uses it.
type tailer struct {
	s     *Sensor
	wake  *waker
	open  map[string]*follower
	old   []*follower // rotated away
	buf   []byte
	first bool               // the first look: what is there was there before us
	gone  map[inode]position // of files that were rotated away: a pattern may match their new names
	bad   map[string]string
}

type inode struct{ dev, ino uint64 }

func newTailer(s *Sensor) *tailer {
	return &tailer{s: s, wake: newWaker(), open: map[string]*follower{}, buf: make([]byte, chunk), first: true, gone: map[inode]position{}, bad: map[string]string{}}
}

func (t *tailer) close() {
	t.wake.close()
	for _, f := range t.open {
		f.f.Close()
	}
	for _, f := range t.old {
		f.f.Close()
	}
}

// trouble says which files could not be read, or "".
func (t *tailer) trouble() string {
	var out []string
	for p, why := range t.bad {
		out = append(out, p+": "+why)
	}
	slices.Sort(out)
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("and %d more", len(out)-3))
	}
	return strings.Join(out, "; ")
}

// discover looks for files that came.
func (t *tailer) discover() {
	clear(t.bad)
	for _, src := range t.s.cfg.Files {
		for _, p := range t.match(src.Path) {
			if t.open[p] != nil {
				continue
			}
			if len(t.open) >= maxOpen {
				t.bad[src.Path] = fmt.Sprintf(tooMany, maxOpen)
				break
			}
			t.begin(src, p)
		}
	}
	t.first = false
}

// match expands a pattern below the root. Names only: what is read is opened again
// within the root.
func (t *tailer) match(pattern string) []string {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}
	}
	root := strings.TrimSuffix(t.s.opt.Root, "/")
	escaped := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(root)
	found, _ := filepath.Glob(escaped + pattern)
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], root)
	}
	return found
}

// openIn opens a regular file below the host's root: links of a container lead into the
// container, the last name must be no link at all, and a pipe is not waited for.
func (t *tailer) openIn(p string) (*os.File, *unix.Stat_t, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(t.s.root, p, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) && t.s.opt.Root == "" { // before 5.6, or a seccomp filter that does not know it
		fd, err = unix.Openat(t.s.root, strings.TrimPrefix(p, "/"), int(how.Flags), 0)
	}
	if err != nil {
		return nil, nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("is not a regular file")
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), p), &st, nil
}

// begin starts to follow a path where it was left, at its end when it was there before
// we ever looked, at its start when it is new.
func (t *tailer) begin(src Source, p string) {
	f, st, err := t.openIn(p)
	if err != nil {
		switch {
		case errors.Is(err, unix.ENOENT):
		case errors.Is(err, unix.ELOOP):
			t.bad[p] = "is a symbolic link; name the file itself in logs.files"
		default:
			t.bad[p] = err.Error()
		}
		return
	}
	id := inode{st.Dev, st.Ino}
	if t.holds(id) { // a name of a file that is being read already
		f.Close()
		return
	}
	fl := &follower{src: src, path: p, f: f, wd: t.wake.add(f), pos: position{Dev: st.Dev, Inode: st.Ino}}
	t.open[p] = fl
	left, known := t.s.st.get(p)
	switch at, read := t.gone[id]; {
	case read && at.Offset <= st.Size && same(f, at):
		fl.pos = at
	case !known && t.first && born(f) < t.s.st.kept.Saved:
		fl.pos.Offset = st.Size
		fl.sign()
	case known && left.Inode == st.Ino && left.Dev == st.Dev && left.Offset <= st.Size && same(f, left):
		fl.pos = left
	case known:
		t.finish(src, p, left)
	}
	t.s.st.put(p, fl.pos)
}

// holds tells whether an inode is being read.
func (t *tailer) holds(id inode) bool {
	for _, f := range t.open {
		if f.pos.Dev == id.dev && f.pos.Inode == id.ino {
			return true
		}
	}
	return slices.ContainsFunc(t.old, func(f *follower) bool { return f.pos.Dev == id.dev && f.pos.Inode == id.ino })
}

// born is when a file was made, wall ns; 0 where the file system does not tell.
func born(f *os.File) int64 {
	var st unix.Statx_t
	if unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

// finish reads the rest of a file that was rotated while we were away: the one beside it
// with the inode that we remember, or, after copytruncate, the youngest copy that begins
// with the same bytes.
func (t *tailer) finish(src Source, p string, left position) {
	names := t.match(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(p) + `[.\-]*`)
	for _, byInode := range []bool{true, false} {
		for _, name := range names {
			f, st, err := t.openIn(name)
			if err != nil {
				continue
			}
			if (byInode && (st.Ino != left.Inode || st.Dev != left.Dev)) || left.Offset > st.Size || left.PrefixLen == 0 && !byInode || !same(f, left) {
				f.Close()
				continue
			}
			left.Dev, left.Inode = st.Dev, st.Ino
			t.old = append(t.old, &follower{src: src, path: p, f: f, wd: -1, pos: left, until: time.Now().Add(drainFor)})
			return
		}
	}
	t.s.tellLost(src.Kind, "log "+p+" was rotated away while Ringwall was off", 0)
}

// sign remembers the head of the file, at most what was read.
func (f *follower) sign() {
	if f.pos.PrefixLen == prefixBytes || f.pos.Offset == f.pos.PrefixLen {
		return
	}
	n := min(f.pos.Offset, prefixBytes)
	if sum, ok := headSum(f.f, n); ok {
		f.pos.PrefixLen, f.pos.Prefix = n, sum
	}
}

func headSum(f *os.File, n int64) (uint64, bool) {
	var b [prefixBytes]byte
	if got, _ := f.ReadAt(b[:n], 0); int64(got) != n {
		return 0, false
	}
	h := fnv.New64a()
	h.Write(b[:n])
	return h.Sum64(), true
}

// same tells whether the file still begins as the position remembers.
func same(f *os.File, p position) bool {
	if p.PrefixLen < 0 || p.PrefixLen > prefixBytes {
		return false
	}
	sum, ok := headSum(f, p.PrefixLen)
	return ok && (p.PrefixLen == 0 || sum == p.Prefix)
}

// poll reads what was written since.
func (t *tailer) poll() {
	now := time.Now()
	t.old = slices.DeleteFunc(t.old, func(f *follower) bool {
		t.read(f)
		if now.After(f.until) {
			f.end(t)
			return true
		}
		return false
	})
	for p, f := range t.open {
		t.read(f)
		if moved := t.rotated(f); moved {
			f.until = now.Add(drainFor)
			t.retire(f)
			delete(t.open, p)
			t.begin(f.src, p)
			if n := t.open[p]; n != nil {
				t.read(n)
			}
		}
	}
}

// written reads what was written, without looking for rotation.
func (t *tailer) written() {
	for _, f := range t.old {
		t.read(f)
	}
	for _, f := range t.open {
		t.read(f)
	}
}

// retire keeps a rotated file for a while, at most maxOpen of them.
func (t *tailer) retire(f *follower) {
	t.s.st.forget(f.path)
	if len(t.old) >= maxOpen {
		t.old[0].end(t)
		t.old = slices.Delete(t.old, 0, 1)
	}
	t.old = append(t.old, f)
}

func (f *follower) end(t *tailer) {
	if len(t.gone) >= 4*maxOpen {
		clear(t.gone)
	}
	t.gone[inode{f.pos.Dev, f.pos.Inode}] = f.pos
	t.wake.drop(f.wd)
	if len(f.part) > 0 && !f.skip {
		t.s.line(f.src, f.path, string(f.part))
	}
	f.f.Close()
}

// rotated tells whether the path names another file now. A path that names none yet is
// waited for: the writer still has the old one.
func (t *tailer) rotated(f *follower) bool {
	n, st, err := t.openIn(f.path)
	if err != nil {
		return false
	}
	n.Close()
	return st.Ino != f.pos.Inode || st.Dev != f.pos.Dev
}

// read takes what was written and notices truncation.
func (t *tailer) read(f *follower) {
	var st unix.Stat_t
	if unix.Fstat(int(f.f.Fd()), &st) != nil {
		return
	}
	if st.Size < f.pos.Offset || st.Size > f.pos.Offset && !same(f.f, f.pos) {
		f.pos.Offset, f.pos.PrefixLen, f.part, f.skip = 0, 0, nil, false
	}
	for range perPoll {
		at := f.pos.Offset + int64(len(f.part))
		if f.skip {
			at = f.pos.Offset
		}
		n, _ := f.f.ReadAt(t.buf, at)
		if n <= 0 {
			break
		}
		t.lines(f, t.buf[:n])
		if n < len(t.buf) {
			break
		}
	}
	f.sign()
	if f.until.IsZero() {
		t.s.st.put(f.path, f.pos)
	}
}

// lines cuts what was read. The position stands behind the last whole line, so that a
// half line is read again after a restart.
func (t *tailer) lines(f *follower, b []byte) {
	for len(b) > 0 {
		if n := len(b) - len(bytes.TrimLeft(b, "\x00")); n > 0 && len(f.part) == 0 && !f.skip {
			f.pos.Offset += int64(n) // the hole that copytruncate leaves under a writer without O_APPEND
			b = b[n:]
			continue
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			t.half(f, b)
			return
		}
		if f.skip {
			f.pos.Offset += int64(i) + 1
			f.skip = false
		} else {
			line := b[:i]
			if len(f.part) > 0 {
				line = append(f.part, line...)
			}
			f.pos.Offset += int64(len(line)) + 1
			f.part = nil
			if len(line) > maxLine {
				t.s.bad.Add(1)
				line = line[:maxLine]
			}
			t.s.line(f.src, f.path, string(line))
		}
		b = b[i+1:]
	}
}

// half keeps the beginning of a line; of one that is too long, the first part is told
// and the rest passed over.
func (t *tailer) half(f *follower, b []byte) {
	if f.skip {
		f.pos.Offset += int64(len(b))
		return
	}
	f.part = append(f.part, b...)
	if len(f.part) <= maxLine {
		return
	}
	t.s.bad.Add(1)
	t.s.line(f.src, f.path, string(f.part[:maxLine]))
	f.pos.Offset += int64(len(f.part))
	f.part, f.skip = nil, true
}
