// SPDX-License-Identifier: Apache-2.0

package http

import (
	"bytes"
	"iter"
	"strings"
)

const (
	// MaxParts bounds one multipart body; PHP's default is 1000 fields and 20 files.
	MaxParts      = 1024
	maxPartHeader = 8 << 10
)

// Part is one part of a multipart body. Data is a part of the body that was
// given in, not a copy.
type Part struct {
	Name, FileName string // "" when absent; see HasFile
	HasFile        bool   // a filename parameter is there, even an empty one
	ContentType    string
	Data           []byte
	Whole          bool // the boundary after it was seen
}

// Parts walks a multipart/form-data body (RFC 7578) or its prefix. It is more
// lenient than the RFCs: bare LF, text around the boundary, unquoted names, as
// PHP and others are. Without a boundary it yields nothing.
func Parts(contentType string, body []byte) iter.Seq[Part] {
	boundary := Parameter(contentType, "boundary")
	return func(yield func(Part) bool) {
		if boundary == "" || len(boundary) > 256 { // RFC 2046 §5.1.1 says 70
			return
		}
		mark := []byte("--" + boundary)
		at := bytes.Index(body, mark)
		if at < 0 {
			return
		}
		body = body[at+len(mark):]
		for range MaxParts {
			if bytes.HasPrefix(body, []byte("--")) {
				return
			}
			i := bytes.IndexByte(body, '\n') // the rest of the boundary's line
			if i < 0 {
				return
			}
			part := body[i+1:]
			end := partEnd(part, mark)
			whole := end >= 0
			if whole {
				body = part[end+len(mark):]
				part = part[:end]
			}
			p, ok := readPart(part, whole)
			if ok && !yield(p) || !whole {
				return
			}
		}
	}
}

// partEnd finds the boundary at the beginning of a line.
func partEnd(b, mark []byte) int {
	for at := 0; ; {
		i := bytes.Index(b[at:], mark)
		if i < 0 {
			return -1
		}
		at += i
		if at == 0 || b[at-1] == '\n' {
			return at
		}
		at += len(mark)
	}
}

func readPart(b []byte, whole bool) (Part, bool) {
	p := Part{Whole: whole}
	for used := 0; ; {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || used > maxPartHeader {
			return p, p.Name != "" || p.HasFile // headers were cut
		}
		line := string(bytes.TrimRight(b[:min(i, maxPartHeader)], "\r"))
		b = b[i+1:]
		used += i + 1
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch {
		case strings.EqualFold(strings.TrimRight(name, " \t"), "Content-Disposition"):
			p.Name = Parameter(value, "name")
			if p.FileName, p.HasFile = parameter(value, "filename"); !p.HasFile {
				if p.FileName, p.HasFile = parameter(value, "filename*"); p.HasFile {
					p.FileName = extended(p.FileName)
				}
			}
		case strings.EqualFold(strings.TrimRight(name, " \t"), "Content-Type"):
			p.ContentType = value
		}
	}
	if whole {
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	}
	p.Data = b
	return p, true
}

// extended undoes charset'language'percent-encoding (RFC 8187), whatever the charset.
func extended(s string) string {
	if parts := strings.SplitN(s, "'", 3); len(parts) == 3 {
		return Decode(parts[2], false)
	}
	return s
}

// Parameter gives the first parameter of that name, in any case, from a header
// value like Content-Type or Content-Disposition, unquoted; "" when absent.
func Parameter(value, name string) string {
	v, _ := parameter(value, name)
	return v
}

func parameter(s, name string) (string, bool) {
	_, s, _ = strings.Cut(s, ";")
	for s != "" {
		s = strings.TrimLeft(s, " \t;")
		i := strings.IndexAny(s, "=;")
		if i < 0 {
			return "", false
		}
		key := strings.TrimRight(s[:i], " \t")
		if s[i] == ';' {
			s = s[i+1:]
			continue
		}
		var v string
		v, s = parameterValue(strings.TrimLeft(s[i+1:], " \t"))
		if strings.EqualFold(key, name) {
			return v, true
		}
	}
	return "", false
}

// parameterValue takes a token or a quoted string. A backslash only escapes a
// quote or a backslash: Windows browsers send "C:\dir\file" as it is.
func parameterValue(s string) (value, rest string) {
	if s == "" || s[0] != '"' {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimRight(value, " \t"), rest
	}
	s = s[1:]
	i := strings.IndexAny(s, `"\`)
	if i >= 0 && s[i] == '"' {
		return s[:i], s[i+1:]
	}
	var b strings.Builder
	for j := 0; j < len(s); j++ {
		switch c := s[j]; {
		case c == '"':
			return b.String(), s[j+1:]
		case c == '\\' && j+1 < len(s) && (s[j+1] == '"' || s[j+1] == '\\'):
			j++
			b.WriteByte(s[j])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "" // the closing quote is missing
}
