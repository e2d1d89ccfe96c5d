// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"fmt"
)

// MaxStream is how many bytes of one direction are looked at: hellos are under
// 4 kB, and a chain of certificates rarely passes 10 kB.
const MaxStream = 64 << 10

// Record content types (RFC 8446 §5.1).
const (
	recordChangeCipher = 20
	recordAlert        = 21
	recordHandshake    = 22
	recordData         = 23
	recordHeartbeat    = 24
)

// maxRecord is 2^14 plus the 2048 bytes that TLS 1.2 allows for protection.
const maxRecord = 1<<14 + 2048

// Stream follows one direction of a TLS connection from its first byte to the
// end of what is clear. The zero value is ready. It is for one goroutine.
type Stream struct {
	// Results, nil until seen. A client that is asked to retry sends a second
	// hello on the same stream: Feed stops at the first.
	ClientHello  *ClientHello
	ServerHello  *ServerHello
	Certificates []Certificate
	Retry        *ServerHello // the HelloRetryRequest (RFC 8446 §4.1.4), when one came before ServerHello
	// Alert is the last clear alert as level<<8|description, 0 when none came.
	Alert uint16

	header  [5]byte
	headerN int
	typ     byte // of the record being read
	left    int  // bytes of it still to come
	alert   []byte
	pending []byte // handshake bytes that are not yet a whole message
	fed     int
	done    bool
	err     error
}

// Feed takes the next bytes of the direction, in order and without gaps. done
// says that nothing more can be learned and the stream may be forgotten; err,
// which implies done, wraps ErrNotTLS or says that MaxStream was reached. Fed
// bytes are not kept. After done all further calls give the same answer.
func (s *Stream) Feed(b []byte) (done bool, err error) {
	for len(b) > 0 && !s.done {
		if s.fed >= MaxStream {
			s.fail(fmt.Errorf("follow TLS stream: %d bytes and no end of the handshake", s.fed))
			break
		}
		if s.left == 0 {
			b = s.readHeader(b)
			continue
		}
		n := min(len(b), s.left, MaxStream-s.fed)
		s.fed += n
		s.left -= n
		s.payload(b[:n])
		b = b[n:]
	}
	return s.done, s.err
}

func (s *Stream) fail(err error) { s.done, s.err, s.pending = true, err, nil }

func (s *Stream) finish() { s.done, s.pending = true, nil }

// readHeader collects the five bytes of a record header.
func (s *Stream) readHeader(b []byte) []byte {
	n := copy(s.header[s.headerN:], b)
	s.headerN += n
	s.fed += n
	// A stream of another protocol is told apart by its first bytes already.
	if t := s.header[0]; t < recordChangeCipher || t > recordHeartbeat || s.headerN > 1 && s.header[1] != 3 {
		s.fail(fmt.Errorf("read TLS record header % x: %w", s.header[:s.headerN], ErrNotTLS))
		return nil
	}
	if s.headerN < len(s.header) {
		return nil
	}
	s.headerN = 0
	s.typ = s.header[0]
	s.left = int(s.header[3])<<8 | int(s.header[4])
	if s.left > maxRecord || s.left == 0 && s.typ == recordHandshake {
		s.fail(fmt.Errorf("read TLS record: length %d is out of range: %w", s.left, ErrNotTLS))
		return nil
	}
	awaitsFinal := s.Retry != nil && s.ServerHello == nil // then change_cipher_spec is only for show (RFC 8446 §D.4)
	if s.typ == recordData || s.typ == recordChangeCipher && !awaitsFinal {
		s.finish() // what follows is encrypted
		return nil
	}
	return b[n:]
}

func (s *Stream) payload(b []byte) {
	switch s.typ {
	case recordAlert:
		if s.alert = append(s.alert, b[:min(len(b), 2-len(s.alert))]...); len(s.alert) == 2 {
			s.Alert = uint16(s.alert[0])<<8 | uint16(s.alert[1])
			s.alert = s.alert[:0]
		}
	case recordHandshake:
		s.handshake(b)
	}
}

// handshake joins payloads to messages. A message that lies whole in b is
// parsed where it is.
func (s *Stream) handshake(b []byte) {
	if len(s.pending) > 0 {
		s.pending = append(s.pending, b...)
		b = s.pending
	}
	for len(b) >= 4 && !s.done {
		if !s.plausible(b[0]) {
			s.finish() // encrypted Finished of a resumed session, or no handshake
			if s.ClientHello == nil && s.ServerHello == nil && s.Retry == nil {
				s.fail(fmt.Errorf("read TLS handshake: type %d first: %w", b[0], ErrNotTLS))
			}
			return
		}
		n := 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
		if n > MaxStream {
			s.fail(fmt.Errorf("read TLS handshake: message states %d bytes, more than %d: %w", n, MaxStream, ErrNotTLS))
			return
		}
		if n > len(b) {
			break
		}
		s.message(b[:n])
		b = b[n:]
	}
	if s.done {
		return
	}
	if len(b) != len(s.pending) { // else b is the whole of pending already
		s.pending = append(s.pending[:0], b...) // within one array append moves rightly
	}
}

// plausible: a stream begins with a hello; after it come the clear messages.
func (s *Stream) plausible(typ byte) bool {
	if s.ClientHello == nil && s.ServerHello == nil && s.Retry == nil {
		return typ == typeClientHello || typ == typeServerHello || typ == 0 // hello_request may precede
	}
	return typ <= 24
}

func (s *Stream) message(m []byte) {
	var err error
	switch m[0] {
	case typeClientHello:
		if s.ClientHello, err = ParseClientHello(m); err == nil {
			s.finish() // a client's certificate is of no use without its server's request
		}
	case typeServerHello:
		s.ServerHello, err = ParseServerHello(m)
		switch {
		case err != nil:
		case s.ServerHello.HelloRetry && s.Retry == nil:
			s.Retry, s.ServerHello = s.ServerHello, nil
		case s.ServerHello.SelectedVersion > 0x0303 && s.ServerHello.SelectedVersion < 0x8000: // DTLS counts downwards from 0xfeff
			s.finish() // all that follows is encrypted
		}
	case typeCertificate:
		s.Certificates, err = ParseCertificates(m)
		s.finish()
	case typeServerHelloDone:
		s.finish()
	}
	if err != nil {
		s.fail(err)
	}
}

// FindHello gives the offset of the first TLS record in b that opens a
// ClientHello or ServerHello, or -1. It is for streams that begin in clear and
// then turn to TLS: STARTTLS, a CONNECT through a proxy, SOCKS.
func FindHello(b []byte) int {
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], recordHandshake)
		if at += i; i < 0 || at+11 > len(b) {
			return -1
		}
		r := b[at:]
		// record version 3.x, message 1 or 2 not longer than MaxStream, hello version 3.x
		if r[1] == 3 && r[2] <= 4 && (r[5] == typeClientHello || r[5] == typeServerHello) && r[6] == 0 && r[9] == 3 && r[10] <= 4 {
			return at
		}
	}
}
