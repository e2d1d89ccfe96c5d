// SPDX-License-Identifier: Apache-2.0

// Package pcap reads capture files: pcap (micro- and nanoseconds, either byte order),
// pcapng with several interfaces, both also under gzip. Out come packets with time,
// link type and length on the wire.
//
// It believes the file for time and link type and no length in it: memory grows with
// bytes that are there (pcapgo's readers see to that). A file that breaks off gives
// every packet before the break, then an [Error] with file and offset.
//
// Worst trap: a packet's bytes are the reader's and change with the next call.
package pcap

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// ErrTruncated says that the file ends inside a packet; ErrNotCapture that it never was
// a capture file; ErrDamaged that something in it cannot be.
var (
	ErrTruncated  = errors.New("the file ends inside a packet")
	ErrNotCapture = errors.New("neither pcap nor pcapng")
	ErrDamaged    = errors.New("damaged capture")
)

// Error says where in which file reading ended.
type Error struct {
	File   string
	Offset int64  // of the record that could not be read; within the compressed bytes under gzip
	Packet uint64 // packets read before
	Err    error
}

// Error says all of it.
func (e *Error) Error() string {
	return fmt.Sprintf("read capture %s at byte %d (after %d packets): %v", e.File, e.Offset, e.Packet, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Packet is one captured frame.
type Packet struct {
	WallNs int64 // ns since 1970
	Link   int   // tcpdump.org/linktypes.html
	Length int   // bytes on the wire, at least len(Data)
	Data   []byte
}

// Reader reads one file from front to back. For one goroutine.
type Reader struct {
	name    string
	count   counter
	buf     *bufio.Reader
	plain   *pcapgo.Reader
	ng      *pcapgo.NgReader
	packets uint64
	err     error
	close   func() error
}

// counter counts the bytes that were read from the file.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Open opens a file; "-" is standard input.
func Open(name string) (*Reader, error) {
	if name == "-" {
		return NewReader("standard input", os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	r, err := NewReader(name, f)
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads from r; name is for errors.
func NewReader(name string, r io.Reader) (*Reader, error) {
	rd := &Reader{name: name, count: counter{r: r}}
	rd.buf = bufio.NewReaderSize(&rd.count, 64<<10)
	if err := rd.begin(); err != nil {
		return nil, &Error{File: name, Offset: rd.Offset(), Err: fmt.Errorf("%w: %w", ErrNotCapture, err)}
	}
	return rd, nil
}

// begin looks under gzip and finds which of the two formats lies there.
func (r *Reader) begin() (err error) {
	src := r.buf
	if head, _ := src.Peek(2); string(head) == "\x1f\x8b" { // an error shows below
		z, err := gzip.NewReader(src)
		if err != nil {
			return err
		}
		src = bufio.NewReaderSize(z, 64<<10)
	}
	switch head, err := src.Peek(4); {
	case err != nil:
		return fmt.Errorf("%d bytes are no header: %w", len(head), err)
	case string(head) == "\x0a\x0d\x0d\x0a": // section header block, the same in either byte order
		r.ng, err = pcapgo.NewNgReader(src, ngOptions)
		return err
	}
	r.plain, err = pcapgo.NewReader(src)
	return err
}

var ngOptions = pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true}

// Close closes what Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Offset is how far into the file reading has come.
func (r *Reader) Offset() int64 { return r.count.n - int64(r.buf.Buffered()) }

// Next gives the next packet; its Data is valid until the next call. At the end of the
// file it gives io.EOF, and for a file that breaks off an *Error; then always the same.
func (r *Reader) Next() (Packet, error) {
	if r.err != nil {
		return Packet{}, r.err
	}
	at := r.Offset()
	var data []byte
	var ci gopacket.CaptureInfo
	var err error
	link := 0
	if r.ng != nil {
		data, ci, err = r.ng.ZeroCopyReadPacketData()
		if lt, ok := ancillaryLink(ci); err == nil && ok {
			link = int(lt)
		}
	} else {
		data, ci, err = r.plain.ZeroCopyReadPacketData()
		link = int(r.plain.LinkType()) & 0xffff // the upper half says if a checksum follows
	}
	if err != nil {
		r.err = r.ended(at, ci.CaptureLength, err)
		return Packet{}, r.err
	}
	r.packets++
	return Packet{WallNs: ci.Timestamp.UnixNano(), Link: link, Length: max(ci.Length, len(data)), Data: data}, nil
}

func ancillaryLink(ci gopacket.CaptureInfo) (layers.LinkType, bool) {
	if len(ci.AncillaryData) == 0 {
		return 0, false
	}
	lt, ok := ci.AncillaryData[0].(layers.LinkType)
	return lt, ok
}

// ended says how the file ended: behind a packet (io.EOF), inside one, or damaged.
// Both readers give io.EOF only where a record should begin, but for a plain packet of
// which no byte is there; then its header was read and tells a length.
func (r *Reader) ended(at int64, length int, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF) && r.plain != nil && length > 0:
		err = ErrTruncated
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &Error{File: r.name, Offset: at, Packet: r.packets, Err: err}
}
