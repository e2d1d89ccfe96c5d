// SPDX-License-Identifier: Apache-2.0

// Package quarantine takes a file out of the way and puts it back bit for bit.
//
// In comes a path under a root; out goes the file renamed, on the file system it lies
// on, into a folder that only root may enter, with mode 000, and a manifest of what it
// was. It believes descriptors, never a path twice: every folder is opened without
// following a link, and the inode is compared before and after the rename.
//
// The worst trap: the place must be on the same mount, or it is a copy and not a
// rename. And a file with a second name keeps its mode: taking the rights away would
// hit the other name too, which may be a program that everybody uses.
package quarantine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Manifest is what a file was and where it is now. It is the whole of what Restore needs.
type Manifest struct {
	Path        string            `json:"path"` // as the host sees it
	Held        string            `json:"held"` // the same, in quarantine
	Made        []string          `json:"made"` // folders that were made for it, outermost first
	Dev         uint64            `json:"dev"`
	Inode       uint64            `json:"inode"`
	Links       uint64            `json:"links"`
	Mode        uint32            `json:"mode"` // permission bits, set-id and sticky too
	UID         uint32            `json:"uid"`
	GID         uint32            `json:"gid"`
	Size        int64             `json:"size"`
	SHA256      string            `json:"sha256"`
	AtimeNs     int64             `json:"atime_ns"`
	MtimeNs     int64             `json:"mtime_ns"`
	Flags       uint32            `json:"flags"` // FS_IOC_GETFLAGS: immutable and append-only are taken off and put back
	Xattrs      map[string][]byte `json:"xattrs,omitempty"`
	FolderMtime int64             `json:"folder_mtime_ns"` // of the folder before the rename
	LeftMtime   int64             `json:"left_mtime_ns"`   // and after it, 0 before
}

// Errors that a caller tells apart.
var (
	ErrNotThere = errors.New("no such file")
	ErrNotPlain = errors.New("not a plain file")
	ErrChanged  = errors.New("another file stands there now")
	ErrOccupied = errors.New("another file stands at its place")
)

// Store takes and restores files under one root. Safe for many goroutines on different files.
type Store struct {
	root   *os.File
	folder string // preferred, as the host sees it
	avoid  []string
}

// Open opens the root ("" or "/": this machine's). folder is where files are kept when
// it lies on their mount; else a folder at the top of their mount is made. avoid are
// web roots, under which folder must not lie.
func Open(root, folder string, avoid []string) (*Store, error) {
	if root == "" {
		root = "/"
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root %s: %w", root, err)
	}
	return &Store{root: os.NewFile(uintptr(fd), root), folder: path.Clean(folder), avoid: avoid}, nil
}

// Close lets go of the root.
func (s *Store) Close() error { return s.root.Close() }

// Look writes down what the file is and where it would go; it touches nothing. name is
// the order's id and becomes a folder name.
func (s *Store) Look(file, name string) (*Manifest, error) {
	if !path.IsAbs(file) || path.Clean(file) != file || strings.ContainsRune(file, 0) {
		return nil, fmt.Errorf("%q is not a clean absolute path", file)
	}
	dir, err := s.openDir(path.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("quarantine %s: %w", file, err)
	}
	defer dir.Close()
	f, st, err := openPlain(dir, path.Base(file))
	if err != nil {
		return nil, fmt.Errorf("quarantine %s: %w", file, err)
	}
	defer f.Close()
	m := &Manifest{
		Path: file, Dev: st.Dev, Inode: st.Ino, Links: uint64(st.Nlink), Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		Size: st.Size, AtimeNs: st.Atim.Nano(), MtimeNs: st.Mtim.Nano(), Xattrs: xattrs(f),
	}
	if fl, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		m.Flags = uint32(fl)
	}
	if m.SHA256, err = digest(f); err != nil {
		return nil, fmt.Errorf("quarantine %s: read it: %w", file, err)
	}
	var folder unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &folder); err != nil {
		return nil, fmt.Errorf("quarantine %s: %w", file, err)
	}
	m.FolderMtime = folder.Mtim.Nano()
	if m.Held, m.Made, err = s.place(file, dir, name); err != nil {
		return nil, fmt.Errorf("quarantine %s: %w", file, err)
	}
	return m, nil
}

// stuck: immutable and append-only (include/uapi/linux/fs.h) forbid a rename, even to root.
const stuck = 0x10 | 0x20

// Take moves the file of the manifest away; called again it finishes what was begun.
// It fills LeftMtime.
func (s *Store) Take(m *Manifest) error {
	if held, err := s.held(m); err != nil || held {
		if err == nil {
			err = s.lock(m)
		}
		return wrap("quarantine", m, err)
	}
	dir, err := s.openDir(path.Dir(m.Path))
	if err != nil {
		return wrap("quarantine", m, err)
	}
	defer dir.Close()
	f, st, err := openPlain(dir, path.Base(m.Path))
	if err != nil {
		return wrap("quarantine", m, err)
	}
	defer f.Close()
	if st.Ino != m.Inode || st.Dev != m.Dev {
		return wrap("quarantine", m, ErrChanged)
	}
	to, err := s.make(m)
	if err != nil {
		return wrap("quarantine", m, err)
	}
	defer to.Close()
	if m.Flags&stuck != 0 {
		if err := setFlags(f, m.Flags&^stuck); err != nil {
			return wrap("quarantine", m, fmt.Errorf("take off the immutable flag: %w", err))
		}
	}
	if err := unix.Renameat2(int(dir.Fd()), path.Base(m.Path), int(to.Fd()), path.Base(m.Held), unix.RENAME_NOREPLACE); err != nil {
		return wrap("quarantine", m, fmt.Errorf("rename to %s: %w", m.Held, err))
	}
	var moved, left unix.Stat_t
	err = unix.Fstatat(int(to.Fd()), path.Base(m.Held), &moved, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || moved.Ino != m.Inode && !s.same(to, m) {
		// Somebody changed the name between our look and the rename: give theirs back.
		_ = unix.Renameat2(int(to.Fd()), path.Base(m.Held), int(dir.Fd()), path.Base(m.Path), unix.RENAME_NOREPLACE)
		return wrap("quarantine", m, ErrChanged)
	}
	if err := unix.Fstat(int(dir.Fd()), &left); err == nil {
		m.LeftMtime = left.Mtim.Nano()
	}
	return wrap("quarantine", m, s.lock(m))
}

// lock takes all rights from the file in quarantine and writes the manifest beside it.
func (s *Store) lock(m *Manifest) error {
	dir, err := s.openDir(path.Dir(m.Held))
	if err != nil {
		return err
	}
	defer dir.Close()
	f, st, err := openPlain(dir, path.Base(m.Held))
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Nlink == 1 {
		if err := f.Chmod(0); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	fd, err := unix.Openat(int(dir.Fd()), manifestName, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	w := os.NewFile(uintptr(fd), manifestName)
	_, err = w.Write(text)
	return errors.Join(err, w.Sync(), w.Close())
}

// Held tells whether the file is in quarantine and gone from its place.
func (s *Store) Held(m *Manifest) error {
	held, err := s.held(m)
	if err == nil && !held {
		err = errors.New("it is not in quarantine")
	}
	return wrap("verify the quarantine of", m, err)
}

// Vacant tells whether nothing stands at the path.
func (s *Store) Vacant(file string) bool {
	dir, err := s.openDir(path.Dir(file))
	if err != nil {
		return errors.Is(err, ErrNotThere)
	}
	defer dir.Close()
	var st unix.Stat_t
	return errors.Is(unix.Fstatat(int(dir.Fd()), path.Base(file), &st, unix.AT_SYMLINK_NOFOLLOW), unix.ENOENT)
}

// Contains tells whether the first MiB of the file in quarantine holds the text.
func (s *Store) Contains(m *Manifest, text string) bool {
	dir, err := s.openDir(path.Dir(m.Held))
	if err != nil {
		return false
	}
	defer dir.Close()
	f, _, err := openPlain(dir, path.Base(m.Held))
	if err != nil {
		return false
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	return bytes.Contains(b, []byte(text))
}

func (s *Store) held(m *Manifest) (bool, error) {
	dir, err := s.openDir(path.Dir(m.Held))
	if errors.Is(err, ErrNotThere) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), path.Base(m.Held), &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err // nobody else can put a file there
}

// same compares content where the inode number does not settle it: an overlay gives a
// file of its lower layer another number when the rename copies it up.
func (s *Store) same(to *os.File, m *Manifest) bool {
	f, _, err := openPlain(to, path.Base(m.Held))
	if err != nil {
		return false
	}
	defer f.Close()
	sum, err := digest(f)
	return err == nil && sum == m.SHA256
}

func wrap(what string, m *Manifest, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, m.Path, err)
}

func digest(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
