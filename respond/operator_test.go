// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/respond/process"
)

// shell is a person logged in over a real sshd: what is typed comes back.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
	pid int // of the program that runs in the session
}

func (s *shell) alive() error {
	word := fmt.Sprint("line-", rand.Uint64())
	if _, err := fmt.Fprintln(s.in, word); err != nil {
		return err
	}
	got := make(chan string, 1)
	go func() {
		line, _ := s.out.ReadString('\n')
		got <- strings.TrimSpace(line)
	}()
	select {
	case line := <-got:
		if line != word {
			return fmt.Errorf("the session said %q, want %q", line, word)
		}
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the session does not answer")
	}
}

// sshd starts a real one on port 2222 of the host, with its own keys, for root.
func (b *bench) sshd() (listener int) {
	b.t.Helper()
	for _, p := range []string{"/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"} {
		if _, err := os.Stat(p); err != nil {
			b.t.Skipf("%s is missing; install openssh-server", p)
		}
	}
	must(b.t, os.MkdirAll("/run/sshd", 0o755))
	dir := b.keys()
	for _, k := range []string{"host", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, k)).CombinedOutput()
		if err != nil {
			b.t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	conf := fmt.Sprintf("Port 2222\nHostKey %[1]s/host\nAuthorizedKeysFile %[1]s/user.pub\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 50\n", dir)
	must(b.t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600))
	cmd := b.host.Start(exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "conf")))
	eventually(b.t, "sshd does not listen", func() bool { return b.peer.Reaches(b.host.Addr, 2222) })
	return cmd.Process.Pid
}

func (b *bench) keys() string { return b.data }

// login opens a session from the peer.
func (b *bench) login() *shell {
	b.t.Helper()
	cmd := exec.Command("ssh", "-T", "-i", filepath.Join(b.keys(), "user"), "-p", "2222", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@"+b.host.Addr.String(), "echo $$; exec cat")
	in, err := cmd.StdinPipe()
	must(b.t, err)
	out, err := cmd.StdoutPipe()
	must(b.t, err)
	cmd.Stderr = os.Stderr
	b.peer.Start(cmd)
	s := &shell{in: in, out: bufio.NewReader(out)}
	if _, err := fmt.Fscanln(s.out, &s.pid); err != nil {
		b.t.Fatalf("log in: %v", err)
	}
	must(b.t, s.alive())
	return s
}

// second gives the peer another address.
func (b *bench) second(text string) netip.Addr {
	b.t.Helper()
	must(b.t, b.peer.Do(func() error {
		l, err := netlink.LinkByName("wire")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(text), Mask: net.CIDRMask(24, 32)}})
	}))
	return netip.MustParseAddr(text)
}

// dialFrom opens a connection from a chosen address of the peer.
func (b *bench) dialFrom(from netip.Addr, port uint16) net.Conn {
	b.t.Helper()
	var c net.Conn
	must(b.t, b.peer.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 10 * time.Second}
		c, err = d.Dial("tcp", netip.AddrPortFrom(b.host.Addr, port).String())
		return err
	}))
	b.t.Cleanup(func() { c.Close() })
	return c
}

// TestOperatorSurvives every action that names him, his session or what it hangs on.
func TestOperatorSurvives(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	listener := b.sshd()
	guesser := b.dialFrom(b.second("10.99.7.3"), 2222) // connected, not logged in
	before := b.state()
	s := b.login()
	var hangs []int
	for _, a := range process.Ancestors(s.pid) {
		if program(a.PID) == "sshd" || program(a.PID) == "sshd-session" {
			hangs = append(hangs, a.PID)
		}
	}
	if len(hangs) < 2 {
		t.Fatalf("session of %d hangs on %v", s.pid, hangs)
	}
	b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Refused, "operator")
	b.want(order(action.CutConnection, addr(b.peer.Addr.String())), action.Refused, "operator")
	flow := entity.NewFlow(netip.AddrPortFrom(b.peer.Addr, 40000), netip.AddrPortFrom(b.host.Addr, 2222), 6)
	b.want(order(action.CutConnection, &entity.Sighting{Kind: entity.Kind_FLOW, Flow: flow}), action.Refused, "operator")
	for _, pid := range append(hangs, s.pid, listener) {
		b.want(order(action.KillTree, proc(pid)), action.Refused, "")
	}
	// A tree that an ancestor of ours and his would be part of, without the list of names.
	b.cfg.Services = nil
	b.Close()
	b.start()
	for _, pid := range append(hangs, s.pid, listener) {
		b.want(order(action.KillTree, proc(pid)), action.Refused, "")
	}
	must(t, s.alive())

	cut := b.want(order(action.IsolateHost, nil), action.Verified, "1 sessions")
	must(t, s.alive())
	if b.peer.Reaches(b.host.Addr, 2222) {
		t.Error("not isolated")
	}
	b.undo(cut.ID)

	// Near misses: who guesses passwords is no operator, nor who calls himself one.
	rec := b.want(order(action.BlockAddress, addr("10.99.7.3")), action.Verified, "")
	b.want(order(action.CutConnection, addr("10.99.7.3")), action.Verified, "")
	b.undo(rec.ID)
	guesser.Close()
	must(t, s.alive())
	fake := filepath.Join(b.root, "sshd")
	must(t, exec.Command("cp", "/bin/sleep", fake).Run())
	must(t, os.Chmod(filepath.Dir(b.root), 0o755))
	cmd := exec.Command(fake, "600")
	cmd.Args[0] = "sshd: root@pts/0"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := b.host.Do(cmd.Start); err != nil {
		t.Logf("the folder of the test cannot be entered by nobody: %v", err)
	} else {
		eventually(t, "no impostor", func() bool { return program(cmd.Process.Pid) == "sshd" })
		b.want(order(action.KillTree, proc(cmd.Process.Pid)), action.Verified, "killed")
		_ = cmd.Wait()
	}
	must(t, os.Remove(fake))
	must(t, s.alive())
	s.in.Close()
	must(t, b.Off(context.Background()))
	if rules, _, _ := strings.Cut(before, "tcp "); b.host.Rules() != rules {
		t.Errorf("ruleset:\n%s", b.host.Rules())
	}
}

// TestOperatorsNamed: where operators are declared, a login from elsewhere is no operator's.
func TestOperatorsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Operators = []netip.Prefix{prefix("192.0.2.0/24")} })
	b.sshd()
	s := b.login()
	b.want(order(action.BlockAddress, addr("192.0.2.9")), action.Refused, "operators log in from")
	b.undo(b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Verified, "").ID)
	must(t, s.alive())
	b.want(order(action.CutConnection, addr(b.peer.Addr.String())), action.Verified, "")
}

// TestNothingReachesTheProtected draws policies and orders at random: own addresses,
// declared peers and the operator are never touched, and Off restores everything.
func TestNothingReachesTheProtected(t *testing.T) {
	t.Parallel()
	const seed = 7
	r := rand.New(rand.NewPCG(seed, seed))
	b := newBench(t, nil)
	listener := b.sshd()
	s := b.login()
	declared := b.second("10.99.7.66")
	friend := b.dialFrom(declared, b.port)
	before := b.state()
	protected := []netip.Prefix{prefix("10.99.7.1/32"), prefix("fd99::1/128"), prefix("10.99.7.2/32"), prefix("10.99.7.66/32"), prefix("127.0.0.1/32"), prefix("::1/128")}
	texts := []string{
		"10.99.7.1", "10.99.7.2", "10.99.7.66", "fd99::1", "::ffff:10.99.7.2", "127.0.0.1", "::1", "10.99.7.0/24", "10.99.7.64/29", "10.0.0.0/8", "0.0.0.0/0", "::/0",
		"fd99::/64", "::ffff:0:0/96", "10.99.7.255", "10.99.7.0", "", "x",
	}
	victims := []int{1, 2, os.Getpid(), os.Getppid(), listener, s.pid}
	for _, a := range process.Ancestors(s.pid) {
		victims = append(victims, a.PID)
	}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	stages := []action.Stage{action.Observe, action.Shadow, action.Enforce, action.Enforce, 99}
	done := 0
	for i := range 100 {
		if i%25 == 0 { // another policy
			b.Close()
			b.cfg = DefaultConfig()
			b.cfg.Most = stages[1+r.IntN(3)]
			b.cfg.Critical = []netip.Prefix{netip.PrefixFrom(declared, 32)}
			b.cfg.Widest4, b.cfg.Widest6 = r.IntN(33), r.IntN(129)
			b.cfg.Caps = Caps{Peers: r.IntN(40), Processes: r.IntN(40), Tree: r.IntN(100)}
			if r.IntN(2) == 0 {
				b.cfg.Services = nil
			}
			b.start()
		}
		var o action.Order
		switch r.IntN(6) {
		case 0, 1:
			o = order(action.BlockAddress, addr(pick(append(texts, fmt.Sprintf("10.99.7.%d", r.IntN(256)), fmt.Sprintf("198.51.100.%d/%d", r.IntN(256), r.IntN(33)), fmt.Sprintf("198.51.100.%d", r.IntN(256)), fmt.Sprintf("2001:db8::%x", r.IntN(1<<16)), fmt.Sprintf("203.0.113.%d", r.IntN(256))))))
		case 2:
			o = order(action.CutConnection, addr(pick(append(texts, "203.0.113.9", "198.51.100.7"))))
		case 3:
			src, dst := netip.AddrPortFrom(netip.MustParseAddr(pick(texts[:4])), 2222), netip.AddrPortFrom(netip.MustParseAddr(pick(texts[:4])), uint16(r.IntN(1<<16)))
			o = order(action.CutConnection, &entity.Sighting{Kind: entity.Kind_FLOW, Flow: entity.NewFlow(src, dst, 6)})
		case 4:
			o = order(action.KillTree, proc(victims[r.IntN(len(victims))]))
		case 5:
			o = order(action.IsolateHost, nil)
		}
		o.Stage, o.Incident = stages[r.IntN(len(stages))], fmt.Sprint("i-", r.IntN(4))
		rec := b.Do(context.Background(), o)
		if rec.State.Live() {
			done++
			if p, err := prefixOf(rec.Subject); err == nil {
				for _, x := range protected {
					if p.Overlaps(x) {
						t.Errorf("seed %d, order %d: %s of %s touches %s", seed, i, rec.Kind, p, x)
					}
				}
			}
			if rec.Kind == action.KillTree {
				t.Errorf("seed %d, order %d: killed %s: %s", seed, i, rec.Subject.Label(), rec.Result)
			}
		}
		if rec.State.Live() && r.IntN(3) == 0 {
			b.undo(rec.ID)
		}
		if i%8 == 0 {
			must(t, s.alive())
			must(t, echoes(friend))
			if !b.host.Reaches(b.host.Addr, b.port) {
				t.Fatal("the host does not reach itself")
			}
		}
	}
	if done < 10 {
		t.Errorf("only %d orders were carried out: the test proves little", done)
	}
	must(t, b.Off(context.Background()))
	must(t, s.alive())
	if rules, _, _ := strings.Cut(before, "tcp "); b.host.Rules() != rules {
		t.Errorf("ruleset:\n%s", b.host.Rules())
	}
}
