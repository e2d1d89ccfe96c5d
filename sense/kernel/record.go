// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The layout of bpf/records.h, whose RECORD_VERSION this is. Tests compare both, and the
// sizes.
const recordVersion = 2

const (
	recFork = 1 + iota
	recExec
	recExit
	recData
	recNet
	recPair
	recFile
	recSyscall
	recDNS
)

const (
	dataRequest = 1
	dataAnswer  = 2
	protoHTTP   = 1
	protoFCGI   = 2
	noSlot      = 64
)

// Classes of the counters, in the order of enum rec_class.
var classes = [...]string{"process", "request", "connection", "channel", "file", "sensitive", "privilege", "datagram", "reset"}

type actor struct {
	start, cgroup, goroutine uint64
	pid, tid, uid, netns     uint32
	comm                     string
}

type tuple struct {
	family, proto, lport, rport uint16
	netns                       uint32
	cookie                      uint64
	laddr, raddr                [16]byte
}

type header struct {
	typ, op uint16
	boot    uint64
	actor   actor
}

type namespaces struct{ mnt, pid, net, user uint32 }

type descriptor struct {
	mode  uint16
	rdev  uint32
	inode uint64
	tuple tuple
}

type forkRecord struct {
	childStart     uint64
	child, ppid    uint32
	parentNS, kids namespaces
}

type execRecord struct {
	parentStart, inode, dev, size                 uint64
	ppid, gid, euid, nlink, mode, owner, argTotal uint32
	ns                                            namespaces
	exe, cwd, name                                string
	script                                        bool
	pipes                                         uint16 // bit per fd whose pipe the parent holds too
	argv, env                                     []byte
	tty                                           string
	fds                                           [3]descriptor
}

type dataRecord struct {
	tuple          tuple
	inode, peer    uint64
	total, message uint32
	skipped        uint32 // bytes that went by untold since the record before
	proto          uint16
	start          bool
	bytes          []byte
}

type netRecord struct {
	tuple           tuple
	received, sent  uint64
	result          int32
	inbound, failed bool
}

type pairRecord struct {
	inode, peer uint64
	peerPid     uint32
	path        string
}

type fileRecord struct {
	inode, dev, size          uint64
	mode, nlink, owner, flags uint32
	a, b                      string // absolute where the record told the folder
}

type syscallRecord struct {
	arg        [4]uint64
	ret        int64
	nr         uint32
	text, path string
}

type dnsRecord struct {
	tuple tuple
	total uint32
	bytes []byte
}

var errShort = errors.New("record shorter than its fields")

// cursor reads little-endian fields; after the end it gives zeros and remembers.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) text(n int) string {
	b := c.take(n)
	for i, ch := range b {
		if ch == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func (c *cursor) actor() (a actor) {
	a.start, a.cgroup, a.goroutine = c.u64(), c.u64(), c.u64()
	a.pid, a.tid, a.uid, a.netns = c.u32(), c.u32(), c.u32(), c.u32()
	a.comm = c.text(16)
	return a
}

func (c *cursor) tuple() (t tuple) {
	t.family, t.proto, t.lport, t.rport = c.u16(), c.u16(), c.u16(), c.u16()
	t.netns = c.u32()
	c.u32()
	t.cookie = c.u64()
	copy(t.laddr[:], c.take(16))
	copy(t.raddr[:], c.take(16))
	return t
}

func (c *cursor) ns() (n namespaces) {
	n.mnt, n.pid, n.net, n.user = c.u32(), c.u32(), c.u32(), c.u32()
	return n
}

// readHeader reads what every record begins with, and says what follows it.
func readHeader(b []byte) (h header, rest cursor, err error) {
	c := cursor{b: b}
	h.typ, h.op = c.u16(), c.u16()
	c.u32()
	h.boot = c.u64()
	h.actor = c.actor()
	if c.short {
		return h, c, fmt.Errorf("kernel record of %d bytes: %w", len(b), errShort)
	}
	return h, c, nil
}

func (c *cursor) done(what string) error {
	if c.short {
		return fmt.Errorf("kernel record %s: %w", what, errShort)
	}
	return nil
}

func (c *cursor) fork() (r forkRecord, err error) {
	r.childStart, r.child, r.ppid = c.u64(), c.u32(), c.u32()
	r.parentNS, r.kids = c.ns(), c.ns()
	return r, c.done("fork")
}

func (c *cursor) exec() (r execRecord, err error) {
	r.parentStart, r.inode, r.dev, r.size = c.u64(), c.u64(), c.u64(), c.u64()
	r.ppid, r.gid, r.euid, r.nlink, r.mode, r.owner = c.u32(), c.u32(), c.u32(), c.u32(), c.u32(), c.u32()
	r.ns = c.ns()
	r.argTotal = c.u32()
	exe, cwd, name := c.u16(), c.u16(), c.u16()
	r.script = c.u16() != 0
	argv, env := c.u16(), c.u16()
	r.pipes = c.u16()
	c.u16()
	r.tty = c.text(24)
	c.u32() // alignment
	for i := range r.fds {
		d := &r.fds[i]
		d.mode = c.u16()
		c.u16()
		d.rdev, d.inode = c.u32(), c.u64()
		d.tuple = c.tuple()
	}
	r.exe, r.cwd = c.path(exe), c.path(cwd)
	r.name = c.text(int(name))
	r.argv, r.env = c.take(int(argv)), c.take(int(env))
	return r, c.done("exec")
}

func (c *cursor) data() (r dataRecord, err error) {
	r.tuple = c.tuple()
	r.inode, r.peer = c.u64(), c.u64()
	r.total = c.u32()
	n := c.u32()
	r.proto = c.u16()
	r.start = c.u16() != 0
	c.u32()
	r.message, r.skipped = c.u32(), c.u32()
	r.bytes = c.take(int(n))
	return r, c.done("data")
}

func (c *cursor) net() (r netRecord, err error) {
	r.tuple = c.tuple()
	r.received, r.sent = c.u64(), c.u64()
	r.result = int32(c.u32())
	r.inbound, r.failed = c.u16() != 0, c.u16() != 0
	return r, c.done("net")
}

func (c *cursor) pair() (r pairRecord, err error) {
	r.inode, r.peer, r.peerPid = c.u64(), c.u64(), c.u32()
	n := min(int(c.u32()), 108)
	path := c.take(108)
	if n > 0 && len(path) > 0 && path[0] == 0 {
		r.path = "@" + string(path[1:n]) // abstract name
	} else {
		p := cursor{b: path}
		r.path = p.text(min(n, len(path)))
	}
	return r, c.done("pair")
}

func (c *cursor) file() (r fileRecord, err error) {
	r.inode, r.dev, r.size = c.u64(), c.u64(), c.u64()
	r.mode, r.nlink, r.owner, r.flags = c.u32(), c.u32(), c.u32(), c.u32()
	a, aBase, b, bBase := c.u16(), c.u16(), c.u16(), c.u16()
	if r.mode != 0 { // an open file: its path was walked
		r.a = c.path(a)
		return r, c.done("file")
	}
	r.a = c.named(a, aBase)
	if b != 0 || bBase != 0 {
		r.b = c.named(b, bBase)
	}
	return r, c.done("file")
}

func (c *cursor) syscall() (r syscallRecord, err error) {
	for i := range r.arg {
		r.arg[i] = c.u64()
	}
	r.ret = int64(c.u64())
	r.nr = c.u32()
	c.u32()
	text, path := c.u16(), c.u16()
	c.u32()
	r.text = c.text(int(text))
	r.path = c.path(path)
	return r, c.done("syscall")
}

func (c *cursor) dns() (r dnsRecord, err error) {
	r.tuple = c.tuple()
	r.total = c.u32()
	r.bytes = c.take(int(c.u32()))
	return r, c.done("dns")
}
