// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Image writes an initial RAM file system in the kernel's "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst). Not safe for many goroutines.
type Image struct {
	w    *bufio.Writer
	f    *os.File
	ino  int
	size int
	have map[string]bool
	err  error // the first one; later calls do nothing
}

// NewImage begins an image in a new file.
func NewImage(file string) (*Image, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("make the guest's image: %w", err)
	}
	return &Image{w: bufio.NewWriterSize(f, 1<<20), f: f, have: map[string]bool{"": true}}, nil
}

func (im *Image) write(s string) {
	if im.err == nil {
		var n int
		n, im.err = im.w.WriteString(s)
		im.size += n
	}
}

// pad fills up to a multiple of four bytes, as the format wants after names and contents.
func (im *Image) pad() {
	for im.size%4 != 0 && im.err == nil {
		im.write("\x00")
	}
}

func (im *Image) entry(name string, mode uint32, content string) {
	im.ino++
	im.write(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		im.ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0))
	im.write(name + "\x00")
	im.pad()
	im.write(content)
	im.pad()
}

// place is a name without its first slash, on a merged /usr as Debian's.
func place(name string) string {
	name = strings.Trim(path.Clean("/"+name), "/")
	switch top, rest, _ := strings.Cut(name, "/"); top {
	case "bin", "sbin", "lib", "lib64":
		if rest != "" {
			return "usr/" + name
		}
	}
	return name
}

// Dir makes a folder and those above it.
func (im *Image) Dir(name string) {
	name = place(name)
	if im.have[name] {
		return
	}
	im.Dir(path.Dir(name))
	im.have[name] = true
	im.entry(name, 0o040755, "")
}

// File puts a file with this content and permission there. The first of a name stays.
func (im *Image) File(name string, perm uint32, content []byte) {
	name = place(name)
	if im.have[name] {
		return
	}
	im.Dir(path.Dir(name))
	im.have[name] = true
	im.entry(name, 0o100000|perm, string(content))
}

// Link puts a symbolic link there.
func (im *Image) Link(name, to string) {
	name = place(name)
	if im.have[name] {
		return
	}
	im.Dir(path.Dir(name))
	im.have[name] = true
	im.entry(name, 0o120777, to)
}

// Copy takes a file of this machine, at its own path or at another one.
func (im *Image) Copy(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy into the guest's image: %w", err)
	}
	fi, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("copy into the guest's image: %w", err)
	}
	im.File(to, uint32(fi.Mode().Perm()), b)
	return nil
}

// Program copies a program of this machine with the libraries it is linked with.
func (im *Image) Program(name string) error {
	if err := im.Copy(name, name); err != nil {
		return err
	}
	// ldd starts the program's loader; these are the distribution's own programs.
	out, err := exec.Command("ldd", name).Output()
	if err != nil {
		return nil // static
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			if err := im.Copy(word, word); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tree copies a folder of this machine, links as links; what skip says is left out.
func (im *Image) Tree(root string, skip func(name string) bool) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case skip != nil && skip(p):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			im.Dir(p)
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err == nil {
				im.Link(p, to)
			}
			return err
		case d.Type().IsRegular():
			return im.Copy(p, p)
		}
		return nil
	})
}

// Close ends the image.
func (im *Image) Close() error {
	im.entry("TRAILER!!!", 0, "")
	return errors.Join(im.err, im.w.Flush(), im.f.Close())
}

// Unpack takes the kernel image out of a Debian package and gives its path in dir.
func Unpack(deb, dir string) (string, error) {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("unpack %s: %w (needs dpkg-deb)", deb, err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // what follows the kernel is not read
	for tr := tar.NewReader(out); ; {
		h, err := tr.Next()
		if err != nil {
			return "", fmt.Errorf("unpack %s: no boot/vmlinuz-* in it: %w", deb, err)
		}
		if dir0, base := path.Split(path.Clean(h.Name)); dir0 != "boot/" || !strings.HasPrefix(base, "vmlinuz-") {
			continue
		}
		to := filepath.Join(dir, path.Base(h.Name))
		f, err := os.Create(to)
		if err != nil {
			return "", fmt.Errorf("unpack %s: %w", deb, err)
		}
		_, err = io.CopyN(f, tr, h.Size)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("unpack %s: %w", deb, err)
		}
		return to, nil
	}
}

// servers are what sense/kernel's tests use where it is there.
var servers = []string{"/usr/bin/bash", "/usr/bin/true", "/usr/bin/unshare", "/usr/sbin/nginx", "/usr/sbin/php-fpm8.2", "/usr/bin/python3"}

// Servers copies those servers that this machine has, and tells which.
func (im *Image) Servers() (have []string, err error) {
	for _, s := range servers {
		if _, err := os.Stat(s); err != nil {
			continue
		}
		if err := im.Program(s); err != nil {
			return have, err
		}
		have = append(have, path.Base(s))
	}
	if slices.Contains(have, "python3") {
		real, err := filepath.EvalSymlinks("/usr/bin/python3")
		if err != nil {
			return have, err
		}
		lib := "/usr/lib/" + path.Base(real)
		heavy := []string{"test", "idlelib", "ensurepip", "lib2to3", "tkinter", "pydoc_data", "distutils", "unittest", "asyncio"}
		if err := im.Tree(lib, func(p string) bool { return slices.Contains(heavy, path.Base(p)) }); err != nil {
			return have, err
		}
		ffi, _ := filepath.Glob("/usr/lib/*/libffi.so.*") // for ctypes; the pattern is well formed
		for _, f := range ffi {
			if err := im.Copy(f, f); err != nil {
				return have, err
			}
		}
	}
	if slices.Contains(have, "nginx") {
		err = im.Copy("/etc/nginx/fastcgi_params", "/etc/nginx/fastcgi_params")
	}
	return have, err
}
