// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/health"
)

// fsMark is one file system that is watched.
type fsMark struct {
	at    string // a place of it, the host's prefix included
	names bool   // it gives file handles: closes and renames come with names
}

// mount is one line of mountinfo.
type mount struct{ dev, at, kind string }

// maxMounts bounds the file systems watched below the roots.
const maxMounts = 256

// processRoot is a host's root by way of one of its processes.
var processRoot = regexp.MustCompile(`^/proc/([0-9]+|self)/root$`)

// openTable opens the list of mounts of the host whose root is given.
func openTable(root string) *os.File {
	name := "/proc/self/mountinfo"
	if m := processRoot.FindStringSubmatch(root); m != nil {
		name = "/proc/" + m[1] + "/mountinfo"
	}
	// Not os.Open: the runtime would poll it too, and who polls first has the news.
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // report says so
	}
	return os.NewFile(uintptr(fd), name)
}

// below lists the mounts at or below the roots, as the host sees them.
func (s *Sensor) below() []mount {
	if s.table == nil {
		return nil
	}
	if _, err := s.table.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	own := processRoot.MatchString(s.root) // its points are the host's already
	var out []mount
	for sc := bufio.NewScanner(s.table); sc.Scan(); {
		m, ok := parseMount(sc.Text())
		if !ok {
			continue
		}
		if !own {
			if m.at, ok = strings.CutPrefix(m.at, s.root); !ok {
				continue
			}
		}
		if under(m.at, s.cfg.Roots) && !under(m.at, s.cfg.Exclude) {
			out = append(out, m)
		}
	}
	return out
}

// parseMount reads a line of proc_pid_mountinfo(5): `36 35 98:0 /mnt1 /mnt2 rw,noatime
// master:1 - ext3 /dev/root rw`. Blanks in names are \040.
func parseMount(line string) (mount, bool) {
	left, right, ok := strings.Cut(line, " - ")
	f := strings.Fields(left)
	if !ok || len(f) < 5 {
		return mount{}, false
	}
	kind, _, _ := strings.Cut(right, " ")
	return mount{dev: f[2], at: unescape(f[4]), kind: kind}, true
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n := int(s[i+1]-'0')<<6 | int(s[i+2]-'0')<<3 | int(s[i+3]-'0'); n > 0 && n < 256 {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// far are file systems that may wait for somebody else for ever, even at a look.
func far(kind string) bool {
	return strings.HasPrefix(kind, "nfs") || strings.HasPrefix(kind, "fuse") || slices.Contains([]string{"autofs", "cifs", "smb3", "9p", "ceph", "afs"}, kind)
}

// mark sees to it that the file systems of the roots and those mounted below them are
// watched, and forgets those that went. It gives the mount points that are new.
func (s *Sensor) mark() (fresh []string) {
	clear(s.refused)
	there := map[string]bool{}
	for _, r := range s.cfg.Roots {
		var st unix.Stat_t
		at := s.existing(r)
		if unix.Stat(at, &st) != nil {
			continue
		}
		dev := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
		if _, done := s.marked[dev]; !done || !there[dev] { // several roots on one are marked at the first
			s.markOne(dev, at)
		}
		there[dev] = true
	}
	for i, m := range s.below() {
		switch {
		case i >= maxMounts:
			s.refused[m.at] = fmt.Sprintf("more than %d mounts below the roots", maxMounts)
		case there[m.dev]:
		case far(m.kind):
			s.refused[m.at] = m.kind + " is not watched: it may hang"
		default:
			there[m.dev] = true
			if s.markOne(m.dev, s.root+m.at) {
				fresh = append(fresh, m.at)
			}
		}
	}
	for dev := range s.marked {
		if !there[dev] {
			delete(s.marked, dev)
		}
	}
	for id, at := range s.mounts {
		if !slices.ContainsFunc(slices.Collect(maps.Values(s.marked)), func(m fsMark) bool { return m.at == at }) {
			delete(s.mounts, id)
		}
	}
	return fresh
}

// markOne tells whether the file system was not marked before and is now. One whose place
// went or moved, and that is mounted elsewhere, is marked there: handles are looked up at
// the place.
func (s *Sensor) markOne(dev, at string) bool {
	was, done := s.marked[dev]
	if done && was.at == at {
		return false
	}
	names := s.fid >= 0 && s.markNames(at) == nil
	if !names {
		if err := unix.FanotifyMark(s.fds, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_CLOSE_WRITE, unix.AT_FDCWD, at); err != nil {
			s.refused[at] = err.Error()
			return false
		}
	}
	s.marked[dev] = fsMark{at: at, names: names}
	return !done
}

// remark follows a change of the mounts.
func (s *Sensor) remark(ctx context.Context) {
	fresh := s.mark()
	s.report()
	if s.cfg.Sweep && len(fresh) > 0 {
		go s.sweep(ctx, fresh, 0)
	}
}

// trouble says what is not watched, or "".
func (s *Sensor) trouble() string {
	var out []string
	for at, why := range s.refused {
		out = append(out, at+": "+why)
	}
	slices.Sort(out)
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("and %d more", len(out)-3))
	}
	return strings.Join(out, "; ")
}

func (s *Sensor) report() {
	var why []string
	if t := s.trouble(); t != "" {
		why = append(why, "not watched: "+t)
	}
	for _, m := range s.marked {
		if !m.names {
			why = append(why, "some file systems refuse file handles (overlay without nfs_export): renames are seen by the kernel sensor only, and writes under the path that the writer's mount has")
			break
		}
	}
	if s.table == nil {
		why = append(why, "the list of mounts cannot be read: mounts below the roots are not watched")
	}
	if len(why) > 0 {
		s.opt.Board.Set(Name, health.Degraded, strings.Join(why, "; "))
		return
	}
	s.opt.Board.Set(Name, health.On, "")
}

// existing is the root itself or its nearest folder that exists: a mark on the file
// system covers what will be made there.
func (s *Sensor) existing(root string) string {
	at := s.root + root
	for at != s.root+"/" && at != "/" {
		if _, err := os.Lstat(at); err == nil {
			return at
		}
		at = filepath.Dir(at)
	}
	return at
}

// markNames asks for closes and renames with names, and remembers where the file system
// is mounted, which turning a handle into a path needs: so a file that a container wrote
// through a mount of its own has the path that the host knows it by.
func (s *Sensor) markNames(at string) error {
	const fanRename = 0x10000000 // FAN_RENAME, include/uapi/linux/fanotify.h, 5.17
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	if err := unix.FanotifyMark(s.fid, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, fanRename|unix.FAN_CLOSE_WRITE, unix.AT_FDCWD, at); err != nil {
		return err
	}
	var id [8]byte
	binary.NativeEndian.PutUint32(id[:4], uint32(st.Fsid.Val[0]))
	binary.NativeEndian.PutUint32(id[4:], uint32(st.Fsid.Val[1]))
	s.mounts[id] = at
	return nil
}
