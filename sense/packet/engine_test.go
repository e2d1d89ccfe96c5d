// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/wire/ip"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

func addr(n uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), port)
}

func testEngine(cfg Config) (*engine, *[]*event.Event) {
	var events []*event.Event
	opt := &Options{Redact: redact, Board: health.NewBoard(), Emit: func(ev *event.Event) { events = append(events, ev) }}
	return newEngine(&cfg, opt), &events
}

// A flood neither grows beyond the budget nor pushes out what is established, and is
// told as a loss.
func TestFloodSparesTheEstablished(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Memory, cfg.FlowRate = 1<<20, 100
	e, events := testEngine(cfg)
	s := run(t, "open 192.0.2.1:40000 198.51.100.2:80")
	var p ip.Packet
	for _, raw := range s.packets {
		if err := p.DecodeLink(raw.Link, raw.Data); err != nil {
			t.Fatal(err)
		}
		e.packet(&p, raw.WallNs, 0)
	}
	now := s.now.UnixNano()
	for i := range uint32(50000) {
		syn := ip.Packet{Src: addr(i+1<<24, 1234), Dst: addr(7, 80), Proto: ip.TCP, Flags: ip.SYN, Seq: i, Size: 40}
		e.packet(&syn, now+int64(i), 0)
		if e.table.memory > cfg.Memory {
			t.Fatalf("%d bytes", e.table.memory)
		}
	}
	if _, there := e.table.flows[keyOf(&p)]; !there {
		t.Error("the flood pushed out an established flow")
	}
	c := e.counts()
	if c.Evicted == 0 || c.Shed < 49000 || c.Live > uint64(cfg.Memory/flowCost) {
		t.Errorf("%+v", c)
	}
	e.losses(now + int64(time.Second))
	last := (*events)[len(*events)-1].GetLoss()
	if last.GetClass() != "flow" || last.Count != c.Shed || e.opt.Board.LossTotals()["packet/flow"] != c.Shed {
		t.Errorf("%+v", last)
	}
	before := len(*events)
	if e.losses(now + 2*int64(time.Second)); len(*events) != before {
		t.Error("the same loss told twice")
	}
}

// What goes while it is read is told as lost content, and the charge is exact.
func TestReadingUnderPressure(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Memory = 1 << 20
	e, events := testEngine(cfg)
	var p ip.Packet
	for i := range 400 {
		s := run(t, "open 192.0.2.1:"+string(rune('1'+i%9))+"00 198.51.100.2:80\n> \"POST /a HTTP/1.1\\r\\nContent-Length: 60000\\r\\n\\r\\n\"\n> \""+string(bytes.Repeat([]byte("b"), 8000))+"\"")
		for _, raw := range s.packets {
			if err := p.DecodeLink(raw.Link, raw.Data); err != nil {
				t.Fatal(err)
			}
			p.Src, p.Dst = renumber(p.Src, i), renumber(p.Dst, i)
			e.packet(&p, raw.WallNs, 0)
			sum := 0
			for _, f := range e.table.flows {
				sum += f.cost
			}
			if i%40 == 0 && sum != e.table.memory || e.table.memory > cfg.Memory {
				t.Fatalf("%d bytes charged, flows cost %d", e.table.memory, sum)
			}
		}
	}
	if c := e.counts(); c.Cut == 0 || c.Cut > c.Evicted {
		t.Errorf("%+v", c)
	}
	e.flush()
	if len(e.table.flows) != 0 || e.table.memory != 0 {
		t.Errorf("%d flows of %d bytes left", len(e.table.flows), e.table.memory)
	}
	told := 0
	for _, ev := range *events {
		if isRequest(ev) {
			told++
		}
	}
	if told != 400 {
		t.Errorf("%d of 400 requests told", told)
	}
}

// renumber gives client addresses of their own.
func renumber(a netip.AddrPort, i int) netip.AddrPort {
	if a.Port() == 80 {
		return a
	}
	return addr(uint32(10<<24+i), a.Port())
}

// A packet that passes two interfaces counts once; a direction that moves is followed.
func TestDoublesAreLeft(t *testing.T) {
	e, events := testEngine(DefaultConfig())
	var p ip.Packet
	s := run(t, "open 192.0.2.1:40000 198.51.100.2:80\n> \"GET / HTTP/1.1\\r\\n\\r\\n\"\n< \"HTTP/1.1 204 No\\r\\n\\r\\n\"\nwait 5s\n> fin")
	for i, raw := range s.packets {
		if err := p.DecodeLink(raw.Link, raw.Data); err != nil {
			t.Fatal(err)
		}
		if i < 5 {
			e.packet(&p, raw.WallNs, 3)
		}
		e.packet(&p, raw.WallNs, 4)
	}
	f := e.table.flows[keyOf(&p)]
	if c := e.counts(); c.Doubles != 5 || f.packets != [2]uint64{4, 2} || f.iface[0] != 4 {
		t.Errorf("%+v %v %v", c, f.packets, f.iface)
	}
	if n := len(*events); n != 3 {
		t.Errorf("%d events", n)
	}
}

// A wall clock that was set back does not end every flow.
func TestClockStepsBack(t *testing.T) {
	e, events := testEngine(DefaultConfig())
	now := time.Unix(1700000000, 0).UnixNano()
	p := ip.Packet{Src: addr(1, 1), Dst: addr(2, 2), Proto: ip.UDP, Size: 30}
	e.packet(&p, now, 0)
	e.tick(now - int64(time.Hour))
	e.packet(&p, now-int64(time.Hour), 0)
	e.tick(now - int64(time.Hour) + 1)
	if len(*events) != 1 {
		t.Errorf("%d events", len(*events))
	}
	e.tick(now + 2*int64(idleDatagram))
	if len(*events) != 2 {
		t.Errorf("%d events", len(*events))
	}
}

// FuzzEngine feeds frames as they come: the input is cut into packets by its own lengths.
func FuzzEngine(f *testing.F) {
	for _, in := range []string{
		"open 192.0.2.1:40000 198.51.100.2:80\n> \"POST /a?b=c HTTP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\nabc\"\n< \"HTTP/1.1 200 OK\\r\\n\\r\\n\"\n> fin\n< fin\n> ack",
		"open 192.0.2.1:40000 198.51.100.2:22\n< \"SSH-2.0-x\\r\\n\"\n> \"SSH-2.0-y\\r\\n\"\n> rst",
		"udp 192.0.2.1:5353 198.51.100.2:53 \"\\x00\\x01\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x00\\x00\\x01\\x00\\x01\"",
	} {
		var b []byte
		for _, p := range run(f, in).packets {
			b = append(b, byte(len(p.Data)))
			b = append(b, p.Data...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := DefaultConfig()
		cfg.Memory = 1 << 20
		e, events := testEngine(cfg)
		var p ip.Packet
		wall := int64(1e18)
		for len(b) > 1 {
			n := min(int(b[0]), len(b)-1)
			wall += int64(n) << 20
			if err := p.DecodeLink(ip.LinkRaw, b[1:1+n]); err != nil {
				e.unread(err)
			} else {
				e.packet(&p, wall, int32(n&1))
			}
			e.tick(wall)
			b = b[1+n:]
		}
		e.flush()
		if len(e.table.flows) != 0 || e.table.memory != 0 || len(e.waiting) != 0 {
			t.Fatalf("%d flows, %d bytes, %d waiting", len(e.table.flows), e.table.memory, len(e.waiting))
		}
		for _, ev := range *events {
			if _, err := ev.MarshalVT(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
