// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/respond/testnet"
)

func open(t testing.TB, n *testnet.Net) *Cutter {
	t.Helper()
	c, err := Open(n.File)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCut: both ends of the chosen connections end, the others go on, and a new one is
// possible: done, undone, done again.
func TestCut(t *testing.T) {
	host, peer := testnet.Pair(t)
	c := open(t, host)
	port := host.Listen(":0").Port()
	dial := func(n *testnet.Net, six bool) net.Conn {
		to := host.Addr
		if six {
			to = host.Addr6
		}
		conn, err := n.Dial(to, port)
		if err != nil {
			t.Fatal(err)
		}
		if err := testnet.Echo(conn); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	own := dial(host, false)
	for range 2 {
		var theirs []net.Conn
		for i := range 130 { // more than one batch
			theirs = append(theirs, dial(peer, i%2 == 1))
		}
		found, err := c.List(Alive, func(s *Socket) bool { return s.Remote.Addr() == peer.Addr || s.Remote.Addr() == peer.Addr6 }, unix.IPPROTO_TCP, unix.IPPROTO_UDP)
		if err != nil || len(found) != len(theirs) {
			t.Fatalf("found %d of %d, %v", len(found), len(theirs), err)
		}
		if n, err := c.Destroy(found); n != len(found) || err != nil {
			t.Fatalf("cut %d of %d, %v", n, len(found), err)
		}
		for _, conn := range theirs {
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("the far end does not know: %v", err)
			}
		}
		if n, err := c.Destroy(found); n != len(found) || err != nil {
			t.Errorf("again: %d, %v; want what is gone to count", n, err)
		}
		if err := testnet.Echo(own); err != nil {
			t.Errorf("another's connection was cut: %v", err)
		}
	}
}

// TestListens tells listeners from connections, and one namespace from another.
func TestListens(t *testing.T) {
	host, peer := testnet.Pair(t)
	at := host.Listen("127.0.0.1:0")
	for n, want := range map[*testnet.Net]int{host: 1, peer: 0} {
		found, err := open(t, n).List(Listening, func(s *Socket) bool { return s.Local == at }, unix.IPPROTO_TCP)
		if err != nil || len(found) != want {
			t.Errorf("%d listeners, want %d (%v)", len(found), want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(make([]byte, answer))
	f.Add([]byte{2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := parse(b, unix.IPPROTO_TCP); ok {
			_ = s.String()
		}
	})
}

func BenchmarkCut(b *testing.B) {
	host, peer := testnet.Pair(b)
	c := open(b, host)
	port := host.Listen(":0").Port()
	for b.Loop() {
		b.StopTimer()
		for range 100 {
			if _, err := peer.Dial(host.Addr, port); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		found, err := c.List(Alive, func(s *Socket) bool { return s.Remote.Addr() == peer.Addr }, unix.IPPROTO_TCP)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Destroy(found); err != nil {
			b.Fatal(err)
		}
	}
}
