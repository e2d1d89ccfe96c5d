// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/event"
)

func isExec(e *event.Event, argv ...string) bool {
	p := e.GetProcess()
	return p.GetOp() == event.ProcessActivity_EXEC && slices.Equal(p.Argv, argv)
}

func TestProcess(t *testing.T) {
	_, rec := start(t, nil)
	dir := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", "read line; exit 7", "ringwall test", "x\xff")
	cmd.Dir = dir
	cmd.Env = []string{"LD_PRELOAD=", "OTHER=1", "SSH_CONNECTION=192.0.2.1 5 192.0.2.2 22"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := uint32(cmd.Process.Pid)
	st, err := readStat("/proc", pid)
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	_ = cmd.Wait() // it exits with 7

	e := rec.find(t, "exec", func(e *event.Event) bool {
		return isExec(e, "/bin/sh", "-c", "read line; exit 7", "ringwall test", `x\xff`)
	})
	p := e.GetProcess()
	if want, _ := filepath.EvalSymlinks("/bin/sh"); e.Actor.Exe != want || p.Image.Path != want {
		t.Errorf("exe %q image %q, want %q", e.Actor.Exe, p.Image.Path, want)
	}
	if e.Actor.Pid != pid || e.Actor.StartNs != st.start {
		t.Errorf("pid %d start %d, want %d %d", e.Actor.Pid, e.Actor.StartNs, pid, st.start)
	}
	if p.Cwd != dir || p.ArgvCut || p.Parent.GetPid() != uint32(os.Getpid()) {
		t.Errorf("cwd %q, cut %v, parent %v", p.Cwd, p.ArgvCut, p.Parent)
	}
	if want := []string{"LD_PRELOAD=", "SSH_CONNECTION=192.0.2.1 5 192.0.2.2 22"}; !slices.Equal(p.Env, want) {
		t.Errorf("env %q, want %q", p.Env, want)
	}
	if p.Fds[0].Type != event.Descriptor_PIPE || p.Fds[1].Type != event.Descriptor_NULL {
		t.Errorf("fds %v", p.Fds)
	}
	var stat stat
	if stat, err = readStat("/proc", uint32(os.Getpid())); err != nil || p.Parent.StartNs != stat.start {
		t.Errorf("parent start %d, want %d (%v)", p.Parent.StartNs, stat.start, err)
	}
	if id, err := inodeOf("/proc/self/ns/mnt"); err != nil || p.Ns.Mnt != id {
		t.Errorf("mount namespace %d, want %d", p.Ns.Mnt, id)
	}
	fork := rec.find(t, "fork", func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_FORK && e.GetProcess().Target.Pid == pid
	})
	if fork.Actor.Pid != uint32(os.Getpid()) || fork.GetProcess().Target.StartNs != st.start {
		t.Errorf("fork %v", fork)
	}
	if c := goroutines(); (fork.Actor.Goroutine != 0) != c.On {
		t.Errorf("a Go program's fork names goroutine %x: %v", fork.Actor.Goroutine, c)
	}
	exit := rec.find(t, "exit", func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_EXIT && e.Actor.Pid == pid
	})
	if exit.GetProcess().ExitCode != 7 {
		t.Errorf("exit code %d, want 7", exit.GetProcess().ExitCode)
	}
	rec.find(t, "snapshot of ourselves", func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_SNAPSHOT && e.Actor.Pid == uint32(os.Getpid())
	})
}

func TestProcessSignalScriptAndLongArguments(t *testing.T) {
	_, rec := start(t, nil)
	script := filepath.Join(t.TempDir(), "deploy.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nkill -9 $$\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 9000)
	_ = exec.Command(script, long).Run() // it kills itself
	e := rec.find(t, "exec of the script", func(e *event.Event) bool {
		p := e.GetProcess()
		return p.GetOp() == event.ProcessActivity_EXEC && len(p.Argv) > 1 && p.Argv[1] == script
	})
	if !e.GetProcess().ArgvCut {
		t.Error("9,000 bytes of argv not told as cut")
	}
	rec.find(t, "script", func(x *event.Event) bool {
		return x.GetFile().GetOp() == event.FileActivity_SCRIPT && x.GetFile().File.Path == script && x.Actor.Pid == e.Actor.Pid
	})
	x := rec.find(t, "exit", func(x *event.Event) bool {
		return x.GetProcess().GetOp() == event.ProcessActivity_EXIT && x.Actor.Pid == e.Actor.Pid
	})
	if x.GetProcess().ExitCode != -9 {
		t.Errorf("exit code %d, want -9", x.GetProcess().ExitCode)
	}
}
