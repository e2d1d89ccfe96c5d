// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/ringwall/ringwall/feed"
)

const (
	maxMatches = 64 // of one answer; lists beyond that add nothing to read
	maxParents = 10 // names above the one asked for; the deepest public suffix has five labels
)

// Lookup says what is known at the time now about a value of a kind: ip, prefix,
// domain, url, hash (md5, sha1, sha256 in hex) or fingerprint (method:value). ok says
// that some list names it, be it under a veto; an allow-list alone gives ok false and a
// Level. The matches come narrowest first, then in order of configuration.
//
// An address is found by itself and by every prefix around it; a domain by its parents
// too, down to the registered domain; a URL at four widths (whole, without query, host
// with first path part, host). Safe for many goroutines; a miss allocates nothing when
// the value is in canonical form already.
func (l *Library) Lookup(kind, value string, now time.Time) (Answer, bool) {
	a := asker{lib: l, s: l.now.Load(), now: seconds(now)}
	ok := true
	switch feed.Kind(kind) {
	case feed.IP:
		var addr netip.Addr
		if addr, ok = parseAddr(value); ok {
			a.addr(addr, Exact)
		}
	case feed.Prefix:
		if p, err := netip.ParsePrefix(value); err == nil {
			a.around(p.Masked(), InPrefix)
		} else {
			ok = false
		}
	case feed.Domain:
		d, err := feed.ParseDomain(value)
		if ok = err == nil; ok {
			a.domain(d, Exact, Parent)
		}
	case feed.URL:
		u, err := feed.ParseURL(value)
		if ok = err == nil; ok {
			a.url(u)
		}
	case feed.Hash:
		h, err := feed.ParseHash(value)
		a.lasting = true
		if ok = err == nil; ok {
			a.probe(a.lib.key.text(hashes, h), h, Exact, 1)
		}
	case feed.Fingerprint:
		f, err := feed.ParseFingerprint(value)
		a.lasting = true
		if ok = err == nil; ok {
			a.probe(a.lib.key.text(fingerprints, f), f, Exact, 1)
		}
	default:
		ok = false
	}
	if !ok {
		l.malformed.Add(1)
		return Answer{}, false
	}
	return a.close()
}

// LookupAddr is Lookup of an address that is parsed already.
func (l *Library) LookupAddr(addr netip.Addr, now time.Time) (Answer, bool) {
	if !addr.IsValid() {
		l.malformed.Add(1)
		return Answer{}, false
	}
	a := asker{lib: l, s: l.now.Load(), now: seconds(now)}
	a.addr(addr.Unmap().WithZone(""), Exact)
	return a.close()
}

func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err == nil
}

// asker gathers one answer.
type asker struct {
	lib        *Library
	s          *snapshot
	now        uint32
	ans        Answer
	hard, soft string // veto texts
	lasting    bool   // what was asked for does not decay
}

func (a *asker) addr(addr netip.Addr, exact Width) {
	a.addrRecords(addr, a.s.find(a.lib.key.addr(addr)), exact)
	if a.s.prefixes.Contains(addr) {
		width := InPrefix
		if exact == HostWide {
			width = HostWide
		}
		a.around(netip.PrefixFrom(addr, addr.BitLen()), width)
	}
}

func (a *asker) addrRecords(addr netip.Addr, records []record, width Width) {
	for i := range records {
		value := ""
		if len(a.ans.Matches) < maxMatches && a.s.lists[records[i].source].role == listing {
			value = addr.String()
		}
		a.take(&records[i], value, width, 1)
	}
}

// around visits every prefix that covers p, the longest first.
func (a *asker) around(p netip.Prefix, width Width) {
	for cover, records := range a.s.prefixes.Supernets(p) {
		for i := range records {
			if records[i].source == 0 && a.counts(p.Addr()) {
				continue // a reserved range that the operator declared to count
			}
			value := ""
			if a.s.lists[records[i].source].role == listing {
				value = cover.String()
			}
			a.take(&records[i], value, width, 1)
		}
	}
}

func (a *asker) counts(addr netip.Addr) bool {
	for _, p := range a.lib.cfg.CountReserved {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// domain asks for a name and its parents. The registered domain is worked out only
// once a parent is found, which is rare.
func (a *asker) domain(d string, exact, parent Width) {
	a.probe(a.lib.key.text(domains, d), d, exact, 1)
	floor := 0
	name := d
	for range maxParents {
		i := strings.IndexByte(name, '.')
		if i < 0 {
			return
		}
		if name = name[i+1:]; len(name) < floor || strings.IndexByte(name, '.') < 0 {
			return
		}
		records := a.s.find(a.lib.key.text(domains, name))
		if len(records) == 0 {
			continue
		}
		if floor == 0 {
			if floor = registered(d); len(name) < floor {
				return
			}
		}
		for i := range records {
			a.take(&records[i], name, parent, 1)
		}
	}
}

// registered is the length of the registered domain of d; of a public suffix, private
// ones included, its own.
func registered(d string) int {
	r, err := publicsuffix.EffectiveTLDPlusOne(d)
	if err != nil {
		return len(d)
	}
	return len(r)
}

// urlKey drops the scheme where it does not change what is fetched.
func urlKey(canonical string) string {
	scheme, rest, _ := strings.Cut(canonical, "://")
	if scheme == "ftp" {
		return canonical
	}
	return rest
}

func (a *asker) url(u string) {
	key := urlKey(u)
	wide := a.lib.cfg.WideURL
	a.probe(a.lib.key.text(urls, key), u, Exact, 1)
	start := 0
	if len(key) == len(u) { // ftp keeps its scheme
		start = strings.Index(key, "://") + 3
	}
	path := start + strings.IndexByte(key[start:], '/') // a canonical URL has one
	bare, _, asked := strings.Cut(key, "?")
	if asked {
		a.probe(a.lib.key.text(urls, bare), bare, NoQuery, 1)
	}
	// "/a" and "/a/" for "/a/b"; a file is listed by the first, a folder by the second.
	if i := strings.IndexByte(bare[path+1:], '/'); i > 0 {
		folder := bare[:path+1+i+1]
		a.probe(a.lib.key.text(urls, folder[:len(folder)-1]), folder[:len(folder)-1], PathPart, wide)
		if folder != bare {
			a.probe(a.lib.key.text(urls, folder), folder, PathPart, wide)
		}
	}
	if root := bare[:path+1]; root != bare {
		a.probe(a.lib.key.text(urls, root), root, HostWide, wide)
	}
	host := feed.Host(u)
	// Only an address ends in a digit or holds a colon; a failed parse costs an allocation.
	if c := host[len(host)-1]; c >= '0' && c <= '9' || strings.IndexByte(host, ':') >= 0 {
		if addr, ok := parseAddr(host); ok {
			a.addr(addr, HostWide)
			return
		}
	}
	a.domain(host, HostWide, Parent)
}

func (a *asker) probe(h uint64, value string, width Width, factor float64) {
	records := a.s.find(h)
	for i := range records {
		a.take(&records[i], value, width, factor)
	}
}

// take adds one record to the answer.
func (a *asker) take(r *record, value string, width Width, factor float64) {
	from := a.s.lists[r.source]
	switch from.role {
	case hard:
		if a.hard == "" {
			a.hard = from.tags[r.tags][0]
		}
		return
	case soft:
		if a.soft == "" {
			a.soft = from.tags[r.tags][0]
		}
		return
	}
	if r.expires != 0 && r.expires <= a.now || len(a.ans.Matches) >= maxMatches {
		return
	}
	conf := float64(r.conf) / math.MaxUint16 * factor
	if from.half > 0 && !a.lasting && a.now > r.seen {
		conf *= math.Exp2(-float64(a.now-r.seen) / from.half.Seconds())
	}
	m := Match{Source: from.name, Value: value, Width: width, Tags: from.tags[r.tags], Confidence: conf, LastSeen: when(r.seen), Expires: when(r.expires)}
	a.ans.Matches = append(a.ans.Matches, m)
	a.ans.Confidence = max(a.ans.Confidence, conf)
}

func when(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// close applies vetoes and grades.
func (a *asker) close() (Answer, bool) {
	ok := len(a.ans.Matches) > 0
	cfg := &a.lib.cfg
	if a.hard != "" {
		a.ans.Level, a.ans.Confidence, a.ans.Veto = Allowed, 0, a.hard
		return a.ans, ok
	}
	if a.soft == "" && ok {
		a.soft = a.s.blind
	}
	a.ans.Veto = a.soft
	if !ok {
		return a.ans, false
	}
	if a.soft != "" {
		a.ans.Confidence *= cfg.SoftFactor
	}
	switch c := a.ans.Confidence; {
	case c >= cfg.Malicious && a.soft == "":
		a.ans.Level = Malicious
	case c >= cfg.Suspicious:
		a.ans.Level = Suspicious
	default:
		a.ans.Level = Listed
	}
	return a.ans, true
}
