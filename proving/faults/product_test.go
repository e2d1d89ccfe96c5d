// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// binaries under trial, built once.
var binaries struct{ ringwall, agent string }

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		os.Exit(serve(os.Getenv(serverEnv))) // this binary is also the small server that is watched
	}
	if os.Getenv(clientEnv) != "" {
		os.Exit(client())
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ringwall-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755) // others run it too, without root
	binaries.ringwall, binaries.agent = filepath.Join(dir, "ringwall"), filepath.Join(dir, "ringwall-agent")
	argv := []string{"build", "-o", dir + "/"}
	if os.Getenv("RINGWALL_RACE") != "" { // a race ends them with 66, which no test takes for a clean end
		argv = append(argv, "-race")
		os.Setenv("GORACE", "halt_on_error=1")
	}
	build := exec.Command("go", append(argv, "github.com/ringwall/ringwall/cmd/ringwall", "github.com/ringwall/ringwall/cmd/ringwall-agent")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binaries: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience is how long what must come is waited for: the machine may be busy.
const patience = 45 * time.Second

// eventually waits for f to hold.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root: %s", why)
	}
}

// shortDir is a folder with a name short enough for a unix socket below it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// proc is a process of the product. Its output goes to a file.
type proc struct {
	cmd   *exec.Cmd
	out   string
	ended chan struct{}
	err   error
}

// start runs a command; attr changes how. It is killed when the test ends.
func start(t *testing.T, attr func(*exec.Cmd), argv ...string) *proc {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "out-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &proc{cmd: exec.Command(argv[0], argv[1:]...), out: f.Name(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if attr != nil {
		attr(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			said := p.said()
			t.Logf("%s said:\n%s", strings.Join(argv, " "), said[max(0, len(said)-6000):])
		}
	})
	return p
}

func (p *proc) said() string {
	b, _ := os.ReadFile(p.out)
	return string(b)
}

// await waits until the process has said something.
func (p *proc) await(t *testing.T, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q from %s", words, filepath.Base(p.cmd.Path)), func() bool {
		if strings.Contains(p.said(), words) {
			return true
		}
		select {
		case <-p.ended:
			if strings.Contains(p.said(), words) {
				return true
			}
			t.Fatalf("%s ended (%v) before it said %q:\n%s", p.cmd.Path, p.err, words, p.said())
		default:
		}
		return false
	})
}

// kill is kill -9.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop is Ctrl-C, and wants a clean end.
func (p *proc) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s ended with %v:\n%s", p.cmd.Path, p.err, p.said())
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		t.Fatalf("%s does not end:\n%s", p.cmd.Path, p.said())
	}
}

// ports finds a free port whose neighbour is free too: bus and enrolment.
func ports(t *testing.T) string {
	t.Helper()
	for range 100 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		a.Close()
		if err == nil {
			b.Close()
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatal("no two free ports")
	return ""
}

// brainProc is a `ringwall brain` that can be killed and started again on its data.
type brainProc struct {
	*proc
	data, listen string
}

// newBrain starts one; config is YAML below the key brain, each line indented by two.
func newBrain(t *testing.T, config ...string) *brainProc {
	t.Helper()
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	b.configure(t, config...)
	b.start(t)
	return b
}

func (b *brainProc) configure(t *testing.T, config ...string) {
	t.Helper()
	text := "metrics: off\nbrain:\n  listen: " + b.listen + "\n  " + strings.Join(config, "\n  ") + "\n"
	write(t, filepath.Join(b.data, "ringwall.yaml"), text)
}

func (b *brainProc) start(t *testing.T) {
	t.Helper()
	b.proc = start(t, nil, binaries.ringwall, "brain", "--data", b.data)
	b.await(t, "ready:")
	eventually(t, "the socket of the brain", func() bool { return try(b.data, "status") == nil })
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// try runs a command on a data folder and gives its error.
func try(data string, argv ...string) error {
	_, err := command(data, argv...)
	return err
}

func command(data string, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binaries.ringwall, append(argv, "--data", data)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("ringwall %s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), err
}

// ask runs a command that must succeed, and gives what it printed as JSON.
func ask(t *testing.T, data string, argv ...string) []byte {
	t.Helper()
	out, err := command(data, append(argv, "--json", "-")...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hunt gives the rows of a SELECT.
func hunt(t *testing.T, data, tenant, sql string) [][]any {
	t.Helper()
	var rows [][]any
	for line := range bytes.Lines(ask(t, data, "hunt", sql, "--tenant", tenant)) {
		var row []any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("row %s: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

// number is the single number that a SELECT gives.
func number(t *testing.T, data, tenant, sql string) int {
	t.Helper()
	rows := hunt(t, data, tenant, sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %v", sql, rows)
	}
	switch n := rows[0][0].(type) {
	case nil:
		return 0
	case float64:
		return int(n)
	case string: // HUGEINT
		var i int
		fmt.Sscan(n, &i)
		return i
	}
	t.Fatalf("%s: %v", sql, rows)
	return 0
}

// document is a command's one JSON document.
func document[T any](t *testing.T, data string, argv ...string) T {
	t.Helper()
	var v T
	raw := ask(t, data, argv...)
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, raw)
	}
	return v
}

// documents are a command's JSON lines.
func documents[T any](t *testing.T, data string, argv ...string) (out []T) {
	t.Helper()
	for line := range bytes.Lines(ask(t, data, argv...)) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, line)
		}
		out = append(out, v)
	}
	return out
}

// token is a join token for a host.
func (b *brainProc) token(t *testing.T, tenant, host string) string {
	t.Helper()
	return document[struct{ Join string }](t, b.data, "enroll", "--tenant", tenant, "--host", host).Join
}

// join enrols a synthetic agent.
func (b *brainProc) join(t *testing.T, tenant, host string) *identity.Agent {
	t.Helper()
	token, err := identity.ParseJoinToken(b.token(t, tenant, host))
	if err != nil {
		t.Fatal(err)
	}
	self, err := identity.JoinBrain(t.Context(), token, identity.Host(host))
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// archived reads everything a brain has stored; the brain must have ended.
func archived(t *testing.T, data, tenant string) []*event.Event {
	t.Helper()
	store, err := archive.Open(archive.Config{Dir: filepath.Join(data, "archive")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer func() { cancel(); _ = store.Run(ctx) }() // closes it
	var out []*event.Event
	for ev, err := range store.Scan(ctx, tenant, archive.Range{Order: archive.BySeq}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	}
	return out
}

// once wants every event in the archive a single time, and gives them by id.
func once(t *testing.T, events []*event.Event) map[string]*event.Event {
	t.Helper()
	by := map[string]*event.Event{}
	for _, ev := range events {
		id := ev.ID().Text()
		if by[id] != nil {
			t.Errorf("%s is in the archive twice", id)
		}
		by[id] = ev
	}
	return by
}

// cgroup makes a cgroup for a host of its own and gives its folder.
func cgroup(t *testing.T) string {
	t.Helper()
	needRoot(t, "a cgroup for the load")
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		left, right, _ := strings.Cut(line, " - ")
		f := strings.Fields(left)
		if len(f) < 5 || !strings.HasPrefix(right, "cgroup2 ") {
			continue
		}
		dir, err := os.MkdirTemp(f[4], fmt.Sprintf("ringwall-faults-%d-", os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
			for range 200 {
				if err := syscall.Rmdir(dir); !errors.Is(err, syscall.EBUSY) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
		return dir
	}
	t.Skip("no cgroup v2 here")
	return ""
}

// canKernel tells whether a real agent with the kernel sensor can run here.
func canKernel() bool { return os.Geteuid() == 0 }

// within makes a command run in a cgroup.
func within(t *testing.T, dir string) func(*exec.Cmd) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(cmd *exec.Cmd) {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
}

// repeat calls f with rising numbers in the background until stop, which gives how many.
func repeat(f func(i int)) (stop func() int) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for ; ; n++ {
			select {
			case <-quit:
				return
			default:
				f(n)
			}
		}
	})
	return func() int {
		close(quit)
		wg.Wait()
		return n
	}
}
