// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/hex"
	"fmt"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http/activity"
	"github.com/ringwall/ringwall/wire/tcp"
	"github.com/ringwall/ringwall/wire/tls"
)

// tlsChunk follows a handshake until it is encrypted; the client's half is told at once.
func (e *engine) tlsChunk(f *flow, d int, c tcp.Chunk, wall int64) {
	t := f.talk
	h := &t.half[d]
	if h.bad {
		return
	}
	done := c.Gap > 0
	if !done {
		done, _ = t.tls[d].Feed(c.Bytes) // a refusal shows as a hello that is not there
	}
	h.bad = done
	if d == 0 && t.said == nil && t.tls[0].ClientHello != nil {
		e.tlsClient(f, wall)
	}
	if !done {
		return
	}
	switch {
	case d == 0 && t.tls[0].ClientHello == nil && !t.half[1].bad && t.tls[1].ServerHello == nil:
		e.release(f) // no TLS after all, or its beginning was lost
	case d == 1:
		e.tlsServer(f, wall)
		e.release(f)
	}
}

func (e *engine) tlsClient(f *flow, wall int64) {
	hello := f.talk.tls[0].ClientHello
	a := &event.TlsActivity{Flow: f.entity(e.netns), Ja4: activity.Clean(hello.JA4Hash(tls.TCP)), Sni: entity.Domain(activity.Clean(hello.SNI)), Ech: hello.ECH}
	a.Ja3, _ = hello.JA3()
	for i, p := range hello.ALPN {
		if i == 16 {
			break
		}
		a.Alpn = append(a.Alpn, activity.Clean(p))
	}
	f.talk.said = a
	e.open(f, wall, true)
	e.tellTLS(a, wall)
}

// tlsServer tells both halves, when the server's was seen.
func (e *engine) tlsServer(f *flow, wall int64) {
	s := &f.talk.tls[1]
	hello := s.ServerHello
	if hello == nil {
		hello = s.Retry
	}
	if hello == nil {
		return
	}
	a := &event.TlsActivity{Flow: f.entity(e.netns)}
	if f.talk.said != nil {
		a = f.talk.said.CloneVT()
	}
	a.Ja3S, _ = hello.JA3S()
	a.Version = version(hello.SelectedVersion)
	if len(s.Certificates) > 0 {
		c := &s.Certificates[0]
		a.CertSha256, a.CertSubject, a.CertIssuer = hex.EncodeToString(c.SHA256[:]), activity.Clean(c.Subject), activity.Clean(c.Issuer)
	}
	e.open(f, wall, true)
	e.tellTLS(a, wall)
}

func (e *engine) tellTLS(a *event.TlsActivity, wall int64) {
	ev := e.event(wall)
	ev.Payload = &event.Event_Tls{Tls: a}
	e.emit(ev)
}

func version(v uint16) string {
	switch {
	case v == 0x0300:
		return "SSLv3"
	case v > 0x0300 && v <= 0x0304:
		return fmt.Sprintf("TLSv1.%d", v-0x0301)
	}
	return fmt.Sprintf("%#04x", v)
}

// sshChunk follows both ends until their key exchange begins.
func (e *engine) sshChunk(f *flow, d int, c tcp.Chunk, wall int64) {
	t := f.talk
	if t.half[d].bad {
		return
	}
	done := c.Gap > 0
	if !done {
		done, _ = t.ssh[d].Feed(c.Bytes) // a refusal shows as a banner that is not there
	}
	if t.half[d].bad = done; done && t.half[1-d].bad {
		e.sshTell(f, wall)
		e.release(f)
	}
}

func (e *engine) sshTell(f *flow, wall int64) {
	c, s := &f.talk.ssh[0], &f.talk.ssh[1]
	if c.Banner == "" && s.Banner == "" {
		return
	}
	a := &event.SshActivity{Flow: f.entity(e.netns), ClientBanner: activity.Clean(c.Banner), ServerBanner: activity.Clean(s.Banner)}
	if c.KexInit != nil {
		a.Hassh, _ = c.KexInit.HASSH()
	}
	if s.KexInit != nil {
		a.HasshServer, _ = s.KexInit.HASSHServer()
	}
	e.open(f, wall, true)
	ev := e.event(wall)
	ev.Payload = &event.Event_Ssh{Ssh: a}
	e.emit(ev)
}
