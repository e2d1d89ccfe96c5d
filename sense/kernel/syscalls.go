// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

const sysFchmodat2 = 452 // 6.6; the same on every machine

// syscallsWanted are looked at when they return (set B); bpf/sys.h says what of each.
var syscallsWanted = append([]uint32{
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, sysFchmodat2, unix.SYS_MEMFD_CREATE, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_BPF, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_MOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_PIVOT_ROOT,
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID,
	unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_CAPSET, unix.SYS_BIND, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
	unix.SYS_IO_URING_SETUP, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT,
}, syscallsHere...)

// Requests of ptrace(2) that the kernel half lets through.
var ptraceNames = map[uint64]string{0: "TRACEME", 4: "POKETEXT", 5: "POKEDATA", 13: "SETREGS", 16: "ATTACH", 0x4205: "SETREGSET", 0x4206: "SEIZE"}

var cloneFlags = []struct {
	flag uint64
	name string
}{
	{unix.CLONE_NEWNS, "mnt"}, {unix.CLONE_NEWCGROUP, "cgroup"}, {unix.CLONE_NEWUTS, "uts"}, {unix.CLONE_NEWIPC, "ipc"},
	{unix.CLONE_NEWUSER, "user"}, {unix.CLONE_NEWPID, "pid"}, {unix.CLONE_NEWNET, "net"}, {unix.CLONE_NEWTIME, "time"},
}

func namespaceNames(flags uint64) string {
	var names []string
	for _, f := range cloneFlags {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

// fillSyscall turns a rare call into the payload that names it.
func (d *decoder) fillSyscall(ev *event.Event, r *syscallRecord) {
	a := r.arg
	kernel := func(op event.KernelActivity_Op, detail string, flags uint64) {
		ev.Payload = &event.Event_Kernel{Kernel: &event.KernelActivity{Op: op, Detail: detail, Flags: flags, Result: r.ret}}
	}
	process := func(op event.ProcessActivity_Op, detail string) *event.ProcessActivity {
		if r.ret < 0 && r.ret >= -4095 {
			detail += " " + unix.ErrnoName(unix.Errno(-r.ret))
		}
		p := &event.ProcessActivity{Op: op, Detail: detail}
		ev.Payload = &event.Event_Process{Process: p}
		return p
	}
	switch r.nr {
	case unix.SYS_BPF:
		kernel(event.KernelActivity_BPF_LOAD, r.text, 0)
	case unix.SYS_INIT_MODULE:
		kernel(event.KernelActivity_MODULE_LOAD, "from memory", 0)
	case unix.SYS_FINIT_MODULE:
		kernel(event.KernelActivity_MODULE_LOAD, r.path, a[2])
	case unix.SYS_MOUNT:
		kernel(event.KernelActivity_MOUNT, r.text, a[3])
	case unix.SYS_MOVE_MOUNT:
		kernel(event.KernelActivity_MOUNT, r.text, 0)
	case unix.SYS_PIVOT_ROOT:
		kernel(event.KernelActivity_PIVOT_ROOT, r.text, 0)
	case unix.SYS_SETNS:
		kernel(event.KernelActivity_SETNS, r.path, a[1])
	case unix.SYS_UNSHARE:
		kernel(event.KernelActivity_UNSHARE, namespaceNames(a[0]), a[0])
	case unix.SYS_IO_URING_SETUP:
		kernel(event.KernelActivity_IO_URING_SETUP, fmt.Sprintf("%d entries", a[0]), 0)
	case unix.SYS_PTRACE:
		p := process(event.ProcessActivity_PTRACE, ptraceNames[a[0]])
		if a[0] != 0 {
			p.Target = d.procs.describe(uint32(a[1]))
		}
	case unix.SYS_PROCESS_VM_WRITEV:
		process(event.ProcessActivity_PTRACE, "process_vm_writev").Target = d.procs.describe(uint32(a[0]))
	case unix.SYS_SETUID, unix.SYS_SETREUID, unix.SYS_SETRESUID:
		process(event.ProcessActivity_SETUID, "uid "+ids(r.nr, a)).Euid = ev.Actor.Uid
	case unix.SYS_SETGID, unix.SYS_SETREGID, unix.SYS_SETRESGID:
		process(event.ProcessActivity_SETUID, "gid "+ids(r.nr, a))
	case unix.SYS_CAPSET:
		process(event.ProcessActivity_CAPSET, fmt.Sprintf("effective %#x", a[2]))
	case unix.SYS_MMAP:
		process(event.ProcessActivity_WX_MAPPING, fmt.Sprintf("mmap %d bytes", a[1]))
	case unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT:
		process(event.ProcessActivity_WX_MAPPING, fmt.Sprintf("mprotect %d bytes", a[1]))
	case unix.SYS_MEMFD_CREATE:
		ev.Payload = &event.Event_File{File: &event.FileActivity{Op: event.FileActivity_MEMFD,
			File: &entity.File{Path: "memfd:" + r.text, Inode: a[3]}}}
	}
}

// ids lists what a set*id call was given; -1 leaves an id alone.
func ids(nr uint32, a [4]uint64) string {
	n := 1
	switch nr {
	case unix.SYS_SETREUID, unix.SYS_SETREGID:
		n = 2
	case unix.SYS_SETRESUID, unix.SYS_SETRESGID:
		n = 3
	}
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprint(int32(a[i]))
	}
	return strings.Join(parts, ",")
}
