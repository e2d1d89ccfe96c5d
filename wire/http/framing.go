// SPDX-License-Identifier: Apache-2.0

package http

import "strings"

// begin chooses how the body is read (RFC 9112 §6.3).
func (p *Parser) begin(f framing) {
	m := p.msg
	if p.Responses {
		f = p.responseFraming(f)
		if f == tunnelNext {
			m.Upgrade = true
			p.end()
			p.emit(Tunnel, m)
			p.SetTunnel()
			return
		}
	} else {
		if f == untilClose { // a request's body never lasts until the end of the stream
			f = noBody
		}
		p.mayTunnel = m.Upgrade
	}
	switch f {
	case byLength:
		if p.left = m.Stated; p.left == 0 {
			p.end()
			return
		}
		p.state = stateLength
	case chunked:
		p.state = stateChunkSize
	case untilClose:
		p.state = stateUntilClose
	case unknown:
		p.lose()
	default:
		p.end()
	}
}

// tunnelNext is a framing that only responses have.
const tunnelNext framing = 255

func (p *Parser) responseFraming(f framing) framing {
	m, method := p.msg, ""
	if m.Status >= 200 || m.Status == 101 { // other 1xx are not the answer yet
		if len(p.expected) > 0 {
			method = p.expected[0]
			p.expected = append(p.expected[:0], p.expected[1:]...)
		}
	}
	switch {
	case m.Status == 101, method == "CONNECT" && m.Status/100 == 2:
		return tunnelNext
	case m.Status/100 == 1, m.Status == 204, m.Status == 304, method == "HEAD":
		return noBody
	case f == unknown:
		return untilClose
	}
	return f
}

// lengths reads the headers that frame the body. A name that is malformed,
// like "Content-Length " with a blank, is kept but frames nothing.
func (m *Message) lengths() framing {
	var length, coding, last string
	lengths, hosts := 0, 0
	connectionUpgrade, upgrade := false, false
	for i := range m.Headers {
		h := &m.Headers[i]
		switch len(h.Name) { // cheap test before the fold
		case len("Host"):
			if strings.EqualFold(h.Name, "Host") {
				hosts++
			}
		case len("Upgrade"):
			upgrade = upgrade || strings.EqualFold(h.Name, "Upgrade")
		case len("Connection"):
			if strings.EqualFold(h.Name, "Connection") {
				connectionUpgrade = connectionUpgrade || hasToken(h.Value, "upgrade")
			}
		case len("Content-Length"):
			if strings.EqualFold(h.Name, "Content-Length") {
				for v := range strings.SplitSeq(h.Value, ",") {
					v = strings.Trim(v, " \t")
					if lengths++; lengths == 1 {
						length = v
					} else if v != length {
						m.Flags |= ConflictingLength
					}
				}
			}
		case len("Transfer-Encoding"):
			if strings.EqualFold(h.Name, "Transfer-Encoding") {
				coding = h.Value
				last = coding[strings.LastIndexByte(coding, ',')+1:]
			}
		}
	}
	m.Upgrade = m.Upgrade || upgrade && connectionUpgrade
	if hosts > 1 {
		m.Flags |= DuplicateHost
	}
	if lengths > 1 && m.Flags&ConflictingLength == 0 {
		m.Flags |= DuplicateLength
	}
	if lengths > 0 {
		if m.Stated = parseLength(length); m.Stated < 0 {
			m.Flags |= BadLength
		}
	}
	if coding != "" {
		if lengths > 0 {
			m.Flags |= BothLengths
		}
		if strings.EqualFold(strings.Trim(last, " \t"), "chunked") {
			return chunked
		}
		m.Flags |= UnknownCoding
		return unknown
	}
	switch {
	case lengths > 0 && m.Stated < 0:
		return unknown
	case lengths > 0:
		return byLength
	}
	return untilClose
}

// parseLength reads decimal digits; 18 of them fit an int64.
func parseLength(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

func hasToken(list, token string) bool {
	for v := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(v, " \t"), token) {
			return true
		}
	}
	return false
}
