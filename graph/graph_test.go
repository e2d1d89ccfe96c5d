// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

const ms = uint64(1e6)

// world feeds a graph with events of several hosts in a few words.
type world struct {
	t   *testing.T
	g   *Graph
	seq uint64
}

func newWorld(t *testing.T) *world { return &world{t: t, g: New("default", Config{})} }

// base is when every test host booted, as wall time.
const base = int64(1_700_000_000e9)

func (w *world) add(host string, at uint64, sensor event.Sensor, actor *entity.Process, ev *event.Event) Fact {
	w.seq++
	ev.Tenant, ev.Host, ev.BootId, ev.Sensor, ev.Actor = "default", host, "boot-"+host, sensor, actor
	ev.BootNs, ev.WallNs, ev.Epoch, ev.Seq = at, base+int64(at), 2, w.seq
	return w.g.Add(ev)
}

func proc(pid uint32, start uint64) *entity.Process { return &entity.Process{Pid: pid, StartNs: start} }

func flow(src, dst string, netns, cookie uint64) *entity.Flow {
	f := entity.NewFlow(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), 6)
	f.Netns, f.Cookie = netns, cookie
	return f
}

func network(op event.NetworkActivity_Op, f *entity.Flow) *event.Event {
	return &event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: op, Flow: f, Inbound: op == event.NetworkActivity_ACCEPT}}}
}

func file(op event.FileActivity_Op, f *entity.File, to string) *event.Event {
	return &event.Event{Payload: &event.Event_File{File: &event.FileActivity{Op: op, File: f, NewPath: to}}}
}

func (w *world) same(a, b NodeID, what string) {
	w.t.Helper()
	if a != b || a == 0 {
		w.t.Errorf("%s: want one node, got %d and %d", what, a, b)
	}
}

func (w *world) differ(a, b NodeID, what string) {
	w.t.Helper()
	if a == b {
		w.t.Errorf("%s: want two nodes, got %d twice", what, a)
	}
}

func TestBothEndsOfAFlowTwoSecondsApart(t *testing.T) {
	w := newWorld(t)
	web, data := "10.1.1.2:40000", "10.1.1.3:6379"
	c := w.add("web", 5000*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_CONNECT, flow(web, data, 1, 71)))
	s := w.add("data", 7000*ms, event.Sensor_KERNEL, proc(20, 1), network(event.NetworkActivity_ACCEPT, flow(web, data, 2, 88)))
	p := w.add("data", 6990*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_OPEN, flow(web, data, 2, 0)))
	w.same(c.Object, s.Object, "client and server end")
	w.same(c.Object, p.Object, "kernel and wire")
}

func TestPortReusedWithinASecond(t *testing.T) {
	w := newWorld(t)
	a, b := "10.1.1.2:40000", "10.1.1.3:80"
	one := w.add("web", 1000*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_ACCEPT, flow(a, b, 1, 5)))
	w.add("web", 1300*ms, event.Sensor_KERNEL, proc(10, 1), func() *event.Event {
		ev := network(event.NetworkActivity_CLOSE, flow(a, b, 1, 5))
		ev.GetNetwork().Inbound = true
		return ev
	}())
	two := w.add("web", 1800*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_ACCEPT, flow(a, b, 1, 6)))
	w.differ(one.Object, two.Object, "two connections on one tuple")
	wire := newWorld(t)
	one = wire.add("web", 1000*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_OPEN, flow(a, b, 1, 0)))
	wire.add("web", 1300*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_CLOSE, flow(a, b, 1, 0)))
	two = wire.add("web", 1800*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_OPEN, flow(a, b, 1, 0)))
	wire.differ(one.Object, two.Object, "two SYNs on one tuple")
}

func TestEqualTuplesInTwoNamespaces(t *testing.T) {
	w := newWorld(t)
	a, b := "172.17.0.2:40000", "172.17.0.3:80"
	one := w.add("node", 1000*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_CONNECT, flow(a, b, 11, 5)))
	two := w.add("node", 1100*ms, event.Sensor_KERNEL, proc(11, 1), network(event.NetworkActivity_CONNECT, flow(a, b, 22, 6)))
	w.differ(one.Object, two.Object, "the same addresses in two namespaces")
	lo1 := w.add("node", 1000*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_CONNECT, flow("127.0.0.1:4000", "127.0.0.1:80", 11, 7)))
	lo2 := w.add("node", 1000*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_OPEN, flow("127.0.0.1:4000", "127.0.0.1:80", 22, 0)))
	w.differ(lo1.Object, lo2.Object, "two loopbacks")
}

func TestOneNATHop(t *testing.T) {
	w := newWorld(t)
	inside, outside := flow("10.0.0.5:40000", "203.0.113.9:443", 1, 9), flow("198.51.100.1:61000", "203.0.113.9:443", 0, 0)
	c := w.add("client", 1000*ms, event.Sensor_KERNEL, proc(10, 1), network(event.NetworkActivity_CONNECT, inside))
	w.add("gateway", 1001*ms, event.Sensor_PACKET, nil, &event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{
		Op: event.NetworkActivity_TRANSLATE, Flow: flow("10.0.0.5:40000", "203.0.113.9:443", 0, 0), Translated: outside}}})
	s := w.add("server", 1002*ms, event.Sensor_KERNEL, proc(20, 1), network(event.NetworkActivity_ACCEPT, flow("198.51.100.1:61000", "203.0.113.9:443", 3, 4)))
	w.same(c.Object, s.Object, "before and behind the translation")
}

func TestUploadRenamed(t *testing.T) {
	w := newWorld(t)
	worker := proc(30, 1)
	tmp := w.add("web", 1000*ms, event.Sensor_KERNEL, worker, file(event.FileActivity_OPEN_WRITE, &entity.File{Path: "/tmp/phpA1", Fs: 40, Inode: 7}, ""))
	// overlayfs: stat tells another device than the kernel's own walk
	closed := w.add("web", 1001*ms, event.Sensor_FILES, worker, file(event.FileActivity_CLOSE_WRITE, &entity.File{Path: "/tmp/phpA1", Fs: 99, Inode: 1007, BirthNs: 5}, ""))
	moved := w.add("web", 1002*ms, event.Sensor_KERNEL, worker, file(event.FileActivity_RENAME, &entity.File{Path: "/tmp/phpA1", Fs: 40, Inode: 7}, "/srv/run.php"))
	seen := w.add("web", 1003*ms, event.Sensor_FILES, nil, file(event.FileActivity_CLOSE_WRITE, &entity.File{Path: "/srv/run.php", Fs: 99, Inode: 1007, BirthNs: 5}, ""))
	w.same(tmp.Object, closed.Object, "kernel and file sensor")
	w.same(tmp.Object, moved.Object, "before and after the rename")
	w.same(tmp.Object, seen.Object, "new name, other sensor")
	again := w.add("web", 1010*ms, event.Sensor_KERNEL, worker, file(event.FileActivity_OPEN_WRITE, &entity.File{Path: "/tmp/phpA1", Fs: 40, Inode: 8}, ""))
	w.differ(tmp.Object, again.Object, "the old name used again")
}

func TestPIDReuse(t *testing.T) {
	w := newWorld(t)
	fork := func(at uint64, child *entity.Process) Fact {
		return w.add("web", at, event.Sensor_KERNEL, proc(1, 1), &event.Event{Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: child}}})
	}
	exit := func(at uint64, p *entity.Process) Fact {
		return w.add("web", at, event.Sensor_KERNEL, p, &event.Event{Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXIT}}})
	}
	one := fork(1000*ms, proc(50, 1000*ms))
	exit(1100*ms, proc(50, 1000*ms))
	late := w.add("web", 1101*ms, event.Sensor_FILES, proc(50, 0), file(event.FileActivity_CLOSE_WRITE, &entity.File{Path: "/x", Fs: 1, Inode: 1}, ""))
	two := fork(1200*ms, proc(50, 1200*ms))
	w.same(one.Object, late.Actor, "a late sighting without start time")
	w.differ(one.Object, two.Object, "two lives of one pid")
	ticks := w.add("web", 1300*ms, event.Sensor_LOGS, proc(50, 1200*ms+3*ms), file(event.FileActivity_CLOSE_WRITE, &entity.File{Path: "/y", Fs: 1, Inode: 2}, ""))
	w.same(two.Object, ticks.Actor, "start time in clock ticks")
}

func TestClockStepReordersNothing(t *testing.T) {
	w := newWorld(t)
	a := w.add("web", 1000*ms, event.Sensor_KERNEL, proc(5, 1), file(event.FileActivity_OPEN_WRITE, &entity.File{Path: "/a", Fs: 1, Inode: 1}, ""))
	ev := file(event.FileActivity_OPEN_WRITE, &entity.File{Path: "/b", Fs: 1, Inode: 2}, "")
	ev.Host, ev.BootId, ev.Sensor, ev.Actor = "web", "boot-web", event.Sensor_KERNEL, proc(5, 1)
	ev.BootNs, ev.WallNs, ev.ClockEpoch = 2000*ms, base+int64(2000*ms)-3600e9, 1
	b := w.g.Add(ev)
	if b.T-a.T != int64(1000*ms) {
		t.Errorf("one second apart on the steady clock, got %d ns", b.T-a.T)
	}
	w.same(a.Actor, b.Actor, "process across a clock step")
}

func TestSensorsJoinOnOneRequest(t *testing.T) {
	w := newWorld(t)
	f := func() *entity.Flow { return flow("10.1.1.9:41001", "10.1.1.2:80", 1, 0) }
	http := func(seen event.HttpActivity_Seen, uri string, ordinal ...uint32) *event.Event {
		return &event.Event{Payload: &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: seen, Ordinal: append(ordinal, 0)[0], Request: &entity.Request{Flow: f(), Method: "GET", Uri: uri}}}}
	}
	w.add("web", 1000*ms, event.Sensor_PACKET, nil, network(event.NetworkActivity_FLOW_OPEN, f()))
	wire1 := w.add("web", 1001*ms, event.Sensor_PACKET, nil, http(event.HttpActivity_WIRE, "/a"))
	wire2 := w.add("web", 1002*ms, event.Sensor_PACKET, nil, http(event.HttpActivity_WIRE, "/a", 1))
	sock1 := w.add("web", 1001*ms, event.Sensor_KERNEL, proc(60, 1), http(event.HttpActivity_SOCKET, "/a"))
	fcgi1 := w.add("web", 1001*ms, event.Sensor_KERNEL, proc(61, 1), http(event.HttpActivity_FASTCGI, "/a"))
	sock2 := w.add("web", 1002*ms, event.Sensor_KERNEL, proc(60, 1), http(event.HttpActivity_SOCKET, "/a", 1))
	body := w.add("web", 1004*ms, event.Sensor_KERNEL, proc(60, 1), http(event.HttpActivity_SOCKET, "/a", 1))
	peer := w.add("client", 1001*ms, event.Sensor_PACKET, nil, http(event.HttpActivity_WIRE, "/a"))
	log := http(event.HttpActivity_LOG, "/a")
	log.GetHttp().Request.Flow.SrcPort = 0
	line := w.add("web", 1003*ms, event.Sensor_LOGS, nil, log)
	w.same(wire1.Object, sock1.Object, "wire and socket")
	w.same(wire1.Object, fcgi1.Object, "wire and FastCGI")
	w.same(wire2.Object, sock2.Object, "the second request of the connection")
	w.differ(wire1.Object, wire2.Object, "the same target asked for twice")
	w.same(wire2.Object, body.Object, "told again with its body")
	w.same(wire1.Object, peer.Object, "the wire at the other end")
	w.same(wire1.Object, line.Object, "access log line")
}

func TestMemoryStaysBounded(t *testing.T) {
	w := newWorld(t)
	w.g.cfg.Bytes = 1 << 20
	for i := range uint64(20000) {
		w.add("web", 1000*ms+i*ms, event.Sensor_KERNEL, proc(5, 1), file(event.FileActivity_OPEN_WRITE, &entity.File{Path: "/tmp/" + string(rune('a'+i%26)) + string(rune('0'+i%10)), Fs: 1, Inode: i + 10}, ""))
	}
	if s := w.g.Stats(); s.Bytes > 2<<20 || s.Evicted == 0 {
		t.Errorf("budget 1 MiB, holds %d bytes in %d nodes, evicted %d", s.Bytes, s.Nodes, s.Evicted)
	}
	if id, ok := w.g.hosts[1].pids[5]; !ok || w.g.Node(id) == nil {
		t.Error("a live process was evicted before dead files")
	}
}

func TestLoginThatTellsOnlyTheClient(t *testing.T) {
	w := newWorld(t)
	in := w.add("web", 1000*ms, event.Sensor_KERNEL, proc(70, 1), network(event.NetworkActivity_ACCEPT, flow("10.1.1.7:50000", "10.1.1.2:22", 1, 9)))
	fl := flow("10.1.1.7:50000", "10.1.1.2:22", 0, 0)
	fl.DstIp, fl.DstPort = nil, 0
	login := w.add("web", 9000*ms, event.Sensor_LOGS, nil, &event.Event{Payload: &event.Event_Auth{Auth: &event.Authentication{
		Outcome: event.Authentication_SUCCESS, User: "ops", Service: "sshd", Flow: fl}}})
	n := w.g.Node(login.Object)
	if n == nil || n.Kind != entity.Kind_LOGIN || len(n.In) == 0 || n.In[0].Peer != in.Object {
		t.Errorf("the log-in is not joined to its connection: %+v", n)
	}
}

// TestStormOfLiveProcesses: what never ends must not hold the memory for ever.
func TestStormOfLiveProcesses(t *testing.T) {
	w := newWorld(t)
	w.g.cfg.Bytes = 4 << 20
	most := int64(0)
	for i := range uint64(100_000) {
		at := 1000*ms + i*1000
		w.add("web", at, event.Sensor_KERNEL, proc(5, 1), &event.Event{Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: proc(uint32(100+i), at)}}})
		most = max(most, w.g.Stats().Bytes)
	}
	if most > 5<<20 {
		t.Errorf("budget 4 MiB, held %d bytes", most)
	}
	if _, ok := w.g.hosts[1].pids[5]; !ok {
		t.Error("the process that acts all the time was evicted")
	}
	if n := len(w.g.hosts[1].pids); n > 20_000 {
		t.Errorf("%d pids are indexed though their processes are gone", n)
	}
}

func TestAnIdOutlivesItsNodeAsNothing(t *testing.T) {
	w := newWorld(t)
	id := w.g.text(entity.Kind_DOMAIN, "", "a.example", 1)
	w.g.drop(id)
	if w.g.Node(id) != nil {
		t.Fatal("an evicted node is still there")
	}
	next := w.g.text(entity.Kind_DOMAIN, "", "b.example", 2)
	if next.place() != id.place() {
		t.Fatalf("the place was not used again: %x, %x", id, next)
	}
	if w.g.Node(id) != nil || w.g.Node(next) == nil || w.g.Node(next).Text != "b.example" {
		t.Error("the old id finds the new node")
	}
	if s := w.g.Stats(); s.Nodes != 1 || s.Evicted != 1 {
		t.Errorf("stats %+v", s)
	}
}
