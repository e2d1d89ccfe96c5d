// SPDX-License-Identifier: Apache-2.0

// Package stix reads STIX 2.0 and 2.1: bundles, TAXII envelopes, arrays and streams of
// objects.
//
// In go JSON bytes; out come feed.Indicator values from indicator objects whose pattern
// can be looked up (and, when asked for, from bare observables). It believes revoked,
// valid_until, confidence and the latest version of an object, and nothing about
// objects it merely passes: references are followed one step (indicates → the name of
// the malware), so cycles cannot trap it.
//
// The worst trap: a pattern is a condition, not a list. "[a AND b]" is not the claim a
// and the claim b; see Pattern.Atoms for what may be taken from one. A second trap is
// that a later version in the same file may revoke an earlier one, so nothing is
// yielded before the end of the file.
package stix

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/feed"
)

// Options of one file.
type Options struct {
	// Observables takes bare ipv4-addr, ipv6-addr, domain-name, url and file objects as
	// indicators. Off by default: in STIX they are things seen, benign ones among them.
	Observables bool `yaml:"observables"`
}

var (
	errRevoked    = errors.New("revoked")
	errBenign     = errors.New("marked benign by its source")
	errLanguage   = errors.New("pattern in another language than STIX")
	errObservable = errors.New("an observable, which is no claim (observables: true takes it)")
	errContext    = errors.New("context object")
	errOlder      = errors.New("an older version of an object in this file")
)

// Read reads one file to its end and then yields, in file order. Objects that cannot be
// used are in the report; the error is for the whole file and means: use nothing of it.
func Read(name string, r io.Reader, opt Options, yield feed.Yield) (feed.Report, error) {
	rep := feed.Report{Feed: name}
	b, err := feed.Sniff(r)
	if err != nil {
		return rep, rep.Wrap(err)
	}
	if head, _ := b.Peek(3); string(head) == "\xef\xbb\xbf" {
		b.Discard(3)
	}
	c := collector{rep: &rep, opt: opt, at: map[string]int{}, names: map[string]string{}, tlp: map[string]string{}}
	j := feed.NewJSON(b)
	for {
		if err = c.top(j); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) {
		return rep, rep.Wrap(err)
	}
	if err := c.emit(yield); err != nil {
		return rep, err
	}
	return rep, rep.Close()
}

// object holds what we read of any STIX object. Times stay text until they are needed.
type object struct {
	Type     string `json:"type"`
	ID       string `json:"id"`
	Modified string `json:"modified"`

	Revoked    bool     `json:"revoked"`
	Confidence *float64 `json:"confidence"`
	Labels     []string `json:"labels"`
	Markings   []string `json:"object_marking_refs"`

	Name        string   `json:"name"`
	Types       []string `json:"indicator_types"`
	Pattern     string   `json:"pattern"`
	PatternType string   `json:"pattern_type"`
	ValidFrom   string   `json:"valid_from"`
	ValidUntil  string   `json:"valid_until"`

	Value  string            `json:"value"`
	Hashes map[string]string `json:"hashes"`
}

// link is a relationship or a marking: objects whose fields would clash with object's.
type link struct {
	Type       string `json:"relationship_type"`
	Source     string `json:"source_ref"`
	Target     string `json:"target_ref"`
	Definition struct {
		TLP string `json:"tlp"`
	} `json:"definition"`
}

// claim is an indicator or observable kept until the end of the file.
type claim struct {
	id       string
	modified time.Time
	revoked  bool
	refs     []string // markings
	item     string
	out      []feed.Indicator
	reason   error // why out is empty
}

type collector struct {
	rep    *feed.Report
	opt    Options
	claims []claim
	at     map[string]int    // id → index in claims
	names  map[string]string // id of malware, tool, … → tag
	tlp    map[string]string // id of a marking → level
	about  map[string][]string
	held   int
}

// top reads one value of the highest level: bundle, envelope, array or object.
func (c *collector) top(j *feed.JSON) error {
	t, err := j.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('['):
		return j.Array(func() error { return c.element(j) })
	case json.Delim('{'):
	default:
		return fmt.Errorf("%v is not a STIX object or bundle", feed.Quote(fmt.Sprint(t)))
	}
	fields, size, list := map[string]json.RawMessage{}, 0, false
	err = j.Object(func(key string) error {
		if key == "objects" {
			list = true
			if t, err := j.Token(); err != nil {
				return err
			} else if t != json.Delim('[') {
				return errors.New(`"objects" is not a list`)
			}
			return j.Array(func() error { return c.element(j) })
		}
		raw, err := j.Raw()
		if size += len(key) + len(raw); err == nil && size > feed.MaxItem {
			return feed.ErrTooLarge
		}
		fields[key] = raw
		return err
	})
	if err != nil || list || string(fields["type"]) == `"bundle"` {
		return err
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return c.object(raw)
}

func (c *collector) element(j *feed.JSON) error {
	raw, err := j.Raw()
	if err != nil {
		return err
	}
	return c.object(raw)
}

// object sorts one object; only what must be remembered is.
func (c *collector) object(raw json.RawMessage) error {
	c.rep.Read++
	item := fmt.Sprintf("object %d", c.rep.Read)
	var head struct{ Type, ID string }
	if err := json.Unmarshal(raw, &head); err != nil || head.Type == "" {
		c.rep.Fail(0, item, fmt.Errorf("not a STIX object: %w", cmpErr(err, errors.New("it has no type"))))
		return nil
	}
	if head.ID != "" {
		item += " " + feed.Comment(head.ID)
	}
	switch head.Type {
	case "indicator", "ipv4-addr", "ipv6-addr", "domain-name", "url", "file":
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			c.rep.Fail(0, item, err)
			return nil
		}
		return c.claim(&o, item)
	case "malware", "tool", "threat-actor", "intrusion-set", "campaign", "attack-pattern", "infrastructure":
		var o struct{ Name string }
		if json.Unmarshal(raw, &o) == nil && o.Name != "" {
			c.names[head.ID] = head.Type + ":" + feed.Comment(o.Name)
			c.held++
		}
	case "relationship", "marking-definition":
		var l link
		if json.Unmarshal(raw, &l) == nil {
			c.link(head.ID, &l)
		}
	}
	c.rep.Skip(0, item, errContext)
	return c.bound()
}

func cmpErr(err, or error) error {
	if err != nil {
		return err
	}
	return or
}

func (c *collector) bound() error {
	if c.held > feed.MaxHeld {
		return feed.ErrTooMany
	}
	return nil
}

func (c *collector) link(id string, l *link) {
	if l.Definition.TLP != "" {
		c.tlp[id] = strings.ToLower(feed.Comment(l.Definition.TLP))
		c.held++
	}
	if l.Type == "indicates" && l.Source != "" && l.Target != "" {
		if c.about == nil {
			c.about = map[string][]string{}
		}
		c.about[l.Source] = append(c.about[l.Source], l.Target)
		c.held++
	}
}

// claim keeps the latest version of an object by its modified time; of equals the later in the file.
func (c *collector) claim(o *object, item string) error {
	modified, err := feed.Time(o.Modified)
	if err != nil {
		c.rep.Fail(0, item, fmt.Errorf("modified: %w", err))
		return nil
	}
	n := claim{id: o.ID, modified: modified, revoked: o.Revoked, refs: o.Markings, item: item}
	n.out, n.reason = c.read(o, modified)
	c.held += 1 + len(n.out)
	i, seen := c.at[o.ID]
	if !seen || o.ID == "" {
		c.at[o.ID] = len(c.claims)
		c.claims = append(c.claims, n)
		return c.bound()
	}
	if n.modified.Before(c.claims[i].modified) {
		n, c.claims[i] = c.claims[i], n
	}
	c.rep.Skip(0, c.claims[i].item, errOlder)
	c.claims[i] = n
	return c.bound()
}

// read turns one object into indicators, or says why it gives none.
func (c *collector) read(o *object, modified time.Time) ([]feed.Indicator, error) {
	ind := feed.Indicator{Source: c.rep.Feed, LastSeen: modified, Comment: feed.Comment(o.Name)}
	var err error
	if ind.FirstSeen, err = feed.Time(o.ValidFrom); err != nil {
		return nil, malformed{fmt.Errorf("valid_from: %w", err)}
	}
	if ind.Expires, err = feed.Time(o.ValidUntil); err != nil {
		return nil, malformed{fmt.Errorf("valid_until: %w", err)}
	}
	if o.Confidence != nil {
		switch v := *o.Confidence; {
		case !(v >= 0 && v <= 100):
			return nil, malformed{fmt.Errorf("confidence %v is not between 0 and 100", v)}
		case v == 0:
			return nil, feed.ErrNotStated
		default:
			ind.Confidence = v / 100
		}
	}
	ind.Tags = slices.Concat(o.Labels, o.Types)
	if o.Type != "indicator" {
		return c.observable(o, ind)
	}
	switch {
	case len(o.Types) > 0 && !slices.ContainsFunc(o.Types, func(t string) bool { return t != "benign" }):
		return nil, errBenign
	case o.PatternType != "" && o.PatternType != "stix":
		return nil, errLanguage
	}
	p, err := ParsePattern(o.Pattern)
	if err != nil {
		return nil, malformed{err}
	}
	atoms, note, err := p.Atoms()
	if err != nil {
		return nil, err
	}
	if note != "" {
		ind.Comment = feed.Comment(note + "; " + ind.Comment)
	}
	return expand(ind, atoms)
}

func (c *collector) observable(o *object, ind feed.Indicator) ([]feed.Indicator, error) {
	if !c.opt.Observables {
		return nil, errObservable
	}
	ind.LastSeen = time.Time{}
	var atoms []Atom
	switch o.Type {
	case "file":
		for name, value := range o.Hashes {
			if hashName(name) {
				atoms = append(atoms, Atom{feed.Hash, value})
			}
		}
		slices.SortFunc(atoms, func(a, b Atom) int { return strings.Compare(a.Value, b.Value) })
		if atoms == nil {
			return nil, errContext
		}
	case "domain-name":
		atoms = []Atom{{feed.Domain, o.Value}}
	case "url":
		atoms = []Atom{{feed.URL, o.Value}}
	default:
		atoms = []Atom{{feed.IP, o.Value}}
	}
	return expand(ind, atoms)
}

// expand makes one indicator an atom; one bad value spoils only itself unless it is alone.
func expand(ind feed.Indicator, atoms []Atom) ([]feed.Indicator, error) {
	var out []feed.Indicator
	var bad error
	for _, a := range atoms {
		one := ind
		var err error
		if one.Kind, one.Value, err = feed.Canonical(a.Kind, a.Value); err != nil {
			bad = malformed{err}
			continue
		}
		out = append(out, one)
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, bad
}

// malformed marks a reason that is the object's fault, not our choice.
type malformed struct{ error }

func (m malformed) Unwrap() error { return m.error }
