// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confineAndExec is the first run: limits, no_new_privs, Landlock, then exec of itself.
func confineAndExec(o orders) error {
	runtime.LockOSThread()
	if err := setLimits(o.memoryMB); err != nil {
		return err
	}
	// A unit may have given its user capabilities by the ambient set; they must not
	// outlive the exec below.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return fmt.Errorf("give up ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := landlock(3); err != nil {
		return err
	}
	args := os.Args[:o.skip:o.skip] // the command and what names it
	args = append(args, "confined", strconv.Itoa(o.uid), strconv.Itoa(o.gid), strconv.Itoa(o.memoryMB), strconv.Itoa(o.skip), o.dir)
	if _, err := unix.FcntlInt(3, unix.F_SETFD, 0); err != nil {
		return fmt.Errorf("keep the segment folder open: %w", err)
	}
	err := syscall.Exec("/proc/self/exe", args, os.Environ())
	return fmt.Errorf("execute itself inside Landlock: %w", err)
}

// setLimits bounds what the process may take whatever DuckDB believes of its own limit.
func setLimits(memoryMB int) error {
	gib := uint64(1) << 30
	for _, l := range []struct {
		what string
		res  int
		to   uint64
	}{
		// DuckDB's memory, and 3 GiB of addresses that Go, stacks and malloc arenas reserve without using.
		{"address space", unix.RLIMIT_AS, uint64(memoryMB)<<20 + 3*gib},
		{"processor time", unix.RLIMIT_CPU, 3600}, // s, of one process of 500 hunts
		{"open files", unix.RLIMIT_NOFILE, 4096},
		{"file size", unix.RLIMIT_FSIZE, 0}, // it writes no file at all
		{"core", unix.RLIMIT_CORE, 0},
		{"locked memory", unix.RLIMIT_MEMLOCK, 0},
	} {
		var old unix.Rlimit
		if err := unix.Getrlimit(l.res, &old); err != nil {
			return fmt.Errorf("limit %s: %w", l.what, err)
		}
		to := min(l.to, old.Max)
		if err := unix.Setrlimit(l.res, &unix.Rlimit{Cur: to, Max: to}); err != nil {
			return fmt.Errorf("limit %s to %d: %w", l.what, to, err)
		}
	}
	return nil
}

// landlockABI is the version the kernel offers, 0 for none.
func landlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// rulesetAttr is struct landlock_ruleset_attr of include/uapi/linux/landlock.h.
type rulesetAttr struct{ fs, net, scoped uint64 }

// landlock lets this thread, and what it executes, read below folder and run the very
// files that are mapped now; nothing else. Without Landlock in the kernel it does nothing,
// which Confinement shows.
func landlock(folder int) error {
	abi := landlockABI()
	if abi == 0 {
		return nil
	}
	// Access bits by ABI: 13 of the first, then refer, truncate, and ioctl_dev with the fifth.
	bits := map[int]int{1: 13, 2: 14, 3: 15, 4: 15}[abi]
	if abi >= 5 {
		bits = 16
	}
	attr := rulesetAttr{fs: 1<<bits - 1}
	size := unsafe.Sizeof(attr.fs)
	if abi >= 4 {
		attr.net, size = unix.LANDLOCK_ACCESS_NET_BIND_TCP|unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, 16
	}
	if abi >= 6 {
		attr.scoped, size = 3, 24 // abstract unix sockets, signals
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("make Landlock rules: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := allow(int(fd), folder, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_READ_DIR); err != nil {
		return fmt.Errorf("let Landlock read the segments: %w", err)
	}
	readOnly := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE)
	for _, name := range mappedFiles() {
		access := readOnly | unix.LANDLOCK_ACCESS_FS_EXECUTE
		if strings.Contains(name, "cgroup") {
			access = readOnly
		}
		f, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // a file replaced since; the exec will say what it misses
		}
		err = allow(int(fd), f, access)
		unix.Close(f)
		if err != nil {
			return fmt.Errorf("let Landlock run %s: %w", name, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enter Landlock: %w", errno)
	}
	return nil
}

func allow(rules, fd int, access uint64) error {
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// mappedFiles are the binary and the libraries of this process, the loader's cache, and
// the limits of its cgroup: DuckDB 1.5.6 aborts where it finds those and may not read them.
func mappedFiles() []string {
	out := []string{"/proc/self/exe", "/etc/ld.so.cache", "/proc/self/cgroup", "/sys/fs/cgroup"}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return out
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) >= 6 && f[5][0] == '/' && !seen[f[5]] {
			seen[f[5]] = true
			out = append(out, f[5])
		}
	}
	return out
}

// giveUp is the start of the second run: the segment folder becomes the root folder and
// nobody the user when we are root; then seccomp, for all threads.
func giveUp(o *orders) error {
	if os.Geteuid() == 0 {
		if err := unix.Fchdir(3); err != nil {
			return fmt.Errorf("enter the segment folder: %w", err)
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("make the segment folder the root: %w", err)
		}
		o.dir = "/"
		// These act on all threads of the process (Go calls the C library's, which does).
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("leave all groups: %w", err)
		}
		if err := syscall.Setresgid(o.gid, o.gid, o.gid); err != nil {
			return fmt.Errorf("become group %d: %w", o.gid, err)
		}
		if err := syscall.Setresuid(o.uid, o.uid, o.uid); err != nil {
			return fmt.Errorf("become user %d: %w", o.uid, err)
		}
		if os.Geteuid() == 0 || syscall.Setuid(0) == nil {
			return fmt.Errorf("still root after becoming user %d", o.uid)
		}
	}
	unix.Close(3)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid dumps: %w", err)
	}
	return seccomp()
}
