// SPDX-License-Identifier: Apache-2.0

// Package plain reads lists with one indicator a line.
//
// In go text files as the field writes them: bare addresses, prefixes, names, URLs and
// hashes, netsets with comments, hosts files ("0.0.0.0 bad.example") and the ||name^
// rules of AdBlock lists; out come feed.Indicator values. It believes the first field
// of a line and keeps nothing of the rest but a comment.
//
// The worst trap: one file mixes kinds, and "0.0.0.0" is an address in one line and the
// mark of a hosts file in the next. So every line is typed by itself, unless the
// options pin the kind, which a careful operator does.
package plain

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

// Options of one list. The zero value guesses each line.
type Options struct {
	// Kind pins what every line is; a line that is something else is malformed. Prefix
	// and IP admit each other. Hosts and AdBlock forms are read only when it is empty or Domain.
	Kind feed.Kind `yaml:"kind"`
	// Method is put before bare fingerprints when Kind is fingerprint: ja3, ja3s, hassh, ja4.
	Method string `yaml:"method"`
}

var (
	errCosmetic  = errors.New("an AdBlock rule about page content, not a name")
	errException = errors.New("an AdBlock exception (@@)")
	errLimited   = errors.New("an AdBlock rule that holds only in some contexts")
	errHostsName = errors.New("a hosts entry for the machine itself")
)

// Read reads one list to its end, yielding in line order. Lines that cannot be used are
// in the report; the error is for the whole list and means: use nothing of it.
func Read(name string, r io.Reader, opt Options, yield feed.Yield) (feed.Report, error) {
	rep := feed.Report{Feed: name}
	b, err := feed.Sniff(r)
	if err != nil {
		return rep, rep.Wrap(err)
	}
	p := parser{rep: &rep, opt: opt, yield: yield}
	lines := feed.NewLines(b)
	for {
		line, n, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rep, rep.Close()
		case errors.Is(err, feed.ErrLongLine):
			rep.Read++
			rep.Fail(n, "", err)
		case err != nil:
			return rep, rep.Wrap(fmt.Errorf("line %d: %w", n+1, err))
		default:
			if err := p.line(string(line), n); err != nil {
				return rep, err
			}
		}
	}
}

type parser struct {
	rep   *feed.Report
	opt   Options
	yield feed.Yield
}

func (p *parser) line(text string, n int) error {
	s, comment := uncomment(strings.TrimSpace(text))
	if s == "" {
		return nil
	}
	p.rep.Read++
	if p.opt.Kind == "" || p.opt.Kind == feed.Domain {
		if done, err := p.adblock(s, n); done {
			return err
		}
		if done, err := p.hosts(s, comment, n); done {
			return err
		}
	}
	if i := strings.IndexAny(s, " \t,;|"); i > 0 && !(s[i] != ' ' && s[i] != '\t' && strings.Contains(s[:i], "/")) {
		if comment == "" {
			comment = strings.Trim(s[i:], " \t,;|")
		}
		s = s[:i]
	}
	return p.value(s, comment, n)
}

// value types one text and yields it.
func (p *parser) value(s, comment string, n int) error {
	ind := feed.Indicator{Source: p.rep.Feed, Comment: feed.Comment(comment)}
	var err error
	if p.opt.Kind == "" {
		var note string
		if ind.Kind, ind.Value, note, err = feed.Guess(s); note != "" && comment == "" {
			ind.Comment = note
		}
	} else {
		if p.opt.Kind == feed.Fingerprint && p.opt.Method != "" && !strings.Contains(s, ":") {
			s = p.opt.Method + ":" + s
		}
		ind.Kind, ind.Value, err = feed.Canonical(p.opt.Kind, s)
	}
	if err != nil {
		p.rep.Fail(n, "", err)
		return nil
	}
	p.rep.Accepted++
	return p.yield(ind)
}

// uncomment cuts a comment that fills the line, or one behind white space: '#' alone is
// also the fragment of a URL and ';' stands in queries.
func uncomment(s string) (text, comment string) {
	if s == "" || strings.ContainsRune("#;!", rune(s[0])) || strings.HasPrefix(s, "//") || strings.HasPrefix(s, "[Adblock") {
		return "", ""
	}
	for i := 1; i < len(s); i++ {
		if s[i-1] != ' ' && s[i-1] != '\t' {
			continue
		}
		if s[i] == '#' && !strings.HasPrefix(s[i:], "##") || s[i] == ';' || strings.HasPrefix(s[i:], "//") {
			return strings.TrimSpace(s[:i]), strings.TrimSpace(strings.TrimLeft(s[i:], "#;/"))
		}
	}
	return s, ""
}

// adblock reads ||name^ and skips the rules that are about something else.
func (p *parser) adblock(s string, n int) (done bool, err error) {
	switch {
	case strings.HasPrefix(s, "@@"):
		p.rep.Skip(n, "", errException)
		return true, nil
	case strings.Contains(s, "##") || strings.Contains(s, "#@#") || strings.Contains(s, "#?#"):
		if strings.Contains(s, "://") {
			return false, nil
		}
		p.rep.Skip(n, "", errCosmetic)
		return true, nil
	case !strings.HasPrefix(s, "||"):
		return false, nil
	}
	host, rest, found := strings.Cut(s[2:], "^")
	if !found || strings.Trim(rest, "|") != "" && !always(rest) || strings.Contains(host, "/") {
		p.rep.Skip(n, "", errLimited)
		return true, nil
	}
	return true, p.domain(host, "", n)
}

// always: the options that widen or keep a rule, never narrow it.
func always(options string) bool {
	list, ok := strings.CutPrefix(options, "$")
	for o := range strings.SplitSeq(list, ",") {
		switch o {
		case "all", "important", "document", "doc", "popup":
		default:
			return false
		}
	}
	return ok
}

// hosts reads "0.0.0.0 name [name…]".
func (p *parser) hosts(s, comment string, n int) (done bool, err error) {
	fields := strings.Fields(s)
	if len(fields) < 2 {
		return false, nil
	}
	switch fields[0] {
	case "0.0.0.0", "127.0.0.1", "::", "::1", "0":
	default:
		return false, nil
	}
	for i, name := range fields[1:] {
		if i > 0 {
			p.rep.Read++ // each name is a record of its own
		}
		switch strings.ToLower(name) {
		case "localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0", "ip6-localhost", "ip6-loopback":
			p.rep.Skip(n, "", errHostsName)
			continue
		}
		if err := p.domain(name, comment, n); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (p *parser) domain(name, comment string, n int) error {
	_, value, err := feed.Canonical(feed.Domain, name)
	if err != nil {
		p.rep.Fail(n, "", err)
		return nil
	}
	p.rep.Accepted++
	return p.yield(feed.Indicator{Kind: feed.Domain, Value: value, Source: p.rep.Feed, Comment: feed.Comment(comment)})
}
