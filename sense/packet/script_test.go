// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/ip"
	"github.com/ringwall/ringwall/wire/pcap"
)

// script turns the words of testdata/*.txt into packets, one ms apart:
//
//	open C S     SYN, SYN|ACK, ACK of a new connection, which is then the current one
//	mid C S      a connection whose opening is not seen
//	syn C S      only a SYN;  refuse: SYN, then RST|ACK;  resyn: the same again
//	> "text"     data of the client, < of the server;  >@7 "text" at an offset, ahead or again
//	> skip 7     bytes that are not captured
//	> fin, > rst, > rst@7 (that far from where it stands), > ack
//	udp C S "t"  one datagram;  icmp A B type
//	wait 60ms
type script struct {
	t       testing.TB
	now     time.Time
	packets []pcap.Packet
	ends    [2]netip.AddrPort
	next    [2]uint32
	text    [2]uint32 // where data began
	made    uint32    // connections
}

func run(t testing.TB, in string) *script {
	s := &script{t: t, now: time.Unix(1700000000, 0)}
	for n, line := range strings.Split(in, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		s.line(n+1, strings.SplitN(line, " ", 2))
	}
	return s
}

func (s *script) line(n int, w []string) {
	arg := ""
	if len(w) > 1 {
		arg = w[1]
	}
	switch {
	case w[0] == "open" || w[0] == "mid" || w[0] == "syn" || w[0] == "refuse":
		s.connect(w[0], arg)
	case w[0] == "resyn":
		s.tcp(0, s.next[0]-1, ip.SYN, "")
	case w[0][0] == '>' || w[0][0] == '<':
		s.speak(n, w[0], arg)
	case w[0] == "udp" || w[0] == "icmp":
		f := strings.SplitN(arg, " ", 3)
		a, b := s.addr(f[0]), s.addr(f[1])
		if w[0] == "icmp" {
			typ, _ := strconv.Atoi(f[2])
			s.packet(a.Addr(), b.Addr(), layers.IPProtocolICMPv4, gopacket.Payload([]byte{byte(typ), 0, 0, 0, 0, 1, 0, 1}))
			return
		}
		s.packet(a.Addr(), b.Addr(), layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(a.Port()), DstPort: layers.UDPPort(b.Port())}, gopacket.Payload(s.quoted(n, f[2])))
	case w[0] == "wait":
		d, err := time.ParseDuration(arg)
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	default:
		s.t.Fatalf("line %d: %q", n, w[0])
	}
}

func (s *script) addr(text string) netip.AddrPort {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		a = netip.AddrPortFrom(netip.MustParseAddr(text), 0)
	}
	return a
}

func (s *script) quoted(n int, text string) string {
	out, err := strconv.Unquote(text)
	if err != nil {
		s.t.Fatalf("line %d: %s: %v", n, text, err)
	}
	return out
}

func (s *script) connect(how, arg string) {
	f := strings.Fields(arg)
	s.ends = [2]netip.AddrPort{s.addr(f[0]), s.addr(f[1])}
	s.made++
	s.next = [2]uint32{1000 * s.made, 0xffffff00} // the server's numbers wrap
	if how != "mid" {
		s.tcp(0, s.next[0], ip.SYN, "")
		s.next[0]++
	}
	switch how {
	case "open":
		s.tcp(1, s.next[1], ip.SYN|ip.ACK, "")
		s.next[1]++
		s.tcp(0, s.next[0], ip.ACK, "")
	case "refuse":
		s.tcp(1, 0, ip.RST|ip.ACK, "")
	}
	s.text = s.next
}

func (s *script) speak(n int, who, arg string) {
	d := 0
	if who[0] == '<' {
		d = 1
	}
	switch {
	case len(who) > 2 && who[1] == '@':
		at, err := strconv.Atoi(who[2:])
		if err != nil {
			s.t.Fatal(err)
		}
		data := s.quoted(n, arg)
		s.tcp(d, s.text[d]+uint32(at), ip.ACK, data)
		if end := s.text[d] + uint32(at+len(data)); int32(end-s.next[d]) > 0 {
			s.next[d] = end
		}
	case strings.HasPrefix(arg, "skip "):
		k, _ := strconv.Atoi(arg[5:])
		s.next[d] += uint32(k)
	case arg == "fin":
		s.tcp(d, s.next[d], ip.FIN|ip.ACK, "")
		s.next[d]++
	case arg == "ack":
		s.tcp(d, s.next[d], ip.ACK, "")
	case strings.HasPrefix(arg, "rst"):
		off := 0
		if len(arg) > 4 {
			off, _ = strconv.Atoi(arg[4:])
		}
		s.tcp(d, s.next[d]+uint32(off), ip.RST, "")
	default:
		data := s.quoted(n, arg)
		s.tcp(d, s.next[d], ip.PSH|ip.ACK, data)
		s.next[d] += uint32(len(data))
	}
}

func (s *script) tcp(d int, seq uint32, flags int, data string) {
	a, b := s.ends[d], s.ends[1-d]
	t := &layers.TCP{SrcPort: layers.TCPPort(a.Port()), DstPort: layers.TCPPort(b.Port()), Seq: seq, Window: 65535,
		SYN: flags&ip.SYN != 0, ACK: flags&ip.ACK != 0, FIN: flags&ip.FIN != 0, RST: flags&ip.RST != 0, PSH: flags&ip.PSH != 0}
	if t.ACK {
		t.Ack = s.next[1-d]
	}
	s.packet(a.Addr(), b.Addr(), layers.IPProtocolTCP, t, gopacket.Payload(data))
}

func (s *script) packet(a, b netip.Addr, proto layers.IPProtocol, ls ...gopacket.SerializableLayer) {
	var head gopacket.SerializableLayer = &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: proto, SrcIP: a.AsSlice(), DstIP: b.AsSlice()}
	if a.Is6() {
		head = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: a.AsSlice(), DstIP: b.AsSlice()}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, append([]gopacket.SerializableLayer{head}, ls...)...); err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(time.Millisecond)
	s.packets = append(s.packets, pcap.Packet{WallNs: s.now.UnixNano(), Link: ip.LinkRaw, Length: len(buf.Bytes()), Data: append([]byte(nil), buf.Bytes()...)})
}

// slice is a source of packets.
type slice struct {
	packets []pcap.Packet
	at      int
}

func (s *slice) Next() (pcap.Packet, error) {
	if s.at == len(s.packets) {
		return pcap.Packet{}, io.EOF
	}
	s.at++
	return s.packets[s.at-1], nil
}

var redact = event.NewRedactor([]byte("0123456789abcdef"))

// show writes an event as one line.
func show(ev *event.Event) string {
	switch p := ev.Payload.(type) {
	case *event.Event_Network:
		n := p.Network
		in := ""
		if n.Inbound {
			in = " inbound"
		}
		if n.Op == event.NetworkActivity_FLOW_OPEN {
			return fmt.Sprintf("OPEN %s → %s proto %d flags %02x app %q%s", n.Flow.Src(), n.Flow.Dst(), n.Flow.Proto, n.TcpFlags, n.App, in)
		}
		failed := ""
		if n.Failed {
			failed = " failed"
		}
		return fmt.Sprintf("CLOSE %s → %s bytes %d/%d packets %d/%d flags %02x app %q%s%s", n.Flow.Src(), n.Flow.Dst(), n.BytesSrc, n.BytesDst, n.PacketsSrc, n.PacketsDst, n.TcpFlags, n.App, in, failed)
	case *event.Event_Http:
		a := p.Http
		var b strings.Builder
		fmt.Fprintf(&b, "%s #%d %s %s", a.Op, a.Ordinal, a.Request.Method, a.Request.Uri)
		if a.Request.Host != "" {
			fmt.Fprintf(&b, " host %s", a.Request.Host)
		}
		if a.Status != 0 {
			fmt.Fprintf(&b, " status %d", a.Status)
		}
		if a.BodyLen != 0 {
			fmt.Fprintf(&b, " body %d", a.BodyLen)
		}
		if a.ContentType != "" {
			fmt.Fprintf(&b, " type %s", a.ContentType)
		}
		for _, q := range a.Params {
			fmt.Fprintf(&b, " %s:%s=%q", q.In, q.Name, q.Value)
		}
		for _, u := range a.Uploads {
			fmt.Fprintf(&b, " upload %s %q %d %.8s", u.Field, u.Filename, u.Size, u.Sha256)
		}
		if a.BodySha256 != "" {
			fmt.Fprintf(&b, " sha256 %.8s", a.BodySha256)
		}
		if len(a.Oddities) > 0 {
			fmt.Fprintf(&b, " odd %v", a.Oddities)
		}
		return b.String()
	case *event.Event_Dns:
		a := p.Dns
		return fmt.Sprintf("DNS %s → %s %s %s response %v %s %v", a.Flow.Src(), a.Flow.Dst(), a.Name, a.Type, a.Response, a.Rcode, a.Answers)
	case *event.Event_Tls:
		a := p.Tls
		return fmt.Sprintf("TLS %s → %s ja3 %s ja4 %s sni %q alpn %v ja3s %s version %q cert %.8s %q", a.Flow.Src(), a.Flow.Dst(), a.Ja3, a.Ja4, a.Sni, a.Alpn, a.Ja3S, a.Version, a.CertSha256, a.CertSubject)
	case *event.Event_Ssh:
		a := p.Ssh
		return fmt.Sprintf("SSH %s → %s client %q %s server %q %s", a.Flow.Src(), a.Flow.Dst(), a.ClientBanner, a.Hassh, a.ServerBanner, a.HasshServer)
	case *event.Event_Loss:
		return fmt.Sprintf("LOSS %s %d %s", p.Loss.Class, p.Loss.Count, p.Loss.Reason)
	}
	return ev.Kind()
}
