// SPDX-License-Identifier: Apache-2.0

package quarantine

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	manifestName = "manifest.json"
	heldName     = "file" // no extension: no web server gives it to an interpreter
)

func relative(p string) string {
	if p = strings.TrimPrefix(path.Clean(p), "/"); p == "" {
		return "."
	}
	return p
}

// openDir opens a folder below the root; no link is followed anywhere on the way.
func (s *Store) openDir(dir string) (*os.File, error) {
	fd, err := unix.Openat2(int(s.root.Fd()), relative(dir), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("folder %s: %w", dir, ErrNotThere)
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("folder %s: a symbolic link is on the way: %w", dir, ErrNotPlain)
	case err != nil:
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// openPlain opens a plain file for reading. It looks before it opens, so that no fifo
// or device is ever opened.
func openPlain(dir *os.File, name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, st, ErrNotThere
	}
	if err != nil {
		return nil, st, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, st, ErrNotPlain
	}
	again := fmt.Sprintf("/proc/self/fd/%d", fd)
	r, err := unix.Open(again, unix.O_RDONLY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		r, err = unix.Open(again, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, st, err
	}
	return os.NewFile(uintptr(r), name), st, nil
}

func mountOf(dir *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID == 0 {
		err = errors.New("this kernel does not tell mount ids; needs 5.8")
	}
	return st.Mnt_id, err
}

func under(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return r != "/" && (p == r || strings.HasPrefix(p, r+"/")) })
}

// place chooses where the file goes: the preferred folder if it is on the file's mount
// and outside web roots, else a folder at the top of that mount.
func (s *Store) place(file string, dir *os.File, name string) (held string, made []string, err error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
		return "", nil, fmt.Errorf("%q is no name for a folder", name)
	}
	mount, err := mountOf(dir)
	if err != nil {
		return "", nil, err
	}
	if !under(s.folder, s.avoid) {
		at := s.folder
		for at != "/" {
			d, err := s.openDir(at)
			if err == nil {
				id, err := mountOf(d)
				d.Close()
				if err == nil && id == mount && s.ours(at) {
					made = append(made, path.Join(s.folder, name))
					return path.Join(s.folder, name, heldName), made, nil
				}
				break
			}
			if !errors.Is(err, ErrNotThere) {
				break
			}
			made = append([]string{at}, made...)
			if at = path.Dir(at); at == "/" {
				if id, err := mountOf(s.root); err == nil && id == mount {
					made = append(made, path.Join(s.folder, name))
					return path.Join(s.folder, name, heldName), made, nil
				}
			}
		}
	}
	top, err := s.top(path.Dir(file), mount)
	if err != nil {
		return "", nil, err
	}
	folder := path.Join(top, ".ringwall-"+name)
	return path.Join(folder, heldName), []string{folder}, nil
}

// ours: folders on the way to the preferred one belong to root and nobody else writes there.
func (s *Store) ours(dir string) bool {
	d, err := s.openDir(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	var st unix.Stat_t
	return unix.Fstat(int(d.Fd()), &st) == nil && st.Uid == uint32(os.Geteuid()) && st.Mode&0o022 == 0
}

// top of the mount that dir lies on.
func (s *Store) top(dir string, mount uint64) (string, error) {
	for top := dir; ; top = path.Dir(top) {
		if top == "/" {
			return top, nil
		}
		d, err := s.openDir(path.Dir(top))
		if err != nil {
			return "", err
		}
		id, err := mountOf(d)
		d.Close()
		if err != nil {
			return "", err
		}
		if id != mount {
			return top, nil
		}
	}
}

// make makes the folders of the manifest and opens the innermost. One that is there
// already must be root's own and closed to others.
func (s *Store) make(m *Manifest) (*os.File, error) {
	for _, made := range m.Made {
		up, err := s.openDir(path.Dir(made))
		if err != nil {
			return nil, err
		}
		err = unix.Mkdirat(int(up.Fd()), path.Base(made), 0o700)
		up.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("make %s: %w", made, err)
		}
	}
	dir, err := s.openDir(path.Dir(m.Held))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil || st.Uid != uint32(os.Geteuid()) || st.Mode&0o077 != 0 {
		dir.Close()
		return nil, fmt.Errorf("folder %s is not root's alone; remove it", path.Dir(m.Held))
	}
	return dir, nil
}

// xattrs reads all extended attributes that are the file's own business.
func xattrs(f *os.File) map[string][]byte {
	n, err := unix.Flistxattr(int(f.Fd()), nil)
	if err != nil || n == 0 {
		return nil
	}
	buf := make([]byte, n)
	if n, err = unix.Flistxattr(int(f.Fd()), buf); err != nil {
		return nil
	}
	out := map[string][]byte{}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue // the overlay's own book-keeping
		}
		if n, err := unix.Fgetxattr(int(f.Fd()), name, nil); err == nil {
			v := make([]byte, n)
			if n, err = unix.Fgetxattr(int(f.Fd()), name, v); err == nil {
				out[name] = v[:n]
			}
		}
	}
	return out
}

func setFlags(f *os.File, flags uint32) error {
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
}
