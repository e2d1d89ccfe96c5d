// SPDX-License-Identifier: Apache-2.0

package kernel

import "encoding/binary"

// Record types of the FastCGI specification 1.0, §8.
const (
	fcgiBegin  = 1
	fcgiParams = 4
	fcgiStdin  = 5
	fcgiStdout = 6
	fcgiStderr = 7
)

// Bounds of one request's parameters and kept body.
const (
	fcgiMaxParams = 32 << 10
	fcgiMaxBody   = 8 << 10
)

// fcgiRequest puts the records of one request together, as read from the socket.
type fcgiRequest struct {
	head   [8]byte // of the record at hand
	filled int
	left   int // content bytes of the record to come
	pad    int
	params []byte
	body   []byte
	ready  bool // the parameters are whole, or will not become so
}

// feed takes the next bytes of the stream.
func (q *fcgiRequest) feed(b []byte) {
	for len(b) > 0 {
		if q.filled < 8 {
			n := copy(q.head[q.filled:], b)
			q.filled += n
			b = b[n:]
			if q.filled < 8 {
				return
			}
			q.left = int(binary.BigEndian.Uint16(q.head[4:]))
			q.pad = int(q.head[6])
			if t := q.head[1]; t == fcgiStdin || t == fcgiParams && q.left == 0 {
				q.ready = true
			}
		}
		n := min(q.left, len(b))
		switch q.head[1] {
		case fcgiParams:
			q.params = append(q.params, b[:min(n, fcgiMaxParams-len(q.params))]...)
		case fcgiStdin:
			q.body = append(q.body, b[:min(n, fcgiMaxBody-len(q.body))]...)
		}
		q.left -= n
		b = b[n:]
		n = min(q.pad, len(b))
		q.pad -= n
		b = b[n:]
		if q.left == 0 && q.pad == 0 {
			q.filled = 0
		}
	}
}

// gap says that n bytes of the stream were not seen: the parameters are what they are.
func (q *fcgiRequest) gap(n int) {
	if n <= 0 {
		return
	}
	q.ready = true
	if q.filled == 8 && n <= q.left+q.pad {
		q.pad -= max(0, n-q.left)
		q.left -= min(n, q.left)
		if q.left == 0 && q.pad == 0 {
			q.filled = 0
		}
	}
}

// values reads the name-value pairs (§3.4). A pair that was cut is left out.
func (q *fcgiRequest) values() map[string]string {
	out := map[string]string{}
	b := q.params
	length := func() (int, bool) {
		switch {
		case len(b) >= 1 && b[0] < 0x80:
			n := int(b[0])
			b = b[1:]
			return n, true
		case len(b) >= 4:
			n := int(binary.BigEndian.Uint32(b) & 0x7fffffff)
			b = b[4:]
			return n, true
		}
		return 0, false
	}
	for len(out) < 256 {
		n, ok1 := length()
		v, ok2 := length()
		if !ok1 || !ok2 || n > len(b) || v > len(b)-n {
			break
		}
		out[string(b[:n])] = string(b[n : n+v])
		b = b[n+v:]
	}
	return out
}

// fcgiStatus reads the status of an answer's first bytes: the CGI header "Status", 200
// without one (RFC 3875 §6.3.3), 0 where the bytes do not reach that far.
func fcgiStatus(b []byte) uint32 {
	for len(b) >= 8 {
		n, pad := int(binary.BigEndian.Uint16(b[4:])), int(b[6])
		typ := b[1]
		b = b[8:]
		if typ == fcgiStdout {
			return cgiStatus(b[:min(n, len(b))])
		}
		if typ != fcgiStderr {
			return 0
		}
		b = b[min(n+pad, len(b)):]
	}
	return 0
}
