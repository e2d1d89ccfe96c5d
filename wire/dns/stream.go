// SPDX-License-Identifier: Apache-2.0

package dns

// Stream cuts one direction of a TCP connection into messages (RFC 1035
// §4.2.2: two bytes of length before each). The zero value is ready. It is for
// one goroutine and holds at most one message, 64 KiB.
type Stream struct {
	pending  []byte // prefix and part of a message
	skip     int    // bytes of a message that had a gap
	lost     bool
	messages [][]byte
}

// Feed takes the next bytes and gives the messages that became whole, without
// their prefix. They are valid until the next call and may lie in b.
func (s *Stream) Feed(b []byte) [][]byte {
	s.messages = s.messages[:0]
	if n := min(s.skip, len(b)); n > 0 {
		s.skip -= n
		b = b[n:]
	}
	if s.lost {
		return nil
	}
	if len(s.pending) > 0 {
		b = s.finish(b)
	}
	for len(b) >= 2 {
		n := 2 + int(b[0])<<8 + int(b[1])
		if n > len(b) {
			break
		}
		s.messages = append(s.messages, b[2:n:n])
		b = b[n:]
	}
	if len(b) > 0 {
		s.pending = append(s.pending, b...)
	}
	return s.messages
}

// finish completes the pending message from b and gives the rest.
func (s *Stream) finish(b []byte) []byte {
	if len(s.pending) == 1 && len(b) > 0 {
		s.pending = append(s.pending, b[0])
		b = b[1:]
	}
	if len(s.pending) < 2 {
		return b
	}
	need := 2 + int(s.pending[0])<<8 + int(s.pending[1]) - len(s.pending)
	n := min(need, len(b))
	s.pending = append(s.pending, b[:n]...)
	if n == need {
		s.messages = append(s.messages, s.pending[2:])
		s.pending = nil // handed out
	}
	return b[n:]
}

// Gap says that n bytes were not seen. A gap inside one message loses that
// message; any other loses the rest of the stream, see Lost.
func (s *Stream) Gap(n int) {
	if n <= 0 || s.lost {
		return
	}
	left := s.skip
	if len(s.pending) >= 2 {
		left = 2 + int(s.pending[0])<<8 + int(s.pending[1]) - len(s.pending)
	}
	s.pending = nil
	if s.lost = n > left; !s.lost {
		s.skip = left - n
	}
}

// Lost reports that it is not known any more where messages begin.
func (s *Stream) Lost() bool { return s.lost }
