// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/sense/kernel"
)

// needed are the capabilities that the sensors use, by bit (include/uapi/linux/capability.h).
var needed = []struct {
	bit  int
	name string
	what string
}{
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "the kernel sensor and fanotify"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "the packet sensor"},
	{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "processes of other users that run already, and who holds a socket"},
	{unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "logs and files of other users"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "blocking addresses and cutting connections (enforce only)"},
	{unix.CAP_KILL, "CAP_KILL", "killing process trees (enforce only)"},
	{unix.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "quarantine of files of other users (enforce only)"},
}

// rights tells with which rights everything below was tried.
func rights(context.Context, *Config) []Check {
	c := Check{Name: "rights", State: OK, Reason: fmt.Sprintf("uid %d", os.Geteuid()), Mend: "run as root, or with deploy/systemd"}
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		c.State, c.Reason = Missing, err.Error()
		return []Check{c}
	}
	have := capEff(string(raw))
	var lack, costs []string
	for _, n := range needed {
		if have&(1<<n.bit) == 0 {
			lack, costs = append(lack, n.name), append(costs, n.what)
		}
	}
	if len(lack) > 0 {
		c.State, c.Reason, c.Costs = Degraded, c.Reason+" without "+strings.Join(lack, ", "), strings.Join(costs, "; ")
	}
	return []Check{c}
}

// capEff reads the effective capabilities of /proc/PID/status; 0 where there are none.
func capEff(status string) uint64 {
	_, rest, _ := strings.Cut(status, "\nCapEff:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	n, _ := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	return n
}

// kernelHooks loads every program that the kernel sensor would, attaching none.
func kernelHooks(_ context.Context, cfg *Config) []Check {
	k := kernel.Defaults()
	if cfg.Kernel != nil {
		k = *cfg.Kernel
	}
	return hookChecks(kernel.Probe(k), k.Syscalls)
}

// hookChecks: a hook whose work another one does is only as bad as what that one misses.
func hookChecks(caps []kernel.Capability, syscalls bool) (out []Check) {
	for i := range caps {
		c := &caps[i]
		state, mend := OK, ""
		switch {
		case c.On:
		case c.Set == "later":
			state, mend = Missing, "no mend yet"
		case c.Set == "fallback" && !c.Missed():
			continue // the better hook is there
		case c.StoodInFor():
			if mend = "a kernel from " + c.Since; c.Costs != "" {
				state = Degraded
			}
		case c.Set == "B" && !syscalls:
			state, mend = Degraded, "kernel.syscalls: on"
		case c.Refused():
			state, mend = Missing, "run as root; if the reason is the verifier's, tell us of it with the kernel's release"
		default:
			state, mend = Missing, "run as root on a kernel with BTF, from "+cmp.Or(c.Since, "5.10")
		}
		out = append(out, Check{Name: "kernel." + c.Name, State: state, Reason: c.Reason, Mend: mend, Costs: c.Costs})
	}
	return out
}

func btf(context.Context, *Config) []Check {
	const path = "/sys/kernel/btf/vmlinux"
	c := Check{Name: "kernel.btf", State: OK, Costs: "the kernel sensor: it cannot know this kernel's structures",
		Mend: "a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian from 11, RHEL from 8.2, Ubuntu from 20.10), and sysfs mounted"}
	f, err := os.Open(path)
	if err != nil {
		c.State, c.Reason = Missing, err.Error()
		return []Check{c}
	}
	f.Close()
	return []Check{c}
}

// mounts lists the mount points of a file system type.
func mounts(kind string) (out []string) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		if fields := strings.Fields(left); ok && strings.HasPrefix(right, kind+" ") && len(fields) > 4 {
			out = append(out, fields[4])
		}
	}
	return out
}

func bpffs(context.Context, *Config) []Check {
	c := Check{Name: "kernel.bpffs", State: OK, Mend: "mount -t bpf bpf /sys/fs/bpf", Costs: "sharing one program set between several agents (kernel.shared)"}
	if at := mounts("bpf"); len(at) == 0 {
		c.State, c.Reason = Missing, "no bpf file system is mounted"
	} else {
		c.Reason = "at " + at[0]
	}
	return []Check{c}
}

// memlock: kernels before 5.11 charge maps to the limit of locked memory.
func memlock(context.Context, *Config) []Check {
	c := Check{Name: "kernel.memlock", State: OK, Mend: "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited", Costs: "the rings of the kernel sensor"}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
		c.State, c.Reason = Degraded, err.Error()
		return []Check{c}
	}
	switch {
	case !before(release(), 5, 11):
		c.Reason = "not charged to it from 5.11 on"
	case l.Cur < 64<<20:
		c.State, c.Reason = Degraded, fmt.Sprintf("%d KiB, and this kernel charges maps to it", l.Cur>>10)
	}
	return []Check{c}
}

// before compares a release such as 6.1.0-18-amd64.
func before(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}

func cgroup2(context.Context, *Config) []Check {
	c := Check{Name: "kernel.cgroup2", State: OK, Mend: "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup/unified", Costs: "container names, scopes by cgroup, killing a unit at once"}
	if at := mounts("cgroup2"); len(at) == 0 {
		c.State, c.Reason = Missing, "no cgroup2 tree is mounted"
	} else {
		c.Reason = "at " + at[0]
	}
	return []Check{c}
}

// fanotify tries both groups of the file sensor on the file systems that it watches.
func fanotify(_ context.Context, cfg *Config) []Check {
	c := Check{Name: "kernel.fanotify", State: OK, Mend: "run as root or give CAP_SYS_ADMIN", Costs: "files are judged by the sweep at start and by names from the kernel sensor only"}
	fds, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		c.State, c.Reason = Missing, err.Error()
		return []Check{c}
	}
	defer unix.Close(fds)
	r := Check{Name: "kernel.fanotify.names", State: OK, Mend: "mount the overlay with index=on,nfs_export=on; kernels from 5.17", Costs: "renames are told by the kernel sensor only"}
	fid, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, 0)
	if err != nil {
		r.State, r.Reason = Missing, err.Error()
		return []Check{c, r}
	}
	defer unix.Close(fid)
	const fanRename = 0x10000000 // FAN_RENAME, include/uapi/linux/fanotify.h, 5.17
	for _, p := range append([]string{"/"}, cfg.Watched...) {
		for _, try := range []struct {
			fd   int
			mask uint64
			c    *Check
		}{{fds, unix.FAN_CLOSE_WRITE, &c}, {fid, fanRename, &r}} {
			err := unix.FanotifyMark(try.fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, try.mask, unix.AT_FDCWD, p)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				try.c.State, try.c.Reason = Degraded, fmt.Sprintf("the file system of %s: %v", p, err)
			}
		}
	}
	return []Check{c, r}
}

// packets opens the packet socket as the sensor would, bound to nothing.
func packets(context.Context, *Config) []Check {
	c := Check{Name: "kernel.packets", State: OK, Mend: "run as root or give CAP_NET_RAW", Costs: "the packet sensor: scans, TLS and SSH fingerprints, flows the kernel sensor does not see"}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.State, c.Reason = Missing, err.Error()
		return []Check{c}
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		c.State, c.Reason, c.Mend = Degraded, "no TPACKET_V3: "+err.Error(), "a kernel from 3.2"
	}
	return []Check{c}
}

// sandbox: what confines the query engine and the file sandbox.
func sandbox(context.Context, *Config) []Check {
	l := Check{Name: "kernel.landlock", State: OK, Mend: "a kernel from 5.13 with landlock in CONFIG_LSM or lsm=", Costs: "hunts are confined by user and limits only"}
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1) // LANDLOCK_CREATE_RULESET_VERSION
	if errno != 0 {
		l.State, l.Reason = Missing, errno.Error()
	} else {
		l.Reason = fmt.Sprintf("ABI %d", abi)
	}
	s := Check{Name: "kernel.seccomp", State: OK, Mend: "a kernel with CONFIG_SECCOMP_FILTER=y", Costs: "samples cannot be run in the sandbox"}
	if b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail"); err != nil {
		s.State, s.Reason = Missing, err.Error()
	} else {
		s.Reason = strings.TrimSpace(string(b))
	}
	return []Check{l, s}
}
