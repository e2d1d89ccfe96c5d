// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// pipes tells of the other ends of a command's pipes, where it was started by a process
// that serves requests: who writes its input and reads its output.
func (d *decoder) pipes(h *header, r *execRecord, p *event.ProcessActivity) {
	if r.pipes == 0 || d.serving[r.ppid] != startNs(r.parentStart) {
		return
	}
	told := uint64(0) // output and errors are often one pipe
	for i, fd := range r.fds {
		if r.pipes&(1<<i) == 0 || fd.inode == told {
			continue
		}
		told = fd.inode
		op := event.ChannelActivity_PIPE_READ
		if i == 0 {
			op = event.ChannelActivity_PIPE_WRITE
		}
		ev := d.event(h.boot, nil)
		ev.Actor = proto.Clone(p.Parent).(*entity.Process) // what was emitted is not ours any more
		ev.Payload = &event.Event_Channel{Channel: &event.ChannelActivity{Op: op, InodeA: fd.inode, InodeB: fd.inode, PeerPid: h.actor.pid}}
		d.emit(ev)
	}
}

// serves remembers a process that a request was read by.
func (d *decoder) serves(a *actor) {
	if len(d.serving) >= d.cfg.MaxProcesses {
		clear(d.serving)
	}
	d.serving[a.pid] = startNs(a.start)
}
