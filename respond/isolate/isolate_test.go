// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/respond/testnet"
)

// TestRaiseLower: done, undone, done again. Who is allowed talks, the operator's open
// session goes on, all others are cut, and nothing is left behind.
func TestRaiseLower(t *testing.T) {
	host, peer := testnet.Pair(t)
	w, err := Open(host.File)
	if err != nil {
		t.Fatal(err)
	}
	at, far := host.Listen(":0"), peer.Listen(":0")
	session, err := peer.Dial(host.Addr, at.Port())
	if err != nil {
		t.Fatal(err)
	}
	before := host.Rules()
	for range 2 {
		// A new one each time: what an old one could not send comes later.
		stranger, err := peer.Dial(host.Addr, at.Port())
		if err != nil {
			t.Fatal(err)
		}
		allowed := Allowed{
			Peers:    []netip.Prefix{netip.PrefixFrom(peer.Addr6, 128)},
			Sessions: []Session{{Local: netip.AddrPortFrom(host.Addr, at.Port()), Remote: netip.MustParseAddrPort(session.LocalAddr().String())}},
		}
		for range 2 { // raised twice: the same
			if err := w.Raise(allowed, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if up, err := w.Standing(); err != nil || !up {
			t.Errorf("standing %v, %v", up, err)
		}
		if err := testnet.Echo(session); err != nil {
			t.Errorf("the operator's session was cut: %v", err)
		}
		if conn, err := peer.Dial(host.Addr6, at.Port()); err != nil || testnet.Echo(conn) != nil {
			t.Errorf("the allowed peer cannot come in: %v", err)
		}
		if conn, err := host.Dial(peer.Addr6, far.Port()); err != nil || testnet.Echo(conn) != nil {
			t.Errorf("the allowed peer cannot be reached: %v", err)
		}
		if conn, err := host.Dial(netip.MustParseAddr("127.0.0.1"), at.Port()); err != nil || testnet.Echo(conn) != nil {
			t.Errorf("lo was cut: %v", err)
		}
		if peer.Reaches(host.Addr, at.Port()) {
			t.Error("a stranger came in")
		}
		if host.Reaches(peer.Addr, far.Port()) {
			t.Error("a stranger was reached")
		}
		if !testnet.Silent(stranger) {
			t.Error("a stranger's open connection goes on")
		}
		for range 2 {
			if err := w.Lower(); err != nil {
				t.Fatal(err)
			}
		}
		if after := host.Rules(); after != before {
			t.Errorf("left behind:\n%s", after)
		}
		if conn, err := peer.Dial(host.Addr, at.Port()); err != nil || testnet.Echo(conn) != nil {
			t.Errorf("still isolated after the undo: %v", err)
		}
	}
}

// TestKernelEndsIt: an agent that dies does not leave its host cut off.
func TestKernelEndsIt(t *testing.T) {
	host, peer := testnet.Pair(t)
	w, err := Open(host.File)
	if err != nil {
		t.Fatal(err)
	}
	at := host.Listen(":0")
	if err := w.Raise(Allowed{}, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		up, err := w.Standing()
		if err != nil {
			t.Fatal(err)
		}
		if !up {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the kernel did not end it")
		}
	}
	if conn, err := peer.Dial(host.Addr, at.Port()); err != nil || testnet.Echo(conn) != nil {
		t.Errorf("still isolated: %v", err)
	}
	if err := w.Lower(); err != nil {
		t.Fatal(err)
	}
}
