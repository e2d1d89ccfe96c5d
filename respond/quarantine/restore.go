// SPDX-License-Identifier: Apache-2.0

package quarantine

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Restore puts the file back with owner, mode, times, attributes and flags as they were
// and removes what was made for it. A file that is at its place already is no error.
// note says what is not as it was: content that changed while it was held.
func (s *Store) Restore(m *Manifest) (note string, err error) {
	held, err := s.held(m)
	if err != nil {
		return "", wrap("restore", m, err)
	}
	if !held {
		s.tidy(m)
		return s.atHome(m)
	}
	from, err := s.openDir(path.Dir(m.Held))
	if err != nil {
		return "", wrap("restore", m, err)
	}
	defer from.Close()
	dir, err := s.openDir(path.Dir(m.Path))
	if err != nil {
		return "", wrap("restore", m, fmt.Errorf("its folder: %w; make the folder and undo again", err))
	}
	defer dir.Close()
	f, _, err := openPlain(from, path.Base(m.Held))
	if err != nil {
		return "", wrap("restore", m, err)
	}
	defer f.Close()
	var before unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &before); err != nil {
		return "", wrap("restore", m, err)
	}
	if sum, err := digest(f); err == nil && sum != m.SHA256 {
		note = "its content changed while it was held: sha256 " + sum + " now, " + m.SHA256 + " then"
	}
	if err := s.dress(f, m); err != nil {
		return note, wrap("restore", m, err)
	}
	if err := unix.Renameat2(int(from.Fd()), path.Base(m.Held), int(dir.Fd()), path.Base(m.Path), unix.RENAME_NOREPLACE); err != nil {
		if errors.Is(err, unix.EEXIST) {
			err = fmt.Errorf("%w; it stays at %s: move the other away and undo again", ErrOccupied, m.Held)
		}
		_ = s.lock(m)
		return note, wrap("restore", m, err)
	}
	if m.Flags&stuck != 0 {
		if err := setFlags(f, m.Flags); err != nil {
			note = "the immutable flag could not be put back: " + err.Error()
		}
	}
	// The folder's time is ours to put back only if nobody changed the folder since.
	if m.LeftMtime != 0 && before.Mtim.Nano() == m.LeftMtime {
		_ = unix.UtimesNanoAt(int(s.root.Fd()), relative(path.Dir(m.Path)), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(m.FolderMtime)}, unix.AT_SYMLINK_NOFOLLOW)
	}
	s.tidy(m)
	return note, nil
}

// dress gives the file its attributes back; rights last, as changing the owner clears
// set-id bits and reading needs none.
func (s *Store) dress(f *os.File, m *Manifest) error {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid != m.UID || st.Gid != m.GID { // to say it again needs CAP_CHOWN
		if err := unix.Fchown(fd, int(m.UID), int(m.GID)); err != nil {
			return fmt.Errorf("owner: %w", err)
		}
	}
	now := xattrs(f)
	for name, value := range m.Xattrs {
		if string(now[name]) != string(value) {
			if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
				return fmt.Errorf("attribute %s: %w", name, err)
			}
		}
	}
	if err := unix.Fchmod(fd, m.Mode); err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	times := []unix.Timespec{unix.NsecToTimespec(m.AtimeNs), unix.NsecToTimespec(m.MtimeNs)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0); err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return nil
}

// atHome is the case that nothing is held: it was put back before, or never taken.
func (s *Store) atHome(m *Manifest) (string, error) {
	dir, err := s.openDir(path.Dir(m.Path))
	if err == nil {
		defer dir.Close()
		var f *os.File
		var st unix.Stat_t
		if f, st, err = openPlain(dir, path.Base(m.Path)); err == nil {
			defer f.Close()
			if st.Ino == m.Inode {
				if m.Flags&stuck != 0 {
					_ = setFlags(f, m.Flags)
				}
				return "it was at its place", nil
			}
			err = ErrChanged
		}
	}
	if errors.Is(err, ErrNotThere) || errors.Is(err, ErrChanged) {
		return "nothing is held, and the file is not at its place any more", nil
	}
	return "", wrap("restore", m, err)
}

// tidy removes the manifest and the folders made for this file, as far as they are empty.
func (s *Store) tidy(m *Manifest) {
	if dir, err := s.openDir(path.Dir(m.Held)); err == nil {
		_ = unix.Unlinkat(int(dir.Fd()), manifestName, 0)
		dir.Close()
	}
	s.Clear(m.Made)
}

// Clear removes folders that were made for quarantines, innermost first, as far as they
// are empty.
func (s *Store) Clear(made []string) {
	made = slices.Clone(made)
	slices.SortFunc(made, func(a, b string) int { return len(b) - len(a) })
	for _, m := range slices.Compact(made) {
		if up, err := s.openDir(path.Dir(m)); err == nil {
			_ = unix.Unlinkat(int(up.Fd()), path.Base(m), unix.AT_REMOVEDIR)
			up.Close()
		}
	}
}
