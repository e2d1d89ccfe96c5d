// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/wire/ip"
)

// key is a conversation without direction: a <= b.
type key struct {
	a, b  netip.AddrPort
	proto uint8
}

func keyOf(p *ip.Packet) key {
	if p.Dst.Compare(p.Src) < 0 {
		return key{p.Dst, p.Src, p.Proto}
	}
	return key{p.Src, p.Dst, p.Proto}
}

// class is the list that a flow stands in, in the order in which memory is taken back.
type class uint8

const (
	ended class = iota
	opening
	datagram
	established
	classes
)

var idle = [classes]int64{int64(idleEnded), int64(idleOpening), int64(idleDatagram), int64(idleEstablished)}

// flow is one conversation. Index 0 is the direction from src.
type flow struct {
	key         key
	src         netip.AddrPort // the client
	dst         netip.AddrPort
	first       int64 // wall ns
	last        [2]int64
	bytes       [2]uint64
	packets     [2]uint64
	iface       [2]int32
	isn         uint32 // of the SYN
	flags       uint8  // union
	fins        uint8  // bit per direction
	resets      uint8  // bit per direction
	class       class
	guessed     bool // who is the client is a guess
	answered    bool // a SYN|ACK came
	told, ended bool // FLOW_OPEN, FLOW_CLOSE
	shed        bool // not told, for there were too many
	waits       bool // in the list of requests that wait for their bodies
	app         string
	syn         string // shape of the client's SYN
	talk        *talk  // what is being read; nil: only counted
	cost        int

	prev, next *flow
}

// flowCost is a flow with its place in the map, measured (BenchmarkFlowMemory).
const flowCost = 480

func (f *flow) lastSeen() int64 { return max(f.last[0], f.last[1]) }

func (f *flow) dir(p *ip.Packet) int {
	if p.Src == f.src && (f.src != f.dst || f.packets[0] == 0) {
		return 0
	}
	return 1
}

// turn makes the other end the client.
func (f *flow) turn() {
	f.src, f.dst = f.dst, f.src
	f.last[0], f.last[1] = f.last[1], f.last[0]
	f.bytes[0], f.bytes[1] = f.bytes[1], f.bytes[0]
	f.packets[0], f.packets[1] = f.packets[1], f.packets[0]
	f.iface[0], f.iface[1] = f.iface[1], f.iface[0]
	f.fins = f.fins>>1 | f.fins&1<<1
	f.resets = f.resets>>1 | f.resets&1<<1
	if f.talk != nil {
		f.talk.turn()
	}
}

func (f *flow) entity(netns uint64) *entity.Flow {
	e := entity.NewFlow(f.src, f.dst, f.key.proto)
	e.Netns = netns
	return e
}

// table holds the flows under one budget, in a list per class, the newest in front.
type table struct {
	flows  map[key]*flow
	lists  [classes]flow // sentinels of rings
	memory int
	budget int
}

func newTable(budget int) *table {
	t := &table{flows: map[key]*flow{}, budget: budget}
	for i := range t.lists {
		t.lists[i].prev, t.lists[i].next = &t.lists[i], &t.lists[i]
	}
	return t
}

func (f *flow) unlink() { f.prev.next, f.next.prev = f.next, f.prev }

// front puts a flow in front of its list.
func (t *table) front(f *flow) {
	head := &t.lists[f.class]
	if head.next == f {
		return
	}
	if f.prev != nil {
		f.unlink()
	}
	f.prev, f.next = head, head.next
	head.next.prev, head.next = f, f
}

// move changes the class.
func (t *table) move(f *flow, c class) {
	if f.class == c {
		return
	}
	f.unlink()
	f.prev, f.class = nil, c
	t.front(f)
}

// charge sets what a flow costs.
func (t *table) charge(f *flow, cost int) {
	t.memory += cost - f.cost
	f.cost = cost
}

func (t *table) add(f *flow) {
	t.flows[f.key] = f
	t.front(f)
	t.charge(f, flowCost)
}

func (t *table) remove(f *flow) {
	delete(t.flows, f.key)
	f.unlink()
	f.prev, f.next = nil, nil
	t.charge(f, 0)
}

// oldest is the longest silent flow of a class, or nil.
func (t *table) oldest(c class) *flow {
	if f := t.lists[c].prev; f != &t.lists[c] {
		return f
	}
	return nil
}

// victim is the flow that goes next for want of memory, and never keep.
func (t *table) victim(keep *flow) *flow {
	for c := range classes {
		if f := t.oldest(c); f != nil && f != keep {
			return f
		}
	}
	return nil
}

// expired is a flow that was silent for too long, or nil.
func (t *table) expired(now int64) *flow {
	for c := range classes {
		if f := t.oldest(c); f != nil && now-f.lastSeen() > idle[c] {
			return f
		}
	}
	return nil
}

// rate is a bucket of tokens over packet time.
type rate struct {
	perSec int
	left   int
	from   int64
}

func (r *rate) take(now int64) bool {
	if now-r.from >= int64(time.Second) || now < r.from {
		r.from, r.left = now, r.perSec
	}
	if r.left == 0 {
		return false
	}
	r.left--
	return true
}
