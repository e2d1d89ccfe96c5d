// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/dns"
	"github.com/ringwall/ringwall/wire/ssh"
	"github.com/ringwall/ringwall/wire/tcp"
	"github.com/ringwall/ringwall/wire/tls"
)

// talk is what is being read of one TCP connection. At most one of the protocols is set;
// with none, each chunk may be the one that tells.
type talk struct {
	half [2]struct {
		stream tcp.Stream
		head   []byte // first bytes, while they are too few to tell
		bad    bool   // nothing more can be learned of this direction
		begun  bool   // its first chunk went by
	}
	tries  int  // chunks that told nothing
	tunnel bool // HTTP led to what comes now
	http   *web
	tls    *[2]tls.Stream
	ssh    *[2]ssh.Stream
	dns    *[2]dns.Stream
	said   *event.TlsActivity // the client's half, told already
}

// tries and headMax: STARTTLS comes after a handful of lines, and every protocol known
// here tells itself in 16 bytes.
const (
	maxTries = 16
	headMax  = 16
	talkCost = 640
)

func (t *talk) turn() {
	t.half[0], t.half[1] = t.half[1], t.half[0]
	if t.tls != nil {
		t.tls[0], t.tls[1] = t.tls[1], t.tls[0]
	}
	if t.ssh != nil {
		t.ssh[0], t.ssh[1] = t.ssh[1], t.ssh[0]
	}
	if t.dns != nil {
		t.dns[0], t.dns[1] = t.dns[1], t.dns[0]
	}
}

// cost estimates the bytes in use. What TLS and SSH hold of a handshake is bounded by
// the packages; 4 KiB is an ordinary one.
func (t *talk) cost() int {
	n := talkCost
	for i := range t.half {
		n += t.half[i].stream.Held() + len(t.half[i].head)
	}
	switch {
	case t.http != nil:
		n += t.http.cost()
	case t.tls != nil, t.ssh != nil, t.dns != nil:
		n += 4 << 10
	}
	return n
}

// busy tells whether the end of reading would lose something.
func (t *talk) busy() bool {
	return t.http != nil && t.http.busy() || t.tls != nil || t.ssh != nil
}

// chunk hands one piece of a direction to what reads the flow.
func (e *engine) chunk(f *flow, d int, c tcp.Chunk, wall int64) {
	t := f.talk
	switch {
	case t.http != nil:
		e.webChunk(f, d, c, wall)
	case t.tls != nil:
		e.tlsChunk(f, d, c, wall)
	case t.ssh != nil:
		e.sshChunk(f, d, c, wall)
	case t.dns != nil:
		t.dns[d].Gap(c.Gap)
		for _, m := range t.dns[d].Feed(c.Bytes) {
			e.dnsMessage(f, m, d, wall)
		}
		if t.dns[d].Lost() {
			e.release(f)
		}
	default:
		e.sniff(f, d, c, wall)
	}
}

// sniff looks at the beginning of a direction, or of any chunk of a flow that has not
// told yet what it is.
func (e *engine) sniff(f *flow, d int, c tcp.Chunk, wall int64) {
	t := f.talk
	h := &t.half[d]
	if c.Gap > 0 {
		h.head = nil
	}
	if len(c.Bytes) == 0 {
		return
	}
	b := c.Bytes
	if len(h.head) > 0 {
		b = append(h.head, b...)
	}
	server := d == 1
	app := recognise(b, server, f.guessed, f.dst.Port())
	if app == more && len(b) < headMax {
		h.head = bytes.Clone(b)
		return
	}
	h.head = nil
	first := !h.begun
	h.begun = true
	// What stands inside a known protocol may look like another: only TLS may follow.
	if app != "tls" && !t.tunnel && (f.app != "" || !first && !f.guessed) {
		app = ""
	}
	if app == "" || app == more {
		if t.tries++; t.tries >= maxTries {
			e.release(f)
		}
		return
	}
	f.app = app
	e.count.Read++
	if f.guessed && (app == "http" && server || (app == "tls" && len(b) > 5 && b[5] == 1) && server) {
		f.turn() // a request tells who the client is
		f.guessed = false
		d = 0
	}
	switch app {
	case "http":
		t.http = newWeb(e.cfg.Body)
	case "tls":
		t.tls = &[2]tls.Stream{}
	case "ssh":
		t.ssh = &[2]ssh.Stream{}
	case "dns":
		t.dns = &[2]dns.Stream{}
	case "smtp", "imap", "pop3", "ftp", "ldap", "postgres", "xmpp": // may turn to TLS
		t.tries++
		return
	default:
		e.release(f)
		return
	}
	if other := t.half[1-d].head; other != nil {
		t.half[1-d].head = nil
		e.chunk(f, 1-d, tcp.Chunk{Bytes: other}, wall)
	}
	if f.talk != nil {
		e.chunk(f, d, tcp.Chunk{Bytes: b}, wall)
	}
}

// finish tells what is known at the end of a connection.
func (e *engine) finish(f *flow, wall int64) {
	switch t := f.talk; {
	case t.http != nil:
		e.webFinish(f, wall)
	case t.tls != nil:
		e.tlsServer(f, wall)
	case t.ssh != nil:
		e.sshTell(f, wall)
	}
}
