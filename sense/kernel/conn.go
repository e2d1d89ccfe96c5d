// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/fastcgi"
	"github.com/ringwall/ringwall/wire/http"
	"github.com/ringwall/ringwall/wire/http/activity"
)

// conn is one socket on which requests arrive. Its parser follows the framing over all
// messages, so that a body that looks like a request is not taken for one.
type conn struct {
	parser  *http.Parser
	fcgi    *fastcgi.Parser
	told    *event.HttpActivity   // request told last, for what its body adds
	bodyHas int                   // bytes of the body that were told of
	waiting []*event.HttpActivity // requests without an answer
	next    uint32                // ordinal of the next request
	epoch   uint32                // of losses: a parser from before a loss may stand elsewhere
	astray  bool                  // the parser has lost its place
	bad     int                   // records since then
	keep    bool                  // FastCGI: further requests follow
	other   bool                  // speaks something that only looks like HTTP
}

// Records that are no HTTP, on a socket that never spoke it, before it is muted.
const patience = 4

// Pipelined requests remembered until their answers.
const maxWaiting = 64

// conns is the bounded set of connections. For one goroutine.
type conns struct {
	d       *decoder
	byID    map[uint64]*conn
	max     int
	evicted uint64
}

func newConns(d *decoder, limit int) *conns {
	return &conns{d: d, byID: map[uint64]*conn{}, max: limit}
}

func (cs *conns) closed(cookie uint64) { delete(cs.byID, cookie) }

func (cs *conns) get(cookie uint64) *conn {
	if c := cs.byID[cookie]; c != nil {
		return c
	}
	tries := 0
	for id, c := range cs.byID { // idle ones first, any after eight looks
		if len(cs.byID) < cs.max {
			break
		}
		if tries++; len(c.waiting) == 0 || tries > 8 {
			delete(cs.byID, id)
			cs.evicted++
		}
	}
	c := &conn{}
	cs.byID[cookie] = c
	return c
}

// data takes the bytes of a request read, or of an answer written.
func (d *decoder) data(h *header, c *cursor) error {
	r, err := c.data()
	if err != nil {
		return err
	}
	cn := d.conns.get(r.tuple.cookie)
	switch {
	case h.op == dataAnswer:
		d.answer(h, &r, cn)
	case r.proto == protoFCGI:
		d.fcgiData(h, &r, cn)
	default:
		d.httpData(h, &r, cn)
	}
	return nil
}

func (d *decoder) httpData(h *header, r *dataRecord, cn *conn) {
	if epoch := d.lossEpoch.Load(); r.start && (cn.parser == nil || cn.epoch != epoch) {
		*cn = conn{parser: &http.Parser{MaxBody: d.cfg.MessageBytes}, next: max(cn.next, r.message-1), epoch: epoch}
		r.skipped = 0
	}
	if cn.parser == nil || cn.other {
		return
	}
	d.httpEvents(h, r, cn, cn.parser.Gap(int(r.skipped)))
	d.httpEvents(h, r, cn, cn.parser.FeedTruncated(r.bytes, int(r.total)))
	if cn.astray && cn.next == 0 {
		if cn.bad++; cn.bad >= patience {
			d.silence(cn, r.tuple.cookie)
		}
	}
}

// silence ends the telling of a socket that does not speak HTTP/1.
func (d *decoder) silence(cn *conn, cookie uint64) {
	*cn = conn{other: true}
	if d.mute != nil {
		d.mute(cookie)
	}
}

func (d *decoder) httpEvents(h *header, r *dataRecord, cn *conn, events []http.Event) {
	for _, e := range events {
		m := e.Message
		switch e.Kind {
		case http.Head:
			if m.HTTP2() {
				d.silence(cn, r.tuple.cookie)
				return
			}
			if cn.astray = m.Proto == "" && m.Method != "GET"; cn.astray {
				continue
			}
			cn.begin(d.httpRequest(m, r, cn.next))
			d.tellRequest(h, cn, m.Get("Content-Type"), m.Body)
		case http.End:
			if cn.told != nil {
				d.tellBody(h, cn, m.Get("Content-Type"), m.Body, uint64(m.BodyLen))
				cn.told = nil
			}
		case http.Lost:
			cn.astray, cn.told = true, nil
		}
	}
}

func (cn *conn) begin(a *event.HttpActivity) {
	cn.told, cn.bodyHas = a, 0
	cn.next++
	if len(cn.waiting) < maxWaiting {
		cn.waiting = append(cn.waiting, a)
	}
}

// httpRequest begins the payload from a head.
func (d *decoder) httpRequest(m *http.Message, r *dataRecord, ordinal uint32) *event.HttpActivity {
	a := d.web.Request(m)
	a.Seen, a.Ordinal, a.Request.Flow = event.HttpActivity_SOCKET, ordinal, d.flow(&r.tuple, true)
	if a.Request.Flow == nil {
		a.Channel = r.inode
	}
	return a
}

// tellRequest emits a request as soon as its head is known.
func (d *decoder) tellRequest(h *header, cn *conn, contentType string, body []byte) {
	a := cn.told
	d.serves(&h.actor)
	if len(body) > 0 {
		cn.bodyHas = len(body)
		d.web.Body(a, contentType, body, uint64(len(body)) == a.BodyLen)
	}
	a.Tokens = activity.Tokens(a)
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_Http{Http: a}
	d.emit(ev)
}

// tellBody emits the same request (same flow or channel, same ordinal) again when its
// body came after the head was told.
func (d *decoder) tellBody(h *header, cn *conn, contentType string, body []byte, bodyLen uint64) {
	if len(body) <= cn.bodyHas {
		return
	}
	a := proto.Clone(cn.told).(*event.HttpActivity) // what was emitted is not ours any more
	cn.told, a.BodyLen = a, bodyLen
	params, uploads := len(a.Params), len(a.Uploads)
	cn.bodyHas = len(body)
	d.web.Body(a, contentType, body, uint64(len(body)) == bodyLen)
	if len(a.Params) == params && len(a.Uploads) == uploads {
		return
	}
	a.Tokens = activity.Tokens(a)
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_Http{Http: a}
	d.emit(ev)
}

func (d *decoder) fcgiData(h *header, r *dataRecord, cn *conn) {
	if epoch := d.lossEpoch.Load(); r.start && (cn.fcgi == nil || cn.epoch != epoch) {
		*cn = conn{fcgi: &fastcgi.Parser{}, next: max(cn.next, r.message-1), epoch: epoch}
		r.skipped = 0
	}
	if cn.fcgi == nil {
		return
	}
	d.fcgiEvents(h, r, cn, cn.fcgi.Gap(int(r.skipped)))
	d.fcgiEvents(h, r, cn, cn.fcgi.FeedTruncated(r.bytes, int(r.total)))
}

func (d *decoder) fcgiEvents(h *header, r *dataRecord, cn *conn, events []fastcgi.Event) {
	for _, e := range events {
		switch e.Kind {
		case fastcgi.Begin:
			cn.waiting, cn.keep = nil, e.Request.KeepConn
		case fastcgi.ParamsDone:
			d.fcgiBegin(h, r, cn, e.Request.Params)
		}
	}
}

// fcgiBegin tells a request as the worker got it. Its body is not read again: the web
// server's own read told of it.
func (d *decoder) fcgiBegin(h *header, r *dataRecord, cn *conn, v map[string]string) {
	red := d.opt.Redact
	a := &event.HttpActivity{Op: event.HttpActivity_REQUEST, Seen: event.HttpActivity_FASTCGI, Ordinal: cn.next,
		Script: clean(v["SCRIPT_FILENAME"]), ContentType: clean(v["CONTENT_TYPE"]), UserAgent: clean(red.Text(v["HTTP_USER_AGENT"])),
		Request: &entity.Request{Method: clean(v["REQUEST_METHOD"]), Uri: clean(red.URI(v["REQUEST_URI"])), Host: clean(v["HTTP_HOST"]),
			Flow: paramFlow(v, h.actor.netns)}}
	if a.Request.Uri == "" {
		a.Request.Uri = clean(red.URI(v["SCRIPT_NAME"]))
	}
	if r.tuple.family == unix.AF_UNIX {
		a.Channel = r.inode
	}
	a.BodyLen, _ = strconv.ParseUint(v["CONTENT_LENGTH"], 10, 64) // empty without a body
	d.web.Query(a, v["QUERY_STRING"])
	cn.begin(a)
	d.tellRequest(h, cn, "", nil)
}

// paramFlow is the client's conversation with the web server, as the parameters say.
func paramFlow(v map[string]string, netns uint32) *entity.Flow {
	src, err1 := netip.ParseAddr(v["REMOTE_ADDR"])
	dst, err2 := netip.ParseAddr(v["SERVER_ADDR"])
	sp, err3 := strconv.ParseUint(v["REMOTE_PORT"], 10, 16)
	dp, err4 := strconv.ParseUint(v["SERVER_PORT"], 10, 16)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return nil
	}
	return &entity.Flow{SrcIp: src.Unmap().AsSlice(), SrcPort: uint32(sp), DstIp: dst.Unmap().AsSlice(), DstPort: uint32(dp),
		Proto: 6, Netns: uint64(netns)}
}

// answer emits the response to the oldest request that waits for one.
func (d *decoder) answer(h *header, r *dataRecord, cn *conn) {
	if len(cn.waiting) == 0 {
		return
	}
	q := cn.waiting[0]
	var status uint32
	if q.Seen == event.HttpActivity_FASTCGI {
		status = fcgiStatus(r.bytes)
	} else {
		status = httpStatus(r.bytes)
	}
	if status >= 100 && status < 200 && status != 101 {
		return // an interim answer: the request is still in flight
	}
	cn.waiting = cn.waiting[1:]
	switch {
	case status == 101 && cn.parser != nil:
		d.silence(cn, r.tuple.cookie)
	case cn.fcgi != nil && !cn.keep:
		d.conns.closed(r.tuple.cookie) // unix sockets tell no close
	}
	ev := d.event(h.boot, &h.actor)
	ev.Payload = &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_RESPONSE, Seen: q.Seen, Request: proto.Clone(q.Request).(*entity.Request),
		Status: status, Script: q.Script, Ordinal: q.Ordinal, Channel: q.Channel}}
	d.emit(ev)
}
