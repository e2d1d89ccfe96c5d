// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ringwall/ringwall/wire/internal/capture"
)

func build(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

var (
	mac  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	src4 = net.IP{192, 0, 2, 1}
	dst4 = net.IP{198, 51, 100, 2}
	src6 = net.ParseIP("2001:db8::1")
	dst6 = net.ParseIP("2001:db8::2")
)

func ether(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: t}
}

func TestTCPThroughTwoTags(t *testing.T) {
	raw := build(t, ether(layers.EthernetTypeQinQ),
		&layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 9, Type: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4},
		&layers.TCP{SrcPort: 40000, DstPort: 80, Seq: 5, Ack: 6, SYN: true, ACK: true, Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}}},
		gopacket.Payload("hello"))
	var p Packet
	if err := p.DecodeLink(LinkEthernet, append(raw, 0, 0, 0)); err != nil { // padded
		t.Fatal(err)
	}
	if p.VLAN != 7 || p.Src.String() != "192.0.2.1:40000" || p.Dst.String() != "198.51.100.2:80" || p.Flags != SYN|ACK ||
		p.Seq != 5 || p.Ack != 6 || string(p.Payload) != "hello" || p.Length != 5 || p.Fragment {
		t.Errorf("%+v", p)
	}
}

// Linux delivers a segment whose options are nonsense; so must we read it.
func TestNonsenseOptionsHideNothing(t *testing.T) {
	raw := build(t, ether(layers.EthernetTypeIPv4),
		&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4},
		&layers.TCP{SrcPort: 40000, DstPort: 80, PSH: true, ACK: true, Options: []layers.TCPOption{{OptionType: 99, OptionData: []byte{1, 2}}}},
		gopacket.Payload("GET /"))
	raw[14+20+21] = 1 // the option's length
	var p Packet
	if err := p.DecodeLink(LinkEthernet, raw); err != nil || string(p.Payload) != "GET /" {
		t.Errorf("%v %+v", err, p)
	}
}

func TestIPv6ExtensionsAndFragments(t *testing.T) {
	udp := build(t, &layers.UDP{SrcPort: 5353, DstPort: 53}, gopacket.Payload("xy"))
	head := func(next layers.IPProtocol, rest []byte) []byte {
		return build(t, &layers.IPv6{Version: 6, NextHeader: next, SrcIP: src6, DstIP: dst6}, gopacket.Payload(rest))
	}
	hop := append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp...)
	var p Packet
	if err := p.Decode(EtherIPv6, head(0, hop)); err != nil || p.Dst.Port() != 53 || string(p.Payload) != "xy" {
		t.Errorf("hop by hop: %v %+v", err, p)
	}
	first := append([]byte{17, 0, 0, 1, 0, 0, 0, 9}, udp...)
	if err := p.Decode(EtherIPv6, head(44, first)); err != nil || !p.Fragment || p.Later || p.Dst.Port() != 53 {
		t.Errorf("first fragment: %v %+v", err, p)
	}
	later := append([]byte{17, 0, 0, 9, 0, 0, 0, 9}, udp...)
	if err := p.Decode(EtherIPv6, head(44, later)); err != nil || !p.Later || p.Dst.Port() != 0 || p.Payload != nil || p.Proto != UDP {
		t.Errorf("later fragment: %v %+v", err, p)
	}
	atomic := append([]byte{17, 0, 0, 0, 0, 0, 0, 9}, udp...)
	if err := p.Decode(EtherIPv6, head(44, atomic)); err != nil || p.Fragment || p.Dst.Port() != 53 {
		t.Errorf("atomic fragment: %v %+v", err, p)
	}
}

func TestFragmentsCutsAndLies(t *testing.T) {
	frag := build(t, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, FragOffset: 9, SrcIP: src4, DstIP: dst4}, gopacket.Payload("abcdefgh"))
	var p Packet
	if err := p.Decode(EtherIPv4, frag); err != nil || !p.Later || p.Src.Port() != 0 {
		t.Errorf("later fragment: %v %+v", err, p)
	}
	whole := build(t, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4},
		&layers.TCP{SrcPort: 1, DstPort: 2, ACK: true}, gopacket.Payload(make([]byte, 100)))
	if err := p.Decode(EtherIPv4, whole[:90]); err != nil || len(p.Payload) != 50 || p.Length != 100 || p.Size != 140 {
		t.Errorf("cut by the capture: %v %+v", err, p)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "version": {0x50, 0}, "head too small": append([]byte{0x42}, whole[1:]...),
		"no tcp": whole[:30], "six": {0x60, 0, 0, 0},
	} {
		if err := p.Decode(0, b); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
	if err := p.Decode(0x0806, whole); !errors.Is(err, ErrNotIP) {
		t.Errorf("ARP: %v", err)
	}
}

func TestEchoMeetsItsReply(t *testing.T) {
	echo := func(typ byte) Packet {
		var p Packet
		raw := build(t, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: src4, DstIP: dst4}, gopacket.Payload([]byte{typ, 0, 0, 0, 0, 1, 0, 1}))
		if err := p.Decode(EtherIPv4, raw); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if ask, answer := echo(8), echo(0); ask.Src.Port() != answer.Dst.Port() || ask.Dst.Port() != answer.Src.Port() {
		t.Errorf("%v→%v and %v→%v", ask.Src, ask.Dst, answer.Src, answer.Dst)
	}
}

// agree compares with gopacket's decoding where that has no complaint.
func agree(t *testing.T, link int, raw []byte) {
	var p Packet
	err := p.DecodeLink(link, raw)
	first := layers.LinkType(link)
	if link != LinkEthernet && link != LinkSLL {
		first = layers.LinkTypeRaw
	}
	pkt := gopacket.NewPacket(raw, first, gopacket.DecodeOptions{NoCopy: true})
	if pkt.ErrorLayer() != nil || pkt.Metadata().Truncated {
		return
	}
	ls := pkt.Layers()
	for i, l := range ls {
		tcp, ok := l.(*layers.TCP)
		if !ok {
			continue
		}
		if i == 0 || i > 0 && ls[i-1].LayerType() != layers.LayerTypeIPv4 && ls[i-1].LayerType() != layers.LayerTypeIPv6 {
			return
		}
		for _, outer := range ls[:i-1] { // tunnels are not ours
			switch outer.LayerType() {
			case layers.LayerTypeEthernet, layers.LayerTypeDot1Q, layers.LayerTypeLinuxSLL:
			default:
				return
			}
		}
		// It does not look at the version; a kernel does, and drops the packet, as we do.
		if v4, ok := ls[i-1].(*layers.IPv4); ok && v4.Version != 4 {
			return
		}
		if v6, ok := ls[i-1].(*layers.IPv6); ok && v6.Version != 6 {
			return
		}
		if err != nil {
			t.Fatalf("gopacket reads TCP, we say %v", err)
		}
		src, _ := netip.AddrFromSlice(pkt.NetworkLayer().NetworkFlow().Src().Raw())
		if p.Proto != TCP || p.Src != netip.AddrPortFrom(src, uint16(tcp.SrcPort)) || p.Dst.Port() != uint16(tcp.DstPort) || p.Seq != tcp.Seq || p.Ack != tcp.Ack || !bytes.Equal(p.Payload, tcp.Payload) {
			t.Fatalf("gopacket: %v:%d→%d seq %d, %d bytes\nours: %+v", src, tcp.SrcPort, tcp.DstPort, tcp.Seq, len(tcp.Payload), p)
		}
		return
	}
}

func TestCapturesAgreeWithGopacket(t *testing.T) {
	n := 0
	for _, image := range capture.Files(t, capture.Data(t, "network/pcaps.tar.zst"), "zeek/", "ja4/", "suricata/") {
		capture.Packets(image, func(p gopacket.Packet) {
			if p.Layers() == nil {
				return
			}
			if p.Layers()[0].LayerType() == layers.LayerTypeEthernet {
				n++
				agree(t, LinkEthernet, p.Data())
			}
		})
	}
	t.Logf("%d packets compared", n)
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(LinkEthernet), build(f, ether(layers.EthernetTypeIPv4), &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4}, &layers.TCP{SrcPort: 1, DstPort: 2}, gopacket.Payload("x")))
	f.Add(uint16(LinkEthernet), build(f, ether(layers.EthernetTypeIPv6), &layers.IPv6{Version: 6, NextHeader: 17, SrcIP: src6, DstIP: dst6}, &layers.UDP{SrcPort: 1, DstPort: 2}, gopacket.Payload("x")))
	f.Add(uint16(LinkSLL2), make([]byte, 24))
	f.Fuzz(func(t *testing.T, link uint16, raw []byte) {
		var p Packet
		err := p.DecodeLink(int(link), raw)
		if err == nil && (len(p.Payload) > p.Length || p.Length > p.Size || !p.Src.Addr().IsValid()) {
			t.Fatalf("%+v", p)
		}
		if link == LinkEthernet {
			agree(t, LinkEthernet, raw)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := build(b, ether(layers.EthernetTypeIPv4), &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4}, &layers.TCP{SrcPort: 1, DstPort: 2}, gopacket.Payload(make([]byte, 200)))
	b.ReportAllocs()
	var p Packet
	for b.Loop() {
		if err := p.DecodeLink(LinkEthernet, raw); err != nil {
			b.Fatal(err)
		}
	}
}

func TestShapeOfSYN(t *testing.T) {
	option := func(kind layers.TCPOptionKind, data ...byte) layers.TCPOption {
		return layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data}
	}
	linux := []layers.TCPOption{option(2, 5, 180), option(4), option(8, 0, 0, 0, 1, 0, 0, 0, 0), {OptionType: 1}, option(3, 7)}
	for want, syn := range map[string]*layers.TCP{
		"64240:2-4-8-1-3:1460:7": {SYN: true, Window: 64240, Options: linux},
		"1024:2:1460:0":          {SYN: true, Window: 1024, Options: []layers.TCPOption{option(2, 5, 180)}},
		"1024::0:0":              {SYN: true, Window: 1024},
		"":                       {SYN: true, ACK: true, Window: 64240, Options: linux},
	} {
		syn.SrcPort, syn.DstPort = 40000, 80
		raw := build(t, ether(layers.EthernetTypeIPv4), &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src4, DstIP: dst4}, syn)
		var p Packet
		if err := p.DecodeLink(LinkEthernet, raw); err != nil {
			t.Fatal(err)
		}
		if got := p.Shape(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, options := range [][]byte{{2}, {2, 0, 1}, {2, 1}, {3, 200, 1}, {0, 9, 9}, bytes.Repeat([]byte{1}, 40), {2, 3, 1}} {
		p := Packet{Proto: TCP, Flags: SYN, Options: options}
		if len(p.Shape()) > 64 {
			t.Errorf("%v: %q is longer than a fingerprint may be", options, p.Shape())
		}
	}
}
