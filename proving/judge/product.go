// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startLimit bounds how long a part of the product may take to say that it watches.
const startLimit = 60 * time.Second

// product is a brain and, when started, an agent, scoped to the judge's own cgroup.
type product struct {
	j     *judge
	dir   string
	addr  string
	brain *process
	agent *process
}

// process is a program that says when it is ready.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex // guards said
	said bytes.Buffer
}

// newProduct starts a brain under dir.
func (j *judge) newProduct(ctx context.Context, dir string) (*product, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &product{j: j, dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	config := filepath.Join(dir, "brain.yaml")
	if err := os.WriteFile(config, []byte("metrics: \"off\"\n"), 0o600); err != nil {
		return nil, err
	}
	p.brain, err = launch(ctx, "ready", j.program("ringwall"), "brain", "--data", p.data(), "--listen", p.addr, "--config", config)
	return p, err
}

func (p *product) data() string { return filepath.Join(p.dir, "brain") }

// freePort gives a port that is free now, and so is the next, where agents enrol.
func freePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1)); err == nil {
			l.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("no two free ports in a row on 127.0.0.1")
}

// join starts an agent with the settings given; each start takes the same identity.
func (p *product) join(ctx context.Context, settings string) error {
	data := filepath.Join(p.dir, "agent")
	args := []string{"run", "--data", data, "--config", filepath.Join(p.dir, "agent.yaml")}
	if _, err := os.Stat(filepath.Join(data, "self")); err != nil {
		out, err := p.ask(ctx, "enroll", "--host", "judge")
		if err != nil {
			return err
		}
		var token struct{ Join string }
		if err := json.Unmarshal(out, &token); err != nil {
			return fmt.Errorf("enroll: read the token: %w", err)
		}
		args = append(args, "--join", token.Join)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "agent.yaml"), []byte("host: judge\n"+settings), 0o600); err != nil {
		return err
	}
	began := time.Now()
	var err error
	if p.agent, err = launch(ctx, "watching", p.j.program("ringwall-agent"), args...); err != nil {
		return err
	}
	return p.sees(ctx, began)
}

// sees waits until the kernel sensor says that it is on, which comes after "watching".
func (p *product) sees(ctx context.Context, began time.Time) error {
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		rows, err := p.hunt(ctx, fmt.Sprintf("select state from events where title = 'sensor.kernel' and kind = 'state' and time_ns > %d order by time_ns desc limit 1", began.UnixNano()))
		if err != nil {
			return err
		}
		if len(rows) == 1 && rows[0][0] == "on" {
			return nil
		}
	}
	return fmt.Errorf("the kernel sensor did not say within %s that it is on; the agent said: %s", startLimit, p.agent.words())
}

// leave ends the agent.
func (p *product) leave() {
	if p.agent != nil {
		p.agent.end()
		p.agent = nil
	}
}

func (p *product) end() {
	p.leave()
	p.brain.end()
}

// ask runs a command of ringwall against the brain and gives its JSON.
func (p *product) ask(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.j.program("ringwall"), append(args, "--data", p.data(), "--json", "-")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ringwall %s: %w: %s", args[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}

// hunt asks the archive.
func (p *product) hunt(ctx context.Context, sql string) (rows [][]any, err error) {
	out, err := p.ask(ctx, "hunt", sql)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var row []any
		if err := dec.Decode(&row); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("hunt: read the answer: %w", err)
		}
		rows = append(rows, row)
	}
}

// follow calls f with each line that `findings --follow` prints, until stop is called.
func (p *product) follow(ctx context.Context, f func(line []byte, at time.Time)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, p.j.program("ringwall"), "findings", "--follow", "--grey", "--data", p.data(), "--json", "-")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("follow findings: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			f(lines.Bytes(), time.Now())
		}
	}()
	return func() { cancel(); <-done; _ = cmd.Wait() }, nil
}

// launch starts a program and waits for the word that says it is ready.
func launch(ctx context.Context, ready, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LANG=C.UTF-8"}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	for end := time.Now().Add(startLimit); ; {
		switch {
		case strings.Contains(p.words(), ready):
			return p, nil
		case time.Now().After(end):
			p.end()
			return nil, fmt.Errorf("%s %s did not say %q within %s; it said: %s", filepath.Base(program), args[0], ready, startLimit, p.words())
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s %s ended at its start and said: %s", filepath.Base(program), args[0], p.words())
		case <-ctx.Done():
			p.end()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Write keeps what the program says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said.Len() < 64<<10 {
		p.said.Write(b)
	}
	return len(b), nil
}

func (p *process) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimSpace(p.said.String())
}

// end asks the program to end, and makes it.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is what a process has used so far, its ended threads too.
func cpu(pid int) time.Duration {
	const schedule = 2 // CPUCLOCK_SCHED, include/linux/posix-timers.h: clock id = ^pid << 3 | clock
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|schedule), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// cgroup makes a cgroup of the judge's own; drop removes it, with all that runs in it.
func cgroup(name string) (path string, drop func(), err error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", nil, err
	}
	for line := range strings.Lines(string(raw)) {
		left, right, _ := strings.Cut(line, " - ")
		if f := strings.Fields(left); len(f) >= 5 && strings.HasPrefix(right, "cgroup2 ") {
			path = filepath.Join(f[4], fmt.Sprintf("ringwall-judge-%s-%d", name, os.Getpid()))
		}
	}
	if path == "" {
		return "", nil, fmt.Errorf("no cgroup v2 is mounted; mend: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the judge's cgroup (needs root): %w", err)
	}
	return path, func() {
		_ = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0)
		for range 200 {
			if unix.Rmdir(path) != unix.EBUSY {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}, nil
}
