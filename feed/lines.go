// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var bom = []byte("\xef\xbb\xbf")

// Sniff looks at the first bytes and refuses what can be no list at all: an empty
// file, a page, a packed file, UTF-16. The reader it returns starts at the first byte.
func Sniff(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, MaxLine)
	head, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, magic := range []string{"\x1f\x8b", "PK\x03\x04", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return nil, ErrPacked
		}
	}
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return nil, ErrEncoding
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(head, bom))
	if len(text) == 0 && len(head) < 512 {
		return nil, ErrEmpty
	}
	// No format of ours begins so; every error page of a web server and every STIX 1 file does.
	if len(text) > 0 && text[0] == '<' {
		return nil, ErrPage
	}
	return b, nil
}

// Lines reads lines of bounded length. Not safe for several goroutines.
type Lines struct {
	r *bufio.Reader
	n int
}

// NewLines reads from what Sniff returned.
func NewLines(r *bufio.Reader) *Lines { return &Lines{r: r} }

// Next returns the next line without its end, and its number from 1. The bytes are
// valid until the next call. ErrLongLine means that this line was skipped and reading
// can go on; io.EOF is the end; anything else is a failure of the reader beneath.
func (l *Lines) Next() (line []byte, n int, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, l.n, io.EOF
	}
	l.n++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, l.n, err
		}
		return nil, l.n, ErrLongLine
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, l.n, err
	}
	if l.n == 1 {
		line = bytes.TrimPrefix(line, bom)
	}
	return bytes.TrimRight(line, "\r\n"), l.n, nil
}
