// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A recording is a zstd stream of events in the order they were judged: the magic
// "RWEV1\n", then per event an unsigned varint length and the protobuf message.
const recordingMagic = "RWEV1\n"

// MaxEncoded bounds one event in a recording, as the spool bounds it.
const MaxEncoded = 256 << 10

// ErrRecording is wrapped by every refusal to read.
var ErrRecording = errors.New("not a recording of events")

// Recorder writes a recording. It belongs to one goroutine.
type Recorder struct {
	z   *zstd.Encoder
	buf []byte
}

// NewRecorder begins a recording on w.
func NewRecorder(w io.Writer) (*Recorder, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(z, recordingMagic)
	return &Recorder{z: z}, err
}

// Write appends one event.
func (r *Recorder) Write(e *Event) error {
	raw, err := e.MarshalVT()
	if err != nil {
		return err
	}
	r.buf = binary.AppendUvarint(r.buf[:0], uint64(len(raw)))
	r.buf = append(r.buf, raw...)
	_, err = r.z.Write(r.buf)
	return err
}

// Close ends the recording; the writer below stays open.
func (r *Recorder) Close() error { return r.z.Close() }

// ReadRecording calls f with every event of a recording until f or the stream ends.
// A cut or damaged recording gives what was good before it and then an error that
// names the event's number.
func ReadRecording(in io.Reader, f func(*Event) error) error {
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecording, err)
	}
	defer z.Close()
	r := bufio.NewReader(z)
	magic := make([]byte, len(recordingMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != recordingMagic {
		return fmt.Errorf("%w: it does not begin with %q", ErrRecording, recordingMagic)
	}
	var raw []byte
	for n := 1; ; n++ {
		size, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || size > MaxEncoded {
			return fmt.Errorf("%w: event %d: length %d, error %v", ErrRecording, n, size, err)
		}
		if uint64(cap(raw)) < size {
			raw = make([]byte, size)
		}
		raw = raw[:size]
		if _, err := io.ReadFull(r, raw); err != nil {
			return fmt.Errorf("%w: event %d: %w", ErrRecording, n, err)
		}
		e := &Event{}
		if err := e.UnmarshalVT(raw); err != nil {
			return fmt.Errorf("%w: event %d: %w", ErrRecording, n, err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}
