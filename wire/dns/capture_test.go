// SPDX-License-Identifier: Apache-2.0

package dns_test

import (
	"fmt"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ringwall/ringwall/wire/dns"
	"github.com/ringwall/ringwall/wire/internal/capture"
)

// TestRecordedMessages reads every UDP message to or from port 53 and compares
// with gopacket's decoder.
func TestRecordedMessages(t *testing.T) {
	files := capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/dns", "suricata/dns")
	total, whole, same, theirs := 0, 0, 0, 0
	for name, image := range files {
		capture.Packets(image, func(p gopacket.Packet) {
			udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			if !ok || udp.SrcPort != 53 && udp.DstPort != 53 || len(udp.Payload) == 0 {
				return
			}
			total++
			m, err := dns.Parse(udp.Payload)
			if err == nil {
				whole++
			} else {
				t.Logf("%s: %v", name, err)
			}
			d, ok := p.Layer(layers.LayerTypeDNS).(*layers.DNS)
			if !ok || err != nil {
				return
			}
			theirs++
			if a, b := ours(m), other(d); a == b {
				same++
			} else {
				t.Logf("%s differs:\nours\n%sgopacket\n%s", name, a, b)
			}
		})
	}
	t.Logf("%d messages, %d whole; %d of %d that gopacket reads agree", total, whole, same, theirs)
	if total == 0 || float64(same) < 0.98*float64(theirs) {
		t.Error("agreement below 98 %")
	}
}

func ours(m *dns.Message) string {
	s := fmt.Sprintln(m.ID, m.Response, m.RCode)
	for _, q := range m.Questions {
		s += fmt.Sprintln("?", q.Name, uint16(q.Type))
	}
	for _, r := range m.Answers {
		s += fmt.Sprintln(r.Name, uint16(r.Type), r.TTL)
		if r.Addr.IsValid() {
			s += fmt.Sprintln(r.Addr)
		}
		if r.Type == dns.CNAME {
			s += fmt.Sprintln(r.Target)
		}
	}
	return s
}

func other(d *layers.DNS) string {
	root := func(b []byte) string {
		if len(b) == 0 {
			return "."
		}
		return string(b)
	}
	s := fmt.Sprintln(d.ID, d.QR, uint8(d.ResponseCode))
	for _, q := range d.Questions {
		s += fmt.Sprintln("?", root(q.Name), uint16(q.Type))
	}
	for _, r := range d.Answers {
		s += fmt.Sprintln(root(r.Name), uint16(r.Type), r.TTL)
		if r.Type == layers.DNSTypeA || r.Type == layers.DNSTypeAAAA {
			s += fmt.Sprintln(r.IP)
		}
		if r.Type == layers.DNSTypeCNAME {
			s += fmt.Sprintln(string(r.CNAME))
		}
	}
	return s
}
