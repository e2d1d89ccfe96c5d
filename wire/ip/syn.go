// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// maxOptions bounds how many options a shape names; 40 bytes hold 40 of one byte.
const maxOptions = 12

// Shape writes how a SYN was put together: window, the kinds of its options in their
// order (RFC 9293 §3.1 and IANA's numbers), segment size and window scale, as in
// "64240:2-4-8-1-3:1460:7". Systems differ in it, and programs that make packets
// themselves differ from all systems. Empty for anything but a SYN.
func (p *Packet) Shape() string {
	if p.Proto != TCP || p.Flags&(SYN|ACK) != SYN {
		return ""
	}
	var kinds []string
	size, scale := 0, 0
	for b := p.Options; len(b) > 0 && len(kinds) < maxOptions; {
		kind, n := b[0], 1
		if kind > 1 {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				kinds = append(kinds, "bad")
				break
			}
			n = int(b[1])
		}
		kinds = append(kinds, strconv.Itoa(int(kind)))
		switch {
		case kind == 2 && n == 4:
			size = int(binary.BigEndian.Uint16(b[2:]))
		case kind == 3 && n == 3:
			scale = int(b[2])
		case kind == 0:
			n = len(b)
		}
		b = b[n:]
	}
	return strconv.Itoa(int(p.Window)) + ":" + strings.Join(kinds, "-") + ":" + strconv.Itoa(size) + ":" + strconv.Itoa(scale)
}
