// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// Record types of FastCGI 1.0 §8 that an answer begins with.
const (
	fcgiStdout = 6
	fcgiStderr = 7
)

func httpStatus(b []byte) uint32 {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/")) {
		return 0
	}
	n, err := strconv.ParseUint(string(b[9:12]), 10, 16)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func cgiStatus(head []byte) uint32 {
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(name, []byte("Status")) {
			value = bytes.TrimSpace(value)
			if n, err := strconv.ParseUint(string(value[:min(3, len(value))]), 10, 16); err == nil {
				return uint32(n)
			}
		}
	}
	return 200
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
