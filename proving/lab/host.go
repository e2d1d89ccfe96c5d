// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is one running host. Its methods are safe for many goroutines.
type Host struct {
	HostSpec
	PID    int    // of the host's first process, in the machine's numbering
	Cgroup string // folder of the host's cgroup

	lab     *Lab
	first   *exec.Cmd
	life    io.Closer // first process ends when this closes
	spaces  []space   // namespaces in the order in which they are entered
	net     *os.File
	root    *os.File
	control *os.File // the cgroup's folder, for clone3
	closers []io.Closer
}

type space struct {
	file *os.File
	kind int
}

// firstProcess mounts what only a process inside the new process namespace can, tells that the
// host is ready, and then only lives: bash reaps orphans while it waits for its input to end.
const firstProcess = `set -e
mount -n -t proc proc /proc
mount -n --bind /proc/sys /proc/sys
mount -n -o remount,ro,bind /proc/sys
if [ -e /proc/sysrq-trigger ]; then mount -n --bind /dev/null /proc/sysrq-trigger; fi
echo ready
set +e
while read -r _; do :; done`

func startHost(ctx context.Context, l *Lab, index int, spec HostSpec, cfg Config) (_ *Host, err error) {
	h := &Host{HostSpec: spec, lab: l}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.Cgroup, err = l.cgroups.add(spec.Role); err != nil {
		return nil, err
	}
	if h.control, err = os.Open(h.Cgroup); err != nil {
		return nil, err
	}
	if h.net, err = newSpace(); err != nil {
		return nil, err
	}
	if err := l.net.plug(index, h.net, netip.PrefixFrom(spec.Addr, cfg.Bits)); err != nil {
		return nil, err
	}
	ready, err := h.boot(cfg.Hosts)
	if err != nil {
		return nil, err
	}
	if err := awaitLine(ctx, ready, "ready"); err != nil {
		return nil, fmt.Errorf("wait for the first process: %w", err)
	}
	return h, h.openSpaces()
}

// boot starts the first process in its own root and namespaces.
func (h *Host) boot(hosts []HostSpec) (io.Reader, error) {
	h.first = &exec.Cmd{Path: "/bin/bash", Args: []string{"init", "-c", firstProcess}, Env: environment(User{Home: "/root", Name: "root"}, nil)}
	h.first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID, Setsid: true,
		UseCgroupFD: true, CgroupFD: int(h.control.Fd()),
	}
	life, err := h.first.StdinPipe()
	if err != nil {
		return nil, err
	}
	h.life = life
	ready, err := h.first.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.first.Stderr = h.first.Stdout
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		if err := enterRoot(prefix+h.lab.Run, h.HostSpec, hosts); err != nil {
			return err
		}
		return h.first.Start()
	})
	if err != nil {
		return nil, err
	}
	h.PID = h.first.Process.Pid
	return ready, nil
}

func (h *Host) openSpaces() error {
	for _, s := range []struct {
		name string
		kind int
	}{{"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC}, {"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", h.PID, s.name))
		if err != nil {
			return fmt.Errorf("open the host's %s namespace: %w", s.name, err)
		}
		h.spaces = append(h.spaces, space{file, s.kind})
	}
	fd, err := unix.Open(h.RootPath(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the host's root: %w", err)
	}
	h.root = os.NewFile(uintptr(fd), "root")
	return nil
}

// RootPath is the host's root folder as the machine sees it. Links below it that start with /
// lead out of the host: use ReadFile and WriteFile, not paths joined to this one.
func (h *Host) RootPath() string { return fmt.Sprintf("/proc/%d/root", h.PID) }

// NetPath is the host's network namespace as the machine sees it.
func (h *Host) NetPath() string { return fmt.Sprintf("/proc/%d/ns/net", h.PID) }

// within runs fn on a thread that is inside the host in every respect but its cgroup.
func (h *Host) within(fn func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("enter host %s: %w", h.Name, err)
		}
		for _, s := range h.spaces {
			if err := unix.Setns(int(s.file.Fd()), s.kind); err != nil {
				return fmt.Errorf("enter namespace %#x of host %s: %w", s.kind, h.Name, err)
			}
		}
		if err := unix.Fchdir(int(h.root.Fd())); err != nil {
			return fmt.Errorf("enter the root of host %s: %w", h.Name, err)
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("enter the root of host %s: %w", h.Name, err)
		}
		return fn()
	})
}

// OnNetwork runs fn on a thread that is in the host's network but else on the machine. A child
// that fn starts is there too.
func (h *Host) OnNetwork(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network of host %s: %w", h.Name, err)
		}
		return fn()
	})
}

// Dial connects from the host's network; address must be an ip:port.
func (h *Host) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	err = h.OnNetwork(func() error {
		var dialer net.Dialer
		var dialErr error
		conn, dialErr = dialer.DialContext(ctx, "tcp4", address)
		return dialErr
	})
	return conn, err
}

// ReadFile reads a file as the host sees it.
func (h *Host) ReadFile(path string) (data []byte, err error) {
	err = h.within(func() error {
		var readErr error
		data, readErr = os.ReadFile(path)
		return readErr
	})
	return data, err
}

// WriteFile writes a file as the host sees it, making its folders, owned by the account named
// (root when empty). It is meant for setting up: the writing process is none of the host's.
func (h *Host) WriteFile(path string, data []byte, mode os.FileMode, owner string) error {
	err := h.within(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			return err
		}
		if owner != "" {
			uid, gid, err := lookUser(owner)
			if err != nil {
				return err
			}
			if err := os.Chown(path, int(uid), int(gid)); err != nil {
				return err
			}
		}
		return os.Chmod(path, mode) // WriteFile's mode is cut by the umask
	})
	if err != nil {
		return fmt.Errorf("write %s on host %s: %w", path, h.Name, err)
	}
	return nil
}

func (h *Host) close() error {
	if h.life != nil {
		h.life.Close()
	}
	var err error
	if h.first != nil && h.first.Process != nil {
		done := make(chan struct{})
		go func() { h.first.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(killWait):
			err = fmt.Errorf("end host %s: first process %d still lives", h.Name, h.PID)
		}
	}
	for _, closer := range h.closers {
		err = errors.Join(err, closer.Close())
	}
	for _, s := range h.spaces {
		s.file.Close()
	}
	for _, file := range []*os.File{h.net, h.root, h.control} {
		if file != nil {
			file.Close()
		}
	}
	return err
}

// awaitLine reads until the wanted line comes; what came instead is in the error.
func awaitLine(ctx context.Context, from io.Reader, want string) error {
	result := make(chan error, 1)
	go func() {
		var seen bytes.Buffer
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			if lines.Text() == want {
				result <- nil
				io.Copy(io.Discard, from)
				return
			}
			if seen.Len() < 4096 {
				seen.WriteString(lines.Text() + "\n")
			}
		}
		result <- fmt.Errorf("it ended and said: %s", bytes.TrimSpace(seen.Bytes()))
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
