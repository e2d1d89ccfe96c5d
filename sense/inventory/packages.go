// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

const (
	maxLine   = 64 << 10
	maxPaths  = 4096 // whose package is remembered
	statusOf  = "/var/lib/dpkg/status"
	listsIn   = "/var/lib/dpkg/info"
	maxStatus = 256 << 20 // a full desktop's is 5 MB
)

// packages are what dpkg says is installed.
type packages struct {
	stamp    string
	found    map[string]item
	versions map[string]string
	ownerOf  map[string]string // path → package
}

// openIn opens a file below the host's root; links of a container lead into it.
func (s *Sensor) openIn(p string) (*os.File, string, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(s.root, p, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) && s.opt.Root == "" { // before 5.6, or a seccomp filter that does not know it
		fd, err = unix.Openat(s.root, strings.TrimPrefix(p, "/"), int(how.Flags)|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, "", &fs.PathError{Op: "open", Path: p, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, "", fmt.Errorf("%s is not a regular file", p)
	}
	return os.NewFile(uintptr(fd), p), fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()), nil
}

// readPackages reads dpkg's status where it changed. A host without dpkg has none.
func (s *Sensor) readPackages() (map[event.Inventory_Kind]map[string]item, error) {
	f, stamp, err := s.openIn(statusOf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if stamp == s.pkgs.stamp {
		return nil, nil
	}
	found, versions, err := parseStatus(io.LimitReader(f, maxStatus))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", statusOf, err)
	}
	s.pkgs = packages{stamp: stamp, found: found, versions: versions, ownerOf: map[string]string{}}
	return map[event.Inventory_Kind]map[string]item{event.Inventory_PACKAGE: found}, nil
}

// parseStatus reads paragraphs of deb-control(5). Only installed packages count.
func parseStatus(r io.Reader) (map[string]item, map[string]string, error) {
	found, versions := map[string]item{}, map[string]string{}
	var name, version, arch, status string
	end := func() {
		if name != "" && strings.HasSuffix(status, " installed") && len(found) <= maxItems {
			found[name+":"+arch] = item{inv: &event.Inventory{Kind: event.Inventory_PACKAGE, Name: name, Version: version, Detail: "deb " + arch}}
			versions[name] = version
		}
		name, version, arch, status = "", "", "", ""
	}
	err := lines(r, func(l string) {
		if l == "" {
			end()
			return
		}
		k, v, _ := strings.Cut(l, ": ")
		switch k {
		case "Package":
			name = clean(v)
		case "Version":
			version = clean(v)
		case "Architecture":
			arch = clean(v)
		case "Status":
			status = v
		}
	})
	end()
	return found, versions, err
}

// lines calls f for each line; one that is too long is cut.
func lines(r io.Reader, f func(string)) error {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			f(strings.TrimRight(string(line), "\r\n"))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// owner names the package of a path. Without Options.Owner it reads dpkg's lists, once
// per path and state of dpkg (95,000 lines are 20 ms).
func (s *Sensor) owner(exe string) string {
	if exe == "" {
		return ""
	}
	if s.opt.Owner != nil {
		return s.opt.Owner(exe)
	}
	if pkg, known := s.pkgs.ownerOf[exe]; known || s.pkgs.ownerOf == nil {
		return pkg
	}
	if len(s.pkgs.ownerOf) >= maxPaths {
		clear(s.pkgs.ownerOf)
	}
	pkg := s.searchLists(exe)
	s.pkgs.ownerOf[exe] = pkg
	return pkg
}

// searchLists looks for a path in dpkg's lists; /usr may be merged or not in them.
func (s *Sensor) searchLists(exe string) string {
	names := []string{exe}
	if short, merged := strings.CutPrefix(exe, "/usr"); merged {
		names = append(names, short)
	} else {
		names = append(names, "/usr"+exe)
	}
	dir := strings.TrimSuffix(s.opt.Root, "/") + listsIn
	list, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, d := range list {
		pkg, isList := strings.CutSuffix(d.Name(), ".list")
		if !isList {
			continue
		}
		f, _, err := s.openIn(filepath.Join(listsIn, d.Name()))
		if err != nil {
			continue
		}
		found := false
		_ = lines(io.LimitReader(f, maxStatus), func(l string) { found = found || l == names[0] || l == names[1] })
		f.Close()
		if found {
			pkg, _, _ = strings.Cut(pkg, ":")
			return clean(pkg)
		}
	}
	return ""
}
