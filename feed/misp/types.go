// SPDX-License-Identifier: Apache-2.0

package misp

import (
	"strings"

	"github.com/ringwall/ringwall/feed"
)

// part is one look-up value of an attribute.
type part struct {
	kind  feed.Kind
	value string
}

// simple types whose whole value is looked up.
var simple = map[string]feed.Kind{
	"ip-src": feed.IP, "ip-dst": feed.IP, "domain": feed.Domain, "hostname": feed.Domain, "url": feed.URL,
	"md5": feed.Hash, "sha1": feed.Hash, "sha256": feed.Hash,
}

// fingerprints whose type names the method.
var methods = map[string]string{
	"ja3-fingerprint-md5": "ja3", "hassh-md5": "hassh", "hasshserver-md5": "hasshserver",
}

// split takes an attribute's value apart by its type; nil means that no look-up asks
// for such a type. note says what was dropped.
func split(kind, value string) (parts []part, note string) {
	if k, ok := simple[kind]; ok {
		return []part{{k, value}}, ""
	}
	if m, ok := methods[kind]; ok {
		return []part{{feed.Fingerprint, m + ":" + value}}, ""
	}
	left, right, composite := strings.Cut(value, "|")
	if !composite { // older exports write address:port
		if i := strings.LastIndexByte(value, ':'); i > 0 && strings.HasSuffix(kind, "|port") && strings.Count(value, ":") == 1 {
			left, right = value[:i], value[i+1:]
		}
	}
	switch kind {
	case "ip-src|port", "ip-dst|port":
		return []part{{feed.IP, left}}, port(right)
	case "hostname|port":
		return []part{{feed.Domain, left}}, port(right)
	case "domain|ip":
		// Both are claimed: the pair was seen together by the writer of the event.
		return []part{{feed.Domain, left}, {feed.IP, right}}, ""
	case "filename|md5", "filename|sha1", "filename|sha256", "malware-sample":
		if i := strings.LastIndexByte(value, '|'); i >= 0 { // a file name may hold '|'
			return []part{{feed.Hash, value[i+1:]}}, value[:i]
		}
		return []part{{feed.Hash, value}}, ""
	}
	return nil, ""
}

func port(p string) string {
	if p == "" {
		return ""
	}
	return "port " + p
}
