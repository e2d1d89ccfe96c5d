// SPDX-License-Identifier: Apache-2.0

package address

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/respond/testnet"
)

func open(t *testing.T, n *testnet.Net) *Table {
	t.Helper()
	table, err := Open(n.File)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func hold(id, prefix string, life time.Duration) Hold {
	return Hold{ID: id, Prefix: netip.MustParsePrefix(prefix), Until: time.Now().Add(life)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBlockUndoAgain: done, undone, done again, for both families and for prefixes; what
// is not blocked passes, and nothing is left behind.
func TestBlockUndoAgain(t *testing.T) {
	host, peer := testnet.Pair(t)
	table := open(t, host)
	port := host.Listen(":0").Port()
	before := host.Rules()
	for _, c := range []struct {
		prefix string
		hit    netip.Addr // address of the host that is dialled
		spared netip.Addr
	}{
		{"10.99.7.2/32", host.Addr, host.Addr6},
		{"fd99::2/128", host.Addr6, host.Addr},
		{"10.99.7.0/30", host.Addr, host.Addr6},
		{"fd99::/112", host.Addr6, host.Addr},
		{"::ffff:10.99.7.2/128", host.Addr, host.Addr6},
	} {
		for range 2 {
			must(t, table.Block(hold("a", c.prefix, time.Hour)))
			if there, err := table.Blocked(netip.MustParsePrefix(c.prefix)); err != nil || !there {
				t.Errorf("%s: blocked %v, %v", c.prefix, there, err)
			}
			if peer.Reaches(c.hit, port) {
				t.Errorf("%s: a packet came through", c.prefix)
			}
			if conn, err := peer.Dial(c.spared, port); err != nil || testnet.Echo(conn) != nil {
				t.Errorf("%s: %s was cut as well: %v", c.prefix, c.spared, err)
			}
			if met, n, err := table.Packets(); err != nil || n == 0 || met < n {
				t.Errorf("%s: counter %d, %v", c.prefix, n, err)
			}
			must(t, table.Lift("a"))
			if conn, err := peer.Dial(c.hit, port); err != nil || testnet.Echo(conn) != nil {
				t.Errorf("%s: still blocked after the undo: %v", c.prefix, err)
			}
			if after := host.Rules(); after != before {
				t.Errorf("%s: left behind:\n%s", c.prefix, after)
			}
		}
	}
}

// TestHoldsAreCounted: two orders for one address, and prefixes inside one another.
func TestHoldsAreCounted(t *testing.T) {
	host, _ := testnet.Pair(t)
	table := open(t, host)
	is := func(prefix string, want bool) {
		t.Helper()
		if there, err := table.Blocked(netip.MustParsePrefix(prefix)); err != nil || there != want {
			t.Errorf("%s: blocked %v, want %v (%v)", prefix, there, want, err)
		}
	}
	must(t, table.Block(hold("a", "192.0.2.7/32", time.Hour)))
	must(t, table.Block(hold("b", "192.0.2.7/32", time.Hour)))
	must(t, table.Block(hold("c", "198.51.100.0/24", time.Hour)))
	must(t, table.Block(hold("d", "198.51.100.128/25", 2*time.Hour)))
	must(t, table.Block(hold("e", "198.51.101.0/24", time.Hour)))
	must(t, table.Lift("a"))
	is("192.0.2.7/32", true)
	is("192.0.2.8/32", false)
	is("198.51.100.0/24", true)
	must(t, table.Lift("c"))
	is("198.51.100.0/24", false)
	is("198.51.100.128/25", true)
	is("198.51.101.0/24", true)
	must(t, table.Lift("b"))
	is("192.0.2.7/32", false)
	must(t, table.Lift("b"))
	must(t, table.Lift("nobody's"))
	must(t, table.Block(hold("d", "203.0.113.0/24", time.Hour))) // the id moves
	is("198.51.100.128/25", false)
	is("203.0.113.0/24", true)
}

// TestKernelEndsIt: a block ends by itself; a longer hold on the same address prolongs it.
func TestKernelEndsIt(t *testing.T) {
	host, _ := testnet.Pair(t)
	table := open(t, host)
	must(t, table.Block(hold("short", "192.0.2.1/32", 200*time.Millisecond)))
	must(t, table.Block(hold("other", "192.0.2.2/32", 200*time.Millisecond)))
	must(t, table.Block(hold("longer", "192.0.2.2/32", time.Hour)))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		there, err := table.Blocked(netip.MustParsePrefix("192.0.2.1/32"))
		must(t, err)
		if !there {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the kernel did not end it")
		}
	}
	if there, _ := table.Blocked(netip.MustParsePrefix("192.0.2.2/32")); !there {
		t.Error("the longer hold did not prolong it")
	}
	must(t, table.Lift("short")) // gone already
}

// TestReset: a new life of the agent replaces what the last one left; others' tables stay.
func TestReset(t *testing.T) {
	host, _ := testnet.Pair(t)
	if out, err := host.Run("nft", "add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }"); err != nil {
		t.Skipf("nft: %v: %s", err, out)
	}
	before := host.Rules()
	old := open(t, host)
	must(t, old.Block(hold("a", "192.0.2.1/32", time.Hour)))
	must(t, old.Block(hold("b", "192.0.2.2/32", time.Hour)))
	table := open(t, host)
	must(t, table.Reset([]Hold{hold("b", "192.0.2.2/32", time.Hour), hold("late", "192.0.2.3/32", -time.Second)}))
	for prefix, want := range map[string]bool{"192.0.2.1/32": false, "192.0.2.2/32": true, "192.0.2.3/32": false} {
		if there, err := table.Blocked(netip.MustParsePrefix(prefix)); err != nil || there != want {
			t.Errorf("%s: blocked %v, want %v (%v)", prefix, there, want, err)
		}
	}
	if _, err := host.Run("nft", "delete", "table", "inet", Name); err != nil {
		t.Fatal(err)
	}
	must(t, table.Block(hold("c", "192.0.2.4/32", time.Hour))) // somebody flushed it: built anew
	if !strings.Contains(host.Rules(), "192.0.2.2") {
		t.Error("the hold from before is missing in the table built anew")
	}
	must(t, table.Reset(nil))
	if after := host.Rules(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
