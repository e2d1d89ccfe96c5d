// SPDX-License-Identifier: Apache-2.0

package stix

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

// Bounds of one pattern. The deepest in public MITRE and abuse.ch exports nests four times.
const (
	maxPattern = 256 << 10 // bytes
	maxNesting = 64
	maxAtoms   = 10_000
)

// Pattern is a parsed pattern. Text is kept whatever could be made of it.
type Pattern struct {
	Text string
	root *node
}

// Atom is one value that a look-up can ask for, not yet canonical.
type Atom struct {
	Kind  feed.Kind
	Value string
}

type op uint8

const (
	opCompare  op = iota // path, verb, values
	opAnd                // within one observation
	opOr                 // anywhere
	opTogether           // AND of observations
	opFollowed           // FOLLOWEDBY
	opQualified
)

type node struct {
	op     op
	kids   []*node
	path   string
	verb   string // "=", "IN", "LIKE", …, with "NOT " before it when negated
	values []string
}

// Reasons why a well-formed pattern gives nothing to look up.
var (
	errSequence  = errors.New("pattern is a sequence (FOLLOWEDBY), which a look-up cannot check")
	errTogether  = errors.New("pattern wants several observations together, which a look-up cannot check")
	errQualified = errors.New("pattern has a qualifier (WITHIN, REPEATS, START), which a look-up cannot check")
	errCondition = errors.New("pattern also wants something that a look-up cannot check")
	errNoValue   = errors.New("pattern names no address, domain, url or hash")
)

// Atoms gives the values that may be looked up. Of alternatives (OR, IN) each is one.
// Of a conjunction: hashes stand alone, since a hash names the very file; otherwise the
// narrowest of url, domain, address is taken, and only when all the rest are ports,
// protocols or other such values: anything else would widen the claim. note says what
// was dropped; the error says why there is nothing, and the text stays in Text.
func (p *Pattern) Atoms() (atoms []Atom, note string, err error) {
	atoms, err = p.root.atoms()
	if err != nil {
		return nil, "", fmt.Errorf("%w: %s", err, feed.Quote(p.Text))
	}
	if len(atoms) > maxAtoms {
		return nil, "", fmt.Errorf("pattern has more than %d values", maxAtoms)
	}
	if p.root.conjunction() {
		note = "part of " + p.Text
	}
	return atoms, note, nil
}

func (n *node) conjunction() bool {
	return n.op == opAnd || slices.ContainsFunc(n.kids, (*node).conjunction)
}

func (n *node) atoms() ([]Atom, error) {
	switch n.op {
	case opCompare:
		return n.compare()
	case opAnd:
		return n.narrowest()
	case opOr:
		var all []Atom
		var why error
		for _, k := range n.kids {
			a, err := k.atoms()
			if err != nil {
				why = err
			}
			all = append(all, a...)
		}
		if all != nil {
			return all, nil // each alternative is enough by itself
		}
		return nil, why
	case opTogether:
		return nil, errTogether
	case opFollowed:
		return nil, errSequence
	}
	return nil, errQualified
}

// compare reads path = value, path IN (…) and address ISSUBSET prefix.
func (n *node) compare() ([]Atom, error) {
	kind := pathKind(n.path)
	if kind == "" {
		return nil, errNoValue
	}
	switch n.verb {
	case "=", "==", "IN":
	case "ISSUBSET":
		if kind != feed.IP {
			return nil, errNoValue
		}
	default:
		return nil, errCondition
	}
	out := make([]Atom, 0, len(n.values))
	for _, v := range n.values {
		k := kind
		if k == endpoint {
			if k = feed.IP; strings.Trim(v, "0123456789abcdefABCDEF.:/") != "" {
				k = feed.Domain
			}
		}
		out = append(out, Atom{k, v})
	}
	return out, nil
}

// rank orders kinds by how little they name.
var rank = map[feed.Kind]int{feed.Hash: 4, feed.URL: 3, feed.Domain: 2, feed.IP: 1}

func (n *node) narrowest() ([]Atom, error) {
	var best, hashes []Atom
	var bar error
	for _, k := range n.kids {
		a, err := k.atoms()
		switch {
		case err == nil && a[0].Kind == feed.Hash:
			hashes = append(hashes, a...)
		case err == nil:
			if best == nil || rank[a[0].Kind] > rank[best[0].Kind] {
				best = a
			}
		case k.op == opCompare && (k.verb == "=" || k.verb == "IN") && harmless(k.path):
		default:
			bar = errCondition
		}
	}
	switch {
	case hashes != nil:
		return hashes, nil
	case bar != nil:
		return nil, bar
	case best != nil:
		return best, nil
	}
	return nil, errNoValue
}

// harmless: what feeds that carry ip:port lose as well.
func harmless(path string) bool {
	switch path {
	case "network-traffic:dst_port", "network-traffic:src_port", "network-traffic:protocols[*]", "network-traffic:protocols[0]":
		return true
	}
	return false
}

// endpoint is an address or a name; the value tells.
const endpoint feed.Kind = "endpoint"

func pathKind(path string) feed.Kind {
	switch path {
	case "ipv4-addr:value", "ipv6-addr:value":
		return feed.IP
	case "domain-name:value":
		return feed.Domain
	case "url:value":
		return feed.URL
	case "network-traffic:dst_ref.value", "network-traffic:src_ref.value":
		return endpoint
	}
	if object, name, ok := strings.Cut(path, ":hashes."); ok && (object == "file" || object == "artifact") && hashName(name) {
		return feed.Hash
	}
	return ""
}

func hashName(s string) bool {
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToUpper(s)) {
	case "MD5", "SHA1", "SHA256":
		return true
	}
	return false
}
