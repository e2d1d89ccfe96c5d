// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"
	"unsafe"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Serve is one request in the hands of one process.
type Serve struct {
	Request NodeID
	Seen    event.HttpActivity_Seen
	TID     uint32
	G       uint64
	From    int64 // steady ns
	To      int64 // answered, 0 while in flight
	conn    uint64
	ordinal uint32
}

// Service is what is known of a process that serves requests.
type Service struct {
	serves []Serve // by From
	lost   int64   // requests taken up to then are no longer all known
	peak   int     // most requests in flight at once
	loop   bool    // reads of several connections alternate on one thread
}

// EventLoop tells whether one thread of the process was seen to juggle several
// unanswered connections, so "same thread" means nothing for it.
func (s *Service) EventLoop() bool { return s.loop }

// OneAtATime tells whether the process never had two requests in flight.
func (s *Service) OneAtATime() bool { return s.peak <= 1 }

// Known tells whether every request that could have been in the process's hands at t
// is still remembered.
func (s *Service) Known(t int64) bool { return t > s.lost }

// Since tells when the process took the first request we know of.
func (s *Service) Since() int64 {
	if s == nil || len(s.serves) == 0 {
		return 0
	}
	return s.serves[0].From
}

// Upto gives the requests taken up to t, oldest first. The slice is not the caller's.
func (s *Service) Upto(t int64) []Serve {
	i, _ := slices.BinarySearchFunc(s.serves, t+1, func(a Serve, t int64) int {
		switch {
		case a.From < t:
			return -1
		case a.From > t:
			return 1
		}
		return 0
	})
	return s.serves[:i]
}

func (p *Process) latestServe() int64 {
	if p.Service == nil || len(p.Service.serves) == 0 {
		return 0
	}
	return p.Service.serves[len(p.Service.serves)-1].From
}

// servesKept bounds the requests remembered per process. A deed older than that can
// no longer be led to its request and is unknown; at 100 requests/s and worker it is
// 10 s, and a finding is traced within one.
const servesKept = 1024

const serveBytes = int(unsafe.Sizeof(Serve{}))

// serve puts a request into the hands of the process and learns its thread model.
func (g *Graph) serve(n *Node, s Serve) {
	if n.Process.Service == nil {
		n.Process.Service = &Service{}
		g.grew(n, int(unsafe.Sizeof(Service{})))
	}
	v := n.Process.Service
	inFlight := 1
	for i := range v.serves {
		old := &v.serves[i]
		if old.conn == s.conn && old.ordinal == s.ordinal && old.Seen == s.Seen && old.Request == s.Request {
			return // the same request told again with its body
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
			v.loop = true
		}
	}
	v.peak = max(v.peak, inFlight)
	before := cap(v.serves)
	if len(v.serves) >= servesKept {
		v.forget()
	}
	at := len(v.serves)
	for at > 0 && v.serves[at-1].From > s.From {
		at--
	}
	v.serves = slices.Insert(v.serves, at, s)
	g.grew(n, (cap(v.serves)-before)*serveBytes)
}

// forget drops the older half and remembers up to when it cannot answer any more. A
// request that is still in flight stays, as long as there are not too many of them.
func (v *Service) forget() {
	half := servesKept / 2
	var kept []Serve
	for i, s := range v.serves {
		if i >= half || s.To == 0 && len(kept) < half/2 {
			kept = append(kept, s)
			continue
		}
		if s.To == 0 {
			v.lost = 1<<63 - 1 // it may be the one at any later time
		}
		v.lost = max(v.lost, s.From, s.To)
	}
	v.serves = kept
}

// answered closes the request that a response is for.
func (g *Graph) answered(f *Fact, flow NodeID, a *event.HttpActivity) NodeID {
	var id NodeID
	if p := g.Node(f.Actor); p != nil && p.Process.Service != nil {
		for i := range p.Process.Service.serves {
			s := &p.Process.Service.serves[i]
			if s.conn == connOf(a) && s.ordinal == a.Ordinal && s.Seen == a.Seen && (s.To == 0 || s.Seen == event.HttpActivity_FASTCGI) {
				id = s.Request
				if s.Seen != event.HttpActivity_FASTCGI { // its worker may go on until the next BEGIN
					s.To = f.T
				}
			}
		}
	}
	if id == 0 && flow != 0 {
		for _, r := range g.Node(flow).Flow.requests {
			if q := g.Node(r); q != nil && q.Request.Answered == 0 && sameRequest(q.Request.Ref, a.Request) {
				id = r
				break
			}
		}
	}
	if r := g.Node(id); r != nil {
		r.Request.Answered = max(r.Request.Answered, f.T)
		if a.Status != 0 {
			r.Request.Status = a.Status
		}
	}
	return id
}

func connOf(a *event.HttpActivity) uint64 {
	if a.Channel != 0 {
		return a.Channel
	}
	return a.Request.GetFlow().GetCookie()
}

func sameRequest(a, b *entity.Request) bool {
	return a.GetMethod() == b.GetMethod() && a.GetUri() == b.GetUri()
}
