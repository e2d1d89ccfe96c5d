// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/respond/process"
)

// TestStrays: whom only their birth ties to a tree die with it; a service that was
// started from within it lives on with all below it, and so does who is to be spared. A
// program that nobody may trust has a service's name for nothing.
func TestStrays(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sleep, err := os.ReadFile("/bin/sleep")
	must(t, err)
	as := func(name string, mode os.FileMode) process.Stat {
		file := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(file, sleep, mode))
		must(t, os.Chmod(file, mode)) // past the umask
		cmd := exec.Command(file, "600")
		b.host.Start(cmd)
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		s, err := process.Read(cmd.Process.Pid)
		must(t, err)
		return s
	}
	stray, below := as("stray", 0o755), as("below", 0o755)
	service, ofService := as("cron", 0o755), as("job", 0o755)
	fake := as("mysqld", 0o777)
	self, err := process.Read(os.Getpid())
	must(t, err)
	v := b.victim()
	root := v.Process.Pid
	under := func(s process.Stat, above int) process.Stat {
		s.PPID = above
		return s
	}
	var asked *entity.Process
	b.opt.Lineage = func(p *entity.Process) []process.Stat {
		asked = p
		return []process.Stat{under(stray, root), under(service, root), under(fake, root), under(self, root), under(below, stray.PID), under(ofService, service.PID)}
	}
	eventually(t, "no children", func() bool { return len(childrenOf(root)) == 2 })
	b.want(order(action.KillTree, proc(root)), action.Verified, "6 processes killed")
	if int(asked.GetPid()) != root {
		t.Errorf("asked for the lineage of %v", asked)
	}
	for name, s := range map[string]process.Stat{"a stray": stray, "one below it": below, "one with a service's name": fake} {
		if running(s.PID) {
			t.Errorf("%s lives on", name)
		}
	}
	for name, s := range map[string]process.Stat{"a service": service, "its child": ofService} {
		if !running(s.PID) {
			t.Errorf("%s was hit", name)
		}
	}
}
