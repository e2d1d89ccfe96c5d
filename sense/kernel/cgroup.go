// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
)

// cgroups turns cgroup v2 ids into container ids. Not safe for many goroutines.
type cgroups struct {
	root  string
	mount *os.File
	known map[uint64]string
}

func newCgroups() *cgroups {
	c := &cgroups{root: cgroupRoot(), known: map[uint64]string{}}
	if c.root != "" {
		c.mount, _ = os.Open(c.root) // without it containers stay unnamed
	}
	return c
}

func (c *cgroups) close() {
	if c.mount != nil {
		_ = c.mount.Close()
	}
}

// container gives the name of the container that a cgroup belongs to, or "".
func (c *cgroups) container(id uint64) string {
	if name, ok := c.known[id]; ok || id == 0 {
		return name
	}
	name, _, _ := entity.Container(c.path(id))
	name = clean(name)
	if len(c.known) >= 8192 {
		clear(c.known)
	}
	c.known[id] = name
	return name
}

// fileidKernfs is FILEID_KERNFS: a handle that is nothing but the 64-bit id (include/linux/exportfs.h).
const fileidKernfs = 0xfe

func (c *cgroups) path(id uint64) string {
	if c.mount == nil {
		return ""
	}
	h := unix.NewFileHandle(fileidKernfs, binary.LittleEndian.AppendUint64(nil, id))
	fd, err := unix.OpenByHandleAt(int(c.mount.Fd()), h, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "" // removed already
	}
	defer unix.Close(fd)
	p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return ""
	}
	return p
}

// cgroupRoot finds where cgroup v2 is mounted; it is not always /sys/fs/cgroup.
func cgroupRoot() string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		if fields := strings.Fields(left); ok && strings.HasPrefix(right, "cgroup2 ") && len(fields) > 4 {
			return fields[4]
		}
	}
	return ""
}

func splitFields(s string) []string { return strings.Fields(s) }

func statInode(path string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return inode{}, fmt.Errorf("stat %s: %w", filepath.Base(path), err)
	}
	return inode{st.Dev, st.Ino}, nil
}
