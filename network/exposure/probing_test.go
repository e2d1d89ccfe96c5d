// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

func answer(i int, status uint32, path string, every int64) *event.Event {
	fl := entity.NewFlow(netip.MustParseAddrPort("10.1.1.9:41000"), netip.MustParseAddrPort("10.1.1.2:80"), 6)
	return &event.Event{Host: "web", Epoch: 2, Seq: uint64(i + 1), WallNs: int64(i) * every, Payload: &event.Event_Http{Http: &event.HttpActivity{
		Op: event.HttpActivity_RESPONSE, Status: status, Request: &entity.Request{Flow: fl, Method: "GET", Uri: path}}}}
}

func knock(i int) *event.Event {
	fl := entity.NewFlow(netip.MustParseAddrPort("10.1.1.9:41000"), netip.AddrPortFrom(netip.MustParseAddr("10.1.1.2"), uint16(1000+i)), 6)
	return &event.Event{Host: "web", Epoch: 2, Seq: uint64(i + 1), WallNs: int64(i) * 1e6, Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_RESET, Flow: fl}}}
}

// wire is the same knock as the packet sensor tells it.
func wire(i int, inbound, failed bool) *event.Event {
	ev := knock(i)
	n := ev.GetNetwork()
	n.Op, n.Inbound, n.Failed = event.NetworkActivity_FLOW_CLOSE, inbound, failed
	return ev
}

func run(n int, make func(int) *event.Event) (found []*verdict.Finding) {
	p := NewProbing()
	for i := range n {
		if f := p.See(make(i)); f != nil {
			found = append(found, f)
		}
	}
	return found
}

func TestProbing(t *testing.T) {
	path := func(i int) string { return fmt.Sprintf("/backup%d.zip?x=%d", i, i) }
	cases := []struct {
		name string
		want int
		n    int
		make func(int) *event.Event
	}{
		{"search for hidden content", 1, 100, func(i int) *event.Event { return answer(i, 404, path(i), 1e7) }},
		{"a scan of closed ports", 1, 300, knock},
		{"the same on the wire alone", 1, 300, func(i int) *event.Event { return wire(i, true, true) }},
		{"the same told by both sensors", 1, 600, func(i int) *event.Event {
			if i%2 == 0 {
				return knock(i / 2)
			}
			return wire(i/2, true, true)
		}},
		{"fewer ports, told by both sensors", 0, 2 * (probes - 1), func(i int) *event.Event {
			if i%2 == 0 {
				return knock(i / 2)
			}
			return wire(i/2, true, true)
		}},
		{"connections that were answered", 0, 300, func(i int) *event.Event { return wire(i, true, false) }},
		{"our own attempts", 0, 300, func(i int) *event.Event { return wire(i, false, true) }},
		{"one broken link asked for again and again", 0, 100, func(i int) *event.Event { return answer(i, 404, "/favicon.ico", 1e7) }},
		{"ordinary browsing", 0, 100, func(i int) *event.Event { return answer(i, 200, path(i), 1e7) }},
		{"a miss now and then", 0, 100, func(i int) *event.Event { return answer(i, 404, path(i), 10e9) }},
	}
	for _, c := range cases {
		found := run(c.n, c.make)
		if len(found) != c.want {
			t.Errorf("%s: %d findings, want %d", c.name, len(found), c.want)
		}
		for _, f := range found {
			if f.Black() {
				t.Errorf("%s: probing alone convicts nobody: %v", c.name, f)
			}
		}
	}
}
