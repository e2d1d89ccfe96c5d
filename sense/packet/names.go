// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/dns"
	"github.com/ringwall/ringwall/wire/http/activity"
	"github.com/ringwall/ringwall/wire/ip"
)

// datagram follows a UDP flow.
func (e *engine) datagram(f *flow, p *ip.Packet, d int, wall int64) {
	if f.app == "" && f.packets[0]+f.packets[1] == 1 {
		f.app = ofDatagram(p, f.dst.Port())
	}
	e.open(f, wall, f.packets[0] > 0 && f.packets[1] > 0)
	if f.app == "dns" && len(p.Payload) > 0 {
		e.dnsMessage(f, p.Payload, d, wall)
	}
}

// Bounds of what one DNS event carries.
const (
	maxAnswers = 32
	maxText    = 255
)

// dnsMessage tells one message; what breaks off is told as far as it reads.
func (e *engine) dnsMessage(f *flow, b []byte, d int, wall int64) {
	m, _ := dns.Parse(b)
	if m == nil || len(m.Questions) == 0 || m.Opcode != 0 || m.Response != (d == 1) {
		return // updates, notifies, and what only uses the port
	}
	if !e.dns.take(wall) {
		e.count.DNSShed++
		return
	}
	e.count.DNS++
	q := m.Questions[0]
	a := &event.DnsActivity{Name: activity.Clean(name(q.Name)), Type: q.Type.String(), Response: m.Response, Flow: f.entity(e.netns)}
	if m.Response {
		a.Rcode = rcode(m.RCode)
		for i := range m.Answers {
			if i == maxAnswers {
				break
			}
			if s := answer(&m.Answers[i]); s != "" {
				a.Answers = append(a.Answers, activity.Clean(s))
			}
		}
	}
	ev := e.event(wall)
	ev.Payload = &event.Event_Dns{Dns: a}
	e.emit(ev)
}

// name is the canonical form; the root stays ".".
func name(s string) string {
	if s == "." {
		return s
	}
	return entity.Domain(s)
}

func answer(r *dns.Record) string {
	switch {
	case r.Addr.IsValid():
		return r.Addr.Unmap().String()
	case r.Target != "":
		return name(r.Target)
	case len(r.Texts) > 0:
		s := strings.Join(r.Texts, "")
		return s[:min(len(s), maxText)]
	}
	return ""
}

// Response codes with names (RFC 6895 §2.3).
var rcodes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func rcode(v uint16) string {
	if int(v) < len(rcodes) {
		return rcodes[v]
	}
	return "RCODE" + strconv.Itoa(int(v))
}
