// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Of each running process at most this much argv is read.
const snapshotArgv = 4095

// snapshot tells of what ran before the sensor did, within its scope.
func (d *decoder) snapshot(cfg *Config) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	var cgroup string
	if cfg.Cgroup != "" {
		cgroup, _ = filepath.Abs(cfg.Cgroup) // fails only without a working folder
	}
	var netns uint64
	if cfg.Netns != "" {
		netns, _ = inodeOf(cfg.Netns)
	}
	for _, dir := range dirs {
		pid, err := strconv.ParseUint(filepath.Base(dir), 10, 32)
		if err != nil {
			continue
		}
		ns, _ := inodeOf(dir + "/ns/net")
		own, path := processCgroup(dir)
		if cfg.scoped() && !(cgroup != "" && within(path, cgroup) || netns != 0 && ns == netns) {
			continue
		}
		if p := d.running(dir, uint32(pid), own, ns); p != nil {
			d.emit(p)
		}
	}
}

// running describes one process from /proc; nil if it has ended.
func (d *decoder) running(dir string, pid uint32, cgroup, netns uint64) *event.Event {
	st, err := readStat("/proc", pid)
	if err != nil {
		return nil
	}
	var fs unix.Stat_t
	if unix.Stat(dir, &fs) != nil {
		return nil
	}
	a := &actor{start: st.start, cgroup: cgroup, pid: pid, tid: pid, uid: fs.Uid, netns: uint32(netns), comm: st.comm}
	ev := d.event(event.BootNow(), a)
	p := &event.ProcessActivity{Op: event.ProcessActivity_SNAPSHOT, Gid: fs.Gid, Ns: &event.Namespaces{Net: netns}}
	if b, err := os.ReadFile(dir + "/cmdline"); err == nil {
		p.ArgvCut = len(b) > snapshotArgv
		p.Argv = d.opt.Redact.Argv(splitNul(b[:min(len(b), snapshotArgv)]))
	}
	if st.ppid != 0 {
		p.Parent = d.procs.describe(st.ppid)
		d.births.born(life{st.ppid, p.Parent.StartNs}, life{pid, st.start})
	}
	cwd, _ := os.Readlink(dir + "/cwd") // kernel threads have none
	p.Cwd = clean(cwd)
	p.Ns.Mnt, _ = inodeOf(dir + "/ns/mnt")
	p.Ns.Pid, _ = inodeOf(dir + "/ns/pid")
	p.Ns.User, _ = inodeOf(dir + "/ns/user")
	var exe unix.Stat_t
	if unix.Stat(dir+"/exe", &exe) == nil && ev.Actor != nil {
		p.Image = &entity.File{Path: ev.Actor.Exe, Fs: exe.Dev, Inode: exe.Ino, Size: uint64(exe.Size), Mode: exe.Mode, Nlink: uint32(exe.Nlink), Uid: exe.Uid}
	}
	ev.Payload = &event.Event_Process{Process: p}
	return ev
}

// processCgroup gives a process's cgroup v2 id and folder.
func processCgroup(dir string) (id uint64, path string) {
	b, err := os.ReadFile(dir + "/cgroup")
	if err != nil {
		return 0, ""
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::")); ok {
			path = cgroupRoot() + string(rest)
			id, _ = cgroupID(path) // gone already: unknown
			return id, path
		}
	}
	return 0, ""
}

func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !bytes.HasPrefix([]byte(rel), []byte("../"))
}

// String helps people who print a capability.
func (c Capability) String() string {
	state := "on"
	if !c.On {
		state = "off (" + c.Reason + ")"
	}
	return fmt.Sprintf("%s [%s]: %s; without it: %s", c.Name, c.Set, state, c.Costs)
}
