// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// searchPath of commands inside a host.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Command is what to run in a host. The environment is clean: only PATH, HOME, USER, LANG and Env.
type Command struct {
	Argv   []string
	User   string // account; root when empty
	Env    []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Shell is a Command that runs a script with sh -c, as cron does.
func Shell(user, script string) Command {
	return Command{Argv: []string{"/bin/sh", "-c", script}, User: user}
}

// Result of a command that ended. Code is -1 when a signal ended it.
type Result struct {
	Code           int
	Stdout, Stderr string
	Took           time.Duration
}

// Process is a running command. The lab reaps it whether or not somebody waits: a process
// namespace cannot end while one of its dead is unburied.
type Process struct {
	PID  int // in the machine's numbering
	done chan struct{}
	code int   // valid once done is closed
	err  error // the same
}

func environment(user User, extra []string) []string {
	return append([]string{"PATH=" + searchPath, "HOME=" + user.Home, "USER=" + user.Name, "LOGNAME=" + user.Name, "LANG=C.UTF-8"}, extra...)
}

// Start starts a command in the host's namespaces and cgroup, with nothing in between: its parent
// is the runner, so no helper program appears in its lineage. It is killed with its process group when
// ctx ends.
func (h *Host) Start(ctx context.Context, c Command) (*Process, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := h.within(func() error {
		name := c.User
		if name == "" {
			name = "root"
		}
		uid, gid, err := lookUser(name)
		if err != nil {
			return err
		}
		if cmd.Path, err = lookPath(c.Argv[0]); err != nil {
			return err
		}
		cmd.Err = nil // of the search on the machine, not in the host
		cmd.Dir = "/"
		user := User{Name: name, Home: homeOf(name)}
		cmd.Env = environment(user, c.Env)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Setsid: true, UseCgroupFD: true, CgroupFD: int(h.control.Fd()),
			Credential: &syscall.Credential{Uid: uid, Gid: gid},
		}
		if err := dropCapabilities(); err != nil {
			return err
		}
		return cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start %q on host %s: %w", strings.Join(c.Argv, " "), h.Name, err)
	}
	p := &Process{PID: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		err := cmd.Wait()
		p.code = cmd.ProcessState.ExitCode()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.err = err
		}
	}()
	return p, nil
}

func homeOf(name string) string {
	for _, user := range people {
		if user.Name == name {
			return user.Home
		}
	}
	if name == "root" {
		return "/root"
	}
	return "/"
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		if full := dir + "/" + name; unix.Access(full, unix.X_OK) == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("%q is not installed in the host", name)
}

// Wait waits for the end; the code is -1 when a signal ended it.
func (p *Process) Wait() (int, error) {
	<-p.done
	return p.code, p.err
}

// Kill ends the process and its group.
func (p *Process) Kill() error { return unix.Kill(-p.PID, unix.SIGKILL) }

// Run runs a command to its end. An exit code other than 0 is a Result, not an error.
func (h *Host) Run(ctx context.Context, c Command) (Result, error) {
	var out, errs bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	if c.Stderr == nil {
		c.Stderr = &errs
	}
	start := time.Now()
	process, err := h.Start(ctx, c)
	if err != nil {
		return Result{Code: -1}, err
	}
	code, err := process.Wait()
	result := Result{Code: code, Stdout: out.String(), Stderr: errs.String(), Took: time.Since(start)}
	if err != nil {
		return result, fmt.Errorf("run %q on host %s: %w", strings.Join(c.Argv, " "), h.Name, err)
	}
	return result, nil
}

// Must is Run for setting up: any exit code but 0 is an error that carries what the command said.
func (h *Host) Must(ctx context.Context, c Command) (Result, error) {
	result, err := h.Run(ctx, c)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("run %q on host %s: exit code %d: %s%s", strings.Join(c.Argv, " "), h.Name, result.Code,
			strings.TrimSpace(result.Stderr), strings.TrimSpace(result.Stdout))
	}
	return result, err
}
