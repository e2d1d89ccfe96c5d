// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http/activity"
)

// decoder turns records into events. record may be called from one goroutine per ring:
// connection state belongs to the precious ring's alone, the process table is locked.
type decoder struct {
	cfg      *Config
	opt      *Options
	bootID   string
	procs    *processes
	births   *births
	conns    *conns
	inbound  map[uint64]bool // socket cookie → was accepted; precious ring only
	unlisted atomic.Uint64   // reads whose path is on no list after all
	pairs    map[[2]uint64]bool
	serving  map[uint32]uint64 // pid → start of processes that read requests; precious ring only
	web      *activity.Writer  // for the precious ring's goroutine

	lossEpoch atomic.Uint32 // rises when request records were lost
	mute      func(cookie uint64)
}

func newDecoder(cfg *Config, opt *Options) *decoder {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without /proc the boot stays unnamed
	d := &decoder{cfg: cfg, opt: opt, bootID: strings.TrimSpace(string(id)), procs: newProcesses(cfg.MaxProcesses), births: newBirths(cfg.MaxProcesses),
		inbound: map[uint64]bool{}, serving: map[uint32]uint64{}, pairs: map[[2]uint64]bool{}, web: activity.New(opt.Redact)}
	d.conns = newConns(d, cfg.MaxConnections)
	return d
}

// clean makes text fit for protobuf.
func clean(s string) string { return activity.Clean(s) }

// event begins an event of this moment and actor.
func (d *decoder) event(boot uint64, a *actor) *event.Event {
	ev := &event.Event{BootId: d.bootID, Schema: event.Schema, Sensor: event.Sensor_KERNEL}
	d.opt.Clock.Stamp(ev, boot)
	if a != nil {
		ev.Actor = d.procs.entity(a)
		if ev.Actor != nil {
			ev.Actor.Comm, ev.Actor.Exe = clean(ev.Actor.Comm), clean(ev.Actor.Exe)
		}
	}
	return ev
}

func (d *decoder) emit(ev *event.Event) {
	ev.Classify()
	d.opt.Emit(ev)
}

// record decodes one record and emits what it tells.
func (d *decoder) record(b []byte) error {
	h, c, err := readHeader(b)
	if err != nil {
		return err
	}
	switch h.typ {
	case recFork:
		return d.fork(&h, &c)
	case recExec:
		return d.exec(&h, &c)
	case recExit:
		return d.exit(&h, &c)
	case recData:
		return d.data(&h, &c)
	case recNet:
		return d.net(&h, &c)
	case recPair:
		return d.pair(&h, &c)
	case recFile:
		return d.file(&h, &c)
	case recSyscall:
		r, err := c.syscall()
		if err != nil {
			return err
		}
		r.text, r.path = clean(r.text), clean(r.path)
		ev := d.event(h.boot, &h.actor)
		d.fillSyscall(ev, &r)
		if ev.Payload == nil {
			return fmt.Errorf("kernel record: unexpected syscall %d", r.nr)
		}
		d.emit(ev)
		return nil
	case recDNS:
		return d.dns(&h, &c)
	}
	return fmt.Errorf("kernel record: unknown type %d", h.typ)
}

func (d *decoder) fork(h *header, c *cursor) error {
	r, err := c.fork()
	if err != nil {
		return err
	}
	d.procs.forked(&h.actor, r.child, r.childStart)
	d.births.born(life{h.actor.pid, startNs(h.actor.start)}, life{r.child, startNs(r.childStart)})
	ev := d.event(h.boot, &h.actor)
	child := d.procs.describe(r.child)
	child.StartNs, child.Tid, child.Cgroup = startNs(r.childStart), r.child, h.actor.cgroup
	ev.Payload = &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: child, Ns: nsOf(r.kids)}}
	d.emit(ev)
	// clone with CLONE_NEW* is unshare by another name.
	if names := newNamespaces(r.parentNS, r.kids); names != "" {
		ev := d.event(h.boot, &actor{start: r.childStart, cgroup: h.actor.cgroup, pid: r.child, tid: r.child, uid: h.actor.uid, comm: h.actor.comm})
		ev.Payload = &event.Event_Kernel{Kernel: &event.KernelActivity{Op: event.KernelActivity_UNSHARE, Detail: names + " by clone"}}
		d.emit(ev)
	}
	return nil
}

func newNamespaces(a, b namespaces) string {
	var names []string
	for _, n := range []struct {
		name string
		a, b uint32
	}{{"mnt", a.mnt, b.mnt}, {"pid", a.pid, b.pid}, {"net", a.net, b.net}, {"user", a.user, b.user}} {
		if n.a != n.b && n.b != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

func nsOf(n namespaces) *event.Namespaces {
	return &event.Namespaces{Mnt: uint64(n.mnt), Pid: uint64(n.pid), Net: uint64(n.net), User: uint64(n.user)}
}

func (d *decoder) exec(h *header, c *cursor) error {
	r, err := c.exec()
	if err != nil {
		return err
	}
	d.procs.execed(&h.actor, &r)
	ev := d.event(h.boot, &h.actor)
	argv := splitNul(r.argv)
	p := &event.ProcessActivity{
		Op: event.ProcessActivity_EXEC, Argv: d.opt.Redact.Argv(argv), ArgvCut: int(r.argTotal) > len(r.argv),
		Cwd: clean(r.cwd), Gid: r.gid, Euid: r.euid, Tty: r.tty, Ns: nsOf(r.ns), Env: d.listedEnv(r.env),
		Image: &entity.File{Path: clean(r.exe), Fs: device(r.dev), Inode: r.inode, Size: r.size, Mode: r.mode, Nlink: r.nlink, Uid: r.owner},
	}
	if r.ppid != 0 {
		p.Parent = d.procs.describe(r.ppid)
		p.Parent.StartNs = startNs(r.parentStart)
	}
	if strings.HasPrefix(r.exe, "memfd:") {
		p.Memfd = p.Image.Path
	}
	for _, fd := range r.fds {
		p.Fds = append(p.Fds, d.descriptor(&fd))
	}
	ev.Payload = &event.Event_Process{Process: p}
	d.emit(ev)
	d.pipes(h, &r, p)
	if r.script {
		name := r.name
		if !strings.HasPrefix(name, "/") {
			name = path.Join(r.cwd, name)
		}
		ev := d.event(h.boot, &h.actor)
		ev.Payload = &event.Event_File{File: &event.FileActivity{Op: event.FileActivity_SCRIPT, File: &entity.File{Path: clean(name)}}}
		d.emit(ev)
	}
	return nil
}

func splitNul(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	parts := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	for i := range parts {
		parts[i] = clean(parts[i])
	}
	return parts
}

// listedEnv keeps the variables that the configuration names. The rest never becomes text.
func (d *decoder) listedEnv(env []byte) []string {
	var kept []string
	for len(env) > 0 {
		var e []byte
		e, env, _ = bytes.Cut(env, []byte{0})
		name, _, _ := bytes.Cut(e, []byte{'='})
		if slices.Contains(d.cfg.Env, string(name)) {
			kept = append(kept, clean(string(e)))
		}
	}
	return d.opt.Redact.Env(kept)
}

func (d *decoder) exit(h *header, c *cursor) error {
	code := int32(c.u32())
	c.u32()
	if err := c.done("exit"); err != nil {
		return err
	}
	ev := d.event(h.boot, &h.actor)
	// wait(2)'s status: a signal in the low seven bits, told as its negative number.
	status := code >> 8 & 0xff
	if sig := code & 0x7f; sig != 0 {
		status = -sig
	}
	ev.Payload = &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXIT, ExitCode: status}}
	d.procs.exited(&h.actor, h.boot)
	d.births.died(life{h.actor.pid, startNs(h.actor.start)})
	d.emit(ev)
	return nil
}

var netOps = map[uint16]event.NetworkActivity_Op{
	1: event.NetworkActivity_BIND, 2: event.NetworkActivity_LISTEN, 3: event.NetworkActivity_ACCEPT,
	4: event.NetworkActivity_CONNECT, 5: event.NetworkActivity_CLOSE, 6: event.NetworkActivity_RESET, 9: event.NetworkActivity_SEND,
}

func (d *decoder) net(h *header, c *cursor) error {
	r, err := c.net()
	if err != nil {
		return err
	}
	op, known := netOps[h.op]
	if !known {
		return fmt.Errorf("kernel record: unknown network operation %d", h.op)
	}
	var who *actor
	if h.actor.pid != 0 {
		who = &h.actor
	}
	switch op {
	case event.NetworkActivity_ACCEPT, event.NetworkActivity_CONNECT:
		if len(d.inbound) >= 2*d.cfg.MaxConnections {
			clear(d.inbound)
		}
		d.inbound[r.tuple.cookie] = r.inbound
	case event.NetworkActivity_CLOSE:
		delete(d.inbound, r.tuple.cookie)
		d.conns.closed(r.tuple.cookie)
	case event.NetworkActivity_BIND, event.NetworkActivity_LISTEN:
		r.inbound = true
	}
	n := &event.NetworkActivity{Op: op, Flow: d.flow(&r.tuple, r.inbound), Inbound: r.inbound, Result: r.result, Failed: r.failed}
	n.BytesSrc, n.BytesDst = r.sent, r.received
	if r.inbound {
		n.BytesSrc, n.BytesDst = r.received, r.sent
	}
	if r.tuple.rport != 0 {
		n.CommunityId = n.Flow.CommunityID()
	}
	ev := d.event(h.boot, who)
	ev.Payload = &event.Event_Network{Network: n}
	d.emit(ev)
	return nil
}

func (d *decoder) pair(h *header, c *cursor) error {
	r, err := c.pair()
	if err != nil {
		return err
	}
	// A socket pair speaks at both ends; the accepted end of a connection speaks once.
	key := [2]uint64{min(r.inode, r.peer), max(r.inode, r.peer)}
	if r.path == "" && d.pairs[key] {
		delete(d.pairs, key)
		return nil
	}
	if r.path == "" {
		if len(d.pairs) >= d.cfg.MaxConnections {
			clear(d.pairs)
		}
		d.pairs[key] = true
	}
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_Channel{Channel: &event.ChannelActivity{Op: event.ChannelActivity_UNIX_PAIR,
		InodeA: r.inode, InodeB: r.peer, PeerPid: r.peerPid, Path: clean(r.path)}}
	d.emit(ev)
	return nil
}

func (d *decoder) file(h *header, c *cursor) error {
	r, err := c.file()
	if err != nil {
		return err
	}
	op := event.FileActivity_Op(h.op)
	if _, known := event.FileActivity_Op_name[int32(op)]; !known {
		return fmt.Errorf("kernel record: unknown file operation %d", h.op)
	}
	if op == event.FileActivity_READ && !matchAny(d.cfg.Sensitive, r.a) {
		d.unlisted.Add(1)
		return nil
	}
	f := &entity.File{Path: clean(r.a), Inode: r.inode, Size: r.size, Mode: r.mode, Nlink: r.nlink, Uid: r.owner}
	if r.inode != 0 {
		f.Fs = device(r.dev)
	}
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_File{File: &event.FileActivity{Op: op, File: f, NewPath: clean(r.b), Flags: r.flags}}
	d.emit(ev)
	return nil
}

func (d *decoder) dns(h *header, c *cursor) error {
	r, err := c.dns()
	if err != nil {
		return err
	}
	name, typ, ok := dnsQuestion(r.bytes)
	if r.tuple.proto == unix.IPPROTO_TCP && len(r.bytes) > 2 && (!ok || int(binary.BigEndian.Uint16(r.bytes)) == int(r.total)-2) {
		if n, t, framed := dnsQuestion(r.bytes[2:]); framed { // behind its length (RFC 1035 §4.2.2)
			name, typ, ok = n, t, true
		}
	}
	if !ok {
		return nil // something else on port 53: its datagram was told
	}
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_Dns{Dns: &event.DnsActivity{Name: clean(name), Type: typ, Flow: d.flow(&r.tuple, false)}}
	d.emit(ev)
	return nil
}
