// SPDX-License-Identifier: Apache-2.0

package event

import (
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
