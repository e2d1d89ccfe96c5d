// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// stream makes an endless mixed stream of events, the same for one seed: web hosts
// with nginx and PHP-FPM that serve pages, take uploads and run commands, sessions
// over ssh, jobs of cron, builds that fork. Per host and second of its time about
// thirty requests and as many programs.
type stream struct {
	rng   *rand.Rand
	hosts []*streamHost
	queue []*event.Event
	deeds []deedSeen // since the caller last looked
}

// deedSeen is something that a test may ask a trace for.
type deedSeen struct {
	host string
	at   *event.Event
	what *entity.Sighting
}

type streamHost struct {
	name    string
	addr    netip.Addr
	now     uint64
	seq     uint64
	pid     uint32
	port    uint16
	cookie  uint64
	inode   uint64
	sshd    *entity.Process
	cron    *entity.Process
	nginx   []*entity.Process
	fpm     []*entity.Process
	uploads []string
}

func newStream(seed uint64, hosts int) *stream {
	s := &stream{rng: rand.New(rand.NewPCG(seed, 7))}
	for i := range hosts {
		h := &streamHost{name: fmt.Sprintf("web%d", i), addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i + 1)}), now: 5e9, pid: 2000, port: 1024, inode: 1 << 20}
		daemon := func(exe string, uid uint32) *entity.Process {
			h.pid++
			p := &entity.Process{Pid: h.pid, Tid: h.pid, StartNs: uint64(h.pid) * 1e4, Exe: exe, Comm: base(exe), Uid: uid}
			s.emit(h, event.Sensor_KERNEL, p, &event.Event{Payload: &event.Event_Process{Process: &event.ProcessActivity{
				Op: event.ProcessActivity_SNAPSHOT, Argv: []string{base(exe)}, Image: &entity.File{Path: exe, Fs: 40, Inode: hash(exe), Nlink: 1}}}})
			return p
		}
		h.sshd, h.cron = daemon("/usr/sbin/sshd", 0), daemon("/usr/sbin/cron", 0)
		for range 2 {
			h.nginx = append(h.nginx, daemon("/usr/sbin/nginx", 33))
		}
		for range 6 {
			h.fpm = append(h.fpm, daemon("/usr/sbin/php-fpm8.2", 33))
		}
		s.hosts = append(s.hosts, h)
	}
	return s
}

func base(exe string) string {
	for i := len(exe) - 1; i >= 0; i-- {
		if exe[i] == '/' {
			return exe[i+1:]
		}
	}
	return exe
}

// next gives the next event in order of arrival.
func (s *stream) next() *event.Event {
	for len(s.queue) == 0 {
		h := s.hosts[s.rng.IntN(len(s.hosts))]
		h.now += uint64(s.rng.IntN(20e6))
		switch n := s.rng.IntN(100); {
		case n < 55:
			s.request(h)
		case n < 75:
			s.build(h)
		case n < 85:
			s.job(h)
		case n < 90:
			s.session(h)
		default:
			s.files(h)
		}
	}
	ev := s.queue[0]
	s.queue = s.queue[1:]
	return ev
}

func (s *stream) emit(h *streamHost, sensor event.Sensor, actor *entity.Process, ev *event.Event) {
	h.seq++
	h.now += 20_000
	if actor != nil {
		actor = actor.CloneVT()
	}
	ev.Tenant, ev.Host, ev.BootId, ev.Epoch, ev.Seq, ev.Schema = "default", h.name, "b-"+h.name, 2, h.seq, event.Schema
	ev.BootNs, ev.WallNs, ev.Sensor, ev.Actor = h.now, epochStart+int64(h.now), sensor, actor
	ev.Classify()
	s.queue = append(s.queue, ev)
}

func (s *stream) saw(h *streamHost, what *entity.Sighting) {
	what.Host = h.name
	s.deeds = append(s.deeds, deedSeen{h.name, s.queue[len(s.queue)-1], what})
}

func (s *stream) process(h *streamHost, who *entity.Process, p *event.ProcessActivity) {
	s.emit(h, event.Sensor_KERNEL, who, &event.Event{Payload: &event.Event_Process{Process: p}})
}

// run forks and execs; now and then a pid is used again.
func (s *stream) run(h *streamHost, parent *entity.Process, exe string, argv ...string) *entity.Process {
	if h.pid++; h.pid > 34000 {
		h.pid = 3000
	}
	c := &entity.Process{Pid: h.pid, Tid: h.pid, StartNs: h.now + 20_000, Comm: parent.Comm, Exe: parent.Exe, Uid: parent.Uid, Cgroup: 77}
	s.process(h, parent, &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: c.CloneVT(), Ns: &event.Namespaces{Mnt: 1, Pid: 2, Net: 3, User: 4}})
	c.Exe, c.Comm = exe, base(exe)
	s.process(h, c, &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Argv: argv, Cwd: "/srv/app", Parent: parent.CloneVT(), Gid: 33, Ns: &event.Namespaces{Mnt: 1, Pid: 2, Net: 3, User: 4},
		Image: &entity.File{Path: exe, Fs: 40, Inode: hash(exe), Size: 125000, Mode: 0o755, Nlink: 1},
		Fds:   []*event.Descriptor{{Type: event.Descriptor_PIPE, Inode: h.inode}, {Type: event.Descriptor_PIPE, Inode: h.inode + 1}, {Type: event.Descriptor_NULL}}})
	s.saw(h, &entity.Sighting{Kind: entity.Kind_PROCESS, Process: &entity.Process{Pid: c.Pid, StartNs: c.StartNs}})
	return c
}

func (s *stream) exit(h *streamHost, p *entity.Process) {
	s.process(h, p, &event.ProcessActivity{Op: event.ProcessActivity_EXIT})
}

func (s *stream) file(h *streamHost, who *entity.Process, op event.FileActivity_Op, path, to string, inode uint64) {
	s.emit(h, event.Sensor_KERNEL, who, &event.Event{Payload: &event.Event_File{File: &event.FileActivity{
		Op: op, NewPath: to, File: &entity.File{Path: path, Fs: 40, Inode: inode, Size: 2000, Mode: 0o644, Nlink: 1}}}})
	if to != "" {
		path = to
	}
	if op != event.FileActivity_UNLINK {
		s.saw(h, &entity.Sighting{Kind: entity.Kind_FILE, File: &entity.File{Path: path, Fs: 40, Inode: inode}})
	}
}

func (s *stream) fresh(h *streamHost) uint64 { h.inode++; return h.inode }

// client draws a visitor; few come often.
func (s *stream) client(h *streamHost) netip.AddrPort {
	if h.port++; h.port < 1024 {
		h.port = 1024
	}
	n := s.rng.ExpFloat64() * 40
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(int(n) >> 8), byte(int(n))}), h.port)
}

// request is one connection with its request, through nginx and a PHP worker.
func (s *stream) request(h *streamHost) {
	flow := entity.NewFlow(s.client(h), netip.AddrPortFrom(h.addr, 80), 6)
	flow.Netns = 9
	h.cookie++
	at := flow.CloneVT()
	at.Cookie = h.cookie
	uri, script := fmt.Sprintf("/page%d.php?id=%d", s.rng.IntN(40), s.rng.IntN(1e6)), ""
	script = "/var/www/" + uri[1:len(uri)-len("?id=")-len(fmt.Sprint(0))]
	for i := range uri {
		if uri[i] == '?' {
			script = "/var/www" + uri[:i]
		}
	}
	method, deed := "GET", s.rng.IntN(100)
	var up []*event.Upload
	switch {
	case deed < 5:
		method, uri, script = "POST", "/upload.php", "/var/www/upload.php"
		up = []*event.Upload{{Field: "f", Filename: "note.php", Size: 2000}}
	case deed < 10 && len(h.uploads) > 0:
		script = h.uploads[s.rng.IntN(len(h.uploads))]
		uri = script[len("/var/www"):] + "?c=id"
	}
	ngx, fpm := h.nginx[s.rng.IntN(len(h.nginx))], h.fpm[s.rng.IntN(len(h.fpm))]
	net := func(sensor event.Sensor, who *entity.Process, op event.NetworkActivity_Op, f *entity.Flow) {
		s.emit(h, sensor, who, &event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: op, Flow: f.CloneVT(), Inbound: true, CommunityId: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", BytesSrc: 700, BytesDst: 9000}}})
	}
	http := func(sensor event.Sensor, who *entity.Process, op event.HttpActivity_Op, seen event.HttpActivity_Seen, f *entity.Flow) {
		a := &event.HttpActivity{Op: op, Seen: seen, Request: &entity.Request{Flow: f.CloneVT(), Method: method, Uri: uri, Host: "shop.example"}}
		if op == event.HttpActivity_RESPONSE {
			a.Status = 200
		} else {
			a.UserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
			a.Headers = []*event.Header{{Name: "Host", Value: "shop.example"}, {Name: "User-Agent", Value: a.UserAgent}, {Name: "Accept", Value: "text/html,application/xhtml+xml"},
				{Name: "Accept-Language", Value: "en-GB,en;q=0.5"}, {Name: "Cookie", Value: "‹h:0123456789ab›"}}
			a.Params = []*event.Param{{Name: "id", Value: uri, In: "query"}}
			a.Tokens, a.Uploads = tokensOf(uri), up
		}
		if seen == event.HttpActivity_FASTCGI {
			a.Script, a.Channel = script, h.inode
		}
		s.emit(h, sensor, who, &event.Event{Payload: &event.Event_Http{Http: a}})
	}
	net(event.Sensor_PACKET, nil, event.NetworkActivity_FLOW_OPEN, flow)
	net(event.Sensor_KERNEL, ngx, event.NetworkActivity_ACCEPT, at)
	http(event.Sensor_PACKET, nil, event.HttpActivity_REQUEST, event.HttpActivity_WIRE, flow)
	http(event.Sensor_KERNEL, ngx, event.HttpActivity_REQUEST, event.HttpActivity_SOCKET, at)
	s.fresh(h)
	s.emit(h, event.Sensor_KERNEL, fpm, &event.Event{Payload: &event.Event_Channel{Channel: &event.ChannelActivity{Op: event.ChannelActivity_UNIX_PAIR, InodeA: h.inode, InodeB: h.inode + 1<<40, PeerPid: ngx.Pid}}})
	http(event.Sensor_KERNEL, fpm, event.HttpActivity_REQUEST, event.HttpActivity_FASTCGI, flow)
	switch {
	case method == "POST":
		ino := s.fresh(h)
		tmp, to := fmt.Sprintf("/tmp/php%06x", s.rng.IntN(1<<24)), fmt.Sprintf("/var/www/files/note%d.php", s.rng.IntN(500))
		s.file(h, fpm, event.FileActivity_OPEN_WRITE, tmp, "", ino)
		s.file(h, fpm, event.FileActivity_RENAME, tmp, to, ino)
		if h.uploads = append(h.uploads, to); len(h.uploads) > 50 {
			h.uploads = h.uploads[1:]
		}
	case deed < 18:
		sh := s.run(h, fpm, "/bin/dash", "sh", "-c", "df -h /var")
		s.exit(h, s.run(h, sh, "/usr/bin/df", "df", "-h", "/var"))
		s.exit(h, sh)
	case deed < 40:
		s.file(h, fpm, event.FileActivity_OPEN_WRITE, fmt.Sprintf("/var/lib/php/sess_%04d", s.rng.IntN(3000)), "", s.fresh(h))
	}
	http(event.Sensor_KERNEL, fpm, event.HttpActivity_RESPONSE, event.HttpActivity_FASTCGI, flow)
	http(event.Sensor_KERNEL, ngx, event.HttpActivity_RESPONSE, event.HttpActivity_SOCKET, at)
	net(event.Sensor_KERNEL, ngx, event.NetworkActivity_CLOSE, at)
	net(event.Sensor_PACKET, nil, event.NetworkActivity_FLOW_CLOSE, flow)
}

// build is make with compilers; their output is written and renamed.
func (s *stream) build(h *streamHost) {
	mk := s.run(h, h.cron, "/usr/bin/make", "make", "-j2", "all")
	for i := range 2 + s.rng.IntN(6) {
		cc := s.run(h, mk, "/usr/bin/cc", "cc", "-O2", "-Wall", "-c", fmt.Sprintf("src/file%d.c", i), "-o", fmt.Sprintf("out/file%d.o", i))
		ino := s.fresh(h)
		s.file(h, cc, event.FileActivity_OPEN_WRITE, fmt.Sprintf("/srv/out/.t%d", i), "", ino)
		s.file(h, cc, event.FileActivity_RENAME, fmt.Sprintf("/srv/out/.t%d", i), fmt.Sprintf("/srv/out/file%d.o", i), ino)
		s.exit(h, cc)
	}
	s.exit(h, mk)
}

func (s *stream) job(h *streamHost) {
	sh := s.run(h, h.cron, "/bin/dash", "/bin/sh", "-c", "/usr/local/bin/collect --all")
	for _, exe := range []string{"/usr/bin/ps", "/usr/bin/grep", "/usr/bin/awk"} {
		s.exit(h, s.run(h, sh, exe, base(exe), "-e", "pattern"))
	}
	s.exit(h, sh)
}

func (s *stream) session(h *streamHost) {
	flow := entity.NewFlow(s.client(h), netip.AddrPortFrom(h.addr, 22), 6)
	flow.Netns = 9
	h.cookie++
	flow.Cookie = h.cookie
	d := s.run(h, h.sshd, "/usr/sbin/sshd", "sshd", "-R")
	s.emit(h, event.Sensor_KERNEL, d, &event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_ACCEPT, Flow: flow.CloneVT(), Inbound: true}}})
	wire := flow.CloneVT()
	wire.Cookie = 0
	s.emit(h, event.Sensor_LOGS, &entity.Process{Pid: d.Pid}, &event.Event{Payload: &event.Event_Auth{Auth: &event.Authentication{Outcome: event.Authentication_SUCCESS, User: "ops", Service: "sshd", Flow: wire}}})
	sh := s.run(h, d, "/bin/bash", "-bash")
	for range 1 + s.rng.IntN(5) {
		p := s.run(h, sh, "/usr/bin/vi", "vi", "/etc/motd")
		s.file(h, p, event.FileActivity_OPEN_WRITE, fmt.Sprintf("/home/ops/f%d", s.rng.IntN(200)), "", s.fresh(h))
		s.exit(h, p)
	}
	s.exit(h, sh)
	s.exit(h, d)
	s.emit(h, event.Sensor_KERNEL, d, &event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_CLOSE, Flow: flow.CloneVT(), Inbound: true}}})
}

func (s *stream) files(h *streamHost) {
	p := s.run(h, h.cron, "/usr/bin/rsync", "rsync", "-a", "/srv/", "/backup/")
	for range 10 {
		ino := s.fresh(h)
		path := fmt.Sprintf("/backup/d%d/f%d", s.rng.IntN(20), s.rng.IntN(1e5))
		s.file(h, p, event.FileActivity_OPEN_WRITE, path, "", ino)
		if s.rng.IntN(3) == 0 {
			s.file(h, p, event.FileActivity_UNLINK, path, "", ino)
		}
	}
	s.exit(h, p)
}
