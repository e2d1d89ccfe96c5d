// SPDX-License-Identifier: Apache-2.0

// Package csv reads lists of separated fields whose columns the configuration names.
//
// In go CSV, TSV and the like, with a header (also one behind '#', as abuse.ch writes)
// or with column numbers; out come feed.Indicator values. It believes the mapping it
// was given and guesses no column.
//
// The worst trap: one stray quote swallows the rest of the file in a strict reader. A
// quoted field may here run over at most maxJoined lines; if it does not close, only
// its first line is lost.
package csv

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/feed"
)

// Columns says where things are. A column is a header name (case does not matter) or a
// number from 1. Only Value is required.
type Columns struct {
	Value     string `yaml:"value"`
	Kind      string `yaml:"kind"` // column that names the kind; its words as in words below
	Tags      string `yaml:"tags"`
	FirstSeen string `yaml:"first_seen"`
	LastSeen  string `yaml:"last_seen"`
	Expires   string `yaml:"expires"`
	Comment   string `yaml:"comment"`

	Confidence string `yaml:"confidence"`
	// Scale is what the confidence column calls certain: 100 when 0.
	Scale float64 `yaml:"scale"`

	// Fixed is the kind of every row when there is no kind column; empty guesses each.
	Fixed feed.Kind `yaml:"fixed"`
	// Method is put before bare fingerprints: ja3, ja3s, hassh, ja4.
	Method string `yaml:"method"`
	// Separator of fields; "," when empty, "\t" for TSV. TagSeparator within the tags field: ",".
	Separator    string `yaml:"separator"`
	TagSeparator string `yaml:"tag_separator"`
}

var errKind = errors.New("not a kind of indicator that a look-up asks for")

// Validate checks what can be known before a file is seen.
func (c Columns) Validate() error {
	switch {
	case c.Value == "":
		return errors.New("csv: value: name the column (header or number from 1) that holds the indicator")
	case len(c.Separator) > 1:
		return fmt.Errorf("csv: separator: %s is not one byte", feed.Quote(c.Separator))
	case c.Fixed != "" && !c.Fixed.Known():
		return fmt.Errorf("csv: fixed: %s is not a kind; kinds are %v", feed.Quote(string(c.Fixed)), feed.Kinds)
	case c.Scale < 0:
		return fmt.Errorf("csv: scale: %v is not above 0", c.Scale)
	}
	return nil
}

func (c Columns) separator() byte {
	if c.Separator == "" {
		return ','
	}
	return c.Separator[0]
}

// Words that feeds use for kinds. "" guesses: the word is too loose to pin.
var words = map[string]feed.Kind{
	"ip": feed.IP, "ipv4": feed.IP, "ipv6": feed.IP, "ip-src": feed.IP, "ip-dst": feed.IP, "ipv4-addr": feed.IP, "ipv6-addr": feed.IP, "address": feed.IP,
	"ip:port": "", "ip-dst|port": "", "ioc": "",
	"cidr": feed.Prefix, "prefix": feed.Prefix, "netblock": feed.Prefix, "subnet": feed.Prefix,
	"domain": feed.Domain, "hostname": feed.Domain, "host": feed.Domain, "fqdn": feed.Domain, "domain-name": feed.Domain,
	"url": feed.URL, "uri": feed.URL,
	"hash": feed.Hash, "md5": feed.Hash, "sha1": feed.Hash, "sha256": feed.Hash, "md5_hash": feed.Hash, "sha1_hash": feed.Hash, "sha256_hash": feed.Hash,
	"filehash-md5": feed.Hash, "filehash-sha1": feed.Hash, "filehash-sha256": feed.Hash,
	"fingerprint": feed.Fingerprint, "ja3": feed.Fingerprint, "ja3s": feed.Fingerprint, "ja4": feed.Fingerprint, "hassh": feed.Fingerprint,
	"ja3-fingerprint-md5": feed.Fingerprint, "hassh-md5": feed.Fingerprint,
}

// Read reads one file to its end, yielding in row order. Rows that cannot be used are in
// the report; the error is for the whole file and means: use nothing of it.
func Read(name string, r io.Reader, c Columns, yield feed.Yield) (feed.Report, error) {
	rep := feed.Report{Feed: name}
	if err := c.Validate(); err != nil {
		return rep, rep.Wrap(err)
	}
	b, err := feed.Sniff(r)
	if err != nil {
		return rep, rep.Wrap(err)
	}
	rows := rows{lines: feed.NewLines(b), sep: c.separator()}
	t := table{rep: &rep, c: c, yield: yield}
	for {
		fields, comment, line, err := rows.next()
		switch {
		case errors.Is(err, io.EOF):
			if t.at == nil && rep.Read == 0 {
				return rep, rep.Wrap(fmt.Errorf("no header with a column %s: %w", feed.Quote(c.Value), feed.ErrNone))
			}
			return rep, rep.Close()
		case errors.Is(err, feed.ErrLongLine), errors.Is(err, errQuote):
			rep.Read++
			rep.Fail(line, "", err)
			continue
		case err != nil:
			return rep, rep.Wrap(fmt.Errorf("line %d: %w", line+1, err))
		}
		if err := t.row(fields, comment, line); err != nil {
			return rep, err
		}
	}
}

// column numbers from 0; -1 where not configured.
type columns struct{ value, kind, tags, first, last, expires, comment, confidence int }

type table struct {
	rep   *feed.Report
	c     Columns
	at    *columns
	yield feed.Yield
}

func (t *table) row(fields []string, comment bool, line int) error {
	if t.at == nil {
		at, header, err := locate(t.c, fields)
		switch {
		case err == nil && (header || !comment):
			t.at = &at
			if header {
				return nil
			}
		case comment:
			return nil
		default:
			return t.rep.Wrap(fmt.Errorf("line %d: %w", line, err))
		}
	}
	if comment {
		return nil
	}
	t.rep.Read++
	ind, err := t.indicator(fields)
	switch {
	case errors.Is(err, feed.ErrNotStated), errors.Is(err, errKind):
		t.rep.Skip(line, "", err)
		return nil
	case err != nil:
		t.rep.Fail(line, "", err)
		return nil
	}
	t.rep.Accepted++
	return t.yield(ind)
}

// locate turns the configured columns into numbers. header says that fields is the header.
func locate(c Columns, fields []string) (at columns, header bool, err error) {
	for _, want := range []struct {
		column string
		to     *int
	}{
		{c.Value, &at.value}, {c.Kind, &at.kind}, {c.Tags, &at.tags}, {c.FirstSeen, &at.first}, {c.LastSeen, &at.last},
		{c.Expires, &at.expires}, {c.Comment, &at.comment}, {c.Confidence, &at.confidence},
	} {
		*want.to = -1
		if want.column == "" {
			continue
		}
		if n, nerr := strconv.Atoi(want.column); nerr == nil {
			if n < 1 {
				return at, false, fmt.Errorf("column %d: columns count from 1", n)
			}
			*want.to = n - 1
			continue
		}
		header = true
		for i, f := range fields {
			if strings.EqualFold(strings.TrimSpace(f), want.column) {
				*want.to = i
				break
			}
		}
		if *want.to < 0 {
			return at, false, fmt.Errorf("the header has no column %s; it has %s", feed.Quote(want.column), feed.Quote(strings.Join(fields, ",")))
		}
	}
	return at, header, nil
}

func (t *table) indicator(fields []string) (feed.Indicator, error) {
	get := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		return strings.TrimSpace(fields[i])
	}
	if t.at.value >= len(fields) {
		return feed.Indicator{}, fmt.Errorf("%d fields, the indicator should be in number %d", len(fields), t.at.value+1)
	}
	ind := feed.Indicator{Source: t.rep.Feed, Comment: feed.Comment(get(t.at.comment))}
	if err := t.value(&ind, get(t.at.value), get(t.at.kind)); err != nil {
		return ind, err
	}
	for _, w := range []struct {
		column int
		to     *time.Time
	}{{t.at.first, &ind.FirstSeen}, {t.at.last, &ind.LastSeen}, {t.at.expires, &ind.Expires}} {
		var err error
		if *w.to, err = feed.Time(get(w.column)); err != nil {
			return ind, err
		}
	}
	sep := t.c.TagSeparator
	if sep == "" {
		sep = ","
	}
	if s := get(t.at.tags); s != "" {
		ind.Tags = feed.Tags(strings.Split(s, sep)...)
	}
	return ind, t.confidence(&ind, get(t.at.confidence))
}

func (t *table) value(ind *feed.Indicator, text, word string) (err error) {
	kind := t.c.Fixed
	word = strings.ToLower(word)
	if t.at.kind >= 0 {
		var known bool
		if kind, known = words[word]; !known {
			return fmt.Errorf("%w: %s", errKind, feed.Quote(word))
		}
	}
	if kind == feed.Fingerprint && !strings.Contains(text, ":") {
		method := t.c.Method
		if method == "" {
			method, _, _ = strings.Cut(word, "-")
		}
		text = method + ":" + text
	}
	var note string
	if kind == "" {
		ind.Kind, ind.Value, note, err = feed.Guess(text)
	} else {
		ind.Kind, ind.Value, err = feed.Canonical(kind, text)
	}
	if ind.Comment == "" {
		ind.Comment = note
	}
	return err
}

func (t *table) confidence(ind *feed.Indicator, text string) error {
	if text == "" {
		return nil
	}
	scale := t.c.Scale
	if scale == 0 {
		scale = 100
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v >= 0 && v <= scale) {
		return fmt.Errorf("confidence %s is not between 0 and %v", feed.Quote(text), scale)
	}
	if v == 0 {
		return feed.ErrNotStated
	}
	ind.Confidence = v / scale
	return nil
}
