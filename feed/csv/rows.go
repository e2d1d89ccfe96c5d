// SPDX-License-Identifier: Apache-2.0

package csv

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

const (
	maxJoined = 16  // lines one quoted field may run over; longest seen in abuse.ch dumps: 1
	maxFields = 256 // of one row
)

var errQuote = fmt.Errorf("a quoted field does not close within %d lines", maxJoined)

// rows cuts lines into fields as RFC 4180 §2 says, but a quote inside an unquoted field
// is a plain character, and blank lines are passed over.
type rows struct {
	lines   *feed.Lines
	sep     byte
	pending []numbered // lines read in vain for a field that did not close
}

type numbered struct {
	text string
	n    int
	err  error
}

func (r *rows) line() numbered {
	if len(r.pending) > 0 {
		l := r.pending[0]
		r.pending = r.pending[1:]
		return l
	}
	b, n, err := r.lines.Next()
	return numbered{string(b), n, err}
}

// next returns the fields of the next row and its first line. comment: the row stood
// behind '#' (or ';' or '//').
func (r *rows) next() (fields []string, comment bool, line int, err error) {
	for {
		l := r.line()
		if l.err != nil {
			return nil, false, l.n, l.err
		}
		text := strings.TrimSpace(l.text)
		if text == "" {
			continue
		}
		for _, mark := range []string{"#", ";", "//"} {
			if rest, ok := strings.CutPrefix(text, mark); ok {
				fields, _ = split(strings.TrimSpace(strings.TrimLeft(rest, "#;/")), r.sep)
				return fields, true, l.n, nil
			}
		}
		fields, err = r.join(l)
		return fields, false, l.n, err
	}
}

// join adds lines until the last quoted field closes, or gives them back.
func (r *rows) join(first numbered) ([]string, error) {
	text := first.text
	fields, open := split(text, r.sep)
	var taken []numbered
	for open && len(taken) < maxJoined {
		l := r.line()
		taken = append(taken, l)
		if l.err != nil {
			break
		}
		text += "\n" + l.text
		fields, open = split(text, r.sep)
	}
	if !open {
		return fields, nil
	}
	// The end of the file stays the end: asking the reader again gives io.EOF again.
	if n := len(taken); n > 0 && errors.Is(taken[n-1].err, io.EOF) {
		taken = taken[:n-1]
	}
	r.pending = append(taken, r.pending...)
	return nil, errQuote
}

// split cuts one record; open says that a quoted field did not end.
func split(s string, sep byte) (fields []string, open bool) {
	for len(fields) < maxFields {
		lead := 0
		for sep != ' ' && lead < len(s) && s[lead] == ' ' {
			lead++ // abuse.ch writes `"a", "b"`
		}
		if strings.HasPrefix(s[lead:], `"`) {
			field, rest, closed := unquote(s[lead+1:])
			if !closed {
				return fields, true
			}
			i := strings.IndexByte(rest, sep)
			if i < 0 {
				return append(fields, field+rest), false
			}
			fields, s = append(fields, field+rest[:i]), rest[i+1:]
			continue
		}
		i := strings.IndexByte(s, sep)
		if i < 0 {
			return append(fields, s), false
		}
		fields, s = append(fields, s[:i]), s[i+1:]
	}
	return fields, false
}

// unquote reads up to the closing quote; a doubled quote stands for one.
func unquote(s string) (field, rest string, closed bool) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(s[:i])
		if s = s[i+1:]; !strings.HasPrefix(s, `"`) {
			return b.String(), s, true
		}
		b.WriteByte('"')
		s = s[1:]
	}
}
