// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

func ports(f *entity.Flow) [2]int { return [2]int{int(f.GetSrcPort()), int(f.GetDstPort())} }

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

func TestConnection(t *testing.T) {
	for _, mode := range []string{"tcp4", "tcp6", "tcp4, legacy hooks"} {
		t.Run(mode, func(t *testing.T) {
			network, _, legacy := strings.Cut(mode, ",")
			addr := map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"}[network]
			_, rec := start(t, func(c *Config) { c.Legacy = legacy })
			l, err := net.Listen(network, net.JoinHostPort(addr, "0"))
			if err != nil {
				t.Skip("no such loopback here: ", err)
			}
			defer l.Close()
			done := make(chan net.Conn)
			go func() { c, _ := l.Accept(); done <- c }()
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			s := <-done
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 5)
			_, _ = s.Read(b)
			want := [2]int{port(c.LocalAddr()), port(l.Addr())}
			c.Close()
			s.Close()
			me := uint32(os.Getpid())
			net4 := func(op event.NetworkActivity_Op, inbound bool) func(*event.Event) bool {
				return func(e *event.Event) bool {
					n := e.GetNetwork()
					return n.GetOp() == op && n.Inbound == inbound && ports(n.Flow) == want && e.Actor.GetPid() == me &&
						net.IP(n.Flow.SrcIp).String() == addr && net.IP(n.Flow.DstIp).String() == addr
				}
			}
			out := rec.find(t, "connect", net4(event.NetworkActivity_CONNECT, false))
			in := rec.find(t, "accept", net4(event.NetworkActivity_ACCEPT, true))
			if a, b := out.GetNetwork().CommunityId, in.GetNetwork().CommunityId; a == "" || a != b {
				t.Errorf("community ids %q and %q", a, b)
			}
			if out.GetNetwork().Flow.Cookie == in.GetNetwork().Flow.Cookie {
				t.Error("both ends have one cookie")
			}
			// The kernel counts the FIN as a byte.
			if n := rec.find(t, "close", net4(event.NetworkActivity_CLOSE, true)).GetNetwork(); n.BytesSrc != 5 && n.BytesSrc != 6 {
				t.Errorf("close: %v, want 5 or 6 bytes from src", n)
			}
			rec.find(t, "listen", func(e *event.Event) bool {
				return e.GetNetwork().GetOp() == event.NetworkActivity_LISTEN && e.GetNetwork().Flow.DstPort == uint32(want[1]) && e.Actor.Pid == me
			})
			rec.find(t, "bind", func(e *event.Event) bool {
				return e.GetNetwork().GetOp() == event.NetworkActivity_BIND && e.GetNetwork().Flow.DstPort == uint32(want[1])
			})
		})
	}
}

func TestClosedPortAndFailedConnect(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) { closedPort(t, legacy) })
	}
}

func closedPort(t *testing.T, legacy bool) {
	s, rec := start(t, func(c *Config) { c.Legacy = legacy })
	needHook(t, s, "on_reset", "on_drop")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := port(l.Addr())
	l.Close()
	if c, err := net.Dial("tcp4", l.Addr().String()); err == nil {
		c.Close()
		t.Skip("somebody took the port")
	}
	rec.find(t, "reset", func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_RESET && int(n.Flow.DstPort) == p && n.Flow.SrcPort != 0 && n.Inbound
	})
	rec.find(t, "failed connect", func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_CONNECT && n.Failed && int(n.Flow.DstPort) == p && e.Actor.Pid == uint32(os.Getpid())
	})
	var told int // once, though more than one hook may see it
	for _, e := range rec.all() {
		if n := e.GetNetwork(); n.GetOp() == event.NetworkActivity_RESET && int(n.Flow.DstPort) == p {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d resets told of one knock", told)
	}
}

func TestUntouchedConnectionIsTold(t *testing.T) {
	_, rec := start(t, func(c *Config) { c.Syscalls = false })
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	from := port(c.LocalAddr())
	c.Close()
	l.Close() // ends what waits in the queue
	rec.find(t, "accept of a scanned port", func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_ACCEPT && int(n.Flow.SrcPort) == from && e.Actor.Pid == uint32(os.Getpid())
	})
}

func TestShellOnSocket(t *testing.T) {
	_, rec := start(t, nil)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("exit\n"))
		time.Sleep(100 * time.Millisecond)
		c.Close()
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-s", "marker-shell")
	cmd.Stdin, cmd.Stdout = f, f
	_ = cmd.Run()
	e := rec.find(t, "shell", func(e *event.Event) bool { return isExec(e, "/bin/sh", "-s", "marker-shell") })
	d := e.GetProcess().Fds[0]
	if want := [2]int{port(c.LocalAddr()), port(l.Addr())}; d.Type != event.Descriptor_SOCKET || ports(d.Flow) != want || d.Flow.Cookie == 0 {
		t.Errorf("stdin %v, want the socket %v", d, want)
	}
}

func TestUnixPair(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		_, rec := start(t, func(c *Config) { c.Legacy = legacy })
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan net.Conn)
		go func() { c, _ := l.Accept(); done <- c }()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s := <-done
		_, _ = c.Write([]byte("hello there, worker"))
		b := make([]byte, 64)
		_, _ = s.Read(b)
		a, peer := socketInode(t, s), socketInode(t, c)
		e := rec.find(t, "pair", func(e *event.Event) bool {
			return e.GetChannel().GetInodeA() == a && e.GetChannel().GetInodeB() == peer
		})
		if ch := e.GetChannel(); ch.Path != path || ch.PeerPid != uint32(os.Getpid()) || e.Actor.Pid != uint32(os.Getpid()) {
			t.Errorf("legacy %v: pair %v by %v", legacy, ch, e.Actor)
		}
		c.Close()
		s.Close()
		l.Close()
	}
}

func socketInode(t *testing.T, c net.Conn) (ino uint64) {
	t.Helper()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil {
			ino = st.Ino
		}
	})
	return ino
}

func TestHTTP(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(map[bool]string{false: "current", true: "legacy"}[legacy], func(t *testing.T) {
			_, rec := start(t, func(c *Config) { c.Legacy = legacy })
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				_ = exec.Command("/bin/true", "spawned-by", r.URL.Path).Run()
				w.WriteHeader(418)
			})}
			go srv.Serve(l)
			defer srv.Close()
			client := &http.Client{}
			base := "http://" + l.Addr().String()
			for _, path := range []string{"/first", "/second"} {
				res, err := client.Post(base+path+"?page=reports&password=hunter2hunter2", "application/x-www-form-urlencoded",
					strings.NewReader("host=attacker.example&token=deepsecret99"))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			for i, path := range []string{"/first", "/second"} {
				req := rec.find(t, "request "+path, func(e *event.Event) bool {
					h := e.GetHttp()
					return h.GetOp() == event.HttpActivity_REQUEST && strings.HasPrefix(h.Request.Uri, path) && slices.Contains(h.Tokens, "attacker.example")
				})
				h := req.GetHttp()
				if req.Actor.Pid != uint32(os.Getpid()) || (req.Actor.Goroutine != 0) != goroutines().On || h.Request.Method != "POST" || h.Seen != event.HttpActivity_SOCKET {
					t.Errorf("request %v by %v", h, req.Actor)
				}
				if h.Ordinal != uint32(i) || h.Request.Flow.DstPort != uint32(port(l.Addr())) || h.Request.Flow.Cookie == 0 {
					t.Errorf("request %v", h)
				}
				if s := req.String(); strings.Contains(s, "hunter2") || strings.Contains(s, "deepsecret") {
					t.Errorf("a secret left the sensor: %s", s)
				}
				res := rec.find(t, "response "+path, func(e *event.Event) bool {
					h := e.GetHttp()
					return h.GetOp() == event.HttpActivity_RESPONSE && strings.HasPrefix(h.Request.Uri, path)
				})
				if r := res.GetHttp(); r.Status != 418 || r.Ordinal != uint32(i) || r.Request.Flow.SrcPort != h.Request.Flow.SrcPort {
					t.Errorf("response %v", r)
				}
				fork := rec.find(t, "spawn", func(e *event.Event) bool {
					return e.GetProcess().GetOp() == event.ProcessActivity_EXEC && slices.Equal(e.GetProcess().Argv, []string{"/bin/true", "spawned-by", path})
				})
				from := rec.find(t, "fork", func(e *event.Event) bool {
					return e.GetProcess().GetOp() == event.ProcessActivity_FORK && e.GetProcess().Target.Pid == fork.Actor.Pid
				})
				if from.Actor.Goroutine != req.Actor.Goroutine {
					t.Errorf("forked by goroutine %x, request read by %x", from.Actor.Goroutine, req.Actor.Goroutine)
				}
				if !(req.BootNs < from.BootNs && from.BootNs < res.BootNs) {
					t.Errorf("order: request %d fork %d response %d", req.BootNs, from.BootNs, res.BootNs)
				}
			}
			if !legacy {
				rec.none(t, "the client's side as a request", func(e *event.Event) bool {
					return e.GetHttp().GetOp() == event.HttpActivity_REQUEST && e.GetHttp().Request.Flow.GetSrcPort() == uint32(port(l.Addr()))
				})
			}
		})
	}
}

func TestDatagram(t *testing.T) {
	_, rec := start(t, nil)
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for range 3 {
		_, _ = u.WriteTo([]byte("beacon"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 9999})
	}
	rec.find(t, "datagram to an address", func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_SEND && n.Flow.DstPort == 9999 && net.IP(n.Flow.DstIp).String() == "127.0.0.9"
	})
}
