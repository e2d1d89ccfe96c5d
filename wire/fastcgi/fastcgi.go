// SPDX-License-Identifier: Apache-2.0

// Package fastcgi reads one direction of a FastCGI connection (FastCGI
// Specification 1.0): bytes go in, in order, cut anywhere; out come requests
// with role, parameters and the lengths of their streams. It ties a worker
// (php-fpm) to the request on the wire: the web server tells the worker the
// client's REMOTE_ADDR, REMOTE_PORT and REQUEST_URI.
//
// It believes the record structure and nothing of the content: parameters
// beginning with HTTP_ are what the client sent, and others may be set by the
// web server's configuration alone. Per request 64 KiB and 256 parameters are
// kept, per connection [MaxRequests] requests.
//
// Worst trap: SCRIPT_FILENAME comes late, after long queries that appear
// twice; of a read of which only the beginning is known it may be missing. Then
// [Truncated] is set and the early signal does not come.
package fastcgi

import "encoding/binary"

const (
	// MaxParams and MaxParamBytes bound one request; nginx sends about 30.
	MaxParams     = 256
	MaxParamBytes = 64 << 10
	// MaxRequests bounds the requests open on one connection. Web servers do
	// not multiplex: one is usual.
	MaxRequests = 16

	headerLen = 8
	beginLen  = headerLen + 8 // a whole BEGIN_REQUEST
)

// Record types (specification §8).
const (
	typeBegin  = 1
	typeAbort  = 2
	typeEnd    = 3
	typeParams = 4
	typeStdin  = 5
	typeStdout = 6
	typeStderr = 7
	typeData   = 8
	typeLast   = 11
)

// Role is what the web server asks for (specification §6).
type Role uint16

// Roles.
const (
	Responder Role = iota + 1
	Authorizer
	Filter
)

// Flags say what is incomplete or odd about a request.
type Flags uint8

// Flags of a request.
const (
	Truncated Flags = 1 << iota // bytes of the parameters were not seen
	OverLimit                   // more than MaxParams or MaxParamBytes; the rest is not kept
	Malformed                   // the parameters did not end with a whole pair
	NoBegin                     // BEGIN_REQUEST was not seen: the other direction, or a late start
	Repeated                    // a parameter came twice; the later one is kept, as php-fpm does
)

// Request is one request on the connection, or what one direction tells of it.
// After its End event the parser does not touch it again.
type Request struct {
	ID       uint16
	Role     Role
	KeepConn bool // the connection serves further requests: BEGIN_REQUEST, not accept, is the boundary
	Params   map[string]string
	Flags    Flags

	ParamsDone bool  // no more parameters will come
	StdinLen   int64 // bytes of the request's body
	StdinDone  bool
	StdoutLen  int64 // the other direction: bytes of the answer
	StderrLen  int64
	AppStatus  uint32 // of END_REQUEST: exit code
	Protocol   uint8  // of END_REQUEST: 0 request complete, 1-3 refused
	Aborted    bool

	pair   []byte // bytes of an unfinished name-value pair
	kept   int
	early  bool
	closed bool // no more parameters are read
}

// EventKind says what an event tells.
type EventKind uint8

// Kinds of events.
const (
	// Begin: a request has begun.
	Begin EventKind = iota + 1
	// Identified: REMOTE_ADDR, REMOTE_PORT, REQUEST_URI and SCRIPT_FILENAME
	// are known, maybe before the parameters end. Comes at most once a request.
	Identified
	// ParamsDone: the parameters have ended, or their end was lost (Truncated):
	// no more of them will come.
	ParamsDone
	// StdinDone: the body has ended.
	StdinDone
	// End: END_REQUEST or ABORT_REQUEST was seen, or the id begins anew.
	End
	// Lost: the record structure was lost; the parser waits for the next
	// BEGIN_REQUEST or for a read that begins with a record. Request is nil.
	Lost
)

// Event is one thing that the stream told.
type Event struct {
	Kind    EventKind
	Request *Request
}

// content takes parameter bytes. Pairs that lie whole in b cost one string for all.
func (r *Request) content(b []byte) {
	if r.closed {
		return
	}
	if len(r.pair) > 0 {
		r.pair = append(r.pair, b...)
		b = r.pair
	}
	used := 0
	for {
		_, _, n := pairAt(b[used:])
		if n < 0 {
			break
		}
		used += n
	}
	r.store(b[:used])
	switch rest := b[used:]; {
	case r.closed:
		r.pair = nil
	case len(rest) > MaxParamBytes:
		r.Flags |= OverLimit
		r.closed, r.pair = true, nil
	case used > 0 || len(r.pair) == 0:
		r.pair = append(r.pair[:0], rest...)
	}
}

// store keeps the whole pairs of b.
func (r *Request) store(b []byte) {
	if len(b) == 0 {
		return
	}
	if r.Params == nil {
		r.Params = make(map[string]string, 32) // nginx's fastcgi_params has 22 and the client's headers come on top
	}
	if room := MaxParamBytes - r.kept; len(b) > room {
		r.Flags |= OverLimit
		fits := 0
		for {
			_, _, n := pairAt(b[fits:])
			if n < 0 || fits+n > room {
				break
			}
			fits += n
		}
		b, r.closed = b[:fits], true
	}
	r.kept += len(b)
	all := string(b)
	for at := 0; at < len(b); {
		name, value, n := pairAt(b[at:])
		start := at + n - name - value
		key := all[start : start+name]
		_, twice := r.Params[key]
		switch {
		case twice:
			r.Flags |= Repeated
		case len(r.Params) == MaxParams:
			r.Flags |= OverLimit
			r.closed = true
			return
		}
		r.Params[key] = all[start+name : start+name+value]
		at += n
	}
}

// pairAt reads the lengths of the name-value pair at the front of b
// (specification §3.4); n is the size of the whole pair, -1 when it is not all there.
func pairAt(b []byte) (name, value, n int) {
	name, i := pairLen(b)
	if i < 0 {
		return 0, 0, -1
	}
	value, j := pairLen(b[i:])
	if j < 0 || name > len(b) || value > len(b) || i+j+name+value > len(b) {
		return 0, 0, -1
	}
	return name, value, i + j + name + value
}

func pairLen(b []byte) (n, size int) {
	switch {
	case len(b) == 0:
		return 0, -1
	case b[0] < 0x80:
		return int(b[0]), 1
	case len(b) < 4:
		return 0, -1
	}
	return int(binary.BigEndian.Uint32(b) & 0x7fffffff), 4
}

// identified: the four parameters that tie the worker to the wire and to a file.
func (r *Request) identified() bool {
	for _, k := range [...]string{"SCRIPT_FILENAME", "REQUEST_URI", "REMOTE_PORT", "REMOTE_ADDR"} {
		if _, ok := r.Params[k]; !ok {
			return false
		}
	}
	return true
}
