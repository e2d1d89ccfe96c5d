// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"fmt"
	"strings"
)

var dnsTypes = map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 64: "SVCB", 65: "HTTPS", 255: "ANY"}

// dnsQuestion reads the first question of a query (RFC 1035 §4.1). The name comes in
// lower case without the last dot; the root is ".". ok is false for anything else.
func dnsQuestion(b []byte) (name, typ string, ok bool) {
	if len(b) < 17 || b[2]&0x80 != 0 || binary.BigEndian.Uint16(b[4:]) == 0 {
		return "", "", false
	}
	var labels []string
	for i := 12; i < len(b) && i < 12+255; {
		n := int(b[i])
		if n > 63 {
			return "", "", false // questions are not compressed
		}
		if n > 0 {
			if i+1+n >= len(b) {
				return "", "", false
			}
			labels = append(labels, strings.ToLower(string(b[i+1:i+1+n])))
			i += 1 + n
			continue
		}
		if i+5 > len(b) {
			return "", "", false
		}
		t := binary.BigEndian.Uint16(b[i+1:])
		if typ = dnsTypes[t]; typ == "" {
			typ = fmt.Sprintf("TYPE%d", t)
		}
		if len(labels) == 0 {
			return ".", typ, true
		}
		return strings.Join(labels, "."), typ, true
	}
	return "", "", false
}
