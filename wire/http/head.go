// SPDX-License-Identifier: Apache-2.0

package http

import (
	"bytes"
	"strings"
)

// plausible reports whether b can be the beginning of a message, seen from its
// first bytes: refused early, a stream of another protocol costs no buffer.
func (p *Parser) plausible(b []byte) bool {
	line := b
	i := bytes.IndexByte(b, '\n')
	if i >= 0 {
		line = b[:i]
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if p.Responses {
		const head = "HTTP/"
		return len(line) <= len(head) && i < 0 && strings.HasPrefix(head, string(line)) || bytes.HasPrefix(line, []byte(head))
	}
	word := line
	if s := bytes.IndexByte(line, ' '); s >= 0 {
		word = line[:s]
	}
	// Registered methods have up to 17 letters (IANA HTTP Method Registry); leave room.
	if len(word) > 64 {
		return false
	}
	for _, c := range word {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return i < 0 || versionAt(line) > 0 ||
		bytes.HasPrefix(line, []byte("GET /")) // HTTP/0.9 knew only GET
}

// versionAt gives where the version of a request line begins, or -1.
func versionAt[T string | []byte](line T) int {
	const mark = "HTTP/"
	for i := len(line) - len(mark); i > 0; i-- {
		if line[i] == 'H' && string(line[i:i+len(mark)]) == mark && (line[i-1] == ' ' || line[i-1] == '\t') {
			return i
		}
	}
	return -1
}

// mayBeStart is the strict test of a part of a line while searching.
func (p *Parser) mayBeStart(b []byte) bool {
	if p.Responses {
		const head = "HTTP/1."
		n := min(len(head), len(b))
		return string(b[:n]) == head[:n]
	}
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z' || i > 0 && (c == '-' || c == '_'):
			if i > 24 {
				return false
			}
		case c == ' ':
			return i >= 3
		default:
			return false
		}
	}
	return true
}

// isStart is the strict test of a whole line while searching.
func (p *Parser) isStart(line []byte) bool {
	line = bytes.TrimRight(line, "\r\n")
	if p.Responses {
		return len(line) >= 12 && (line[7] == '0' || line[7] == '1') && line[8] == ' ' && digits3(string(line[9:12])) >= 0
	}
	sp := bytes.IndexByte(line, ' ')
	target, ok := bytes.CutSuffix(line[sp+1:], []byte(" HTTP/1.1"))
	if !ok {
		target, ok = bytes.CutSuffix(line[sp+1:], []byte(" HTTP/1.0"))
	}
	return ok && sp >= 3 && len(target) > 0 && bytes.IndexByte(target, ' ') < 0
}

// cutHead makes what it can of a head whose end will not come: the lines that
// are whole, or the part of the start line that is there.
func (p *Parser) cutHead(why Flags) {
	b := p.buf
	p.clear()
	if len(b) == 0 || !p.plausible(b) {
		return
	}
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	p.readHead(b, why|HeadCut|NoEnd)
}

// readHead parses a head, tells of it and chooses what comes next. With
// HeadCut in extra the message stays open for the caller to lose.
func (p *Parser) readHead(raw []byte, extra Flags) {
	m := &Message{Stated: -1, Offset: p.start, HeadLen: len(raw), Flags: p.before | extra}
	p.before, p.mayTunnel = 0, false
	head := string(raw) // the only copy: all texts of the message are parts of it
	if strings.IndexByte(head, 0) >= 0 {
		m.Flags |= NUL
	}
	line, rest := cutLine(head, m)
	if p.Responses {
		statusLine(line, m)
	} else {
		requestLine(line, m)
	}
	m.Headers = make([]Header, 0, min(strings.Count(rest, "\n"), MaxHeaders))
	for rest != "" {
		whole := rest
		if line, rest = cutLine(rest, m); strings.Trim(line, "\r") == "" {
			continue
		}
		if blank(rest) {
			for blank(rest) {
				_, rest = cutLine(rest, m)
			}
			m.Flags |= ObsFold
			line = unfold(whole[:len(whole)-len(rest)])
		}
		headerLine(line, m)
	}
	f := m.lengths()
	if m.HTTP2() {
		p.emit(Tunnel, m)
		p.SetTunnel()
		return
	}
	p.emit(Head, m)
	p.msg = m
	if m.Flags&HeadCut != 0 {
		return
	}
	p.begin(f)
}

// HTTP2 reports the connection preface of RFC 9113 §3.4.
func (m *Message) HTTP2() bool { return m.Method == "PRI" && m.Target == "*" && m.Proto == "HTTP/2.0" }

// cutLine takes the first line off s and flags how it ended.
func cutLine(s string, m *Message) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 { // only a start line that was cut
		return s, ""
	}
	line, rest = s[:i], s[i+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	} else {
		m.Flags |= BareLF
	}
	if strings.IndexByte(line, '\r') >= 0 {
		m.Flags |= BareCR
	}
	return line, rest
}

func requestLine(line string, m *Message) {
	at := versionAt(line)
	if at <= 0 {
		if m.Flags&HeadCut == 0 {
			m.Flags |= HTTP09
		}
		m.Method, m.Target, _ = strings.Cut(line, " ")
		m.Target = strings.TrimRight(m.Target, " ")
		return
	}
	m.Proto = line[at:]
	front := line[:at]
	m.Method, m.Target, _ = strings.Cut(front, " ")
	target := strings.Trim(m.Target, " \t")
	if len(target)+1 != len(m.Target) || !isToken(m.Method) || strings.ContainsAny(target, " \t") || !versionOne(m.Proto) && !(m.Method == "PRI") {
		m.Flags |= BadStartLine
	}
	m.Target = target
	if m.Method == "CONNECT" {
		m.Upgrade = true
	}
}

func versionOne(v string) bool { return v == "HTTP/1.1" || v == "HTTP/1.0" }

func statusLine(line string, m *Message) {
	var rest string
	m.Proto, rest, _ = strings.Cut(line, " ")
	code, reason, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	m.Reason = reason
	if m.Status = digits3(code); m.Status < 100 || !versionOne(m.Proto) || rest != "" && rest[0] == ' ' {
		m.Flags |= BadStartLine
		m.Status = max(m.Status, 0)
	}
}

// digits3 reads exactly three digits, else -1.
func digits3(s string) int {
	if len(s) != 3 {
		return -1
	}
	n := 0
	for i := range 3 {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// blank: a line that begins like this goes on with the header before it.
func blank(s string) bool { return s != "" && (s[0] == ' ' || s[0] == '\t') }

// unfold joins the lines of one header by single blanks, in one pass.
func unfold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.Trim(l, " \t\r"); l != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(l)
		}
	}
	return b.String()
}

func headerLine(line string, m *Message) {
	if len(m.Headers) == MaxHeaders {
		m.Flags |= HeadTooLong
		return
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		m.Flags |= NoColon
		m.Headers = append(m.Headers, Header{Name: line})
		return
	}
	if t := strings.TrimRight(name, " \t"); len(t) != len(name) {
		m.Flags |= SpaceBeforeColon
	} else if !isToken(name) {
		m.Flags |= BadName
	}
	if blank(name) { // the first line after the start line goes on with nothing
		m.Flags |= ObsFold
	}
	m.Headers = append(m.Headers, Header{name, strings.Trim(value, " \t")})
}

// isToken tests the grammar of RFC 9110 §5.6.2.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if !tokenTable[s[i]] {
			return false
		}
	}
	return true
}

var tokenTable = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
