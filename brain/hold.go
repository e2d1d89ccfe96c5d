// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
)

// hold keeps findings on files back until the kernel sensor of their host has told of
// everything up to the deed. The file sensor often outruns it by a millisecond, and whose
// request the writer had in its hands is not known before. What was held in vain is told
// without an entry (behaviour/trace), and traced again when more is known.
type hold struct {
	g    *graph.Graph // knows how far each host's kernel sensor has come
	wait []held
}

type held struct {
	ev    *event.Event
	until int64 // steady ns
	since time.Time
}

// Bounds of the hold: an alert is to come within a second, entry or not.
const (
	heldMost = 256
	heldLong = 300 * time.Millisecond
)

func newHold(g *graph.Graph) hold { return hold{g: g} }

// take keeps an event back if it must wait; it tells whether it did.
func (h *hold) take(ev *event.Event, now time.Time) bool {
	f := ev.GetFinding()
	if f == nil || f.Layer != "file" || len(h.wait) >= heldMost {
		return false
	}
	h.g.Hear(ev)
	told, until := h.g.Told(ev.Host), h.g.Steady(ev.Host, ev.BootNs, ev.WallNs)-max(0, ev.WallNs-f.WallNs)
	if told == 0 || told >= until {
		return false
	}
	h.wait = append(h.wait, held{ev, until, now})
	return true
}

// due gives what need not wait any longer, in order.
func (h *hold) due(now time.Time) []*event.Event {
	var out []*event.Event
	keep := h.wait[:0]
	for _, w := range h.wait {
		if h.g.Told(w.ev.Host) >= w.until || now.Sub(w.since) >= heldLong {
			out = append(out, w.ev)
			continue
		}
		keep = append(keep, w)
	}
	h.wait = keep
	return out
}
