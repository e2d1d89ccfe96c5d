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
	f := Fact{Host: h, T: t, Ref: Ref{h, ev.Epoch, ev.Seq}}
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
		f.Object = g.addAuth(&f, p.Auth)
	case *event.Event_Tls:
		f.Object = g.flow(h, p.Tls.Flow, t, onWire, false)
	case *event.Event_Ssh:
		f.Object = g.flow(h, p.Ssh.Flow, t, onWire, false)
	}
	g.evict()
	return f
}

func (g *Graph) refOf(ev *event.Event) Ref { return Ref{g.byName[ev.Host], ev.Epoch, ev.Seq} }

// host finds the resolver's state; a new boot id starts a new scope and clock.
func (g *Graph) host(ev *event.Event) uint32 {
	i, ok := g.byName[ev.Host]
	if !ok {
		i = uint32(len(g.hosts))
		g.hosts = append(g.hosts, &host{name: ev.Host, boot: ev.BootId})
		g.byName[ev.Host] = i
		g.hosts[i].clear()
	}
	if h := g.hosts[i]; h.boot != ev.BootId && ev.BootId != "" {
		h.boot, h.known = ev.BootId, false
		h.clear()
	}
	return i
}

func (h *host) clear() {
	h.pids, h.paths, h.inodes = map[uint32]NodeID{}, map[string]NodeID{}, map[inode]NodeID{}
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
		c.Process.Ref.Exe = p.Process.Exe
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
	pr.Argv, pr.CWD, pr.GID, pr.TTY, pr.Env, pr.FDs, pr.Image = p.Argv, p.Cwd, p.Gid, p.Tty, p.Env, p.Fds, p.Image
	if p.Image.GetPath() != "" {
		pr.Exe, pr.Ref.Exe = p.Image.Path, p.Image.Path
	} else if ev.Actor.GetExe() != "" {
		pr.Exe, pr.Ref.Exe = ev.Actor.Exe, ev.Actor.Exe
	}
	pr.Ref.Comm, pr.Ref.Uid = ev.Actor.Comm, ev.Actor.Uid
	pr.Snapshot = pr.Snapshot || p.Op == event.ProcessActivity_SNAPSHOT
	pr.Execs++
	g.link(image, f.Actor, Ran, f.T, ev.Actor, f.Ref)
	return f.Actor
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
		typ := Read
		if a.Op == event.FileActivity_SCRIPT {
			typ = Ran
		}
		g.link(id, f.Actor, typ, f.T, ev.Actor, f.Ref)
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

// servingKept bounds the requests remembered per worker.
const servingKept = 64

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
	id := g.request(flow, ev, f.T)
	if id == 0 {
		return 0
	}
	if a.Script != "" {
		if file := g.file(f.Host, &entity.File{Path: a.Script}, f.T); file != 0 {
			g.link(file, id, Executed, f.T, ev.Actor, f.Ref)
		}
	}
	if p := g.Node(f.Actor); p != nil && a.Seen != event.HttpActivity_WIRE && a.Seen != event.HttpActivity_LOG {
		p.Process.serve(Serve{Request: id, Seen: a.Seen, TID: ev.Actor.GetTid(), G: ev.Actor.GetGoroutine(), From: f.T, conn: connOf(a)})
		g.link(id, f.Actor, Served, f.T, ev.Actor, f.Ref)
	}
	return id
}

func connOf(a *event.HttpActivity) uint64 {
	if a.Channel != 0 {
		return a.Channel
	}
	return a.Request.GetFlow().GetCookie()
}

// serve puts a request into the hands of the process and learns its thread model.
func (p *Process) serve(s Serve) {
	inFlight := 1
	for i := range p.Serving {
		old := &p.Serving[i]
		if old.Request == s.Request && old.Seen == s.Seen {
			return // its body, told after its head
		}
		if old.To != 0 {
			continue
		}
		if s.Seen == event.HttpActivity_FASTCGI && old.Seen == s.Seen {
			old.To = s.From // the boundary of a FastCGI worker is its next BEGIN_REQUEST
			continue
		}
		if old.conn == s.conn {
			continue // pipelined on one connection
		}
		inFlight++
		if old.TID == s.TID {
			p.loop = true
		}
	}
	p.peak = max(p.peak, inFlight)
	if len(p.Serving) >= servingKept {
		p.Serving = append(p.Serving[:0], p.Serving[servingKept/2:]...)
	}
	p.Serving = append(p.Serving, s)
}

func (g *Graph) answered(f *Fact, flow NodeID, a *event.HttpActivity) NodeID {
	if p := g.Node(f.Actor); p != nil {
		for i := range p.Process.Serving {
			s := &p.Process.Serving[i]
			if s.To != 0 || s.conn != connOf(a) || s.Seen == event.HttpActivity_FASTCGI {
				continue
			}
			s.To = f.T
			if r := g.Node(s.Request); r != nil && r.Request != nil && a.Status != 0 {
				r.Request.Status = a.Status
			}
			return s.Request
		}
	}
	if n := g.Node(flow); n != nil {
		for _, id := range n.Flow.requests {
			if r := g.Node(id); r != nil && r.Request.Status == 0 {
				r.Request.Status = a.Status
				return id
			}
		}
	}
	return 0
}

func (g *Graph) addAuth(f *Fact, a *event.Authentication) NodeID {
	flow := g.flow(f.Host, a.Flow, f.T, onWire, false)
	if a.Outcome != event.Authentication_SUCCESS {
		return flow
	}
	what := a.Service
	if n := g.Node(flow); n != nil {
		what = n.Key.String()
	}
	login := g.text(entity.Kind_LOGIN, g.scope(f.Host)+"/"+what, a.User, f.T)
	g.link(flow, login, LoggedIn, f.T, nil, f.Ref)
	if n := g.Node(flow); n != nil {
		for _, e := range n.Out {
			if e.Type == Accepted {
				g.link(login, e.Peer, Began, f.T, nil, f.Ref)
			}
		}
	}
	return login
}
