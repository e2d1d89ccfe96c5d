// SPDX-License-Identifier: Apache-2.0

package graph

import "github.com/ringwall/ringwall/event"

// toldMargin is how much earlier than its latest word a kernel sensor is known to have told
// all: a request's own record may be read behind others of the same moment.
const toldMargin = int64(2e6)

// Told is the steady time up to which the kernel sensor of a host has told which processes
// and requests there were; 0 where none has spoken in this boot. Other sensors of the host
// may be ahead of it, and what they tell of is then known before whom it was done for.
func (g *Graph) Told(on string) int64 {
	if h, ok := g.byName[on]; ok {
		return g.hosts[h].told
	}
	return 0
}

// Hear notes how far the kernel sensor had come when an event was told, where the agent saw
// to it (told_ns): a quiet host's kernel has nothing more to tell. Add does the rest.
func (g *Graph) Hear(ev *event.Event) {
	if ev.ToldNs != 0 {
		h := g.hosts[g.host(ev)]
		if h.told != 0 { // else nothing is known of its clock, and nobody is behind
			h.told = max(h.told, int64(ev.ToldNs)+h.offset)
		}
	}
}

// hear takes an event of the kernel sensor for its word on all before. Only the precious
// ring counts, which is read in order and carries requests and processes.
func (h *host) hear(ev *event.Event, t int64) {
	if ev.Sensor == event.Sensor_KERNEL && ev.BootNs != 0 && (ev.GetHttp() != nil || ev.GetProcess() != nil) {
		h.told = max(h.told, t-toldMargin)
	}
}
