// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// role is where a sighting of a flow was made.
type role uint8

const (
	onWire role = iota
	atClient
	atServer
)

// slack is how far the clocks of two hosts may stand apart for both ends of a flow
// to be joined.
const slack = int64(2500e6)

// tuple is a conversation without direction: a < b.
type tuple struct {
	a, b  netip.AddrPort
	proto uint32
}

func tupleOf(f *entity.Flow) tuple {
	a, b := f.Src(), f.Dst()
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return tuple{a, b, f.GetProto()}
}

// flow resolves a flow sighting to one interval of its conversation. opens says that
// the sighting is the beginning (SYN, connect, accept). Of the intervals that the
// sighting does not contradict, the one that began nearest in time is meant.
func (g *Graph) flow(h uint32, f *entity.Flow, t int64, at role, opens bool) NodeID {
	if f == nil || len(f.SrcIp) == 0 || len(f.DstIp) == 0 {
		return 0
	}
	tp := tupleOf(f)
	var best NodeID
	bestGap := int64(1 << 62)
	for _, id := range g.tuples[tp] {
		n := g.Node(id)
		if n == nil || !g.fits(n, h, f, t, at, opens) {
			continue
		}
		if gap := abs(t - n.First); gap < bestGap || !opens && gap == bestGap {
			best, bestGap = id, gap
		}
	}
	if best == 0 {
		best = g.newFlow(tp, h, f, t)
	}
	n := g.Node(best)
	switch seen := (end{h, f.Netns, f.Cookie, true}); at {
	case atClient:
		if !n.Flow.Client.set {
			n.Flow.Client = seen
		}
	case atServer:
		if !n.Flow.Server.set {
			n.Flow.Server = seen
		}
	default:
		n.Flow.wire = n.Flow.wire || opens
	}
	g.touch(best, t)
	return best
}

// fits tells whether a sighting can mean this interval.
func (g *Graph) fits(n *Node, h uint32, f *entity.Flow, t int64, at role, opens bool) bool {
	fl := n.Flow
	if t < n.First-slack || fl.Closed != 0 && t > fl.Closed+slack {
		return false
	}
	if opens && abs(t-n.First) > slack {
		return false
	}
	if f.Src().Addr().IsLoopback() && !g.sameNet(fl, n.Host, h, f.Netns) {
		return false // every namespace has a loopback of its own
	}
	switch at {
	case atClient:
		return !fl.Client.set || fl.Client.is(h, f)
	case atServer:
		return !fl.Server.set || fl.Server.is(h, f)
	}
	if opens && fl.wire && fl.Closed != 0 && t > fl.Closed {
		return false // a new SYN after the end starts a new interval
	}
	// A sighting in a namespace that is neither end cannot be told from an
	// equal tuple elsewhere on this host, unless no end was seen there.
	if f.Netns != 0 {
		c, s := fl.Client, fl.Server
		if c.set && s.set && c.host == h && s.host == h && c.netns != f.Netns && s.netns != f.Netns {
			return false
		}
		if c.set != s.set {
			one := c
			if s.set {
				one = s
			}
			if one.host == h && one.netns != 0 && one.netns != f.Netns && g.Node(fl.only(h, f.Netns, g)) != nil {
				return false
			}
		}
	}
	return true
}

// only finds another interval of the same conversation whose end was seen in that
// namespace of that host.
func (fl *Flow) only(h uint32, netns uint64, g *Graph) NodeID {
	for _, id := range g.tuples[tupleOf(fl.Ref)] {
		if n := g.Node(id); n != nil && n.Flow != fl {
			if c, s := n.Flow.Client, n.Flow.Server; c.set && c.host == h && c.netns == netns || s.set && s.host == h && s.netns == netns {
				return id
			}
		}
	}
	return 0
}

// ServedAt tells whether the flow was seen to come in at that host.
func (fl *Flow) ServedAt(host uint32) bool { return fl.Server.set && fl.Server.host == host }

func (e end) is(h uint32, f *entity.Flow) bool {
	return e.host == h &&
		(e.netns == 0 || f.Netns == 0 || e.netns == f.Netns) &&
		(e.cookie == 0 || f.Cookie == 0 || e.cookie == f.Cookie)
}

func (g *Graph) sameNet(fl *Flow, made, h uint32, netns uint64) bool {
	if made != h {
		return false
	}
	known := fl.Ref.Netns
	return known == 0 || netns == 0 || known == netns
}

func (g *Graph) newFlow(tp tuple, h uint32, f *entity.Flow, t int64) NodeID {
	scope := g.tenant
	if f.Src().Addr().IsLoopback() {
		scope = fmt.Sprintf("%s/%d", g.scope(h), f.Netns)
	}
	text := []string{tp.a.String(), tp.b.String(), strconv.Itoa(int(tp.proto)), strconv.FormatInt(t, 10), strconv.FormatUint(f.Cookie, 10), strconv.Itoa(len(g.tuples[tp]))}
	ref := &entity.Flow{SrcIp: f.SrcIp, SrcPort: f.SrcPort, DstIp: f.DstIp, DstPort: f.DstPort, Proto: f.Proto, Netns: f.Netns}
	key := entity.KeyOf(entity.Kind_FLOW, scope, text...)
	if old, ok := g.byKey[key]; ok {
		return old
	}
	id := g.add(Node{Key: key, Kind: entity.Kind_FLOW, Host: h, First: t, Last: t, Flow: &Flow{Ref: ref}}, flowBytes)
	g.tuples[tp] = append(g.tuples[tp], id)
	g.clients[f.Src()] = id
	g.linkIn(g.address(f.Src().Addr(), t), id, Opened, t, nil, Ref{}, false)
	return id
}

// flowBytes: the Flow, its sighting and its entry in the tuples.
const flowBytes = 520

// opened finds the conversation that a client's end opened on a host, for a log line
// that tells no other end. It must still have been open at t.
func (g *Graph) opened(h uint32, client netip.AddrPort, t int64) NodeID {
	id := g.clients[client]
	n := g.Node(id)
	if n == nil || n.First > t+slack || n.Flow.Closed != 0 && t > n.Flow.Closed+slack {
		return 0
	}
	if n.Host != h && n.Flow.Server.host != h {
		return 0
	}
	return id
}

// alias makes a second conversation mean the same interval: one NAT hop.
func (g *Graph) alias(id NodeID, f *entity.Flow) {
	tp, n := tupleOf(f), g.Node(id)
	if tp == tupleOf(n.Flow.Ref) || tp == n.Flow.other {
		return
	}
	if n.Flow.other != (tuple{}) {
		dropID(g.tuples, n.Flow.other, id)
	}
	n.Flow.other = tp
	g.tuples[tp] = append(g.tuples[tp], id)
}

// address resolves an address: public ones are global, all others the tenant's.
func (g *Graph) address(a netip.Addr, t int64) NodeID {
	if !a.IsValid() {
		return 0
	}
	scope := ""
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		scope = g.tenant
	}
	return g.text(entity.Kind_ADDRESS, scope, a.String(), t)
}

// text resolves a thing whose canonical text is all there is.
func (g *Graph) text(kind entity.Kind, scope, text string, t int64) NodeID {
	if text == "" {
		return 0
	}
	key := entity.KeyOf(kind, scope, text)
	if id, ok := g.byKey[key]; ok {
		g.touch(id, t)
		return id
	}
	return g.add(Node{Key: key, Kind: kind, First: t, Last: t, Text: text}, len(text))
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// roleOf tells where a flow sighting in an event was made.
func roleOf(ev *event.Event) role {
	if ev.Sensor != event.Sensor_KERNEL {
		return onWire
	}
	if n := ev.GetNetwork(); n != nil && (n.Op == event.NetworkActivity_CONNECT || n.Op == event.NetworkActivity_CLOSE && !n.Inbound) {
		return atClient
	}
	return atServer
}

func parseAddr(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}
