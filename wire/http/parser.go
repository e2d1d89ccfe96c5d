// SPDX-License-Identifier: Apache-2.0

package http

import "bytes"

// Parser follows one direction of a connection. The zero value reads requests
// and keeps [DefaultBody] bytes of each body. It is for one goroutine.
type Parser struct {
	Responses bool // read responses; call Expect for each request
	MaxBody   int  // bytes of a body to keep; 0 means DefaultBody, below 0 none

	state  state
	events []Event
	msg    *Message
	buf    []byte // bytes of an unfinished head, chunk line or start line candidate
	scan   int    // how far buf was searched for the end of the head
	lined  bool   // the start line of the head at hand is whole and was tested
	offset int64  // of the next byte to be fed
	start  int64  // where the current head begins
	before Flags  // flags for the next message

	left      int64 // bytes of the body or chunk to come
	lineUsed  int   // trailer bytes that are not line ends, in the current line
	trailer   int   // bytes of trailers so far
	mayTunnel bool  // the last request asked for another protocol
	midLine   bool  // in stateLost: the next byte does not begin a line
	expected  []string
}

type state uint8

const (
	stateHead state = iota
	stateLength
	stateChunkSize
	stateChunk
	stateChunkEnd
	stateTrailer
	stateUntilClose
	stateTunnel
	stateLost
)

type framing uint8

const (
	noBody framing = iota
	byLength
	chunked
	untilClose
	unknown
)

// Expect tells a parser of responses the method of the next request that was
// sent, so that answers to HEAD and CONNECT end where they must. Without it a
// response is taken to answer GET.
func (p *Parser) Expect(method string) {
	if len(p.expected) >= maxExpected {
		p.expected = append(p.expected[:0], p.expected[1:]...)
	}
	p.expected = append(p.expected, method)
}

// SetTunnel tells a parser of requests that the other side agreed to another
// protocol (101, 2xx to CONNECT): all further bytes are ignored.
func (p *Parser) SetTunnel() { p.state, p.buf = stateTunnel, nil }

// InTunnel reports that the stream is no HTTP/1 any more.
func (p *Parser) InTunnel() bool { return p.state == stateTunnel }

// Feed takes the next bytes of the stream. The events are valid until the next
// call; the bytes are not kept.
func (p *Parser) Feed(b []byte) []Event {
	p.events = p.events[:0]
	p.feed(b)
	return p.events
}

// FeedTruncated takes a read of total bytes of which only the first are known.
func (p *Parser) FeedTruncated(part []byte, total int) []Event {
	p.events = p.events[:0]
	p.feed(part)
	if total > len(part) {
		p.gap(int64(total - len(part)))
	}
	return p.events
}

// Gap says that n bytes of the stream were not seen. Inside a body they are
// counted; elsewhere the parser waits for the next start line.
func (p *Parser) Gap(n int) []Event {
	p.events = p.events[:0]
	if n > 0 {
		p.gap(int64(n))
	}
	return p.events
}

// Close says that the stream has ended; it ends a body that lasts until then.
func (p *Parser) Close() []Event {
	p.events = p.events[:0]
	switch {
	case p.state == stateHead && len(p.buf) > 0:
		p.cutHead(0)
	case p.msg == nil || p.state == stateUntilClose:
	default:
		p.msg.Flags |= NoEnd
	}
	if p.msg != nil {
		p.end()
	}
	p.state, p.buf = stateTunnel, nil
	return p.events
}

func (p *Parser) emit(k EventKind, m *Message) { p.events = append(p.events, Event{k, m}) }

func (p *Parser) feed(b []byte) {
	for len(b) > 0 && p.state != stateTunnel {
		n := p.step(b)
		p.offset += int64(n)
		b = b[n:]
	}
	p.offset += int64(len(b))
}

// step consumes at least one byte of b, or changes the state.
func (p *Parser) step(b []byte) int {
	switch p.state {
	case stateLength:
		return p.fixedBody(b)
	case stateChunkSize:
		return p.chunkSize(b)
	case stateChunk:
		return p.chunk(b)
	case stateChunkEnd:
		return p.chunkEnd(b)
	case stateTrailer:
		return p.trailers(b)
	case stateUntilClose:
		p.keep(b)
		return len(b)
	case stateLost:
		return p.search(b)
	}
	return p.head(b)
}

// head collects bytes until the empty line. A head that lies whole in b is
// read where it is.
func (p *Parser) head(b []byte) int {
	if len(p.buf) == 0 {
		n := 0
		for n < len(b) && (b[n] == '\r' || b[n] == '\n') { // RFC 9112 §2.2
			n++
		}
		if n > 0 {
			p.before |= EmptyLinesBefore
			return n
		}
		p.start, p.scan, p.lined = p.offset, 0, false
	}
	had := len(p.buf)
	all := b
	if had > 0 {
		p.buf = append(p.buf, b[:min(len(b), MaxHead+1-had)]...)
		all = p.buf
	}
	end := -1
	if !p.lined && (had < 128 || bytes.IndexByte(b, '\n') >= 0) { // 128: past every method's length
		var ok bool
		if ok, end = p.testLine(all); !ok {
			p.leaveHead(had > 0)
			return 0
		}
	}
	if end < 0 {
		end = headEnd(all, &p.scan)
	}
	if end >= 0 && end <= MaxHead {
		p.clear()
		p.readHead(all[:end], 0)
		return end - had
	}
	if len(all) > MaxHead {
		p.buf = append(p.buf[:0], all[:MaxHead]...)
		p.cutHead(HeadTooLong)
		p.lose()
		return max(MaxHead-had, 0)
	}
	if had == 0 {
		p.buf = append(p.buf, b...)
	}
	return len(b)
}

// testLine tests the start line as far as it is there, and gives the end of
// the head where that is the line itself: HTTP/0.9 has no headers.
func (p *Parser) testLine(b []byte) (ok bool, end int) {
	if !p.plausible(b) {
		return false, -1
	}
	i := bytes.IndexByte(b, '\n')
	p.lined = i >= 0
	if i >= 0 && !p.Responses && versionAt(b[:i]) < 0 {
		return true, i + 1
	}
	return true, -1
}

// leaveHead: the bytes where a start line should be are none. What was
// buffered of them is not looked at again.
func (p *Parser) leaveHead(buffered bool) {
	if p.mayTunnel {
		p.emit(Tunnel, nil)
		p.SetTunnel()
		return
	}
	p.lose()
	p.midLine = buffered
}

// headEnd gives the length of the head with its empty line, or -1; *scan keeps
// where to go on.
func headEnd(b []byte, scan *int) int {
	at := *scan
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			*scan = len(b)
			return -1
		}
		at += i + 1
		n := at
		for n < len(b) && b[n] == '\r' && n < at+8 { // more than one CR: browsers take it for an empty line, too
			n++
		}
		if n == len(b) {
			*scan = at - 1 // this line end again, with more behind it
			return -1
		}
		if b[n] == '\n' {
			return n + 1
		}
		*scan = at
	}
}

// clear empties buf; a large one is given back, since there is one per connection.
func (p *Parser) clear() {
	if cap(p.buf) > 4<<10 {
		p.buf = nil
	}
	p.buf = p.buf[:0]
}

// end finishes the message at hand.
func (p *Parser) end() {
	m := p.msg
	p.msg, p.state = nil, stateHead
	p.clear()
	if int64(len(m.Body)) < m.BodyLen {
		m.Flags |= BodyCut
	}
	p.emit(End, m)
}
