// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/http"
	"github.com/ringwall/ringwall/wire/http/activity"
	"github.com/ringwall/ringwall/wire/tcp"
)

// web follows one HTTP/1 connection in both directions.
type web struct {
	req, resp http.Parser
	next      uint32 // ordinal of the next request
	open      *asked
	waiting   []*event.HttpActivity // requests without an answer
	unread    int                   // bytes of a head that is not whole
	lost      int                   // times that the requests had no place, since the last one
}

// asked is the request whose body is still coming.
type asked struct {
	activity *event.HttpActivity
	message  *http.Message
	wall     int64 // of its head
	told     bool
	bodyHas  int // bytes of the body that were told of
}

// maxWaiting pipelined requests are remembered until their answers; patience is how
// often a connection may lose its place without a request in between.
const (
	maxWaiting = 64
	patience   = 4
)

func newWeb(body int) *web {
	keep := body
	if keep == 0 {
		keep = -1 // none
	}
	return &web{req: http.Parser{MaxBody: keep}, resp: http.Parser{Responses: true, MaxBody: -1}}
}

func (w *web) cost() int {
	n := 1500 + min(w.unread, http.MaxHead) + 1200*len(w.waiting)
	if w.open != nil {
		n += 1500 + cap(w.open.message.Body)
	}
	return n
}

func (w *web) busy() bool { return w.open != nil || len(w.waiting) > 0 || w.unread > 0 }

func (e *engine) webChunk(f *flow, d int, c tcp.Chunk, wall int64) {
	w := f.talk.http
	if d == 1 {
		if c.Gap > 0 {
			e.answers(f, w.resp.Gap(c.Gap), wall)
		}
		e.answers(f, w.resp.Feed(c.Bytes), wall)
		return
	}
	if c.Gap > 0 {
		e.requests(f, w.req.Gap(c.Gap), wall)
	}
	events := w.req.Feed(c.Bytes)
	if w.unread += len(c.Bytes); len(events) > 0 || w.open != nil {
		w.unread = 0
	}
	e.requests(f, events, wall)
}

func (e *engine) requests(f *flow, events []http.Event, wall int64) {
	for _, ev := range events {
		if f.talk == nil || f.talk.http == nil {
			return
		}
		w, m := f.talk.http, ev.Message
		switch ev.Kind {
		case http.Head:
			if m.HTTP2() {
				f.app = "http2"
				e.release(f)
				return
			}
			if m.Proto == "" && m.Method != "GET" {
				continue
			}
			e.ask(f, m, wall)
		case http.End:
			if w.open != nil && w.open.message == m {
				e.asked(f, true)
				w.open = nil
			}
		case http.Lost:
			e.asked(f, false)
			w.open = nil
			if w.lost++; w.lost >= patience {
				e.release(f)
			}
		case http.Tunnel:
			e.tunnel(f)
			return
		}
	}
	if f.talk != nil && f.talk.http != nil && f.talk.http.open != nil && !f.talk.http.open.told && !f.waits {
		f.waits = true
		e.waiting = append(e.waiting, f)
	}
}

// ask begins a request; it is told with its body, or when that is late.
func (e *engine) ask(f *flow, m *http.Message, wall int64) {
	w := f.talk.http
	e.asked(f, false)
	a := e.web.Request(m)
	a.Seen, a.Ordinal, a.Request.Flow = event.HttpActivity_WIRE, w.next, f.entity(e.netns)
	w.next++
	w.lost = 0
	w.resp.Expect(m.Method)
	w.open = &asked{activity: a, message: m, wall: wall}
	if len(w.waiting) < maxWaiting {
		w.waiting = append(w.waiting, a)
	}
}

// asked tells the open request: before its end without, at its end with all of its body.
// One that was told before is told again only when its body says more.
func (e *engine) asked(f *flow, ended bool) {
	q := f.talk.http.open
	if q == nil || q.told && (!ended || len(q.message.Body) <= q.bodyHas) {
		return
	}
	a, m := q.activity, q.message
	if q.told { // what was emitted is not ours any more
		a = a.CloneVT()
		q.activity = a
	}
	had := len(a.Params) + len(a.Uploads)
	q.bodyHas = len(m.Body)
	if ended {
		a.BodyLen = uint64(m.BodyLen)
	}
	if len(m.Body) > 0 {
		e.web.Body(a, m.Get("Content-Type"), m.Body, ended && m.Whole() && int64(len(m.Body)) == m.BodyLen)
	}
	if q.told && len(a.Params)+len(a.Uploads) == had && a.BodySha256 == "" {
		return
	}
	e.oddities(f, a, m)
	a.Tokens = activity.Tokens(a)
	q.told = true
	ev := e.event(q.wall)
	ev.Payload = &event.Event_Http{Http: a}
	e.open(f, q.wall, true)
	e.emit(ev)
}

// oddities adds what the parser and the order of segments found by now.
func (e *engine) oddities(f *flow, a *event.HttpActivity, m *http.Message) {
	a.Oddities = nil
	for flag := http.Flags(1); flag <= m.Flags; flag <<= 1 {
		if m.Flags&flag != 0 {
			a.Oddities = append(a.Oddities, flag.String())
		}
	}
	if f.talk.half[0].stream.Oddities()&tcp.Conflict != 0 {
		a.Oddities = append(a.Oddities, "tcp-conflict")
	}
}

func (e *engine) answers(f *flow, events []http.Event, wall int64) {
	for _, ev := range events {
		if f.talk == nil || f.talk.http == nil {
			return
		}
		switch ev.Kind {
		case http.Head:
			e.answer(f, ev.Message, wall)
		case http.Tunnel:
			e.tunnel(f)
			return
		}
	}
}

// answer tells the response to the oldest request that waits for one.
func (e *engine) answer(f *flow, m *http.Message, wall int64) {
	w := f.talk.http
	if m.Status >= 100 && m.Status < 200 && m.Status != 101 || len(w.waiting) == 0 {
		return // interim, or to something that was not seen
	}
	q := w.waiting[0]
	w.waiting = slices.Delete(w.waiting, 0, 1)
	if w.open != nil && w.open.activity.Ordinal == q.Ordinal {
		e.asked(f, false)
	}
	r := &entity.Request{Flow: f.entity(e.netns), Method: q.Request.Method, Uri: q.Request.Uri, Host: q.Request.Host}
	a := &event.HttpActivity{Op: event.HttpActivity_RESPONSE, Seen: event.HttpActivity_WIRE, Request: r, Ordinal: q.Ordinal,
		Status: uint32(max(m.Status, 0)), ContentType: activity.Clean(m.Get("Content-Type")), BodyLen: uint64(max(m.Stated, 0))}
	out := e.event(wall)
	out.Payload = &event.Event_Http{Http: a}
	e.emit(out)
}

// tunnel: what follows is another protocol, which may tell itself.
func (e *engine) tunnel(f *flow) {
	e.asked(f, false)
	f.talk.http, f.talk.tries, f.talk.tunnel = nil, 0, true
}

// webFinish tells what waits when the connection ends.
func (e *engine) webFinish(f *flow, wall int64) {
	e.requests(f, f.talk.http.req.Close(), wall)
	if f.talk != nil && f.talk.http != nil {
		e.asked(f, false)
	}
}

// overdue tells requests whose body did not come in time.
func (e *engine) overdue(now int64) {
	i := 0
	for ; i < len(e.waiting); i++ {
		f := e.waiting[i]
		if f.talk != nil && f.talk.http != nil && f.talk.http.open != nil && !f.talk.http.open.told {
			if now-f.talk.http.open.wall < int64(bodyWait) {
				break
			}
			e.asked(f, false)
		}
		f.waits = false
	}
	e.waiting = slices.Delete(e.waiting, 0, i)
}
