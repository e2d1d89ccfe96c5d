// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"time"

	"github.com/ringwall/ringwall/event"
)

// hold keeps findings of an agent's own stages back until the kernel sensor of that
// host has told of everything up to the deed. The file sensor often outruns it by a
// millisecond, and then a worker's deed would be laid on the request before.
type hold struct {
	kernel map[string]uint64 // per host: boot time up to which processes and requests are told
	wait   []held
}

type held struct {
	ev    *event.Event
	until uint64 // boot ns of its host
	since time.Time
}

// Bounds of the hold. A quiet host's kernel sensor may have nothing more to tell.
const (
	heldMost = 256
	heldLong = 300 * time.Millisecond
	// told a little later than the deed: the request's own record may be read behind
	// others of the same moment.
	heldMargin = uint64(2e6)
)

func newHold() hold { return hold{kernel: map[string]uint64{}} }

// passed notes how far the kernel sensor of the event's host has come. Only the
// precious ring counts, which is read in order and carries requests and processes.
func (h *hold) passed(ev *event.Event) {
	if ev.Sensor == event.Sensor_KERNEL && (ev.GetHttp() != nil || ev.GetProcess() != nil) {
		h.kernel[ev.Host] = max(h.kernel[ev.Host], ev.BootNs)
	}
}

// take keeps an event back if it must wait; it tells whether it did.
func (h *hold) take(ev *event.Event, now time.Time) bool {
	f := ev.GetFinding()
	seen := h.kernel[ev.Host]
	if f == nil || f.Layer != "file" || seen == 0 || len(h.wait) >= heldMost {
		return false
	}
	until := ev.BootNs - uint64(max(0, ev.WallNs-f.WallNs)) + heldMargin
	if seen >= until {
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
		if h.kernel[w.ev.Host] >= w.until || now.Sub(w.since) >= heldLong {
			out = append(out, w.ev)
			continue
		}
		keep = append(keep, w)
	}
	h.wait = keep
	return out
}
