// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// Set B spares the sensor's own process, so the deeds are done by others.
func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("/bin/bash", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

func python(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("python3", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if _, lookErr := exec.LookPath("python3"); lookErr != nil {
			t.Skip("needs python3 to make the calls")
		}
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	secret, near := filepath.Join(dir, "credentials.ini"), filepath.Join(dir, "other.ini")
	listed, inFolder := filepath.Join(dir, "keys", "deploy-of-a-very-long-file-name-indeed.pem"), filepath.Join(dir, "by-folder", "any")
	must(t, os.MkdirAll(filepath.Join(dir, "keys", "deep"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "by-folder"), 0o700))
	for _, f := range []string{secret, near, listed, inFolder, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "keys", "deep", "x")} {
		must(t, os.WriteFile(f, []byte("x"), 0o600))
	}
	_, rec := start(t, func(c *Config) {
		c.Sensitive = []string{secret, filepath.Join(dir, "keys") + "/*.pem", dir + "/by-folder/*"}
	})
	sh(t, dir, `echo a > new; mv new sub.tmp; mv ./sub.tmp final; ln final hard; ln -s final soft; chmod 755 final; chmod 600 hard; rm hard`)
	sh(t, dir, `cat credentials.ini other.ini keys/*.pem keys/deep/x cert.pem by-folder/any`)
	in := func(name string) string { return filepath.Join(dir, name) }
	file := func(op event.FileActivity_Op, path, newPath string) func(*event.Event) bool {
		return func(e *event.Event) bool {
			f := e.GetFile()
			return f.GetOp() == op && f.File.Path == path && (newPath == "" || f.NewPath == newPath)
		}
	}
	e := rec.find(t, "open for write", file(event.FileActivity_OPEN_WRITE, in("new"), ""))
	var st unix.Stat_t
	must(t, unix.Stat(in("final"), &st))
	if f := e.GetFile().File; f.Inode != st.Ino || f.Fs != st.Dev || f.Mode&unix.S_IFMT != unix.S_IFREG {
		t.Errorf("open: %v, want inode %d device %d", f, st.Ino, st.Dev)
	}
	rec.find(t, "rename", file(event.FileActivity_RENAME, in("new"), in("sub.tmp")))
	rec.find(t, "rename", file(event.FileActivity_RENAME, in("sub.tmp"), in("final")))
	rec.find(t, "link", file(event.FileActivity_LINK, in("final"), in("hard")))
	rec.find(t, "symlink", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_LINK && e.GetFile().NewPath == in("soft")
	})
	rec.find(t, "chmod +x", file(event.FileActivity_CHMOD_EXEC, in("final"), ""))
	rec.find(t, "unlink", file(event.FileActivity_UNLINK, in("hard"), ""))
	rec.find(t, "listed read", file(event.FileActivity_READ, secret, ""))
	rec.find(t, "listed read by ending", file(event.FileActivity_READ, listed, ""))
	rec.find(t, "listed read by folder", file(event.FileActivity_READ, inFolder, ""))
	rec.none(t, "unlisted read", func(e *event.Event) bool {
		f := e.GetFile()
		return f.GetOp() == event.FileActivity_READ && f.File.Path != secret && f.File.Path != listed && f.File.Path != inFolder
	})
	rec.none(t, "chmod without x", file(event.FileActivity_CHMOD_EXEC, in("hard"), ""))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMountsAreCrossed(t *testing.T) {
	_, rec := start(t, nil)
	dir := t.TempDir()
	sh(t, dir, `unshare -m sh -c 'mkdir m && mount -t tmpfs none m && mkdir m/in && echo x > m/in/file'`)
	e := rec.find(t, "write inside the mount", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_OPEN_WRITE && e.GetFile().File.Path == filepath.Join(dir, "m/in/file")
	})
	rec.find(t, "mount", func(x *event.Event) bool {
		k := x.GetKernel()
		return k.GetOp() == event.KernelActivity_MOUNT && strings.HasSuffix(k.Detail, "m") && k.Result == 0
	})
	rec.find(t, "unshare", func(x *event.Event) bool {
		return x.GetKernel().GetOp() == event.KernelActivity_UNSHARE && x.GetKernel().Detail == "mnt" && x.Actor.Pid <= e.Actor.Pid
	})
}

func TestMemfdExec(t *testing.T) {
	_, rec := start(t, nil)
	python(t, t.TempDir(), `
import os
fd = os.memfd_create("kworker")
with open("/bin/true", "rb") as f: os.write(fd, f.read())
os.execv("/proc/self/fd/%d" % fd, ["[kworker/0:1]"])`)
	e := rec.find(t, "exec of a memfd", func(e *event.Event) bool { return isExec(e, "[kworker/0:1]") })
	if p := e.GetProcess(); p.Memfd != "memfd:kworker" || p.Image.Nlink != 0 {
		t.Errorf("memfd %q image %v", p.Memfd, p.Image)
	}
	rec.find(t, "memfd", func(x *event.Event) bool {
		return x.GetFile().GetOp() == event.FileActivity_MEMFD && x.GetFile().File.Path == "memfd:kworker" && x.GetFile().File.Inode == e.GetProcess().Image.Inode
	})
}

func TestPowers(t *testing.T) {
	_, rec := start(t, nil)
	python(t, t.TempDir(), fmt.Sprintf(`
import ctypes, os, mmap
c = ctypes.CDLL(None, use_errno=True)
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ|mmap.PROT_WRITE|mmap.PROT_EXEC)
p = os.fork()
if p == 0:
    import time; time.sleep(30)
c.ptrace(16, p, 0, 0); os.waitpid(p, 0); os.kill(p, 9)
c.syscall(%d, 4, ctypes.create_string_buffer(120))
c.setns(os.open("/proc/self/ns/uts", 0), 0)
os.setresuid(65534, 65534, 65534)`, unix.SYS_IO_URING_SETUP))
	process := func(op event.ProcessActivity_Op, detail string) *event.Event {
		return rec.find(t, op.String(), func(e *event.Event) bool {
			return e.GetProcess().GetOp() == op && strings.HasPrefix(e.GetProcess().Detail, detail) && e.Actor.Comm == "python3"
		})
	}
	process(event.ProcessActivity_WX_MAPPING, "mmap 4096 bytes")
	tr := process(event.ProcessActivity_PTRACE, "ATTACH")
	if tr.GetProcess().Target.GetPid() <= tr.Actor.Pid || tr.GetProcess().Target.StartNs == 0 {
		t.Errorf("tracee %v", tr.GetProcess().Target)
	}
	if e := process(event.ProcessActivity_SETUID, "uid 65534,65534,65534"); e.Actor.Uid != 65534 {
		t.Errorf("setuid by %v", e.Actor)
	}
	kernel := func(op event.KernelActivity_Op) *event.Event {
		return rec.find(t, op.String(), func(e *event.Event) bool { return e.GetKernel().GetOp() == op && e.Actor.Comm == "python3" })
	}
	kernel(event.KernelActivity_IO_URING_SETUP)
	kernel(event.KernelActivity_SETNS)
}
