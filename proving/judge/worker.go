// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the other side: a copy of this program inside the judge's cgroup, as a user of its
// own, that does the deeds. What it prints is the CPU time of the deeds alone, its children's too.

// place is where workers do their deeds.
type place struct {
	dir     string // world-readable, with the files that deeds open
	program string // this program, where every user may run it
	cgroup  string
	uid     uint32
	port    int // listening on all of 127.0.0.0/8
}

// Files that deeds open.
const (
	secretFile = "judge-secret.ini" // listed as sensitive on both sides
	plainFile  = "plain.txt"
	nothing    = "nothing"  // the smallest program
	steadily   = "steadily" // the same program, run at a steady pace
	anyFolder  = "any"      // in the all-opens mode every file below it is listed
)

// The account games of every Debian (base-passwd), which runs nothing of its own. It must be a real
// one: auditd looks the names of unknown users up again for every record.
const workerUser = 5

// newPlace makes folder, files, cgroup and listener; drop takes them away.
func newPlace(name string) (_ *place, drop func(), err error) {
	dir, err := os.MkdirTemp("/var/tmp", "ringwall-judge-")
	if err != nil {
		return nil, nil, err
	}
	p := &place{dir: dir, program: dir + "/deeds", uid: workerUser}
	undo := []func(){func() { os.RemoveAll(dir) }}
	drop = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			drop()
		}
	}()
	var gone func()
	if p.cgroup, gone, err = cgroup(name); err != nil {
		return nil, nil, err
	}
	undo = append(undo, gone)
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, func() { l.Close() })
	p.port = l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return p, drop, p.furnish()
}

func (p *place) furnish() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(p.program, self, 0o755)
	}
	program, perr := smallest()
	if err = errors.Join(err, perr); err == nil {
		err = errors.Join(os.WriteFile(p.dir+"/"+nothing, program, 0o755), os.WriteFile(p.dir+"/"+steadily, program, 0o755))
	}
	for _, folder := range []string{"", anyFolder, "written", "www"} {
		if err == nil {
			err = os.MkdirAll(p.dir+"/"+folder, 0o777)
		}
		if err == nil {
			err = os.Chmod(p.dir+"/"+folder, 0o777)
		}
	}
	for _, file := range []string{secretFile, plainFile, anyFolder + "/" + plainFile, "written/a"} {
		if err == nil {
			err = os.WriteFile(p.dir+"/"+file, []byte("nothing to see\n"), 0o666)
		}
		if err == nil {
			err = os.Chmod(p.dir+"/"+file, 0o666)
		}
	}
	return err
}

// worker prepares a worker in the cgroup.
func (p *place) worker(args ...string) (*exec.Cmd, func(), error) {
	folder, err := os.Open(p.cgroup)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(p.program, append([]string{"worker"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "GOMAXPROCS=1", "JUDGE_DIR=" + p.dir, "JUDGE_PORT=" + strconv.Itoa(p.port)}
	cmd.Dir, cmd.Stderr = p.dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true, CgroupFD: int(folder.Fd()), Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid},
	}
	return cmd, func() { folder.Close() }, nil
}

// do has one worker do n deeds of a kind and gives their CPU time.
func (p *place) do(kind string, n int, token string) (time.Duration, error) {
	cmd, done, err := p.worker(kind, strconv.Itoa(n), token)
	if err != nil {
		return 0, err
	}
	defer done()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("do %d × %s: %w", n, kind, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}

// work is the worker's main.
func work(kind string, args []string) {
	signal.Ignore(syscall.SIGPIPE)
	dir := os.Getenv("JUDGE_DIR")
	if kind == "deeds" {
		deeds(dir)
		return
	}
	if kind == "load" {
		_ = syscall.Exec("/bin/sh", []string{"sh", "-c", "while :; do /bin/true load; echo; done"}, os.Environ())
	}
	n, _ := strconv.Atoi(args[0])
	before := used()
	if err := repeat(kind, dir, n, args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", kind, err)
		os.Exit(1)
	}
	fmt.Println(int64(used() - before))
}

func used() (d time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		_ = unix.Getrusage(who, &u)
		d += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return d
}

// repeat does n deeds of a kind. By plain system calls: what is measured is the kernel's side.
func repeat(kind, dir string, n int, token string) error {
	open := func(path string, flags int) error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	port, _ := strconv.Atoi(os.Getenv("JUDGE_PORT"))
	if kind == "exec" {
		return script(n, dir+"/"+nothing, token)
	}
	if kind == "steady" {
		return pace(n, dir+"/"+steadily, token)
	}
	for range n {
		var err error
		switch kind {
		case "write":
			err = open(dir+"/written/a", unix.O_WRONLY)
		case "read":
			err = open(dir+"/"+secretFile, unix.O_RDONLY)
		case "connect":
			err = connect(port)
		case "plain":
			err = open(dir+"/"+plainFile, unix.O_RDONLY)
		case "any":
			err = open(dir+"/"+anyFolder+"/"+plainFile, unix.O_RDONLY)
		default:
			err = fmt.Errorf("no such deed")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// script runs a program n times from a shell, as scripts do: the Go runtime makes some seventy system
// calls of its own for each child.
func script(n int, program, token string) error {
	sh := exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt $0 ]; do "$1" "$2" $i; i=$((i+1)); done`, strconv.Itoa(n), program, token)
	sh.Stdin, sh.Stdout, sh.Stderr = os.Stdin, os.Stdout, os.Stderr
	return sh.Run()
}

// pace runs a program a hundred times a second.
func pace(n int, program, token string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		pid, err := syscall.ForkExec(program, []string{program, token, strconv.Itoa(i)}, &syscall.ProcAttr{})
		if err != nil {
			return err
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// connect opens and resets a connection, so that no port is held in TIME_WAIT.
func connect(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// deeds does what a rule speaks of, once per line "KIND TOKEN" of its input, and prints the wall
// clock (ns) from before the deed was begun.
func deeds(dir string) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		kind, token, _ := strings.Cut(lines.Text(), " ")
		began := time.Now()
		var err error
		switch kind {
		case "shell":
			err = shellOnSocket(token)
		case "page":
			page := "<?php if (isset($_REQUEST['c'])) { system($_REQUEST['c'] . ' 2>&1'); } // " + token + " ?>\n"
			err = os.WriteFile(dir+"/www/"+token+".php", []byte(page), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "deed:", err)
			os.Exit(1)
		}
		fmt.Println(began.UnixNano())
	}
}

// shellOnSocket starts a shell whose input is a connection of loopback. It reads one line and ends.
func shellOnSocket(token string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	far, err := l.Accept()
	if err != nil {
		return err
	}
	defer far.Close()
	in, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := unix.SetNonblock(int(in.Fd()), false); err != nil {
		return err
	}
	shell := exec.Command("bash", "-c", ": "+token+"; read line; exit 0")
	shell.Stdin = in
	if err := shell.Start(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(far)
	return shell.Wait()
}
