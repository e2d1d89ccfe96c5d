// SPDX-License-Identifier: Apache-2.0

// Package testnet gives tests two network namespaces joined by a wire: a host to act on
// and a peer to act against.
//
// In comes a test that runs as root; out go two namespaces that nothing else reaches and
// that end with the test. It believes the kernel for everything: real sockets, real
// packets.
//
// The worst trap: a goroutine that changes threads. All work in a namespace runs on a
// thread of its own that is thrown away (Net.Do); sockets stay where they were made.
package testnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Net is one namespace.
type Net struct {
	File  *os.File
	Addr  netip.Addr // 10.99.7.x
	Addr6 netip.Addr // fd99::x
	t     testing.TB
}

// Pair makes host (10.99.7.1, fd99::1) and peer (10.99.7.2, fd99::2). It skips where
// the test is not root.
func Pair(t testing.TB) (host, peer *Net) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	host, peer = newNet(t, 1), newNet(t, 2)
	host.must(func() error {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire"}, PeerName: "wire", PeerNamespace: netlink.NsFd(peer.File.Fd())}
		return netlink.LinkAdd(v)
	})
	for _, n := range []*Net{host, peer} {
		n.must(n.setUp)
	}
	return host, peer
}

func (n *Net) setUp() error {
	for _, name := range []string{"lo", "wire"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if name == "wire" {
			for addr, bits := range map[netip.Addr]int{n.Addr: 24, n.Addr6: 64} {
				a := &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}, Flags: unix.IFA_F_NODAD}
				if err := netlink.AddrAdd(l, a); err != nil {
					return err
				}
			}
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
	}
	return nil
}

func newNet(t testing.TB, i int) *Net {
	n := &Net{t: t, Addr: netip.MustParseAddr(fmt.Sprintf("10.99.7.%d", i)), Addr6: netip.MustParseAddr(fmt.Sprintf("fd99::%d", i))}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		n.File, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { n.File.Close() })
	return n
}

// Path of the namespace, for whoever opens it by name; good while this process lives.
func (n *Net) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.File.Fd()) }

// onThread runs f on a thread that ends with it. The first thread of the process must
// not end (it is what /proc/self shows), so it is held while another does the work.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}

// Do runs f in the namespace. f must not start goroutines that rely on it.
func (n *Net) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.File.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func (n *Net) must(f func() error) {
	n.t.Helper()
	if err := n.Do(f); err != nil {
		n.t.Fatal(err)
	}
}

// Start starts a program in the namespace; it is killed with the test.
func (n *Net) Start(cmd *exec.Cmd) *exec.Cmd {
	n.t.Helper()
	n.must(cmd.Start)
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// Run runs a program in the namespace and gives its output.
func (n *Net) Run(name string, args ...string) (string, error) {
	var out []byte
	cmd := exec.Command(name, args...)
	err := n.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	return string(out), err
}

// Rules is the whole nft ruleset.
func (n *Net) Rules() string {
	n.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		n.t.Skip("nft is missing; install nftables")
	}
	out, err := n.Run("nft", "list", "ruleset")
	if err != nil {
		n.t.Fatalf("nft list ruleset: %v: %s", err, out)
	}
	return out
}

// Listen listens in the namespace and echoes lines until the test ends.
func (n *Net) Listen(addr string) netip.AddrPort {
	n.t.Helper()
	var l net.Listener
	n.must(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.t.Cleanup(func() { c.Close() })
			go func() {
				defer c.Close()
				b := make([]byte, 512)
				for {
					k, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(b[:k]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// patience is for what must come, short for what must not: a dropped packet has no answer.
const (
	patience = 10 * time.Second
	short    = 300 * time.Millisecond
)

// Dial connects from the namespace.
func (n *Net) Dial(to netip.Addr, port uint16) (net.Conn, error) { return n.dial(to, port, patience) }

// Reaches tells whether a connection comes about within a short time.
func (n *Net) Reaches(to netip.Addr, port uint16) bool {
	_, err := n.dial(to, port, short)
	return err == nil
}

func (n *Net) dial(to netip.Addr, port uint16, wait time.Duration) (net.Conn, error) {
	n.t.Helper()
	var c net.Conn
	err := n.Do(func() error {
		fam, sa := unix.AF_INET, unix.Sockaddr(nil)
		if to.Is4() {
			sa = &unix.SockaddrInet4{Port: int(port), Addr: to.As4()}
		} else {
			fam, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: to.As16()}
		}
		fd, err := unix.Socket(fam, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		tv := unix.NsecToTimeval(wait.Nanoseconds())
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
		if err := unix.Connect(fd, sa); err != nil {
			return err
		}
		c, err = net.FileConn(f)
		return err
	})
	if err == nil {
		n.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// Echo tells whether a connection carries a line there and back.
func Echo(c net.Conn) error { return echo(c, patience) }

// Silent tells that it does not, within a short time.
func Silent(c net.Conn) bool { return echo(c, short) != nil }

func echo(c net.Conn, wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	defer c.SetDeadline(time.Time{})
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	b := make([]byte, 16)
	k, err := c.Read(b)
	if err == nil && !strings.HasPrefix(string(b[:k]), "hello") {
		err = fmt.Errorf("echo gave %q", b[:k])
	}
	return err
}
