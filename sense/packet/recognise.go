// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"encoding/binary"

	"github.com/ringwall/ringwall/wire/ip"
)

// more says that the bytes are too few to tell.
const more = "…"

// methods that are believed without a whole request line (RFC 9110 §9.3, RFC 5789, 4918).
var methods = [][]byte{
	[]byte("GET "), []byte("POST "), []byte("HEAD "), []byte("PUT "), []byte("DELETE "), []byte("OPTIONS "), []byte("PATCH "), []byte("CONNECT "), []byte("TRACE "),
	[]byte("PROPFIND "), []byte("PROPPATCH "), []byte("MKCOL "), []byte("COPY "), []byte("MOVE "), []byte("LOCK "), []byte("UNLOCK "), []byte("REPORT "), []byte("SEARCH "), []byte("PURGE "), []byte("DEBUG "),
}

// recognise names the protocol by the first bytes of a direction. either: which of the
// two ends speaks is a guess. "" is none that is known, more that bytes are missing.
func recognise(b []byte, server, either bool, port uint16) string {
	if port == 53 {
		return "dns"
	}
	if len(b) < 3 {
		return more
	}
	switch {
	case b[0] == 22 && b[1] == 3 && b[2] <= 4:
		if len(b) < 6 {
			return more
		}
		if b[5] == 1 || b[5] == 2 {
			return "tls"
		}
		return ""
	case bytes.HasPrefix(b, []byte("SSH-")):
		return "ssh"
	}
	if !server || either {
		if app := ofClient(b, port); app != "" {
			return app
		}
	}
	if server || either {
		return ofServer(b, port)
	}
	return ""
}

func ofClient(b []byte, port uint16) string {
	for _, m := range methods {
		if bytes.HasPrefix(b, m) {
			return "http"
		}
		if len(b) < len(m) && bytes.HasPrefix(m, b) {
			return more
		}
	}
	switch {
	case bytes.HasPrefix(b, []byte("PRI * HT")):
		return "http2"
	case b[0] == '*' && b[1] >= '1' && b[1] <= '9' && (b[2] == '\r' || len(b) > 4 && (b[3] == '\r' || b[4] == '\r')):
		return "redis"
	case port == 6379 && (bytes.HasPrefix(b, []byte("PING")) || bytes.HasPrefix(b, []byte("INFO")) || bytes.HasPrefix(b, []byte("AUTH "))):
		return "redis"
	case len(b) >= 8 && binary.BigEndian.Uint32(b) < 1<<14 && (binary.BigEndian.Uint32(b[4:]) == 196608 || binary.BigEndian.Uint32(b[4:]) == 80877103):
		return "postgres" // StartupMessage 3.0 and SSLRequest of its protocol
	case len(b) >= 8 && b[0] == 0 && (bytes.HasPrefix(b[4:], []byte("\xffSMB")) || bytes.HasPrefix(b[4:], []byte("\xfeSMB"))):
		return "smb"
	case len(b) >= 6 && b[0] == 3 && b[1] == 0 && b[5] == 0xe0 && port == 3389:
		return "rdp" // TPKT with an X.224 connection request
	case (port == 389 || port == 3268) && b[0] == 0x30:
		return "ldap"
	case port == 5222 && b[0] == '<':
		return "xmpp"
	}
	// Any other word in capitals is HTTP only with the version behind it.
	if line, _, whole := bytes.Cut(b[:min(len(b), 8<<10)], []byte("\n")); whole && b[0] >= 'A' && b[0] <= 'Z' && bytes.Contains(line, []byte(" HTTP/1.")) {
		return "http"
	}
	return ""
}

func ofServer(b []byte, port uint16) string {
	switch {
	case bytes.HasPrefix(b, []byte("220")):
		if port == 21 || bytes.Contains(bytes.ToUpper(b[:min(len(b), 200)]), []byte("FTP")) {
			return "ftp"
		}
		return "smtp"
	case bytes.HasPrefix(b, []byte("* OK")):
		return "imap"
	case bytes.HasPrefix(b, []byte("+OK")) && (port == 110 || port == 995):
		return "pop3"
	case len(b) >= 5 && b[3] == 0 && b[4] == 10 && int(b[0])|int(b[1])<<8|int(b[2])<<16 < 512:
		return "mysql" // HandshakeV10 of its protocol
	case bytes.HasPrefix(b, []byte("RFB 00")):
		return "vnc"
	}
	return ""
}

// ofDatagram names the protocol of a UDP flow by its first datagram.
func ofDatagram(p *ip.Packet, dst uint16) string {
	b := p.Payload
	switch dst {
	case 53:
		return "dns"
	case 5353:
		return "mdns"
	case 5355:
		return "llmnr"
	case 123:
		return "ntp"
	case 67, 68, 547:
		return "dhcp"
	case 161:
		return "snmp"
	}
	switch {
	case len(b) >= 1200 && b[0]&0xc0 == 0xc0 && quicVersion(binary.BigEndian.Uint32(b[1:])):
		return "quic" // an Initial is padded to 1200 bytes (RFC 9000 §14.1)
	case len(b) >= 14 && b[0] == 22 && b[1] == 0xfe && b[2] >= 0xfd && b[13] <= 2:
		return "dtls"
	}
	return ""
}

func quicVersion(v uint32) bool { return v == 1 || v == 0x6b3343cf || v>>8 == 0xff0000 }
