// SPDX-License-Identifier: Apache-2.0

// Package tcp puts the segments of one direction of a connection back into order:
// segments go in as they were captured, chunks of the byte stream and announced gaps
// come out.
//
// It believes sequence numbers within a window of 1 GiB and holds at most [MaxHeld]
// bytes in [MaxSegments] pieces that came early. When more come, or when the peer
// acknowledges what was never seen, the missing bytes are given up as a gap. Of two
// copies of a byte the first wins, as long as it is known; that they differed is
// remembered as an oddity, because receivers decide that differently and an attacker
// can show the sensor one text and the server another (Ptacek and Newsham 1998, §5).
//
// Worst trap: a gap is ours, not the connection's. The receiver may well have the
// bytes that we lost, so what parsers find behind a gap must not be taken for all.
// Copies of bytes that were already given out are not compared any more.
package tcp

import (
	"bytes"
	"slices"
)

// Bounds of what one direction holds while bytes are missing.
const (
	MaxHeld     = 16 << 10
	MaxSegments = 10
	// window is the largest that a receiver can offer (RFC 7323 §2.3).
	window = 1 << 30
)

// Oddity names what ordinary connections rarely show.
type Oddity uint8

// Oddities of one direction.
const (
	Overlap  Oddity = 1 << iota // a segment brought bytes that were known together with new ones
	Conflict                    // two copies of a byte differed
	Wild                        // a segment beyond any window; it was left out
	Gap                         // bytes were never seen
)

// Chunk is the next piece of the stream: Gap bytes that were not seen, then Bytes.
type Chunk struct {
	Gap   int
	Bytes []byte
}

// segment is a piece that came early. lost bytes behind it were cut by the capture.
type segment struct {
	seq  uint32
	data []byte
	lost int
}

func (s *segment) end() uint32 { return s.seq + uint32(len(s.data)) + uint32(s.lost) }

// Stream is one direction. The zero value starts with the first segment that it is fed;
// Begin starts it at a SYN. For one goroutine.
type Stream struct {
	next   uint32
	open   bool
	closed bool
	fin    uint32 // behind the last byte, when closed
	kept   []segment
	held   int
	odd    Oddity
	out    []Chunk
}

// Begin says that a SYN with this sequence number opens the direction.
func (s *Stream) Begin(seq uint32) { *s = Stream{next: seq + 1, open: true, out: s.out[:0]} }

// Open tells whether a position in the stream is known.
func (s *Stream) Open() bool { return s.open }

// Expected is the sequence number of the next byte, where one is known.
func (s *Stream) Expected() (seq uint32, ok bool) { return s.next, s.open }

// Held is how many bytes wait for missing ones.
func (s *Stream) Held() int { return s.held }

// Oddities are those seen so far.
func (s *Stream) Oddities() Oddity { return s.odd }

// Feed takes a segment's payload; length is what the headers say, which may be more than
// the capture kept. The chunks are valid until the next call and may lie in data.
func (s *Stream) Feed(seq uint32, data []byte, length int) []Chunk {
	s.out = s.out[:0]
	length = max(length, len(data))
	if length == 0 {
		return nil
	}
	if !s.open {
		s.open, s.next = true, seq
	}
	switch d := int(int32(seq - s.next)); {
	case d > window:
		s.odd |= Wild
		return nil
	case d < 0:
		if length+d <= 0 {
			return nil // sent again
		}
		s.odd |= Overlap
		data, length, seq = data[min(len(data), -d):], length+d, s.next
	case d == 0 && len(s.kept) == 0:
		s.give(data, length-len(data))
		return s.out
	}
	s.insert(segment{seq, data, length - len(data)})
	return s.out
}

// insert adds the parts of a segment that are not yet known, in their order.
func (s *Stream) insert(n segment) {
	var room [MaxSegments + 1]segment
	parts := room[:0]
	for i := range s.kept {
		k := &s.kept[i]
		if int32(k.seq-n.seq) >= int32(len(n.data)+n.lost) {
			break
		}
		if int32(k.end()-n.seq) <= 0 {
			continue
		}
		s.compare(k, &n)
		if before := int(int32(k.seq - n.seq)); before > 0 {
			parts = append(parts, n.cut(before))
		}
		if int32(n.end()-k.end()) <= 0 {
			n = segment{}
			break
		}
		n.cut(int(int32(k.end() - n.seq)))
	}
	if len(n.data)+n.lost > 0 {
		parts = append(parts, n)
	}
	for _, p := range parts {
		s.place(p)
	}
}

// cut takes the first size bytes off.
func (s *segment) cut(size int) segment {
	head := segment{s.seq, s.data[:min(size, len(s.data))], max(0, size-len(s.data))}
	s.lost -= head.lost
	s.data, s.seq = s.data[len(head.data):], s.seq+uint32(size)
	return head
}

// compare looks at what both copies have.
func (s *Stream) compare(k, n *segment) {
	if k.seq != n.seq || k.end() != n.end() {
		s.odd |= Overlap
	}
	a, b := k.data, n.data
	if d := int(int32(n.seq - k.seq)); d >= 0 {
		a = a[min(d, len(a)):]
	} else {
		b = b[min(-d, len(b)):]
	}
	if m := min(len(a), len(b)); !bytes.Equal(a[:m], b[:m]) {
		s.odd |= Conflict
	}
}

// place gives a part out where it is due, else keeps it; what must go for that goes.
func (s *Stream) place(p segment) {
	for p.seq != s.next {
		if len(s.kept) < MaxSegments && s.held+len(p.data) <= MaxHeld {
			s.keep(p)
			return
		}
		if len(s.kept) > 0 && int32(s.kept[0].seq-p.seq) < 0 {
			s.skipTo(s.kept[0].seq)
			s.drain()
			continue
		}
		s.skipTo(p.seq)
	}
	s.give(p.data, p.lost)
	s.drain()
}

func (s *Stream) keep(p segment) {
	p.data = bytes.Clone(p.data)
	at, _ := slices.BinarySearchFunc(s.kept, p.seq, func(k segment, seq uint32) int { return int(int32(k.seq - seq)) })
	s.kept = slices.Insert(s.kept, at, p)
	s.held += len(p.data)
}

// give hands out the next bytes, and the gap behind them that the capture left.
func (s *Stream) give(data []byte, lost int) {
	if len(data) > 0 {
		if n := len(s.out); n > 0 && s.out[n-1].Bytes == nil {
			s.out[n-1].Bytes = data // the gap before belongs to it
		} else {
			s.out = append(s.out, Chunk{Bytes: data})
		}
		s.next += uint32(len(data))
	}
	if lost > 0 {
		s.skipTo(s.next + uint32(lost))
	}
}

// skipTo announces the bytes up to seq as missing.
func (s *Stream) skipTo(seq uint32) {
	n := int(seq - s.next)
	if n == 0 {
		return
	}
	s.odd |= Gap
	s.next = seq
	if last := len(s.out) - 1; last >= 0 && s.out[last].Bytes == nil {
		s.out[last].Gap += n
		return
	}
	s.out = append(s.out, Chunk{Gap: n})
}

// drain hands out what follows without a hole.
func (s *Stream) drain() {
	i := 0
	for ; i < len(s.kept) && s.kept[i].seq == s.next; i++ {
		s.held -= len(s.kept[i].data)
		s.give(s.kept[i].data, s.kept[i].lost)
	}
	s.kept = slices.Delete(s.kept, 0, i)
}

// Acked says that the peer has everything before ack: bytes that are missing below it
// will not come again and are given up. Only a direction that is open listens.
func (s *Stream) Acked(ack uint32) []Chunk {
	if !s.open {
		return nil
	}
	if s.closed && int32(ack-s.fin) > 0 {
		ack = s.fin // the FIN has a number of its own
	}
	if d := int32(ack - s.next); d <= 0 || d > window {
		return nil
	}
	s.out = s.out[:0]
	for int32(ack-s.next) > 0 {
		if len(s.kept) > 0 && int32(s.kept[0].seq-ack) < 0 {
			s.skipTo(s.kept[0].seq)
			s.drain()
			continue
		}
		s.skipTo(ack)
	}
	s.drain()
	return s.out
}

// Finish says where the stream ends: behind the payload of the segment with the FIN.
func (s *Stream) Finish(seq uint32, length int) {
	s.closed, s.fin = true, seq+uint32(length)
}

// Flush gives out all that is kept, with its gaps; for the end of a connection.
func (s *Stream) Flush() []Chunk {
	s.out = s.out[:0]
	for len(s.kept) > 0 {
		s.skipTo(s.kept[0].seq)
		s.drain()
	}
	return s.out
}
