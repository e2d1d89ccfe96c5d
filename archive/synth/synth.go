// SPDX-License-Identifier: Apache-2.0

// Package synth makes realistic events for benchmarks and tests of stores.
//
// In goes a seed; out come batches of one host after another, the same for the same
// seed: mostly execs, forks, file writes, flows, requests and DNS, with the skew of
// real hosts (few programs, many pids, a heavy head of addresses). It believes
// nothing. The worst trap: bytes per event measured on it hold for its mix only.
package synth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Source makes events. Not safe for many goroutines.
type Source struct {
	rng    *rand.Rand
	tenant string
	hosts  []string
	seq    []uint64
	pid    []uint32
	wall   int64
	step   int64
}

// Start is the wall time of the first event, ns: 2026-11-24 00:00 UTC.
const Start = int64(1795478400) * 1e9

// New makes a source of the given hosts whose events are stepNs apart on average.
func New(tenant string, hosts int, seed uint64, stepNs int64) *Source {
	s := &Source{rng: rand.New(rand.NewPCG(seed, 7)), tenant: tenant, wall: Start, step: stepNs}
	for i := range hosts {
		s.hosts = append(s.hosts, fmt.Sprintf("host-%04d", i))
		s.seq = append(s.seq, 0)
		s.pid = append(s.pid, 1000)
	}
	return s
}

// Batch gives n events of one host, whose name it returns.
func (s *Source) Batch(n int) (host string, events []*event.Event) {
	i := s.rng.IntN(len(s.hosts))
	for range n {
		events = append(events, s.one(i))
	}
	return s.hosts[i], events
}

var (
	programs = []string{"/usr/sbin/nginx", "/usr/sbin/php-fpm8.2", "/usr/bin/bash", "/usr/bin/ls", "/usr/bin/cat", "/usr/bin/grep", "/usr/bin/python3.11", "/usr/sbin/sshd", "/usr/bin/dpkg", "/usr/bin/find", "/usr/bin/rsync", "/usr/sbin/cron", "/usr/bin/id", "/usr/bin/tar"}
	agents   = []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/7.88.1", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"}
	pages    = []string{"/", "/index.php", "/login.php", "/static/app.js", "/static/app.css", "/api/items", "/api/orders", "/search", "/admin/", "/upload.php"}
)

// head picks 0..n-1 with a heavy head, about as ranks of programs and peers fall.
func (s *Source) head(n int) int {
	f := s.rng.Float64()
	return int(f * f * f * float64(n))
}

func (s *Source) one(i int) *event.Event {
	s.seq[i]++
	s.wall += int64(s.rng.ExpFloat64() * float64(s.step))
	e := &event.Event{
		Tenant: s.tenant, Host: s.hosts[i], Epoch: 1, Seq: s.seq[i], Schema: event.Schema,
		BootId: fmt.Sprintf("6a1f0c2e-0000-4000-8000-%012d", i), BootNs: uint64(s.wall-Start) + 1e12, WallNs: s.wall,
		Sensor: event.Sensor_KERNEL, Actor: s.process(i, s.pid[i]-uint32(s.rng.IntN(40))),
	}
	switch k := s.rng.IntN(1000); {
	case k < 120:
		s.pid[i]++
		e.Payload = &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: s.process(i, s.pid[i])}}
	case k < 240:
		e.Payload = s.exec(i, e.Actor)
	case k < 350:
		e.Payload = &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXIT}}
	case k < 650:
		e.Payload = s.file()
	case k < 840:
		e.Payload = s.network(i)
	case k < 940:
		e.Sensor, e.Actor = event.Sensor_PACKET, nil
		e.Payload = s.http(i)
	case k < 990:
		e.Payload = &event.Event_Dns{Dns: &event.DnsActivity{Name: fmt.Sprintf("h%d.example.net", s.head(5000)), Type: "A", Answers: []string{s.peer().String()}, Response: true, Flow: s.flow(i, 53, 17)}}
	case k < 999:
		e.Sensor = event.Sensor_LOGS
		e.Payload = &event.Event_Auth{Auth: &event.Authentication{Outcome: event.Authentication_FAILURE, User: fmt.Sprintf("user%d", s.head(50)), Service: "sshd", Method: "password", Flow: s.flow(i, 22, 6)}}
	default:
		e.Sensor = event.Sensor_JUDGE
		f := &verdict.Finding{Host: e.Host, WallNs: e.WallNs, Layer: "behaviour", Stage: "sigma", Rule: fmt.Sprintf("rule-%d", s.head(40)), Title: "Shell spawned by web server", Colour: verdict.Colour_BLACK, Score: 0.8 + s.rng.Float64()/5, Techniques: []string{"T1059.004", "T1505.003"}, Events: []*verdict.EventID{{Tenant: e.Tenant, Host: e.Host, Epoch: 1, Seq: e.Seq - 1}}}
		f.SetID()
		e.Payload = &event.Event_Finding{Finding: f}
	}
	e.Classify()
	return e
}

func (s *Source) process(i int, pid uint32) *entity.Process {
	exe := programs[int(pid*2654435761>>7)%len(programs)]
	return &entity.Process{Pid: pid, StartNs: uint64(pid)*7_919_000_123 + uint64(i), Tid: pid, Comm: exe[9:min(len(exe), 20)], Exe: exe, Uid: []uint32{0, 33, 1000}[pid%3], Cgroup: uint64(4000 + pid%20)}
}

func (s *Source) exec(i int, actor *entity.Process) *event.Event_Process {
	argv := []string{actor.Exe, "-c", fmt.Sprintf("--config=/etc/app/%d.conf", s.head(300)), fmt.Sprintf("/var/data/job-%d", s.rng.IntN(1_000_000))}
	return &event.Event_Process{Process: &event.ProcessActivity{
		Op: event.ProcessActivity_EXEC, Argv: argv[:2+s.rng.IntN(3)], Cwd: "/var/www", Parent: s.process(i, actor.Pid-1),
		Image: &entity.File{Path: actor.Exe, Fs: 64768, Inode: uint64(70000 + len(actor.Exe)), Size: 900000, Mode: 0o100755, Nlink: 1, Sha256: Hash(len(actor.Exe))},
	}}
}

// Hash is the content hash that synthetic file n has.
func Hash(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "content %d", n))
	return hex.EncodeToString(sum[:])
}

func (s *Source) file() *event.Event_File {
	n := s.head(200_000)
	op := event.FileActivity_OPEN_WRITE
	f := &entity.File{Path: fmt.Sprintf("/var/lib/app/%02x/object-%d.tmp", n%256, n), Fs: 64768, Inode: uint64(1_000_000 + n), Mode: 0o100644, Nlink: 1}
	if s.rng.IntN(2) == 0 {
		op = event.FileActivity_CLOSE_WRITE
		f.Size, f.Sha256 = uint64(n%65536), Hash(n)
	}
	return &event.Event_File{File: &event.FileActivity{Op: op, File: f}}
}

func (s *Source) peer() netip.Addr {
	n := uint32(s.head(60_000)) * 2654435761
	return netip.AddrFrom4([4]byte{byte(20 + n>>24%180), byte(n >> 16), byte(n >> 8), byte(n)})
}

func (s *Source) flow(i int, port uint16, proto uint8) *entity.Flow {
	own := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	return entity.NewFlow(netip.AddrPortFrom(own, uint16(32768+s.rng.IntN(28000))), netip.AddrPortFrom(s.peer(), port), proto)
}

func (s *Source) network(i int) *event.Event_Network {
	f := s.flow(i, []uint16{443, 80, 5432, 6379}[s.head(4)], 6)
	return &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_CONNECT, Flow: f, CommunityId: f.CommunityID(), BytesSrc: uint64(s.rng.IntN(4000)), BytesDst: uint64(s.rng.IntN(60000)), App: "tls"}}
}

func (s *Source) http(i int) *event.Event_Http {
	uri := pages[s.head(len(pages))]
	if s.rng.IntN(3) == 0 {
		uri += fmt.Sprintf("?q=%d", s.rng.IntN(100_000))
	}
	return &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: event.HttpActivity_WIRE, Status: 200, UserAgent: agents[s.head(len(agents))],
		Request: &entity.Request{Flow: s.flow(i, 80, 6), Method: "GET", Uri: uri, Host: "www.example.org"},
		Headers: []*event.Header{{Name: "Accept", Value: "*/*"}, {Name: "Accept-Encoding", Value: "gzip, deflate"}}}}
}
