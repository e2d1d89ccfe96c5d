// SPDX-License-Identifier: Apache-2.0

package fastcgi

import "encoding/binary"

// Parser follows one direction of a connection. The zero value is ready. It is
// for one goroutine.
type Parser struct {
	events   []Event
	requests []*Request // open ones; few, so a list
	header   [headerLen]byte
	headerN  int

	typ     byte
	id      uint16
	content int // content bytes of the record still to come
	padding int // padding bytes still to come
	body    []byte
	gapped  bool // bytes of this record's content were not seen

	lost bool
	tail []byte // while lost: the last bytes, where a BEGIN_REQUEST may have begun
}

// Feed takes the next bytes of the stream; how they are cut does not matter (a
// php-fpm worker reads 8, 8, 8, parameters, 8). The events are valid until the
// next call; the bytes are not kept.
func (p *Parser) Feed(b []byte) []Event {
	p.events = p.events[:0]
	p.feed(b)
	return p.events
}

// FeedTruncated takes a read of total bytes of which only the first are known.
// The missing ones are skipped where they lie inside one record.
func (p *Parser) FeedTruncated(part []byte, total int) []Event {
	p.events = p.events[:0]
	p.feed(part)
	if total > len(part) {
		p.gap(total - len(part))
	}
	return p.events
}

// Gap says that n bytes of the stream were not seen.
func (p *Parser) Gap(n int) []Event {
	p.events = p.events[:0]
	if n > 0 {
		p.gap(n)
	}
	return p.events
}

// Open gives the requests that have begun and not ended. The list is valid
// until the next call.
func (p *Parser) Open() []*Request { return p.requests }

func (p *Parser) emit(k EventKind, r *Request) { p.events = append(p.events, Event{k, r}) }

func (p *Parser) feed(b []byte) {
	for len(b) > 0 {
		switch {
		case p.lost:
			b = p.search(b)
		case p.content > 0:
			n := min(len(b), p.content)
			p.content -= n
			p.take(b[:n])
			if b = b[n:]; p.content == 0 {
				p.recordEnd()
			}
		case p.padding > 0:
			n := min(len(b), p.padding)
			p.padding -= n
			b = b[n:]
		default:
			n := copy(p.header[p.headerN:], b)
			b = b[n:]
			if p.headerN += n; p.headerN == headerLen {
				p.headerN = 0
				if !p.recordBegin() {
					p.lose()
				}
			}
		}
	}
}

// plausible tests a record header (specification §3.3). Management records
// (id 0) are the only ones without a request.
func plausible(h []byte) bool {
	typ, id := h[1], binary.BigEndian.Uint16(h[2:])
	if h[0] != 1 || typ < typeBegin || typ > typeLast {
		return false
	}
	if typ == typeBegin || typ == typeEnd {
		return id != 0 && binary.BigEndian.Uint16(h[4:]) == 8
	}
	return id != 0 || typ > typeData
}

func (p *Parser) recordBegin() bool {
	h := p.header[:]
	if !plausible(h) {
		return false
	}
	p.typ, p.id = h[1], binary.BigEndian.Uint16(h[2:])
	p.content, p.padding = int(binary.BigEndian.Uint16(h[4:])), int(h[6])
	p.body, p.gapped = p.body[:0], false
	if p.content == 0 {
		p.streamEnd()
	}
	return true
}

// take uses content bytes of the current record.
func (p *Parser) take(b []byte) {
	switch p.typ {
	case typeBegin, typeEnd: // eight bytes, collected
		p.body = append(p.body, b...)
	case typeParams:
		if r := p.request(); r != nil && !r.ParamsDone {
			r.content(b)
			if !r.early && r.identified() {
				r.early = true
				p.emit(Identified, r)
			}
		}
	case typeStdin, typeStdout, typeStderr:
		p.count(len(b))
	}
}

func (p *Parser) count(n int) {
	r := p.request()
	if r == nil {
		return
	}
	switch p.typ {
	case typeStdin:
		r.StdinLen += int64(n)
	case typeStdout:
		r.StdoutLen += int64(n)
	case typeStderr:
		r.StderrLen += int64(n)
	}
}

// recordEnd: all content bytes of the current record went by.
func (p *Parser) recordEnd() {
	switch {
	case p.gapped || len(p.body) < 8:
	case p.typ == typeBegin:
		if old := p.find(p.id); old != nil {
			p.close(old)
		}
		r := &Request{ID: p.id, Role: Role(binary.BigEndian.Uint16(p.body)), KeepConn: p.body[2]&1 != 0}
		p.open(r)
		p.emit(Begin, r)
	case p.typ == typeEnd:
		r := p.request()
		r.AppStatus, r.Protocol = binary.BigEndian.Uint32(p.body), p.body[4]
		p.close(r)
	}
	if p.typ == typeAbort {
		p.abort()
	}
}

// streamEnd: a record without content ends its stream.
func (p *Parser) streamEnd() {
	switch p.typ {
	case typeParams:
		if r := p.request(); !r.ParamsDone {
			r.ParamsDone = true
			if len(r.pair) > 0 && !r.closed {
				r.Flags |= Malformed
			}
			r.pair = nil
			p.emit(ParamsDone, r)
		}
	case typeStdin:
		if r := p.request(); !r.StdinDone {
			r.StdinDone = true
			p.emit(StdinDone, r)
		}
	case typeAbort:
		p.abort()
	}
}

func (p *Parser) abort() {
	if r := p.find(p.id); r != nil {
		r.Aborted = true
		p.close(r)
	}
}

func (p *Parser) find(id uint16) *Request {
	for _, r := range p.requests {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// request gives the request of the current record, opened when BEGIN_REQUEST was not seen.
func (p *Parser) request() *Request {
	r := p.find(p.id)
	if r == nil {
		r = &Request{ID: p.id, Flags: NoBegin}
		p.open(r)
	}
	return r
}

// open adds a request; the oldest gives way when there are too many.
func (p *Parser) open(r *Request) {
	if len(p.requests) == MaxRequests {
		p.close(p.requests[0])
	}
	p.requests = append(p.requests, r)
}

func (p *Parser) close(r *Request) {
	for i, o := range p.requests {
		if o == r {
			p.requests = append(p.requests[:i], p.requests[i+1:]...)
			break
		}
	}
	r.pair = nil
	p.emit(End, r)
}

// gap leaves n bytes out: inside content and padding of the current record
// they are counted, beyond it the structure is lost.
func (p *Parser) gap(n int) {
	if k := min(n, p.content); k > 0 && !p.lost {
		p.content -= k
		n -= k
		p.gapped = true
		p.missed(k)
		if p.content == 0 {
			p.recordEnd()
		}
	}
	if k := min(n, p.padding); k > 0 && !p.lost {
		p.padding -= k
		n -= k
	}
	if n > 0 {
		p.lose()
	}
}

func (p *Parser) missed(n int) {
	switch p.typ {
	case typeParams:
		if r := p.request(); !r.ParamsDone {
			r.Flags |= Truncated
			r.closed, r.pair = true, nil // where the next pair begins is not known
		}
	case typeStdin, typeStdout, typeStderr:
		p.count(n)
	}
}

// lose gives up the record structure. Requests whose parameters were being
// read get no further ones; all stay open.
func (p *Parser) lose() {
	for _, r := range p.requests {
		if !r.ParamsDone {
			r.Flags |= Truncated
			r.ParamsDone, r.closed, r.pair = true, true, nil
			p.emit(ParamsDone, r)
		}
	}
	if !p.lost {
		p.emit(Lost, nil)
	}
	p.lost = true
	p.headerN, p.content, p.padding, p.tail = 0, 0, 0, nil
}

// search looks for a record at the very beginning of what is fed, since a
// worker reads headers alone, and for a BEGIN_REQUEST anywhere. It gives the
// bytes to go on with.
func (p *Parser) search(b []byte) []byte {
	if len(b) >= headerLen && plausible(b) && (len(b) == headerLen || beginsAt(b) || follows(b)) {
		p.lost, p.tail = false, nil
		return b
	}
	all := append(p.tail, b...)
	for i := range all {
		if beginsAt(all[i:]) {
			p.lost, p.tail = false, nil
			return all[i:]
		}
	}
	p.tail = append([]byte(nil), all[max(0, len(all)-beginLen+1):]...)
	return nil
}

// beginsAt recognises the sixteen bytes of a BEGIN_REQUEST (specification §5.1).
func beginsAt(b []byte) bool {
	return len(b) >= beginLen && b[0] == 1 && b[1] == typeBegin && (b[2]|b[3]) != 0 && b[4] == 0 && b[5] == 8 && b[7] == 0 &&
		b[8] == 0 && b[9] >= 1 && b[9] <= 3 && b[10] <= 1 && b[11]|b[12]|b[13]|b[14]|b[15] == 0
}

// follows: the record at the front of b is followed by another that is plausible.
func follows(b []byte) bool {
	n := headerLen + int(binary.BigEndian.Uint16(b[4:])) + int(b[6])
	return n+headerLen <= len(b) && plausible(b[n:])
}
