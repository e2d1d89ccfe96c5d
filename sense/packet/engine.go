// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"net/netip"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http/activity"
	"github.com/ringwall/ringwall/wire/ip"
	"github.com/ringwall/ringwall/wire/tcp"
)

// engine turns packets into events; ring and files both end here. For one goroutine.
type engine struct {
	cfg     *Config
	opt     *Options
	web     *activity.Writer
	table   *table
	opens   rate
	dns     rate
	waiting []*flow // requests that wait for their bodies, oldest first
	now     int64   // wall ns of the newest packet
	count   Counts
	netns   uint64
	local   func(netip.Addr) bool

	told     Counts // as of the last look for losses
	toldFrom int64
}

func newEngine(cfg *Config, opt *Options) *engine {
	e := &engine{cfg: cfg, opt: opt, web: activity.New(opt.Redact), table: newTable(cfg.Memory), netns: opt.Netns, local: opt.Local,
		opens: rate{perSec: cfg.FlowRate, left: cfg.FlowRate}, dns: rate{perSec: cfg.DNSRate, left: cfg.DNSRate}}
	if e.local == nil {
		e.local = func(netip.Addr) bool { return false }
	}
	return e
}

// event begins an event of that moment.
func (e *engine) event(wall int64) *event.Event {
	ev := &event.Event{Schema: event.Schema, Sensor: event.Sensor_PACKET, WallNs: wall, BootNs: uint64(max(wall, 0))}
	if c := e.opt.Clock; c != nil {
		ev.BootNs, ev.ClockEpoch = c.Boot(wall), c.Epoch()
	}
	return ev
}

func (e *engine) emit(ev *event.Event) {
	e.count.Events++
	ev.Classify()
	e.opt.Emit(ev)
}

// count takes note of a packet that could not be read.
func (e *engine) unread(err error) {
	if errors.Is(err, ip.ErrNotIP) {
		e.count.Other++
		return
	}
	e.count.Malformed++
}

// packet takes one packet that passed an interface at a wall time.
func (e *engine) packet(p *ip.Packet, wall int64, iface int32) {
	e.count.Packets++
	e.advance(wall)
	if p.Fragment {
		e.count.Fragments++
		if p.Later {
			return
		}
	}
	k := keyOf(p)
	f := e.table.flows[k]
	if f != nil && p.Proto == ip.TCP && e.reopens(f, p) {
		e.end(f, wall)
		e.table.remove(f)
		f = nil
	}
	if f == nil {
		if f = e.begin(k, p, wall); f == nil {
			return
		}
	}
	d := f.dir(p)
	if f.packets[d] > 0 && f.iface[d] != iface && wall-f.last[d] < int64(doubleFor) {
		e.count.Doubles++
		return
	}
	f.iface[d], f.last[d] = iface, wall
	f.packets[d]++
	if p.Proto == ip.TCP || p.Proto == ip.UDP {
		f.bytes[d] += uint64(p.Length)
	} else {
		f.bytes[d] += uint64(p.Size)
	}
	e.table.front(f)
	switch {
	case f.ended: // only its last acknowledgements
	case p.Proto == ip.TCP:
		e.segment(f, p, d, wall)
	case p.Proto == ip.UDP:
		e.datagram(f, p, d, wall)
	}
	e.makeRoom(f, wall)
}

// reopens tells whether a segment begins another conversation on the same ports: a new
// SYN, or data from an end that reset the connection, which says that the reset was only
// for us.
func (e *engine) reopens(f *flow, p *ip.Packet) bool {
	if p.Flags&(ip.SYN|ip.ACK) != ip.SYN {
		return f.ended && p.Length > 0 && f.resets&(1<<f.dir(p)) != 0
	}
	if f.flags&ip.SYN != 0 && p.Src == f.src && p.Seq == f.isn {
		return false // sent again, or a double
	}
	return f.ended || f.fins != 0 || f.flags&ip.SYN == 0 || p.Src == f.src
}

// begin makes the flow of a packet that belongs to none. Nil: none is worth it.
func (e *engine) begin(k key, p *ip.Packet, wall int64) *flow {
	if p.Proto == ip.TCP && p.Flags&ip.RST != 0 && p.Length == 0 {
		return nil // the answer to something that was never seen
	}
	if t := p.Src.Port(); p.Proto == ip.ICMPv6 && (t >= 130 && t <= 137 || t == 143) {
		return nil // the link's own housekeeping: listener and neighbour discovery (RFC 4861, 3810)
	}
	f := &flow{key: k, src: p.Src, dst: p.Dst, first: wall, class: datagram}
	switch p.Proto {
	case ip.TCP:
		f.class = opening
		switch p.Flags & (ip.SYN | ip.ACK) {
		case ip.SYN:
			f.isn, f.syn = p.Seq, p.Shape()
		case ip.SYN | ip.ACK: // its SYN was lost to us, but the roles are sure
			f.src, f.dst, f.isn = p.Dst, p.Src, p.Ack-1
		default:
			f.guessed, f.class = true, established
			if lower(p.Src.Port(), p.Dst.Port()) {
				f.src, f.dst = p.Dst, p.Src
			}
		}
		f.talk = &talk{}
	case ip.UDP:
		// Who speaks first is the client, unless it is plainly a server.
		if s, d := p.Src.Port(), p.Dst.Port(); s < 1024 && d >= 1024 {
			f.src, f.dst, f.guessed = p.Dst, p.Src, true
		}
	}
	e.count.Flows++
	e.table.add(f)
	f.flags = p.Flags
	if p.Proto != ip.UDP { // a datagram's protocol is told with its opening
		e.open(f, wall, false)
	}
	return f
}

// lower tells whether port a is the likelier server.
func lower(a, b uint16) bool { return a < b }

// segment follows a TCP connection.
func (e *engine) segment(f *flow, p *ip.Packet, d int, wall int64) {
	both := f.fins == 3
	f.flags |= p.Flags
	if p.Flags&ip.SYN != 0 {
		if f.talk != nil && !f.talk.half[d].stream.Open() {
			f.talk.half[d].stream.Begin(p.Seq)
		}
		if d == 1 && p.Flags&ip.ACK != 0 {
			f.answered = true
		}
	}
	if f.class == opening && f.answered && d == 0 && p.Flags&(ip.ACK|ip.SYN|ip.RST) == ip.ACK || f.class == opening && p.Length > 0 && f.packets[0] > 0 && f.packets[1] > 0 {
		e.table.move(f, established)
		e.open(f, wall, true)
	}
	if t := f.talk; t != nil {
		e.read(f, d, p, wall)
	}
	if p.Flags&ip.FIN != 0 {
		f.fins |= 1 << d
		if f.talk != nil {
			f.talk.half[d].stream.Finish(p.Seq, p.Length)
		}
	}
	reset := p.Flags&ip.RST != 0 && e.resets(f, p, d)
	if reset || both && p.Flags&ip.FIN == 0 {
		e.end(f, wall)
		e.table.move(f, ended)
	}
}

// resets tells whether the receiver would believe a reset: it must stand exactly where
// the direction does (RFC 5961 §3.2). Where that is not followed, any is believed.
func (e *engine) resets(f *flow, p *ip.Packet, d int) bool {
	if f.talk != nil && f.answered {
		if seq, known := f.talk.half[d].stream.Expected(); known && f.talk.half[d].stream.Held() == 0 && seq != p.Seq {
			return false
		}
	}
	f.resets |= 1 << d
	return true
}

// read puts the segment into the order of its direction and hands on what follows. What
// the other end acknowledges was delivered, so what is missing of it is lost to us.
func (e *engine) read(f *flow, d int, p *ip.Packet, wall int64) {
	seq := p.Seq
	if p.Flags&ip.SYN != 0 {
		seq++ // data may ride on a SYN (RFC 7413)
	}
	if p.Flags&ip.ACK != 0 {
		e.chunks(f, 1-d, f.talk.half[1-d].stream.Acked(p.Ack), wall)
	}
	if p.Length > 0 && f.talk != nil {
		e.chunks(f, d, f.talk.half[d].stream.Feed(seq, p.Payload, p.Length), wall)
	}
	if f.talk != nil {
		e.table.charge(f, flowCost+f.talk.cost())
	}
}

// chunks hands pieces of a direction to whatever reads them.
func (e *engine) chunks(f *flow, d int, cs []tcp.Chunk, wall int64) {
	for _, c := range cs {
		if f.talk == nil {
			return
		}
		e.chunk(f, d, c, wall)
	}
}

// release ends the reading of a flow; from here on it is only counted.
func (e *engine) release(f *flow) {
	if f.talk == nil {
		return
	}
	odd := f.talk.half[0].stream.Oddities() | f.talk.half[1].stream.Oddities()
	if odd&tcp.Gap != 0 {
		e.count.Gaps++
	}
	if odd&tcp.Conflict != 0 {
		e.count.Conflicts++
	}
	f.talk = nil
	e.table.charge(f, flowCost)
}

// open tells of the flow once; a flood of unanswered ones is only counted.
func (e *engine) open(f *flow, wall int64, sure bool) {
	if f.told {
		return
	}
	if !sure && (f.shed || !e.opens.take(wall)) {
		if !f.shed {
			e.count.Shed++
		}
		f.shed = true
		return
	}
	f.told = true
	ev := e.event(wall)
	n := e.network(f, event.NetworkActivity_FLOW_OPEN)
	n.Syn, f.syn = f.syn, ""
	ev.Payload = &event.Event_Network{Network: n}
	e.emit(ev)
}

func (e *engine) network(f *flow, op event.NetworkActivity_Op) *event.NetworkActivity {
	n := &event.NetworkActivity{Op: op, Flow: f.entity(e.netns), Inbound: e.local(f.dst.Addr()), TcpFlags: uint32(f.flags), App: f.app}
	n.CommunityId = n.Flow.CommunityID()
	return n
}

// end tells the rest of what was read, and the close. The flow stays in the table.
func (e *engine) end(f *flow, wall int64) {
	if f.ended {
		return
	}
	if f.talk != nil {
		for d := range 2 {
			if f.talk != nil {
				e.chunks(f, d, f.talk.half[d].stream.Flush(), wall)
			}
		}
		if f.talk != nil {
			e.finish(f, wall)
		}
		e.release(f)
	}
	f.ended = true
	if !f.told {
		return
	}
	n := e.network(f, event.NetworkActivity_FLOW_CLOSE)
	n.BytesSrc, n.BytesDst, n.PacketsSrc, n.PacketsDst = f.bytes[0], f.bytes[1], f.packets[0], f.packets[1]
	n.Failed = f.key.proto == ip.TCP && f.flags&ip.SYN != 0 && !f.answered && f.bytes[1] == 0
	ev := e.event(wall)
	ev.Payload = &event.Event_Network{Network: n}
	e.emit(ev)
}

// makeRoom takes memory back until the budget holds.
func (e *engine) makeRoom(keep *flow, wall int64) {
	for e.table.memory > e.table.budget {
		f := e.table.victim(keep)
		if f == nil {
			return
		}
		if !f.ended {
			e.count.Evicted++
			if f.talk != nil && f.talk.busy() {
				e.count.Cut++
			}
		}
		e.end(f, wall)
		e.table.remove(f)
	}
}

// tick lets time pass without packets: requests are told that waited long enough, and
// silent flows end.
func (e *engine) tick(now int64) {
	e.advance(now)
	e.overdue(e.now)
	for f := e.table.expired(e.now); f != nil; f = e.table.expired(e.now) {
		e.end(f, e.now)
		e.table.remove(f)
	}
}

// flush ends every flow, the longest silent first of each class.
func (e *engine) flush() {
	e.overdue(e.now + int64(bodyWait))
	for f := e.table.victim(nil); f != nil; f = e.table.victim(nil) {
		e.end(f, e.now)
		e.table.remove(f)
	}
}

// advance sets the clock, which runs back only when it was stepped.
func (e *engine) advance(wall int64) {
	if wall > e.now || e.now-wall > stepped {
		e.now = wall
	}
}
