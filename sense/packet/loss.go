// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// counts is a copy with what is live.
func (e *engine) counts() Counts {
	c := e.count
	c.Live, c.Memory = uint64(len(e.table.flows)), uint64(max(e.table.memory, 0))
	return c
}

// losses turns what was lost since the last look into loss windows.
func (e *engine) losses(now int64) {
	from := e.toldFrom
	if from == 0 {
		from = now
	}
	tell := func(class, reason string, n, old uint64) {
		if n <= old {
			return
		}
		w := &verdict.LossWindow{Sensor: "packet", Class: class, FromNs: from, ToNs: now, Count: n - old, Reason: reason}
		e.opt.Board.Lost(w)
		ev := e.event(now)
		ev.Payload = &event.Event_Loss{Loss: w}
		e.emit(ev)
	}
	c, t := &e.count, &e.told
	tell("ring", "the ring was full", c.Dropped, t.Dropped)
	tell("content", "no memory for what was being read (packet.memory)", c.Cut, t.Cut)
	tell("flow", "more unanswered flows than packet.flow_rate", c.Shed, t.Shed)
	tell("dns", "more messages than packet.dns_rate", c.DNSShed, t.DNSShed)
	e.told, e.toldFrom = e.count, now
}
