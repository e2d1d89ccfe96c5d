// SPDX-License-Identifier: Apache-2.0

package quarantine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree writes down everything below a folder: names, modes, owners, times, attributes, content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s ino=%d mode=%o uid=%d gid=%d mtime=%d", strings.TrimPrefix(p, dir), st.Ino, st.Mode, st.Uid, st.Gid, st.Mtim.Nano())
		if d.Type().IsRegular() {
			f, err := os.OpenFile(p, unix.O_NOATIME, 0) // the look itself must leave no trace
			if err != nil {
				return err
			}
			defer f.Close()
			flags, _ := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			sum, err := digest(f)
			fmt.Fprintf(&b, " atime=%d size=%d %s %v flags=%x", st.Atim.Nano(), st.Size, sum, xattrs(f), flags&stuck)
			if err != nil {
				return err
			}
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// site makes a host's root with a web page in it.
func site(t *testing.T) (root string, s *Store) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("quarantine needs root")
	}
	root = t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"var/www/html/uploads", "var/lib", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(root, "var/www/html/uploads/run.php")
	if err := os.WriteFile(page, []byte("<?php echo 'ours';"), 0o640); err != nil {
		t.Fatal(err)
	}
	must(t, os.Chown(page, 33, 33))
	must(t, os.Chmod(page, os.ModeSetgid|0o750))
	must(t, os.Chtimes(page, time.Unix(1700000001, 5), time.Unix(1600000002, 7)))
	_ = unix.Setxattr(page, "user.note", []byte("a\x00b"), 0)
	s, err := Open(root, "/var/lib/ringwall/quarantine", []string{"/var/www"})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return root, s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const page = "/var/www/html/uploads/run.php"

// TestTakeRestoreAgain: done, undone, done again; looking touches nothing and all comes back.
func TestTakeRestoreAgain(t *testing.T) {
	for _, immutable := range []bool{false, true} {
		root, s := site(t)
		if immutable {
			f, err := os.Open(root + page)
			must(t, err)
			if setFlags(f, 0x10) != nil {
				t.Log("no immutable flag on this file system")
			}
			f.Close()
		}
		before := tree(t, root+"/var/www")
		for i := range 2 {
			m, err := s.Look(page, fmt.Sprint("a-", i))
			must(t, err)
			if after := tree(t, root+"/var/www"); after != before {
				t.Errorf("looking changed:\n%s\n%s", before, after)
			}
			for range 2 { // taken twice: the same
				must(t, s.Take(m))
			}
			must(t, s.Held(m))
			if !s.Vacant(page) {
				t.Error("it is at its place")
			}
			if !s.Contains(m, "<?php") {
				t.Error("content is not what it was")
			}
			if !strings.HasPrefix(m.Held, "/var/lib/ringwall/quarantine/") {
				t.Errorf("held at %s", m.Held)
			}
			var st unix.Stat_t
			must(t, unix.Lstat(root+m.Held, &st))
			if st.Mode&0o7777 != 0 {
				t.Errorf("mode %o", st.Mode)
			}
			for range 2 {
				if note, err := s.Restore(m); err != nil {
					t.Fatal(note, err)
				}
			}
			if after := tree(t, root+"/var/www"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if _, err := os.Stat(root + "/var/lib/ringwall"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left behind: %v", err)
			}
		}
		if immutable { // let the folder be removed
			if f, err := os.Open(root + page); err == nil {
				_ = setFlags(f, 0)
				f.Close()
			}
		}
	}
}

// TestHalfDone: killed between any two steps, a second Take finishes and Restore undoes.
func TestHalfDone(t *testing.T) {
	root, s := site(t)
	before := tree(t, root+"/var/www")
	m, err := s.Look(page, "a-1")
	must(t, err)
	if _, err := s.Restore(m); err != nil { // nothing had been done
		t.Fatal(err)
	}
	dir, err := s.make(m) // the folders were made
	must(t, err)
	dir.Close()
	if _, err := s.Restore(m); err != nil {
		t.Fatal(err)
	}
	dir, err = s.make(m)
	must(t, err)
	must(t, os.Rename(root+page, root+m.Held)) // moved, rights not yet taken, no manifest
	dir.Close()
	must(t, s.Take(m))
	var st unix.Stat_t
	must(t, unix.Lstat(root+m.Held, &st))
	if st.Mode&0o7777 != 0 {
		t.Errorf("mode %o", st.Mode)
	}
	if _, err := s.Restore(m); err != nil {
		t.Fatal(err)
	}
	// The folder's own time is known only to a Take that made the rename.
	strip := func(s string) string {
		var out []string
		for line := range strings.Lines(s) {
			if !strings.HasPrefix(line, "/html/uploads ino") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	if after := tree(t, root+"/var/www"); strip(after) != strip(before) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestOtherMount keeps a file on the file system it lies on.
func TestOtherMount(t *testing.T) {
	root, s := site(t)
	at := root + "/var/www/html/uploads"
	if err := unix.Mount("none", at, "tmpfs", 0, "mode=1777"); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	must(t, os.WriteFile(root+page, []byte("<?php"), 0o644))
	before := tree(t, at)
	m, err := s.Look(page, "a-1")
	must(t, err)
	must(t, s.Take(m))
	if !strings.HasPrefix(m.Held, "/var/www/html/uploads/.ringwall-a-1/") {
		t.Errorf("held at %s", m.Held)
	}
	if st, err := os.Stat(root + filepath.Dir(m.Held)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", st, err)
	}
	_, err = s.Restore(m)
	must(t, err)
	after := tree(t, at)
	if _, rest, _ := strings.Cut(after, "\n"); !strings.HasSuffix(before, rest) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestNeverElsewhere: links, other files and other inodes are left alone.
func TestNeverElsewhere(t *testing.T) {
	root, s := site(t)
	must(t, os.WriteFile(root+"/etc/shadow", []byte("secret"), 0o600))
	up := root + "/var/www/html/uploads/"
	must(t, os.Symlink(root+"/etc/shadow", up+"link"))
	must(t, os.Symlink("../../../../etc", up+"dir"))
	must(t, unix.Mkfifo(up+"fifo", 0o666))
	before := tree(t, root)
	for path, want := range map[string]error{
		"/var/www/html/uploads/link":             ErrNotPlain,
		"/var/www/html/uploads/dir/shadow":       ErrNotPlain,
		"/var/www/html/uploads/fifo":             ErrNotPlain,
		"/var/www/html/uploads":                  ErrNotPlain,
		"/var/www/html/uploads/absent":           ErrNotThere,
		"/absent/absent":                         ErrNotThere,
		"/var/www/html/uploads/run.php/x":        ErrNotThere,
		"/var/www/../../etc/shadow":              nil,
		"etc/shadow":                             nil,
		"/var/www/html/uploads/run.php\x00.html": nil,
	} {
		if _, err := s.Look(path, "a-1"); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
	if _, err := s.Look(page, "../x"); err == nil {
		t.Error("a name with a slash was taken")
	}
	m, err := s.Look(page, "a-1")
	must(t, err)
	if after := tree(t, root); after != before {
		t.Errorf("looking changed:\n%s\n%s", before, after)
	}
	must(t, os.Rename(root+page, up+"moved"))
	must(t, os.WriteFile(root+page, []byte("another"), 0o644))
	if err := s.Take(m); !errors.Is(err, ErrChanged) {
		t.Errorf("another file at the path: %v", err)
	}
	must(t, os.Remove(root+page))
	must(t, os.Symlink(root+"/etc/shadow", root+page))
	if err := s.Take(m); !errors.Is(err, ErrNotPlain) {
		t.Errorf("a link at the path: %v", err)
	}
}

// TestOccupied: nothing is overwritten by a restore, and it can be done later.
func TestOccupied(t *testing.T) {
	root, s := site(t)
	m, err := s.Look(page, "a-1")
	must(t, err)
	must(t, s.Take(m))
	must(t, os.WriteFile(root+page, []byte("new"), 0o644))
	if _, err := s.Restore(m); !errors.Is(err, ErrOccupied) {
		t.Errorf("got %v", err)
	}
	must(t, s.Held(m))
	must(t, os.Remove(root+page))
	_, err = s.Restore(m)
	must(t, err)
}

// TestSecondName: a link to a program is taken away, the program keeps its rights.
func TestSecondName(t *testing.T) {
	root, s := site(t)
	must(t, os.WriteFile(root+"/etc/program", []byte("#!"), 0o755))
	must(t, os.Link(root+"/etc/program", root+"/var/www/html/linked"))
	m, err := s.Look("/var/www/html/linked", "a-1")
	must(t, err)
	must(t, s.Take(m))
	if st, err := os.Stat(root + "/etc/program"); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", st, err)
	}
	_, err = s.Restore(m)
	must(t, err)
}
