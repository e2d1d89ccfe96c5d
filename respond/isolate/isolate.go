// SPDX-License-Identifier: Apache-2.0

// Package isolate cuts a host off from everybody but those named: one nft table of its
// own, `inet ringwall_isolate`, made in one transaction and undone by deleting it.
//
// In come those who may still talk (the brain, declared peers, the operator's open
// sessions) and a lifetime; out goes a host that answers them and itself, nobody else.
// It believes its caller about who that is.
//
// The worst trap: an agent that dies while its host is isolated. The drop asks a set
// with a timeout whether it still holds, so the kernel itself ends the isolation.
package isolate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Name of the table; its family is inet.
const Name = "ringwall_isolate"

// holding is the set whose elements, one per protocol family, live as long as the isolation.
const holding = "holding"

// Session is one TCP connection that stays open.
type Session struct{ Local, Remote netip.AddrPort }

// Allowed says who may still talk.
type Allowed struct {
	Peers    []netip.Prefix // the brain and declared peers, every port, both ways
	Sessions []Session      // the operator's, exactly these
}

// Wall is the isolation of one network namespace. Safe for many goroutines: the kernel
// orders the transactions.
type Wall struct{ ns *os.File }

// Open probes that nftables answers in the namespace (nil: the own one).
func Open(ns *os.File) (*Wall, error) {
	w := &Wall{ns: ns}
	if _, err := w.Standing(); err != nil {
		return nil, fmt.Errorf("ask nftables for its tables: %w; needs CAP_NET_ADMIN and CONFIG_NF_TABLES_INET", err)
	}
	return w, nil
}

func (w *Wall) conn() *nftables.Conn {
	c := &nftables.Conn{}
	if w.ns != nil {
		c.NetNS = int(w.ns.Fd())
	}
	return c
}

func table() *nftables.Table {
	return &nftables.Table{Name: Name, Family: nftables.TableFamilyINet}
}

// Standing tells whether the host is isolated now, by asking the kernel.
func (w *Wall) Standing() (bool, error) {
	tables, err := w.conn().ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		if t.Name == Name {
			elements, err := w.conn().GetSetElements(&nftables.Set{Table: table(), Name: holding, KeyType: nftables.TypeNFProto, HasTimeout: true})
			return len(elements) > 0, err
		}
	}
	return false, nil
}

// Raise isolates for life; raised again it replaces what stood, without a gap.
func (w *Wall) Raise(allowed Allowed, life time.Duration) error {
	if life <= 0 {
		return errors.New("isolate: no lifetime left")
	}
	c := w.conn()
	c.AddTable(table()) // so that the deletion always finds one
	c.DelTable(table())
	t := c.AddTable(table())
	set := &nftables.Set{Table: t, ID: 1, Name: holding, KeyType: nftables.TypeNFProto, HasTimeout: true}
	if err := c.AddSet(set, nil); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	life = max(life, time.Millisecond)
	if err := c.SetAddElements(set, []nftables.SetElement{
		{Key: []byte{unix.NFPROTO_IPV4}, Timeout: life}, {Key: []byte{unix.NFPROTO_IPV6}, Timeout: life},
	}); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	for _, h := range []struct {
		name    string
		hook    *nftables.ChainHook
		in, out bool
	}{
		{"input", nftables.ChainHookInput, true, false},
		{"forward", nftables.ChainHookForward, true, true},
		{"output", nftables.ChainHookOutput, false, true},
	} {
		p := nftables.ChainPriority(-20) // before the blocks of addresses and the host's own filter
		ch := c.AddChain(&nftables.Chain{Name: h.name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: h.hook, Priority: &p})
		for _, e := range rules(set, allowed, h.in, h.out) {
			c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: e})
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	return nil
}

// Lower ends the isolation; it is no error when there is none.
func (w *Wall) Lower() error {
	tables, err := w.conn().ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("end the isolation: %w", err)
	}
	for _, t := range tables {
		if t.Name == Name {
			c := w.conn()
			c.DelTable(table())
			if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("end the isolation: delete table %s: %w", Name, err)
			}
		}
	}
	return nil
}

// rules of one chain: accept lo, neighbour discovery, peers and sessions; drop the rest.
func rules(set *nftables.Set, allowed Allowed, in, out bool) [][]expr.Any {
	var list [][]expr.Any
	add := func(e ...[]expr.Any) { list = append(list, join(append(e, accept())...)) }
	if in != out {
		key := expr.MetaKeyIIFNAME
		if out {
			key = expr.MetaKeyOIFNAME
		}
		lo := make([]byte, unix.IFNAMSIZ)
		copy(lo, "lo")
		add(meta(key, lo))
		add(meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6}), neighbours()) // or IPv6 peers become unreachable
	}
	for _, p := range allowed.Peers {
		if in {
			add(address(p, true))
		}
		if out {
			add(address(p, false))
		}
	}
	for _, s := range allowed.Sessions {
		tcp := meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP})
		if in && !out {
			add(address(single(s.Remote.Addr()), true), address(single(s.Local.Addr()), false), tcp, ports(s.Remote.Port(), s.Local.Port()))
		}
		if out && !in {
			add(address(single(s.Local.Addr()), true), address(single(s.Remote.Addr()), false), tcp, ports(s.Local.Port(), s.Remote.Port()))
		}
	}
	return append(list, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()) }

func join(parts ...[]expr.Any) (out []expr.Any) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func meta(key expr.MetaKey, want []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want}}
}

// neighbours are ICMPv6 types 133 to 136 (RFC 4861 section 4).
func neighbours() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{133}, ToData: []byte{136}},
	}
}

func address(p netip.Prefix, source bool) []expr.Any {
	p = p.Masked()
	family, length, offset := byte(unix.NFPROTO_IPV4), uint32(4), uint32(12)
	if p.Addr().Is6() {
		family, length, offset = unix.NFPROTO_IPV6, 16, 8
	}
	if !source {
		offset += length
	}
	mask := make([]byte, length)
	for i := range p.Bits() {
		mask[i/8] |= 1 << (7 - i%8)
	}
	return append(meta(expr.MetaKeyNFPROTO, []byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask, Xor: make([]byte, length)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
	)
}

// ports compares source and destination port at once.
func ports(source, dest uint16) []expr.Any {
	both := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, source), dest)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: both},
	}
}
