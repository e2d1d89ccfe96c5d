// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
)

// owners finds the process that holds a socket: the one with the lowest pid, which of
// several that share it is the parent. Reading all descriptors of a machine is dear (10
// to 70 ms), so it is done only when an inode is new.
type owners struct {
	known map[uint32]*entity.Process // by socket inode; nil: looked for and not found
}

// find makes sure that the owners of these sockets were looked for, and forgets others.
func (o *owners) find(sockets []socket, netns uint64) {
	next := make(map[uint32]*entity.Process, len(sockets))
	missing := map[uint32]bool{}
	for _, k := range sockets {
		if k.inode == 0 {
			continue
		}
		p, known := o.known[k.inode]
		if known && (p == nil || same(p)) {
			next[k.inode] = p
		} else {
			missing[k.inode] = true
		}
	}
	o.known = next
	if len(missing) == 0 {
		return
	}
	for inode := range missing {
		next[inode] = nil
	}
	procs, _ := os.ReadDir("/proc") // unreadable: sockets without owner, as their detail says
	for _, d := range procs {
		pid, err := strconv.ParseUint(d.Name(), 10, 32)
		if err != nil || netns != 0 && inodeOf("/proc/"+d.Name()+"/ns/net") != netns {
			continue
		}
		o.descriptors(uint32(pid), missing)
	}
}

// descriptors looks through one process.
func (o *owners) descriptors(pid uint32, missing map[uint32]bool) {
	dir := "/proc/" + strconv.Itoa(int(pid)) + "/fd/"
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	var p *entity.Process
	for {
		names, err := f.Readdirnames(512)
		for _, n := range names {
			to, err := os.Readlink(dir + n)
			if err != nil {
				continue
			}
			inode, ok := socketInode(to)
			if !ok || !missing[inode] {
				continue
			}
			if old := o.known[inode]; old != nil && old.Pid < pid {
				continue
			}
			if p == nil {
				p = describe(pid)
			}
			o.known[inode] = p
		}
		if err != nil {
			return
		}
	}
}

func socketInode(link string) (uint32, bool) {
	s, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 32)
	return uint32(n), err == nil
}

func (o *owners) of(k socket) *entity.Process { return o.known[k.inode] }

// describe names a process. Its start time is left out: /proc tells it in hundredths of
// a second, the kernel sensor in ns, and one life must not get two names.
func describe(pid uint32) *entity.Process {
	dir := "/proc/" + strconv.Itoa(int(pid))
	p := &entity.Process{Pid: pid}
	if b, err := os.ReadFile(dir + "/comm"); err == nil {
		p.Comm = clean(strings.TrimSuffix(string(b), "\n"))
	}
	exe, _ := os.Readlink(dir + "/exe")
	p.Exe = clean(exe)
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		p.Uid = st.Uid
	}
	return p
}

// same tells whether a pid still runs the program that we described.
func same(p *entity.Process) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(int(p.Pid)) + "/exe")
	return err == nil && clean(exe) == p.Exe
}

func inodeOf(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}
