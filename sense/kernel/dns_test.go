// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/ringwall/ringwall/event"
)

// resolver is a loopback address that no resolver is known to use.
const resolver = "127.53.0.9"

// question is a query of RFC 1035 §4.1 for a name of one label below example.
func question(label string, typ byte) []byte {
	q := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(label))}
	return append(append(q, label...), "\x07example\x00\x00"+string([]byte{typ})+"\x00\x01"...)
}

func asked(name, typ string) func(*event.Event) bool {
	return func(e *event.Event) bool { return e.GetDns().GetName() == name && e.GetDns().Type == typ }
}

// Every way in which resolvers ask: connected or not, two questions in one call (glibc's
// getaddrinfo), and over TCP.
func TestDNS(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) {
			_, rec := start(t, func(c *Config) { c.Legacy = legacy })
			sink, err := net.ListenPacket("udp4", resolver+":53") // a refusal would end the second message
			if err != nil {
				t.Skip("somebody holds port 53: ", err)
			}
			defer sink.Close()
			c, err := net.Dial("udp4", resolver+":53")
			must(t, err)
			defer c.Close()
			_, err = c.Write(question("Stage", 16))
			must(t, err)
			e := rec.find(t, "question", asked("stage.example", "TXT"))
			if e.Actor.Pid != uint32(os.Getpid()) || e.GetDns().Flow.DstPort != 53 {
				t.Errorf("%v", e)
			}
			for _, connected := range []bool{true, false} {
				name := map[bool]string{true: "both", false: "loose"}[connected]
				pid := sendmmsg(t, connected, question(name, 1), question(name, 28))
				for _, typ := range []string{"A", "AAAA"} {
					if e := rec.find(t, "question of two", asked(name+".example", typ)); e.Actor.Pid != pid || net.IP(e.GetDns().Flow.DstIp).String() != resolver {
						t.Errorf("%v, want pid %d", e, pid)
					}
				}
			}
			overTCP(t, rec)
		})
	}
}

// sendmmsg has another process send two messages in one call; it gives its pid.
func sendmmsg(t *testing.T, connected bool, a, b []byte) uint32 {
	t.Helper()
	script := fmt.Sprintf(`
import ctypes, socket, struct
c = ctypes.CDLL(None, use_errno=True)
connected = %v
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to = ("%s", 53)
if connected: s.connect(to)
name = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(53), socket.inet_aton(to[0]))
class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
class msghdr(ctypes.Structure): _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint), ("iov", ctypes.POINTER(iovec)), ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
class mmsghdr(ctypes.Structure): _fields_ = [("hdr", msghdr), ("len", ctypes.c_uint)]
q = [bytes.fromhex("%x"), bytes.fromhex("%x")]
iov = [iovec(x, len(x)) for x in q]
m = (mmsghdr * 2)()
for i in range(2):
    m[i].hdr = msghdr(None if connected else name, 0 if connected else 16, ctypes.pointer(iov[i]), 1, None, 0, 0)
assert c.sendmmsg(s.fileno(), m, 2, 0) == 2, ctypes.get_errno()
`, map[bool]string{true: "True", false: "False"}[connected], resolver, a, b)
	cmd := exec.Command("python3", "-c", script)
	if out, err := cmd.CombinedOutput(); err != nil {
		if _, err := exec.LookPath("python3"); err != nil {
			t.Skip("needs python3 to make the calls")
		}
		t.Fatalf("%v: %s", err, out)
	}
	return uint32(cmd.Process.Pid)
}

// overTCP asks a server of our own on port 53: once with length and question in one
// write, once in two.
func overTCP(t *testing.T, rec *recorder) {
	l, err := net.Listen("tcp4", resolver+":53")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	for i, name := range []string{"whole", "parts"} {
		c, err := net.Dial("tcp4", l.Addr().String())
		must(t, err)
		q := question(name, 16)
		q = append([]byte{0, byte(len(q))}, q...)
		if i == 0 {
			pieces(t, c, string(q))
		} else {
			pieces(t, c, string(q[:2]), string(q[2:]))
		}
		c.Close()
		if e := rec.find(t, "question over TCP", asked(name+".example", "TXT")); e.Actor.Pid != uint32(os.Getpid()) || e.GetDns().Flow.Proto != 6 || e.GetDns().Flow.DstPort != 53 {
			t.Errorf("%v", e)
		}
	}
}
