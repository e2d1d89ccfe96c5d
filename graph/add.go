// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Fact is what one event came to in the graph.
type Fact struct {
	Host   uint32
	T      int64 // steady ns
	Ref    Ref
	Actor  NodeID // process that acted
	Object NodeID // what it acted on: child, file, flow, request, address, login
}

// Add puts one event into the graph and says what it came to. Events of a host
// should come in the order of its spool; a late one is joined by its own time.
func (g *Graph) Add(ev *event.Event) Fact {
	h := g.host(ev)
	t := g.steady(h, ev)
	g.now = max(g.now, t)
	g.hosts[h].hear(ev, t)
	f := Fact{Host: h, T: t, Ref: g.refOf(h, ev)}
	f.Actor = g.process(h, ev.Actor, t)
	switch p := ev.Payload.(type) {
	case *event.Event_Process:
		f.Object = g.addProcess(&f, ev, p.Process)
	case *event.Event_File:
		f.Object = g.addFile(&f, ev, p.File)
	case *event.Event_Network:
		f.Object = g.addNetwork(&f, ev, p.Network)
	case *event.Event_Http:
		f.Object = g.addHTTP(&f, ev, p.Http)
	case *event.Event_Auth:
		f.Object = g.addAuth(&f, ev, p.Auth)
	case *event.Event_Log:
		f.Object = g.spokenOf(h, p.Log.Flow, t)
	case *event.Event_Channel:
		g.addChannel(&f, p.Channel)
	case *event.Event_Tls:
		f.Object = g.flow(h, p.Tls.Flow, t, onWire, false)
	case *event.Event_Ssh:
		f.Object = g.flow(h, p.Ssh.Flow, t, onWire, false)
	}
	g.evict()
	return f
}

// host finds the resolver's state; a new boot id starts a new scope and clock.
func (g *Graph) host(ev *event.Event) uint32 {
	i, ok := g.byName[ev.Host]
	if !ok {
		i = uint32(len(g.hosts))
		g.hosts = append(g.hosts, &host{name: ev.Host})
		g.byName[ev.Host] = i
		g.hosts[i].boots(g.tenant, ev.BootId)
	}
	if h := g.hosts[i]; h.boot != ev.BootId && ev.BootId != "" {
		h.boots(g.tenant, ev.BootId)
	}
	return i
}

func (h *host) boots(tenant, id string) {
	h.boot, h.known, h.told = id, false, 0
	h.scope = tenant + "/" + h.name + "/" + id
	h.pids, h.paths, h.inodes = map[uint32]NodeID{}, map[string]NodeID{}, map[inode]NodeID{}
	h.pages, h.peers = map[string][]NodeID{}, map[uint64]NodeID{}
}

// steady is the event's time on the host's steady clock.
func (g *Graph) steady(h uint32, ev *event.Event) int64 {
	if ev.BootNs == 0 {
		return ev.WallNs
	}
	hs := g.hosts[h]
	if !hs.known && ev.WallNs != 0 {
		hs.offset, hs.known = ev.WallNs-int64(ev.BootNs), true
	}
	return int64(ev.BootNs) + hs.offset
}

func (g *Graph) addProcess(f *Fact, ev *event.Event, p *event.ProcessActivity) NodeID {
	switch p.Op {
	case event.ProcessActivity_FORK:
		child := g.process(f.Host, p.Target, f.T)
		g.inherit(f.Actor, child)
		g.link(f.Actor, child, Forked, f.T, ev.Actor, f.Ref)
		return child
	case event.ProcessActivity_EXEC, event.ProcessActivity_SNAPSHOT:
		return g.addExec(f, ev, p)
	case event.ProcessActivity_EXIT:
		if n := g.Node(f.Actor); n != nil {
			n.Process.Exited = f.T // the pid stays its until reused: late sightings still find it
		}
		return f.Actor
	case event.ProcessActivity_PTRACE:
		target := g.process(f.Host, p.Target, f.T)
		g.link(f.Actor, target, Traced, f.T, ev.Actor, f.Ref)
		return target
	}
	return f.Actor
}

// inherit gives a forked child what it shares with its parent until it execs.
func (g *Graph) inherit(parent, child NodeID) {
	p, c := g.Node(parent), g.Node(child)
	if p == nil || c == nil || c.Process.Execs > 0 {
		return
	}
	c.Process.Parent = parent
	if c.Process.Exe == "" {
		c.Process.Exe = p.Process.Exe
	}
	c.Process.Argv, c.Process.CWD = p.Process.Argv, p.Process.CWD
	if c.Process.Ref.Container == "" {
		c.Process.Ref.Container = p.Process.Ref.Container
	}
}

func (g *Graph) addExec(f *Fact, ev *event.Event, p *event.ProcessActivity) NodeID {
	if p.Parent.GetPid() != 0 {
		parent := g.process(f.Host, p.Parent, f.T)
		if n := g.Node(f.Actor); n != nil && n.Process.Parent == 0 && parent != f.Actor {
			n.Process.Parent = parent
			g.link(parent, f.Actor, Forked, f.T, p.Parent, f.Ref)
		}
	}
	image := g.file(f.Host, p.Image, f.T)
	n := g.Node(f.Actor)
	if n == nil {
		return 0
	}
	pr := n.Process
	pr.Argv, pr.CWD = p.Argv, g.word(p.Cwd)
	g.grew(n, argvBytes(p.Argv)-int(pr.argvBytes))
	pr.argvBytes = int32(argvBytes(p.Argv))
	if p.Image.GetPath() != "" {
		pr.Exe = g.word(p.Image.Path)
	} else if ev.Actor.GetExe() != "" {
		pr.Exe = g.word(ev.Actor.Exe)
	}
	pr.Ref.Comm, pr.Ref.Uid = g.word(ev.Actor.Comm), ev.Actor.Uid
	pr.Snapshot = pr.Snapshot || p.Op == event.ProcessActivity_SNAPSHOT
	pr.Execs++
	g.ran(image, f, ev)
	if fl := inherited(p.Fds); fl != nil && !pr.Snapshot {
		if id := g.flow(f.Host, fl, f.T, onWire, false); id != 0 {
			g.link(id, f.Actor, Held, f.T, ev.Actor, f.Ref)
		}
	}
	return f.Actor
}

// ran writes who ran the file, where somebody was seen to write it: all others
// (/bin/sh) lead nowhere.
func (g *Graph) ran(file NodeID, f *Fact, ev *event.Event) {
	if n := g.Node(file); n != nil && n.File.Writer != 0 {
		g.link(file, f.Actor, Ran, f.T, ev.Actor, f.Ref)
	}
}

// inherited is the internet connection that was handed over as descriptor 0, as
// inetd and sshd do.
func inherited(fds []*event.Descriptor) *entity.Flow {
	if len(fds) > 0 && HasPeer(fds[0]) {
		return fds[0].Flow
	}
	return nil
}

// HasPeer tells whether a descriptor is a socket with an internet peer: listening
// sockets and others that were only handed down are not.
func HasPeer(d *event.Descriptor) bool {
	if d.GetType() != event.Descriptor_SOCKET || d.Flow.GetSrcPort() == 0 || d.Flow.GetDstPort() == 0 {
		return false
	}
	src, dst := d.Flow.Src().Addr(), d.Flow.Dst().Addr()
	return src.IsValid() && dst.IsValid() && !src.IsUnspecified() && !dst.IsUnspecified()
}

func argvBytes(argv []string) int {
	n := 16 * len(argv)
	for _, a := range argv {
		n += len(a)
	}
	return n
}

func (g *Graph) addFile(f *Fact, ev *event.Event, a *event.FileActivity) NodeID {
	var id NodeID
	switch a.Op {
	case event.FileActivity_RENAME:
		id = g.rename(f.Host, a.File, a.NewPath, f.T)
		g.wrote(f, id, ev)
	case event.FileActivity_UNLINK:
		id = g.unlink(f.Host, a.File, f.T)
	case event.FileActivity_READ, event.FileActivity_SCRIPT:
		id = g.file(f.Host, a.File, f.T)
		if a.Op == event.FileActivity_SCRIPT {
			g.ran(id, f, ev)
		} else {
			g.link(id, f.Actor, Read, f.T, ev.Actor, f.Ref)
		}
	case event.FileActivity_SWEPT:
		id = g.file(f.Host, a.File, f.T)
	default:
		id = g.file(f.Host, a.File, f.T)
		g.wrote(f, id, ev)
	}
	return id
}

func (g *Graph) wrote(f *Fact, id NodeID, ev *event.Event) {
	n := g.Node(id)
	if n == nil || f.Actor == 0 {
		return
	}
	n.File.Writer, n.File.Wrote = f.Actor, f.T
	g.written(f.Host, id, n)
	g.link(f.Actor, id, Wrote, f.T, ev.Actor, f.Ref)
}

func (g *Graph) addNetwork(f *Fact, ev *event.Event, a *event.NetworkActivity) NodeID {
	switch a.Op {
	case event.NetworkActivity_RESET:
		return g.address(a.Flow.Src().Addr(), f.T)
	case event.NetworkActivity_BIND, event.NetworkActivity_LISTEN:
		return 0
	case event.NetworkActivity_TRANSLATE:
		id := g.flow(f.Host, a.Flow, f.T, onWire, false)
		if id != 0 {
			g.alias(id, a.Translated)
		}
		return id
	}
	at := roleOf(ev)
	if ev.Sensor == event.Sensor_KERNEL && a.Op == event.NetworkActivity_SEND {
		at = atClient
	}
	opens := a.Op == event.NetworkActivity_ACCEPT || a.Op == event.NetworkActivity_CONNECT || a.Op == event.NetworkActivity_FLOW_OPEN
	id := g.flow(f.Host, a.Flow, f.T, at, opens)
	n := g.Node(id)
	if n == nil {
		return 0
	}
	switch a.Op {
	case event.NetworkActivity_ACCEPT:
		g.link(id, f.Actor, Accepted, f.T, ev.Actor, f.Ref)
	case event.NetworkActivity_CONNECT, event.NetworkActivity_SEND:
		g.link(f.Actor, id, Connected, f.T, ev.Actor, f.Ref)
	case event.NetworkActivity_CLOSE, event.NetworkActivity_FLOW_CLOSE:
		n.Flow.Closed = max(n.Flow.Closed, f.T)
	}
	return id
}

func (g *Graph) addHTTP(f *Fact, ev *event.Event, a *event.HttpActivity) NodeID {
	at := onWire
	if a.Seen == event.HttpActivity_SOCKET || a.Seen == event.HttpActivity_TLS {
		at = atServer
	}
	var flow NodeID
	if a.Request.GetFlow().GetSrcPort() != 0 {
		flow = g.flow(f.Host, a.Request.Flow, f.T, at, false)
	}
	if a.Op == event.HttpActivity_RESPONSE {
		return g.answered(f, flow, a)
	}
	id := g.request(flow, f, a)
	if id == 0 {
		return 0
	}
	serving := a.Seen == event.HttpActivity_SOCKET || a.Seen == event.HttpActivity_TLS || a.Seen == event.HttpActivity_FASTCGI
	if file := g.script(f, a, serving); file != 0 {
		g.link(file, id, Executed, f.T, ev.Actor, f.Ref)
	}
	if n := g.Node(f.Actor); n != nil && serving {
		g.serve(n, Serve{Request: id, Seen: a.Seen, TID: ev.Actor.GetTid(), G: ev.Actor.GetGoroutine(), From: f.T, conn: connOf(a), ordinal: a.Ordinal})
		g.link(id, f.Actor, Served, f.T, ev.Actor, f.Ref)
	}
	return id
}

// peersKept bounds the unix sockets whose other end is remembered per host.
const peersKept = 1 << 14

// addChannel remembers who is at the other end of a unix socket.
func (g *Graph) addChannel(f *Fact, a *event.ChannelActivity) {
	if a.Op != event.ChannelActivity_UNIX_PAIR {
		return
	}
	peers := g.hosts[f.Host].peers
	if len(peers) >= peersKept {
		clear(peers)
	}
	if peer := g.process(f.Host, &entity.Process{Pid: a.PeerPid}, f.T); peer != 0 && peer != f.Actor {
		peers[a.InodeA] = peer
	}
	if f.Actor != 0 && a.InodeB != 0 {
		peers[a.InodeB] = f.Actor
	}
}

// spokenOf is the connection that a log line speaks of: by its tuple, or by the client's
// address and port alone.
func (g *Graph) spokenOf(h uint32, f *entity.Flow, t int64) NodeID {
	if f.GetSrcPort() == 0 {
		return 0
	}
	if id := g.flow(h, f, t, onWire, false); id != 0 {
		return id
	}
	return g.opened(h, f.Src(), t)
}

// addAuth writes a log-in down. It begins the process that the log line names, where
// it came over the network or at a console; su and sudo go on with what was there.
func (g *Graph) addAuth(f *Fact, ev *event.Event, a *event.Authentication) NodeID {
	flow := g.spokenOf(f.Host, a.Flow, f.T)
	if a.Outcome != event.Authentication_SUCCESS || flow == 0 && a.Service != "login" {
		return flow
	}
	what := a.Service
	if n := g.Node(flow); n != nil {
		what = n.Key.String()
	}
	login := g.text(entity.Kind_LOGIN, g.scope(f.Host)+"/"+what, a.User, f.T)
	if n := g.Node(login); n != nil {
		n.Host = f.Host
	}
	g.link(flow, login, LoggedIn, f.T, nil, f.Ref)
	if n := g.Node(f.Actor); n != nil && !n.Process.Snapshot {
		g.link(login, f.Actor, Began, f.T, nil, f.Ref)
	}
	return login
}
