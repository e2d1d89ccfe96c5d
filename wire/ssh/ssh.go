// SPDX-License-Identifier: Apache-2.0

// Package ssh reads the clear beginning of one direction of an SSH connection:
// the identification line and the KEXINIT packet (RFC 4253 §4.2, §7.1), and
// gives HASSH and HASSHServer of it.
//
// It believes nothing: at most [MaxStream] bytes are looked at, nothing is
// allocated by a stated length, and names are the peer's bytes as sent.
//
// Worst trap: both sides send the same kind of KEXINIT, and HASSH takes the
// client-to-server lists of the client's, HASSHServer the server-to-client
// lists of the server's. Which direction a stream is, only the caller knows.
package ssh

import (
	"bytes"
	"crypto/md5" //nolint:gosec // HASSH is defined as an MD5; it names, it does not protect
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	// MaxStream bounds one direction: RFC 4253 §6.1 lets a packet have 35,000 bytes.
	MaxStream = 40 << 10
	// maxPacket is the largest packet of RFC 4253 §6.1.
	maxPacket = 35000
	// maxLine: RFC 4253 §4.2 says 255 with CR LF; some servers' greetings are longer.
	maxLine = 1024
	// maxGreeting bounds the lines that a server may send before its identification.
	maxGreeting = 8 << 10

	msgDisconnect = 1
	msgKexInit    = 20
	msgNewKeys    = 21
)

// ErrNotSSH says that the bytes are not the beginning of an SSH connection.
var ErrNotSSH = errors.New("not SSH")

// KexInit holds the name lists of a KEXINIT, comma-separated as sent; C2S is
// client to server.
type KexInit struct {
	Kex, HostKeys              string
	CiphersC2S, CiphersS2C     string
	MACsC2S, MACsS2C           string
	CompressC2S, CompressS2C   string
	LanguagesC2S, LanguagesS2C string
	FirstKexFollows            bool
	Cookie                     [16]byte
}

// ParseKexInit reads the payload of one packet (RFC 4253 §7.1), its message
// number included. The result keeps no reference to the input.
func ParseKexInit(payload []byte) (*KexInit, error) {
	if len(payload) < 17 || payload[0] != msgKexInit {
		return nil, fmt.Errorf("parse KEXINIT of %d bytes: %w", len(payload), ErrNotSSH)
	}
	k := &KexInit{Cookie: [16]byte(payload[1:17])}
	// One copy of the whole body; the lists are parts of it.
	rest := string(payload[17:])
	for i, list := range []*string{
		&k.Kex, &k.HostKeys, &k.CiphersC2S, &k.CiphersS2C, &k.MACsC2S, &k.MACsS2C,
		&k.CompressC2S, &k.CompressS2C, &k.LanguagesC2S, &k.LanguagesS2C,
	} {
		if len(rest) < 4 {
			return nil, fmt.Errorf("parse KEXINIT: list %d has no length: %w", i, ErrNotSSH)
		}
		n := uint32(rest[0])<<24 | uint32(rest[1])<<16 | uint32(rest[2])<<8 | uint32(rest[3])
		rest = rest[4:]
		if uint64(n) > uint64(len(rest)) {
			return nil, fmt.Errorf("parse KEXINIT: list %d states %d bytes, %d are there: %w", i, n, len(rest), ErrNotSSH)
		}
		*list, rest = rest[:n], rest[n:]
	}
	k.FirstKexFollows = len(rest) > 0 && rest[0] != 0
	return k, nil
}

// HASSH is the client's fingerprint and the string it is the MD5 of
// (github.com/salesforce/hassh, BSD-3). Only for the KEXINIT of a client.
func (k *KexInit) HASSH() (hash, raw string) {
	return fingerprint(k.Kex, k.CiphersC2S, k.MACsC2S, k.CompressC2S)
}

// HASSHServer is the server's. Only for the KEXINIT of a server.
func (k *KexInit) HASSHServer() (hash, raw string) {
	return fingerprint(k.Kex, k.CiphersS2C, k.MACsS2C, k.CompressS2C)
}

func fingerprint(kex, cipher, mac, compress string) (hash, raw string) {
	raw = kex + ";" + cipher + ";" + mac + ";" + compress
	s := md5.Sum([]byte(raw)) //nolint:gosec // see the import
	return hex.EncodeToString(s[:]), raw
}

// Stream follows one direction from its first byte to its KEXINIT. The zero
// value is ready. It is for one goroutine.
type Stream struct {
	// Banner is the identification without its line end, "SSH-2.0-OpenSSH_9.2p1 Debian-2"; "" until seen.
	Banner string
	// KexInit is nil until seen; a peer of SSH 1 never sends one.
	KexInit *KexInit

	pending []byte
	fed     int
	greeted int // bytes of lines before the identification
	done    bool
	err     error
}

// Feed takes the next bytes of the direction, in order and without gaps. done
// says that nothing more can be learned; err implies done and wraps ErrNotSSH
// or says that a bound was reached. Fed bytes are not kept.
func (s *Stream) Feed(b []byte) (done bool, err error) {
	if s.done {
		return true, s.err
	}
	b = b[:min(len(b), MaxStream-s.fed)]
	s.fed += len(b)
	if len(s.pending) > 0 {
		s.pending = append(s.pending, b...)
		b = s.pending
	}
	for !s.done {
		var rest []byte
		if s.Banner == "" {
			rest = s.line(b)
		} else {
			rest = s.packet(b)
		}
		if len(rest) == len(b) {
			break
		}
		b = rest
	}
	if !s.done && s.fed >= MaxStream {
		s.fail(fmt.Errorf("follow SSH stream: %d bytes and no KEXINIT", s.fed))
	}
	switch {
	case s.done:
		s.pending = nil
	case len(b) != len(s.pending): // else b is the whole of pending already
		s.pending = append(s.pending[:0], b...)
	}
	return s.done, s.err
}

func (s *Stream) fail(err error) { s.done, s.err = true, err }

// line takes one line off b, or gives b back when it is not whole.
func (s *Stream) line(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if head := []byte("SSH-"); s.greeted == 0 && len(b) > 0 && !bytes.HasPrefix(b, head[:min(4, len(b))]) && !text(b) {
			s.fail(fmt.Errorf("read SSH identification: it begins % x: %w", b[:min(len(b), 8)], ErrNotSSH))
		} else if len(b) > maxLine {
			s.fail(fmt.Errorf("read SSH identification: line longer than %d bytes: %w", maxLine, ErrNotSSH))
		}
		return b
	}
	line := bytes.TrimSuffix(b[:i], []byte("\r"))
	if !bytes.HasPrefix(line, []byte("SSH-")) {
		if s.greeted += i + 1; s.greeted > maxGreeting || !text(line) {
			s.fail(fmt.Errorf("read SSH identification: none in %d bytes of lines: %w", s.greeted, ErrNotSSH))
		}
		return b[i+1:]
	}
	s.Banner = string(line)
	if !bytes.HasPrefix(line, []byte("SSH-2.")) && !bytes.HasPrefix(line, []byte("SSH-1.99")) {
		s.done = true // SSH 1 has no KEXINIT
	}
	return b[i+1:]
}

// text: lines before the identification are UTF-8 text (RFC 4253 §4.2), so
// control characters end the search early.
func text(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// packet takes one unencrypted packet off b (RFC 4253 §6): length, padding
// length, payload, padding; there is no MAC yet.
func (s *Stream) packet(b []byte) []byte {
	if len(b) < 6 {
		return b
	}
	n := binary.BigEndian.Uint32(b)
	pad := int(b[4])
	if n > maxPacket || int(n) < pad+2 {
		s.fail(fmt.Errorf("read SSH packet: length %d with padding %d: %w", n, pad, ErrNotSSH))
		return b
	}
	if len(b) < 4+int(n) {
		return b
	}
	payload := b[5 : 4+int(n)-pad]
	switch payload[0] {
	case msgKexInit:
		k, err := ParseKexInit(payload)
		if err != nil {
			s.fail(err)
			return b
		}
		s.KexInit, s.done = k, true
	case msgDisconnect, msgNewKeys:
		s.done = true
	}
	return b[4+int(n):]
}
