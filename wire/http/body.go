// SPDX-License-Identifier: Apache-2.0

package http

import "bytes"

// keep counts body bytes and stores those that are within the bound and
// follow the stored ones without a gap.
func (p *Parser) keep(b []byte) {
	m := p.msg
	limit := p.MaxBody
	if limit == 0 {
		limit = DefaultBody
	}
	if m.BodyLen == int64(len(m.Body)) {
		if room := limit - len(m.Body); room > 0 {
			m.Body = append(m.Body, b[:min(room, len(b))]...)
		}
	}
	m.BodyLen += int64(len(b))
}

func (p *Parser) fixedBody(b []byte) int {
	n := int(min(int64(len(b)), p.left))
	p.keep(b[:n])
	if p.left -= int64(n); p.left == 0 {
		p.end()
	}
	return n
}

// chunkSize reads a line of hexadecimal size and extensions (RFC 9112 §7.1).
func (p *Parser) chunkSize(b []byte) int {
	i := bytes.IndexByte(b, '\n')
	n := i + 1
	if i < 0 {
		n = len(b)
	}
	if len(p.buf)+n > maxChunkLine {
		p.badChunk()
		return n
	}
	line := b[:n]
	if i < 0 || len(p.buf) > 0 {
		p.buf = append(p.buf, b[:n]...)
		line = p.buf
	}
	if i < 0 {
		return n
	}
	size, ok := p.parseSize(line)
	p.buf = p.buf[:0]
	switch {
	case !ok:
		p.badChunk()
	case size == 0:
		p.state, p.lineUsed, p.trailer = stateTrailer, 0, 0
	default:
		p.state, p.left = stateChunk, size
	}
	return n
}

func (p *Parser) parseSize(line []byte) (int64, bool) {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	} else {
		p.msg.Flags |= BareLF
	}
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	digits := bytes.TrimRight(line, " \t") // blanks here are an old habit of some servers
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	var size int64
	for _, c := range digits {
		d := unhex(c)
		if d < 0 {
			return 0, false
		}
		size = size<<4 | int64(d)
	}
	return size, true
}

func (p *Parser) badChunk() {
	p.msg.Flags |= BadChunk
	p.lose()
}

func (p *Parser) chunk(b []byte) int {
	n := int(min(int64(len(b)), p.left))
	p.keep(b[:n])
	if p.left -= int64(n); p.left == 0 {
		p.state = stateChunkEnd
	}
	return n
}

func (p *Parser) chunkEnd(b []byte) int {
	switch {
	case b[0] == '\r' && len(p.buf) == 0:
		p.buf = append(p.buf, '\r')
	case b[0] == '\n':
		if len(p.buf) == 0 {
			p.msg.Flags |= BareLF
		}
		p.buf = p.buf[:0]
		p.state = stateChunkSize
	default:
		p.badChunk()
		return 0
	}
	return 1
}

// trailers skips fields after the last chunk up to the empty line.
func (p *Parser) trailers(b []byte) int {
	for i, c := range b {
		switch {
		case c == '\n' && p.lineUsed == 0:
			p.end()
			return i + 1
		case c == '\n':
			p.lineUsed = 0
		case c != '\r':
			p.lineUsed++
		}
		if p.trailer++; p.trailer > maxTrailers {
			p.lose()
			return i + 1
		}
	}
	return len(b)
}
