// SPDX-License-Identifier: Apache-2.0

// Command inside is the first process of a guest of proving/guest. It asks the kernel
// sensor which hooks this kernel takes, runs it while a request makes a server start a
// command that writes a file, runs the tests it was given, and tells all of it in lines of
// JSON on the second serial port; then it ends the machine. It takes no arguments, and its
// worst trap is to end early: a first process that returns is a kernel panic, so the first
// one only mounts, runs the second and ends the machine.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/proving/guest"
	"github.com/ringwall/ringwall/sense/kernel"
)

// port is the second serial port.
type port struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *port) tell(l guest.Line) {
	b, err := json.Marshal(l)
	if err != nil {
		b = fmt.Appendf(nil, `{"kind":"fault","text":%q}`, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.w.Write(append(b, '\n')) // a report that cannot be written shows as one without an end
}

func (p *port) fault(what string, err error) {
	p.tell(guest.Line{Kind: guest.LineFault, Name: what, Text: err.Error()})
}

func main() {
	if os.Getpid() == 1 {
		first()
	}
	p := &port{w: os.Stdout}
	if f, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		raw(f)
		p.w = f
	}
	defer func() {
		if r := recover(); r != nil {
			p.fault("inside", fmt.Errorf("%v", r))
		}
	}()
	if err := loopback(); err != nil {
		p.fault("loopback", err)
	}
	if err := answerOut(); err != nil {
		p.fault("listen", err)
	}
	release(p)
	hooks(p)
	watched(p, "go server", goServer)
	watched(p, "busybox httpd", busyboxServer)
	doctor(p)
	tests(p)
	p.tell(guest.Line{Kind: guest.LineDone})
}

// first is the first process: it mounts, runs a second one and ends the machine. The eBPF
// library looks at /proc before main, so what uses it must start after the mounts.
func first() {
	mountAll()
	cmd := exec.Command("/init")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println("inside:", err) // on the console, where a report without an end is looked up
	}
	time.Sleep(200 * time.Millisecond) // the serial port drains
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func mountAll() {
	_ = os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	_ = os.Setenv("HOME", "/root")
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"cgroup2", "/sys/fs/cgroup"}} {
		_ = os.MkdirAll(m[1], 0o755)
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			fmt.Println("mount", m[1], err) // shows on the console; what needs it fails and says so
		}
	}
	_ = os.Chmod("/tmp", 0o1777)
}

// raw: no line endings are changed on their way out.
func raw(f *os.File) {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return
	}
	t.Oflag &^= unix.OPOST
	t.Lflag = 0
	_ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
}

func loopback() error {
	out, err := exec.Command("busybox", "ip", "link", "set", "lo", "up").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func release(p *port) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		p.fault("uname", err)
		return
	}
	p.tell(guest.Line{Kind: guest.LineKernel, Text: unix.ByteSliceToString(u.Release[:]) + " (" + unix.ByteSliceToString(u.Version[:]) + ")"})
}

// hooks asks for what is used by default, for every fall-back, and for the cheap set alone.
func hooks(p *port) {
	for _, c := range []struct {
		name   string
		change func(*kernel.Config)
	}{
		{"default", func(*kernel.Config) {}},
		{"legacy", func(c *kernel.Config) { c.Legacy = true }},
		{"set A alone", func(c *kernel.Config) { c.Syscalls = false }},
		{"confined", func(c *kernel.Config) { c.Cgroup = "/sys/fs/cgroup" }},
	} {
		cfg := kernel.Defaults()
		c.change(&cfg)
		p.tell(guest.Line{Kind: guest.LineHooks, Name: c.name, Hooks: kernel.Probe(cfg)})
	}
}

// watched runs a chain under the sensor and tells every event of its time.
func watched(p *port, name string, chain func(marker string) error) {
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	on := false
	board := health.NewBoard()
	s, err := kernel.New(kernel.Defaults(), kernel.Options{
		Board:  board,
		Redact: event.NewRedactor([]byte("0123456789abcdef")),
		Emit: func(e *event.Event) {
			mu.Lock()
			tell := on
			mu.Unlock()
			if !tell || e.GetProcess().GetOp() == event.ProcessActivity_SNAPSHOT {
				return
			}
			if b, err := protojson.Marshal(e); err == nil {
				p.tell(guest.Line{Kind: guest.LineEvent, Name: name, Event: b})
			}
		},
	})
	if err != nil {
		stop()
		p.fault("sensor for "+name, err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for end := time.Now().Add(5 * time.Minute); board.Components()[0].State == health.Off.String() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // until it is attached and past its snapshot
	}
	mu.Lock()
	on = true
	mu.Unlock()
	marker := "deed-" + strings.ReplaceAll(name, " ", "-")
	p.tell(guest.Line{Kind: guest.LineChain, Name: name, Text: marker})
	if err := chain(marker); err != nil {
		p.fault(name, err)
	}
	stop() // what the kernel has recorded is read first
	if err := <-ended; err != nil {
		p.fault("sensor for "+name, err)
	}
}

// answerOut accepts the connections of deeds and ends them, as long as the machine runs.
func answerOut() error {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", guest.OutPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return nil
}

func get(url string) error {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	var err error
	for range 50 {
		var res *http.Response
		if res, err = c.Get(url); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", url, res.Status)
			}
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// goServer: one process both asks and answers; the goroutine is the worker. What it does
// itself set B spares, so a shell does the deed.
func goServer(marker string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:8080")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cmd := exec.Command("/bin/sh", "-c", guest.Deed(r.URL.Query().Get("c")))
		if out, err := cmd.CombinedOutput(); err != nil {
			http.Error(w, string(out), http.StatusInternalServerError)
		}
	})}
	defer srv.Close()
	go func() { _ = srv.Serve(l) }() // ends with Close
	return get("http://127.0.0.1:8080/run?c=" + marker)
}

// busyboxServer: a server of others forks per connection and runs a CGI script.
func busyboxServer(marker string) error {
	cmd := exec.Command("busybox", "httpd", "-f", "-p", "127.0.0.1:8081", "-h", "/www")
	if err := cmd.Start(); err != nil {
		return err
	}
	err := get("http://127.0.0.1:8081/cgi-bin/run?" + marker)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return err
}

func doctor(p *port) {
	out, err := exec.Command("/ringwall-agent", "doctor", "--json", "-").Output()
	if !json.Valid(out) {
		p.fault("ringwall-agent doctor", fmt.Errorf("%w: %.200q", err, out))
		return
	}
	p.tell(guest.Line{Kind: guest.LineDoctor, Event: out})
}

// tests runs the sensor's own tests; a line for each result and for what a failure says.
func tests(p *port) {
	if _, err := os.Stat("/kernel.test"); err != nil {
		return
	}
	args := []string{"-test.v", "-test.timeout", "90m"}
	if b, err := os.ReadFile("/kernel.args"); err == nil {
		args = append(args, strings.Fields(string(b))...)
	}
	cmd := exec.Command("/kernel.test", args...)
	cmd.Dir = "/pkg"
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.fault("kernel.test", err)
		return
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		p.fault("kernel.test", err)
		return
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		p.tell(guest.Line{Kind: guest.LineTest, Name: "sense/kernel", Text: s.Text()})
	}
	if err := cmd.Wait(); err != nil {
		p.fault("kernel.test", err)
	}
}
