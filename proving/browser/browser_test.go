// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/proving/rerun"
)

// patience is how long what must come is waited for: the machine may be busy.
const patience = 90 * time.Second

// TestConsole: from the one-time link to an intrusion that appears while the page is open,
// its graph, story and evidence, two people at one incident, and a viewer who may not act.
func TestConsole(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	chromium := need(t)
	b := startBrain(t, nil, "brain", "")
	env := []string{"RINGWALL_URL=" + b.url, "RINGWALL_LINK=" + b.link, "RINGWALL_CHROMIUM=" + chromium, "RINGWALL_SHOTS=" + os.Getenv("RINGWALL_SHOTS")}
	script(t, b, []string{"node", "console.mjs"}, env, map[string]func(*testing.T){"intrude": b.intrude})
}

// script runs one to its end; what it asks for on a line of its own is done.
func script(t *testing.T, b *brain, argv, env []string, asked map[string]func(*testing.T)) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		done = done || line == "done"
		if do := asked[line]; do != nil {
			do(t)
		} else {
			t.Log(line)
		}
	}
	if err := cmd.Wait(); err != nil || !done {
		t.Fatalf("the browser's script: %v, came to its end: %v\n%s", err, done, b.said())
	}
}

// need skips where something is missing that no Go package brings, and gives the browser.
func need(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node; scripts/need test installs it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium; scripts/need test installs it")
	}
	if _, err := os.Stat("../../console/web/node_modules/playwright-core"); err != nil {
		t.Skip("no playwright-core; scripts/console check brings it")
	}
	if _, err := os.Stat("../../console/dist/index.html"); err != nil {
		t.Skip("no pages; scripts/console builds them")
	}
	return chromium
}

// brain is a running `ringwall brain` with its doors.
type brain struct {
	bin, data, out, url, link string
}

// startBrain starts `ringwall brain` or `ringwall up`, in a namespace when within leads
// into one; more is YAML beside the doors.
func startBrain(t *testing.T, within []string, role, more string) *brain {
	t.Helper()
	dir, err := os.MkdirTemp("", "rw") // short: a unix socket lies below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &brain{bin: filepath.Join(dir, "ringwall"), data: filepath.Join(dir, "data"), out: filepath.Join(dir, "out")}
	if said, err := exec.Command("go", "build", "-o", b.bin, "../../cmd/ringwall").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, said)
	}
	door, bus := free(t, 1), free(t, 2)
	b.url = "http://localhost:" + door[strings.LastIndex(door, ":")+1:] // a name, so that passkeys are possible
	config := fmt.Sprintf("metrics: off\napi: {listen: %q}\nbrain:\n  listen: %s\n  policy: {stage: shadow}\n%s", door, bus, more)
	if err := os.MkdirAll(b.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.data, "ringwall.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(b.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	argv := append(within[:len(within):len(within)], b.bin, role, "--data", b.data)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	secret := regexp.MustCompile(`/welcome#(\S+)`)
	eventually(t, "the one-time link", func() bool {
		m := secret.FindStringSubmatch(b.said())
		if m != nil {
			b.link = b.url + "/welcome#" + m[1]
		}
		return m != nil && (role != "brain" || strings.Contains(b.said(), "ready:"))
	})
	return b
}

func (b *brain) said() string {
	raw, _ := os.ReadFile(b.out)
	return string(raw)
}

// intrude tells the recorded intrusion, each host by an agent of its own, until the test
// ends.
func (b *brain) intrude(t *testing.T) {
	t.Helper()
	by, err := rerun.Read("../../cli/demo.rwe", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	for host, events := range by {
		said, err := exec.Command(b.bin, "enroll", "--data", b.data, "--host", host, "--json", "-").Output()
		if err != nil {
			t.Fatalf("enroll %s: %v", host, err)
		}
		var invitation struct{ Join string }
		if err := json.Unmarshal(said, &invitation); err != nil {
			t.Fatal(err)
		}
		token, err := identity.ParseJoinToken(invitation.Join)
		if err != nil {
			t.Fatal(err)
		}
		self, err := identity.JoinBrain(ctx, token, identity.Host(host))
		if err != nil {
			t.Fatal(err)
		}
		f := rerun.New(1000)
		for _, ev := range events {
			raw, err := ev.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			f.Add(raw)
		}
		wg.Go(func() {
			if err := f.Publish(ctx, self); err != nil && ctx.Err() == nil {
				t.Errorf("publish as %s: %v", host, err)
			}
		})
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

// free finds a free port of loopback whose next ones are free too.
func free(t *testing.T, many int) string {
	t.Helper()
	for range 100 {
		var held []io.Closer
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, first)
		port, good := first.Addr().(*net.TCPAddr).Port, true
		for i := 1; i < many && good; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if good = err == nil; good {
				held = append(held, l)
			}
		}
		for _, c := range held {
			c.Close()
		}
		if good {
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatal("no free ports")
	return ""
}
