// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// The bytes of a segment: docs/formats/spool.md.
const (
	magic         = "RWSPOOL\x00"
	formatVersion = 1
	headerBytes   = 40
	recordHead    = 8 // length, checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is a file of consecutive events of one epoch. Its queue's mutex guards it.
type segment struct {
	path   string
	epoch  uint64
	first  uint64 // sequence of its first record
	count  uint64 // records that are synced
	size   int64  // bytes that are synced, header included
	active bool   // still written to
}

// end is the sequence behind the last record.
func (s *segment) end() uint64 { return s.first + s.count }

func segmentPath(dir string, epoch, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x-%016x.seg", epoch, first))
}

func encodeHeader(class identity.Class, epoch, first uint64, created time.Time) []byte {
	b := append(make([]byte, 0, headerBytes), magic...)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = append(b, byte(class), 0)
	b = binary.LittleEndian.AppendUint64(b, epoch)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixNano()))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errHeader = errors.New("not a segment header")

func decodeHeader(b []byte) (class identity.Class, epoch, first uint64, err error) {
	if len(b) < headerBytes || string(b[:8]) != magic {
		return 0, 0, 0, errHeader
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != formatVersion {
		return 0, 0, 0, fmt.Errorf("format %d, and this is format %d: %w", v, formatVersion, ErrFormat)
	}
	if crc32.Checksum(b[:36], castagnoli) != binary.LittleEndian.Uint32(b[36:]) {
		return 0, 0, 0, errHeader
	}
	class, epoch, first = identity.Class(b[10]), binary.LittleEndian.Uint64(b[12:]), binary.LittleEndian.Uint64(b[20:])
	if class != (identity.Position{Epoch: epoch}).Class() || first == 0 {
		return 0, 0, 0, errHeader
	}
	return class, epoch, first, nil
}

// appendRecord adds a record. The checksum covers the length too: a length that lies
// is found before it is believed.
func appendRecord(dst, event []byte) []byte {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(event)))
	sum := crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, event)
	dst = append(dst, n[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, event...)
}

var (
	errShort   = errors.New("record is cut short")
	errCorrupt = errors.New("record is damaged")
)

// nextRecord reads the first record of b and returns its event, which aliases b, and
// the bytes behind. errShort means that b may be the beginning of a good record.
func nextRecord(b []byte) (event, rest []byte, err error) {
	if len(b) < recordHead {
		return nil, b, errShort
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > MaxEvent {
		return nil, b, errCorrupt
	}
	if len(b) < recordHead+int(n) {
		return nil, b, errShort
	}
	event = b[recordHead : recordHead+int(n) : recordHead+int(n)]
	if crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, event) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, b, errCorrupt
	}
	return event, b[recordHead+int(n):], nil
}

// scan walks the records of a segment behind its header and returns how many are good
// before the first that is not, their bytes, and how many more there seem to be.
func scan(r io.Reader) (good uint64, size int64, bad uint64, err error) {
	br := bufio.NewReaderSize(r, 256<<10)
	buf := make([]byte, recordHead+MaxEvent)
	for {
		if _, err := io.ReadFull(br, buf[:recordHead]); err != nil {
			if err == io.ErrUnexpectedEOF {
				bad++
			}
			return good, size, bad, ignoreEOF(err)
		}
		n := binary.LittleEndian.Uint32(buf)
		if n == 0 || n > MaxEvent {
			return good, size, bad + 1, nil
		}
		whole := buf[:recordHead+int(n)]
		if _, err := io.ReadFull(br, whole[recordHead:]); err != nil {
			return good, size, bad + 1, ignoreEOF(err)
		}
		if _, _, err := nextRecord(whole); err != nil || bad > 0 {
			bad++
			continue
		}
		good++
		size += int64(len(whole))
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// openSegment reads and checks a whole segment. bad counts records that are not good.
func openSegment(path string, class identity.Class) (s *segment, bad uint64, modified time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, modified, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, modified, err
	}
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(f, head); err != nil {
		if ignoreEOF(err) == nil {
			err = errHeader
		}
		return nil, 0, info.ModTime(), err
	}
	is, epoch, first, err := decodeHeader(head)
	if err == nil && is != class {
		err = errHeader
	}
	if err != nil {
		return nil, 0, info.ModTime(), err
	}
	count, size, bad, err := scan(f)
	if err != nil {
		return nil, 0, info.ModTime(), fmt.Errorf("read segment %s: %w", path, err)
	}
	return &segment{path: path, epoch: epoch, first: first, count: count, size: headerBytes + size}, bad, info.ModTime(), nil
}
