// SPDX-License-Identifier: Apache-2.0

package http

import "bytes"

// gap leaves n bytes out.
func (p *Parser) gap(n int64) {
	p.offset += n
	switch p.state {
	case stateTunnel:
	case stateUntilClose:
		p.skipBody(n)
	case stateLength:
		if k := min(n, p.left); k > 0 {
			p.skipBody(k)
			p.left -= k
			n -= k
		}
		if p.left == 0 {
			p.end()
			if n > 0 {
				p.lose()
			}
		}
	case stateChunk:
		if n <= p.left {
			p.skipBody(n)
			if p.left -= n; p.left == 0 {
				p.state = stateChunkEnd
			}
			return
		}
		p.skipBody(p.left)
		p.lose()
	case stateHead:
		p.cutHead(0)
		p.lose()
	default:
		p.lose()
	}
}

func (p *Parser) skipBody(n int64) {
	p.msg.BodyLen += n
	p.msg.Flags |= BodyGap | BodyCut
}

// lose ends the message at hand without its end and waits for a start line.
// The next byte fed may begin one.
func (p *Parser) lose() {
	if p.msg != nil {
		p.msg.Flags |= NoEnd
		p.end()
	}
	if p.state == stateTunnel {
		return
	}
	if p.state != stateLost {
		p.emit(Lost, nil)
	}
	p.state, p.midLine, p.before, p.mayTunnel = stateLost, false, 0, false
	p.clear()
}

// search looks for a start line at the beginning of each line.
func (p *Parser) search(b []byte) int {
	if p.midLine {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return len(b)
		}
		p.midLine = false
		return i + 1
	}
	i := bytes.IndexByte(b, '\n')
	part := b
	if i >= 0 {
		part = b[:i+1]
	}
	had := len(p.buf)
	if had > 0 {
		p.buf = append(p.buf, part[:min(len(part), MaxHead-had)]...)
		part = p.buf
	}
	switch {
	case !p.mayBeStart(part) || len(part) >= MaxHead:
		p.midLine = i < 0
	case i < 0:
		if had == 0 {
			p.buf = append(p.buf, part...)
		}
		return len(b)
	case p.isStart(part):
		p.state, p.before, p.scan, p.lined = stateHead, Resynced, 0, false
		if had > 0 {
			p.start = p.offset - int64(had)
			return i + 1
		}
		return 0 // head reads the line again, in place
	}
	p.clear()
	if i < 0 {
		return len(b)
	}
	return i + 1
}
