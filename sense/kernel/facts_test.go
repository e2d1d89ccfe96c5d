// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// What an exec tells beside its command line: terminal, user, namespaces, cgroup, container.
func TestExecTellsItsSurroundings(t *testing.T) {
	_, rec := start(t, nil)
	id := strings.Repeat("0123456789abcdef", 4)
	scope := filepath.Join(tempCgroup(t), "docker-"+id+".scope")
	must(t, os.MkdirAll(filepath.Join(scope, "init.scope"), 0o755))
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(scope, "init.scope"))
		_ = os.Remove(scope)
	})
	runIn(t, filepath.Join(scope, "init.scope"), "in-container")
	want, err := cgroupID(filepath.Join(scope, "init.scope"))
	must(t, err)
	if e := rec.find(t, "exec in a container", execOf("in-container")); e.Actor.Container != id || e.Actor.Cgroup != want {
		t.Errorf("container %q cgroup %d, want %q %d", e.Actor.Container, e.Actor.Cgroup, id, want)
	}
	python(t, t.TempDir(), `
import os, pty
pid, fd = pty.fork()
if pid == 0:
    os.setresgid(1, 1, 1); os.setresuid(65534, 2, 65534)
    os.execv("/bin/true", ["true", "on-terminal"])
while True:
    try:
        if not os.read(fd, 1024): break
    except OSError: break
os.waitpid(pid, 0)`)
	at := rec.find(t, "exec on a terminal", execOf("on-terminal"))
	p := at.GetProcess()
	if at.Actor.Uid != 65534 || p.Euid != 2 || p.Gid != 1 || !strings.HasPrefix(p.Tty, "pts") || p.Fds[0].Type != event.Descriptor_TTY || p.Fds[2].Type != event.Descriptor_TTY {
		t.Errorf("uid %d %v", at.Actor.Uid, p)
	}
	sh(t, t.TempDir(), `unshare -Un /bin/true in-new`)
	in := rec.find(t, "exec in new namespaces", func(e *event.Event) bool { return isExec(e, "/bin/true", "in-new") }).GetProcess().Ns
	if in.User == p.Ns.User || in.Net == p.Ns.Net || in.Mnt != p.Ns.Mnt || in.Pid != p.Ns.Pid || in.User == 0 {
		t.Errorf("namespaces %v, before %v", in, p.Ns)
	}
}

func TestExecOfAnUnlinkedFile(t *testing.T) {
	_, rec := start(t, nil)
	dir := t.TempDir()
	sh(t, dir, `cp /bin/true gone; exec 9< gone; rm gone; exec /proc/self/fd/9 unlinked-marker`)
	e := rec.find(t, "exec", execOf("unlinked-marker"))
	if f := e.GetProcess().Image; f.Nlink != 0 || f.Path != filepath.Join(dir, "gone") || e.GetProcess().Memfd != "" {
		t.Errorf("image %v", f)
	}
}

// Calls that a host rarely makes. Refused attempts are told with their error.
func TestRareCalls(t *testing.T) {
	_, rec := start(t, nil)
	dir := t.TempDir()
	python(t, dir, fmt.Sprintf(`
import ctypes, os, struct
c = ctypes.CDLL(None, use_errno=True)
def call(nr, *a): return c.syscall(nr, *a)
attr = ctypes.create_string_buffer(128)
ctypes.memmove(ctypes.addressof(attr) + 48, b"ringwall_probe", 14)
call(%d, 5, attr, 128)                                  # bpf: PROG_LOAD of nothing
call(%d, b"no module", 9, b"")                          # init_module
fd = os.open("mod.ko", os.O_CREAT | os.O_RDWR, 0o644)
call(%d, fd, b"", 0)                                    # finit_module
call(%d, b"/nowhere-new", b"/nowhere-old")              # pivot_root
call(%d, -100, b"", -100, b"/nowhere-moved", 0)         # move_mount
hdr = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
call(%d, hdr, ctypes.create_string_buffer(24))          # capset: none left
os.fchmod(fd, 0o755)
os.mkdir("d"); os.rename("mod.ko", "d/mod2.ko", src_dir_fd=os.open(".", os.O_RDONLY), dst_dir_fd=os.open(".", os.O_RDONLY))
a = os.open("/proc/self/mem", os.O_RDWR)
`, unix.SYS_BPF, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_PIVOT_ROOT, unix.SYS_MOVE_MOUNT, unix.SYS_CAPSET))
	kernel := func(op event.KernelActivity_Op, detail string) {
		t.Helper()
		e := rec.find(t, fmt.Sprint(op, " ", detail), func(e *event.Event) bool {
			return e.GetKernel().GetOp() == op && e.GetKernel().Detail == detail && e.Actor.Comm == "python3"
		})
		if e.GetKernel().Result >= 0 {
			t.Errorf("%v: result %d, want its error", op, e.GetKernel().Result)
		}
	}
	kernel(event.KernelActivity_BPF_LOAD, "ringwall_probe")
	kernel(event.KernelActivity_MODULE_LOAD, "from memory")
	kernel(event.KernelActivity_MODULE_LOAD, filepath.Join(dir, "mod.ko"))
	kernel(event.KernelActivity_PIVOT_ROOT, "/nowhere-new")
	kernel(event.KernelActivity_MOUNT, "/nowhere-moved")
	rec.find(t, "capset", func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_CAPSET && e.GetProcess().Detail == "effective 0x0"
	})
	rec.find(t, "fchmod", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_CHMOD_EXEC && e.GetFile().File.Path == filepath.Join(dir, "mod.ko")
	})
	rec.find(t, "renameat", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_RENAME && e.GetFile().File.Path == filepath.Join(dir, "mod.ko") && e.GetFile().NewPath == filepath.Join(dir, "d/mod2.ko")
	})
	rec.find(t, "another's memory opened for writing", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_OPEN_WRITE && strings.HasSuffix(e.GetFile().File.Path, "/mem") && strings.HasPrefix(e.GetFile().File.Path, "/proc/")
	})
}

// Unix connections that carry packets, and pairs without a name.
func TestOtherUnixPairs(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		_, rec := start(t, func(c *Config) { c.Legacy = legacy })
		for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
			fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			var a, b unix.Stat_t
			must(t, unix.Fstat(fds[0], &a))
			must(t, unix.Fstat(fds[1], &b))
			_, err = unix.Write(fds[0], []byte("hello there, other end"))
			must(t, err)
			_, err = unix.Read(fds[1], make([]byte, 64))
			must(t, err)
			pair := func(e *event.Event) bool {
				c := e.GetChannel()
				return c.GetInodeA() == a.Ino && c.GetInodeB() == b.Ino || c.GetInodeA() == b.Ino && c.GetInodeB() == a.Ino
			}
			if e := rec.find(t, fmt.Sprintf("pair of type %d, legacy %v", typ, legacy), pair); e.GetChannel().PeerPid != uint32(os.Getpid()) {
				t.Errorf("peer %v", e.GetChannel())
			}
			_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		}
	}
}

func TestClosedPortOfIPv6(t *testing.T) {
	s, rec := start(t, nil)
	needHook(t, s, "on_reset", "on_drop")
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback here: ", err)
	}
	p := port(l.Addr())
	l.Close()
	if c, err := net.Dial("tcp6", l.Addr().String()); err == nil {
		c.Close()
		t.Skip("somebody took the port")
	}
	rec.find(t, "reset", func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_RESET && int(n.Flow.DstPort) == p && net.IP(n.Flow.SrcIp).String() == "::1" && net.IP(n.Flow.DstIp).String() == "::1"
	})
}
