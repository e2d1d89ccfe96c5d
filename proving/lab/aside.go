// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Aside is a place beside the hosts for programs that watch them: the machine's processes and
// files, the network of a host of choice, a cgroup that ends with the lab, and a BPF file system of
// its own that no kill -9 can leave behind.
type Aside struct {
	lab    *Lab
	mounts *os.File
	cgroup *os.File
}

// NewAside makes the place; bpf is an existing folder on which the BPF file system is mounted.
func (l *Lab) NewAside(bpf string) (*Aside, error) {
	dir, err := l.Cgroup("aside")
	if err != nil {
		return nil, err
	}
	a := &Aside{lab: l}
	if a.cgroup, err = os.Open(dir); err != nil {
		return nil, err
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount(prefix+l.Run, bpf, "bpf", 0, "mode=0700"); err != nil {
			return fmt.Errorf("mount the BPF file system on %s: %w", bpf, err)
		}
		var err error
		a.mounts, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid()))
		return err
	})
	if err != nil {
		a.cgroup.Close()
		return nil, fmt.Errorf("make a place beside the hosts: %w", err)
	}
	return a, nil
}

// Start starts a program of the machine in the network of a host; a nil host means the machine's
// own network. The caller waits for it.
func (a *Aside) Start(h *Host, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(a.cgroup.Fd())}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if h != nil {
			if err := unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the network of host %s: %w", h.Name, err)
			}
		}
		if err := unix.Setns(int(a.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the place beside the hosts: %w", err)
		}
		return cmd.Start()
	})
}

// Close lets go of the place; the programs in it end with the lab.
func (a *Aside) Close() {
	a.mounts.Close()
	a.cgroup.Close()
}
