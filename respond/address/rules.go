// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Names of the sets.
const (
	addr4 = "addr4"
	addr6 = "addr6"
	net4  = "net4"
	net6  = "net6"
)

// priority: just before the host's own filter chains (0). An accept here does not skip
// those, so what they drop stays dropped.
const priority = nftables.ChainPriority(-10)

func table() *nftables.Table {
	return &nftables.Table{Name: Name, Family: nftables.TableFamilyINet}
}

func newSets() map[string]*nftables.Set {
	t := table()
	return map[string]*nftables.Set{
		addr4: {Table: t, Name: addr4, KeyType: nftables.TypeIPAddr, HasTimeout: true},
		addr6: {Table: t, Name: addr6, KeyType: nftables.TypeIP6Addr, HasTimeout: true},
		net4:  {Table: t, Name: net4, KeyType: nftables.TypeIPAddr, HasTimeout: true, Interval: true},
		net6:  {Table: t, Name: net6, KeyType: nftables.TypeIP6Addr, HasTimeout: true, Interval: true},
	}
}

var setNames = []string{addr4, addr6, net4, net6}

func setOf(p netip.Prefix) string {
	switch {
	case p.IsSingleIP() && p.Addr().Is4():
		return addr4
	case p.IsSingleIP():
		return addr6
	case p.Addr().Is4():
		return net4
	}
	return net6
}

func chains() []*nftables.Chain {
	t := table()
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		p := priority
		return &nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &p}
	}
	return []*nftables.Chain{
		chain("input", nftables.ChainHookInput),
		chain("forward", nftables.ChainHookForward),
		chain("output", nftables.ChainHookOutput),
	}
}

// rebuild writes the whole table in one transaction.
func (t *Table) rebuild() error {
	c := t.conn()
	c.AddTable(table()) // so that the deletion always finds one
	c.DelTable(table())
	c.AddTable(table())
	sets := newSets()
	for i, name := range setNames {
		s := sets[name]
		s.ID = uint32(i + 1)
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
		if elements := t.elements(name); len(elements) > 0 {
			if err := c.SetAddElements(s, elements); err != nil {
				return err
			}
		}
	}
	for _, ch := range chains() {
		c.AddChain(ch)
		source, dest := ch.Name != "output", ch.Name != "input"
		switch ch.Name {
		case "input":
			c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: loopback(expr.MetaKeyIIFNAME)})
		case "output":
			c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: loopback(expr.MetaKeyOIFNAME)})
			// The reset of a connection that is being cut may go out, so that the
			// other end does not hang on it.
			c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: resets()})
		}
		c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: []expr.Any{&expr.Counter{}}})
		for _, name := range setNames {
			if source {
				c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: drop(sets[name], true)})
			}
			if dest {
				c.AddRule(&nftables.Rule{Table: ch.Table, Chain: ch, Exprs: drop(sets[name], false)})
			}
		}
	}
	return c.Flush()
}

// renew brings the kernel's elements for p in line with the holds.
func (t *Table) renew(p netip.Prefix) error {
	name := setOf(p)
	s := newSets()[name]
	c := t.conn()
	if s.Interval { // few, and the kernel refuses overlaps: write the merged ranges anew
		c.FlushSet(s)
		if elements := t.elements(name); len(elements) > 0 {
			if err := c.SetAddElements(s, elements); err != nil {
				return err
			}
		}
		return c.Flush()
	}
	// The kernel keeps the old timeout of an element that is there, and refuses to
	// delete one that is not: add, delete, and add again when it is still wanted.
	one := []nftables.SetElement{{Key: p.Addr().AsSlice(), Timeout: time.Hour}}
	if err := c.SetAddElements(s, one); err != nil {
		return err
	}
	if err := c.SetDeleteElements(s, one); err != nil {
		return err
	}
	if left := t.left(p); left > 0 {
		one[0].Timeout = left
		if err := c.SetAddElements(s, one); err != nil {
			return err
		}
	}
	return c.Flush()
}

// left is how long p is wanted by the last of its holds.
func (t *Table) left(p netip.Prefix) time.Duration {
	var most time.Duration
	for _, h := range t.holds {
		if h.Prefix == p {
			most = max(most, time.Until(h.Until))
		}
	}
	if most > 0 {
		most = max(most, time.Millisecond) // the kernel counts in ms, and 0 is "for ever"
	}
	return most
}

func (t *Table) elements(name string) []nftables.SetElement {
	wanted := map[netip.Prefix]time.Duration{}
	for _, h := range t.holds {
		if left := t.left(h.Prefix); setOf(h.Prefix) == name && left > 0 {
			wanted[h.Prefix] = left
		}
	}
	prefixes := make([]netip.Prefix, 0, len(wanted))
	for p := range wanted {
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits() // the wider first
	})
	var out []nftables.SetElement
	if name == addr4 || name == addr6 {
		for _, p := range prefixes {
			out = append(out, nftables.SetElement{Key: p.Addr().AsSlice(), Timeout: wanted[p]})
		}
		return out
	}
	// Prefixes never overlap in part: one either holds another or lies beside it. A
	// prefix inside a wider one lends the latter its lifetime.
	var kept []netip.Prefix
	for _, p := range prefixes {
		if n := len(kept); n > 0 && kept[n-1].Contains(p.Addr()) {
			wanted[kept[n-1]] = max(wanted[kept[n-1]], wanted[p])
			continue
		}
		kept = append(kept, p)
	}
	for _, p := range kept {
		out = append(out, nftables.SetElement{Key: p.Addr().AsSlice(), Timeout: wanted[p]})
		if end := last(p).Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// covers tells whether a listing holds all of p.
func covers(elements []nftables.SetElement, p netip.Prefix) bool {
	if p.IsSingleIP() {
		return slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return bytes.Equal(e.Key, p.Addr().AsSlice()) })
	}
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		if c := bytes.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd { // one range ends where the next begins
			return -1
		}
		return 1
	})
	first, end := p.Addr().AsSlice(), last(p).AsSlice()
	inside := false
	for _, e := range elements {
		if bytes.Compare(e.Key, first) <= 0 {
			inside = !e.IntervalEnd
		} else if bytes.Compare(e.Key, end) <= 0 {
			return false // something begins or ends within p
		}
	}
	return inside
}

func loopback(key expr.MetaKey) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, "lo")
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

func resets() []expr.Any {
	const flags, rst = 13, 0x04 // offset in the TCP header; bit
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{rst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// drop is "nfproto X; saddr or daddr in set; counter; drop".
func drop(s *nftables.Set, source bool) []expr.Any {
	family, length, offset := byte(unix.NFPROTO_IPV4), uint32(4), uint32(12)
	if s.KeyType.Name == nftables.TypeIP6Addr.Name {
		family, length, offset = unix.NFPROTO_IPV6, 16, 8
	}
	if !source {
		offset += length
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// counted reads a rule's counter: a rule of nothing else counts what is met.
func counted(r *nftables.Rule) (met, dropped uint64) {
	for _, e := range r.Exprs {
		if c, ok := e.(*expr.Counter); ok {
			if len(r.Exprs) == 1 {
				return c.Packets, 0
			}
			return 0, c.Packets
		}
	}
	return 0, 0
}
