// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestKindOfANewerSchema(t *testing.T) {
	e := &Event{Payload: &Event_Process{Process: &ProcessActivity{Op: 99}}}
	e.Classify()
	if got := e.Kind(); got != "process.unknown" {
		t.Errorf("Kind = %q", got)
	}
	if got := (&Event{Payload: &Event_File{File: &FileActivity{Op: FileActivity_RENAME}}}).Kind(); got != "file.rename" {
		t.Errorf("Kind = %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	e := &Event{Tenant: "t", Host: "h", Payload: &Event_Http{Http: &HttpActivity{Op: HttpActivity_REQUEST}}}
	raw, err := e.MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Event
		if e.UnmarshalVT(b) != nil {
			return
		}
		e.Classify()
		_ = e.Kind()
		again, err := e.MarshalVT()
		if err != nil {
			return // strings that are no UTF-8 decode but may not be written by other codecs
		}
		var twin Event
		if err := twin.UnmarshalVT(again); err != nil || !proto.Equal(&e, &twin) {
			t.Errorf("an event changes when passed on: %v", err)
		}
	})
}

func TestRecording(t *testing.T) {
	var file bytes.Buffer
	r, err := NewRecorder(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		if err := r.Write(&Event{Host: "web", Seq: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	count := func(e *Event) error {
		if e.Seq != n {
			t.Errorf("event %d has sequence %d", n, e.Seq)
		}
		n++
		return nil
	}
	if err := ReadRecording(bytes.NewReader(file.Bytes()), count); err != nil || n != 100 {
		t.Errorf("%d events, %v", n, err)
	}
	n = 0
	if err := ReadRecording(bytes.NewReader(file.Bytes()[:file.Len()-8]), count); err == nil {
		t.Error("a cut recording reads as whole")
	}
}

func FuzzRecording(f *testing.F) {
	var file bytes.Buffer
	r, _ := NewRecorder(&file)
	_ = r.Write(&Event{Host: "web"})
	_ = r.Close()
	f.Add(file.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = ReadRecording(bytes.NewReader(b), func(*Event) error { return nil })
	})
}
