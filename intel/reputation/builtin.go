// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"net/netip"
	"strings"
)

// What must never be acted on, whatever a list says. Lists do name all of these:
// 0.0.0.0 stood in ThreatFox for months, public resolvers were a third of the union of
// 21 lists (intel.md §4.1.1, §7).
var builtin = []struct{ why, ranges string }{
	// IANA special-purpose registries (RFC 6890 and its updates), multicast (RFC 5771, 4291).
	{"this network (RFC 791)", "0.0.0.0/8"},
	{"private (RFC 1918)", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"},
	{"shared carrier space (RFC 6598)", "100.64.0.0/10"},
	{"loopback (RFC 1122, 4291)", "127.0.0.0/8 ::1/128"},
	{"link local (RFC 3927, 4291)", "169.254.0.0/16 fe80::/10"},
	{"protocol assignments (RFC 6890)", "192.0.0.0/24 2001::/23"},
	{"documentation (RFC 5737, 3849, 9637)", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"},
	{"6to4 relay anycast (RFC 7526)", "192.88.99.0/24"},
	{"benchmarking (RFC 2544)", "198.18.0.0/15"},
	{"multicast (RFC 5771, 4291)", "224.0.0.0/4 ff00::/8"},
	{"reserved (RFC 1112)", "240.0.0.0/4"},
	{"unspecified (RFC 4291)", "::/128"},
	{"translation (RFC 6052, 8215)", "64:ff9b::/96 64:ff9b:1::/48"},
	{"discard only (RFC 6666)", "100::/64"},
	{"unique local (RFC 4193)", "fc00::/7"},
	{"site local (RFC 3879)", "fec0::/10"},
	// Anycast resolvers that half of the internet asks.
	{"public resolver", "1.1.1.1 1.0.0.1 8.8.8.8 8.8.4.4 9.9.9.9 149.112.112.112 208.67.222.222 208.67.220.220" +
		" 2606:4700:4700::1111 2606:4700:4700::1001 2001:4860:4860::8888 2001:4860:4860::8844 2620:fe::fe 2620:fe::9 2620:119:35::35 2620:119:53::53"},
	// https://www.iana.org/domains/root/servers, a to m.
	{"root name server", "198.41.0.4 170.247.170.2 192.33.4.12 199.7.91.13 192.203.230.10 192.5.5.241 192.112.36.4 198.97.190.53" +
		" 192.36.148.17 192.58.128.30 193.0.14.129 199.7.83.42 202.12.27.33" +
		" 2001:503:ba3e::2:30 2801:1b8:10::b 2001:500:2::c 2001:500:2d::d 2001:500:a8::e 2001:500:2f::f 2001:500:12::d0d 2001:500:1::53" +
		" 2001:7fe::53 2001:503:c27::2:30 2001:7fd::1 2001:500:9f::42 2001:dc3::35"},
}

// Hashes of nothing: every tool that fails writes an empty file.
var emptyFile = []string{
	"d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}

// builtinList is the allow-list that is always there.
func builtinList(key hasher) *list {
	l := &list{name: "built-in", role: hard, loaded: true}
	for _, b := range builtin {
		tags := uint32(len(l.tags))
		l.tags = append(l.tags, []string{"hard: " + b.why})
		for text := range strings.FieldsSeq(b.ranges) {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				a := netip.MustParseAddr(text)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			l.prefixes = append(l.prefixes, prefixRecord{p, record{tags: tags}})
		}
	}
	l.tags = append(l.tags, []string{"hard: hash of the empty file"})
	for _, h := range emptyFile {
		l.records = append(l.records, record{hash: key.text(hashes, h), tags: uint32(len(l.tags) - 1)})
	}
	l.count = len(l.prefixes) + len(l.records)
	return l
}

// ownList is the operator's own space.
func ownList(own []netip.Prefix) *list {
	l := &list{name: "own", role: hard, loaded: true, tags: [][]string{{"hard: own address"}}}
	for _, p := range own {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		l.prefixes = append(l.prefixes, prefixRecord{p.Masked(), record{}})
	}
	l.count = len(l.prefixes)
	return l
}
