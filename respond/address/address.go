// SPDX-License-Identifier: Apache-2.0

// Package address blocks addresses and prefixes in the kernel: one nft table,
// `inet ringwall`, with a set per family for addresses (hash) and one for prefixes
// (interval), and drops in input, forward and output.
//
// In come holds (who asks, what, for how long); out goes a table that holds exactly
// those. It believes its own list of holds: a table found at start is replaced, in one
// transaction, by what Reset is told. Every element carries its timeout, so a block
// ends by itself when the agent dies.
//
// The worst trap: a block does not end what is established and idle; package
// connection does. And a reset that the host sends itself comes back over lo with the
// blocked source address, so lo is accepted before anything is dropped.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Name of the table; its family is inet. Nothing else may live in it.
const Name = "ringwall"

// Hold is one reason to block. Two holds on one prefix are counted: it is free when
// the last one goes.
type Hold struct {
	ID     string // of the order
	Prefix netip.Prefix
	Until  time.Time // monotonic reading kept
}

// Table is the block list of one network namespace. Safe for many goroutines.
type Table struct {
	ns *os.File // nil: the namespace of this process

	mu    sync.Mutex // guards what is below and the order of transactions
	holds map[string]Hold
}

// Open probes that nftables answers in the namespace (nil: the own one); the caller
// keeps ns open. Nothing is created before the first Block.
func Open(ns *os.File) (*Table, error) {
	t := &Table{ns: ns, holds: map[string]Hold{}}
	if _, err := t.exists(); err != nil {
		return nil, fmt.Errorf("ask nftables for its tables: %w; needs CAP_NET_ADMIN and CONFIG_NF_TABLES_INET", err)
	}
	return t, nil
}

func (t *Table) conn() *nftables.Conn {
	c := &nftables.Conn{}
	if t.ns != nil {
		c.NetNS = int(t.ns.Fd())
	}
	return c
}

func (t *Table) exists() (bool, error) {
	tables, err := t.conn().ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, err
	}
	for _, x := range tables {
		if x.Name == Name {
			return true, nil
		}
	}
	return false, nil
}

// Block adds a hold; the same id again changes it. A missing table is built anew.
func (t *Table) Block(h Hold) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !h.Prefix.IsValid() || time.Until(h.Until) <= 0 {
		return fmt.Errorf("block %s: no such prefix, or its time is over", h.Prefix)
	}
	h.Prefix = canonical(h.Prefix)
	old, had := t.holds[h.ID]
	t.holds[h.ID] = h
	there, err := t.exists()
	if err == nil {
		if !there || had && old.Prefix != h.Prefix {
			err = t.rebuild()
		} else {
			err = t.renew(h.Prefix)
		}
	}
	if err != nil {
		delete(t.holds, h.ID)
		if had {
			t.holds[h.ID] = old
		}
		return fmt.Errorf("block %s: %w", h.Prefix, err)
	}
	return nil
}

// Lift takes a hold away. What nobody holds any more is free; with the last hold the
// table goes. An unknown id is no error.
func (t *Table) Lift(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.holds[id]
	if !ok {
		return nil
	}
	delete(t.holds, id)
	there, err := t.exists()
	if err == nil && there {
		if len(t.holds) == 0 {
			err = t.remove()
		} else {
			err = t.renew(h.Prefix)
		}
	}
	if err != nil {
		t.holds[id] = h
		return fmt.Errorf("lift the block of %s: %w", h.Prefix, err)
	}
	return nil
}

// Reset makes the table hold exactly these, in one transaction: at no moment is
// anything open that was blocked before and after.
func (t *Table) Reset(holds []Hold) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holds = map[string]Hold{}
	for _, h := range holds {
		if h.Prefix.IsValid() && time.Until(h.Until) > 0 {
			h.Prefix = canonical(h.Prefix)
			t.holds[h.ID] = h
		}
	}
	var err error
	if len(t.holds) > 0 {
		err = t.rebuild()
	} else {
		err = t.removeIfThere()
	}
	if err != nil {
		return fmt.Errorf("set the table %q: %w", Name, err)
	}
	return nil
}

func (t *Table) removeIfThere() error {
	there, err := t.exists()
	if err == nil && there {
		err = t.remove()
	}
	return err
}

func (t *Table) remove() error {
	c := t.conn()
	c.DelTable(&nftables.Table{Name: Name, Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// Blocked looks into the kernel, not into the list of holds.
func (t *Table) Blocked(p netip.Prefix) (bool, error) {
	p = canonical(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.exists()
	if err != nil || !there {
		return false, err
	}
	elements, err := t.conn().GetSetElements(newSets()[setOf(p)])
	if err != nil {
		return false, fmt.Errorf("list the set %s: %w", setOf(p), err)
	}
	return covers(elements, p), nil
}

// Packets tells how many the table has met, and how many of them it dropped, since it
// was built: with the first block, and after a change of prefixes or a reset.
func (t *Table) Packets() (met, dropped uint64, err error) {
	there, err := t.exists()
	if err != nil || !there {
		return 0, 0, err
	}
	for _, ch := range chains() {
		rules, err := t.conn().GetRules(ch.Table, ch)
		if err != nil {
			return 0, 0, fmt.Errorf("list the rules of %s: %w", ch.Name, err)
		}
		for _, r := range rules {
			m, d := counted(r)
			met, dropped = met+m, dropped+d
		}
	}
	return met, dropped, nil
}

// canonical unmaps IPv4 in IPv6 and clears host bits.
func canonical(p netip.Prefix) netip.Prefix {
	a, bits := p.Addr(), p.Bits()
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked()
}
