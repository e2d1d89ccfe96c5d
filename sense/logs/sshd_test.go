// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/inventory"
)

// sshHost is a real sshd in network and mount namespaces of its own, whose /dev/log is
// ours: what rsyslog would do is done here, in the format that it writes.
type sshHost struct {
	t        *testing.T
	dir, log string
	pid      int
}

func newSSHHost(t *testing.T) *sshHost {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("namespaces need root")
	}
	for _, tool := range []string{"/usr/sbin/sshd", "ssh", "sshpass", "ssh-keygen", "nsenter", "unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: install openssh-server sshpass util-linux iproute2", tool)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "sshd") // a unix socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &sshHost{t: t, dir: dir, log: filepath.Join(dir, "auth.log")}
	h.syslog()
	for _, key := range []string{"host", "good", "bad"} {
		h.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	config := fmt.Sprintf("Port 2222\nListenAddress 127.0.0.1\nHostKey %[1]s/host\nAuthorizedKeysFile %[1]s/good.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nMaxAuthTries 2\n", dir)
	h.write("config", config)
	h.write("begin", fmt.Sprintf(`set -e
ip link set lo up
mount -t tmpfs none /run && mkdir -p /run/sshd
mkdir -p %[1]s/dev && mount -t tmpfs -o dev none %[1]s/dev
cp -a /dev/null /dev/zero /dev/urandom /dev/random /dev/tty %[1]s/dev/
ln -s %[1]s/log.sock %[1]s/dev/log
mount --bind %[1]s/dev /dev
exec /usr/sbin/sshd -D -f %[1]s/config
`, dir))
	cmd := exec.Command("unshare", "-m", "-n", "sh", filepath.Join(dir, "begin"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = syscall.Kill(-h.pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	h.until("sshd listens", func() bool {
		raw, _ := os.ReadFile(h.log)
		return strings.Contains(string(raw), "Server listening on 127.0.0.1 port 2222")
	})
	return h
}

func (h *sshHost) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *sshHost) run(name string, args ...string) {
	h.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (h *sshHost) until(what string, f func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	raw, _ := os.ReadFile(h.log)
	h.t.Fatalf("%s: not within 10 s; the log:\n%s", what, raw)
}

// syslog receives datagrams such as "<38>Nov 24 10:00:00 sshd[12]: text".
func (h *sshHost) syslog() {
	h.t.Helper()
	at := filepath.Join(h.dir, "log.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	f, err := os.OpenFile(h.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.Close()
		b := make([]byte, 8192)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			_, text, _ := strings.Cut(string(b[:n]), ">")
			if len(text) > 16 {
				fmt.Fprintf(f, "%s web %s\n", text[:15], strings.TrimRight(text[16:], "\n\x00"))
			}
		}
	}()
	h.t.Cleanup(func() { c.Close(); <-done })
}

// ssh logs in (or fails to) from inside the namespace.
func (h *sshHost) ssh(wrap []string, user, key string, options ...string) {
	args := append([]string{"-t", strconv.Itoa(h.pid), "-n"}, wrap...)
	args = append(args, "ssh", "-F", "none", "-p", "2222", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", filepath.Join(h.dir, key))
	args = append(args, options...)
	args = append(args, user+"@127.0.0.1", "sleep 0.3")
	cmd := exec.Command("nsenter", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	_ = cmd.Run() // failing is what some of these are for
}

func TestRealSSHD(t *testing.T) {
	h := newSSHHost(t)
	board := health.NewBoard()
	inv, err := inventory.New(inventory.DefaultConfig(), inventory.Options{
		Netns: fmt.Sprintf("/proc/%d/ns/net", h.pid), Clock: event.NewClock(), Board: board, Emit: func(*event.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, heard := newTestSensor(t, Config{Files: []Source{{Path: h.log, Kind: "syslog"}}}, Options{Local: inv.Local})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	h.until("the sensor follows", func() bool { return len(s.opt.Board.Components()) > 0 })

	h.ssh(nil, "root", "good", "-o", "BatchMode=yes")
	h.ssh([]string{"sshpass", "-p", "wrong"}, "root", "good", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1")
	h.ssh([]string{"sshpass", "-p", "wrong"}, "x from 1.2.3.4 port 5 ssh2: RSA SHA256:y", "good", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1")
	h.ssh(nil, "root", "bad", "-o", "BatchMode=yes")

	var got []*event.Authentication
	h.until("four outcomes", func() bool {
		for _, e := range heard.take() {
			if a := e.GetAuth(); a != nil && a.Outcome != 0 {
				got = append(got, a)
			}
		}
		return len(got) >= 4
	})
	want := []struct {
		outcome      event.Authentication_Outcome
		user, method string
	}{
		{event.Authentication_SUCCESS, "root", "publickey"}, {event.Authentication_FAILURE, "root", "password"},
		{event.Authentication_FAILURE, "‹h:", "password"}, {event.Authentication_FAILURE, "root", "preauth"},
	}
	for i, w := range want {
		a := got[i]
		if a.Outcome != w.outcome || !strings.HasPrefix(a.User, w.user) || a.Method != w.method || a.Service != "sshd" {
			t.Errorf("%d: %v, want %+v", i, a, w)
		}
		if a.Flow == nil || entity.Addr(a.Flow.SrcIp).String() != "127.0.0.1" || a.Flow.SrcPort < 1024 {
			t.Errorf("%d: client %v, want 127.0.0.1 and its port", i, a.Flow)
		}
	}
	if a := got[0]; !strings.HasPrefix(a.KeyFingerprint, "SHA256:") {
		t.Errorf("key fingerprint %q", a.KeyFingerprint)
	}
	// The connection of an accepted login stands while the command runs, so its own end is
	// known; of a refused one the client may have gone before the line is read.
	if at := got[0].Flow.Dst().String(); at != "127.0.0.1:2222" {
		t.Errorf("the login's connection ends at %s, want 127.0.0.1:2222", at)
	}
}
