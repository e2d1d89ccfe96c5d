// SPDX-License-Identifier: Apache-2.0

// Package http reads HTTP/1.x from one direction of a byte stream: bytes go
// in, in order, cut anywhere; out come events with messages: start line,
// headers in order under their original names, the first bytes of the body,
// and flags that name what is odd. Helpers split parameters and multipart bodies.
//
// It holds no opinion and refuses nothing that still looks like HTTP: two
// servers read an odd message in two ways, so the oddity is a flag and the
// judgement is another's. Heads are bounded by [MaxHead] and [MaxHeaders],
// bodies by Parser.MaxBody; nothing is allocated by a stated length. Texts are
// the peer's raw bytes and may be no UTF-8.
//
// Worst trap: where a message ends is a guess as soon as a flag of [Framing]
// is set. The parser then follows RFC 9112 §6.3; the server behind may not,
// and that difference is the attack (request smuggling).
package http

import (
	"strings"
)

const (
	// MaxHead bounds start line and headers: nginx accepts 32 KiB, Apache about 800 KiB in theory.
	MaxHead = 64 << 10
	// MaxHeaders bounds the header list; Apache's default is 100.
	MaxHeaders = 512
	// DefaultBody is how much of a body is kept when Parser.MaxBody is 0.
	DefaultBody = 64 << 10

	maxChunkLine = 4 << 10
	maxTrailers  = 64 << 10
	maxExpected  = 256 // pipelined requests without an answer
)

// Header is one header field; Name as sent, Value without surrounding blanks.
type Header struct{ Name, Value string }

// Message is one request or response. After its End event the parser does not
// touch it again; between Head and End it still grows.
type Message struct {
	Method, Target string // requests
	Status         int    // responses
	Reason         string
	Proto          string // "HTTP/1.1"; "" for HTTP/0.9 and where the start line was cut (then Target may be, too)
	Headers        []Header
	Body           []byte // first bytes of the body, chunk framing removed
	BodyLen        int64  // bytes of the body that went by, the unseen ones of gaps included
	Stated         int64  // Content-Length, -1 when there is none that can be used
	HeadLen        int    // bytes of the head on the wire
	Offset         int64  // where in the stream the message begins
	Flags          Flags
	Upgrade        bool // asks for (or grants) another protocol: Connection: upgrade with Upgrade, CONNECT, status 101
}

// Get gives the value of the first header of that name, in any case, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if len(m.Headers[i].Name) == len(name) && strings.EqualFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// Whole says that head and body were seen from the first to the last byte
// (which need not mean that all of the body was kept: see BodyCut).
func (m *Message) Whole() bool { return m.Flags&(HeadCut|BodyGap|NoEnd) == 0 }

// EventKind says what an event tells.
type EventKind uint8

// Kinds of events.
const (
	// Head: start line and headers are known, as far as they ever will be.
	Head EventKind = iota + 1
	// End: the message is over; see Flags for how.
	End
	// Tunnel: what follows is no HTTP/1 (101, CONNECT, HTTP/2 preface). Message
	// is the one that led there, or nil. The parser ignores all further bytes.
	Tunnel
	// Lost: the parser does not know where it is and waits for the next start
	// line. Message is nil.
	Lost
)

// Event is one thing that the stream told.
type Event struct {
	Kind    EventKind
	Message *Message
}

// Flags name oddities; several may be set.
type Flags uint32

// Oddities of a message.
const (
	BothLengths       Flags = 1 << iota // Content-Length and Transfer-Encoding
	DuplicateLength                     // Content-Length more than once, all equal
	ConflictingLength                   // Content-Length more than once, not equal; the first was used
	BadLength                           // Content-Length is no number
	UnknownCoding                       // Transfer-Encoding does not end in chunked
	BadChunk                            // a chunk's size or end is malformed
	BareLF                              // a line ends in LF without CR
	BareCR                              // a CR inside a line
	ObsFold                             // a header goes on in the next line (RFC 9112 §5.2)
	NUL                                 // a zero byte in the head
	BadName                             // a header name that is no token (RFC 9110 §5.6.2)
	SpaceBeforeColon                    // blank between header name and colon
	NoColon                             // a header line without colon
	BadStartLine                        // spacing, method or version that the grammar does not allow
	HTTP09                              // a request line without version
	EmptyLinesBefore                    // blank lines before the start line
	DuplicateHost                       // Host more than once
	HeadTooLong                         // more than MaxHead or MaxHeaders
	HeadCut                             // the head was not seen to its end
	BodyCut                             // not all of the body is in Body
	BodyGap                             // bytes of the body were not seen
	NoEnd                               // the message's end was not seen
	Resynced                            // found by searching for a start line; could be text inside a body
)

// Framing are the flags that make the end of a message uncertain.
const Framing = BothLengths | ConflictingLength | BadLength | UnknownCoding | BadChunk | SpaceBeforeColon | ObsFold | NUL | BareCR

var flagNames = [...]string{
	"both-lengths", "duplicate-length", "conflicting-length", "bad-length", "unknown-coding", "bad-chunk",
	"bare-lf", "bare-cr", "obs-fold", "nul", "bad-name", "space-before-colon", "no-colon", "bad-start-line",
	"http-0.9", "empty-lines-before", "duplicate-host", "head-too-long", "head-cut", "body-cut", "body-gap",
	"no-end", "resynced",
}

// String lists the names of the set flags, separated by commas.
func (f Flags) String() string {
	var names []string
	for i, n := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}
