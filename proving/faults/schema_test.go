// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// unknown is a field of a schema that we do not know, in wire form.
func unknown(number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

// foreignSchema are events as agents of the schema before and after ours send them.
// Unknown fields stand last, as every protobuf encoder of Go writes them.
func foreignSchema(t *testing.T, host string) map[string][]byte {
	t.Helper()
	wall := time.Now().UnixNano()
	event1 := func(schema uint32) *event.Event {
		return &event.Event{Tenant: "default", Host: host, BootId: "b", BootNs: 5, WallNs: wall, Schema: schema}
	}
	newKind := append(mustMarshal(t, event1(event.Schema+1)), unknown(99, "a payload of next year")...)
	newField := append(mustMarshal(t, event1(event.Schema+1)), unknown(50, "beside the payload")...)

	op := event1(event.Schema + 1)
	op.Sensor = 42
	activity := &event.ProcessActivity{Op: 57, Argv: []string{"/bin/future"}}
	activity.ProtoReflect().SetUnknown(unknown(60, "inside the payload"))
	actor := &entity.Process{Pid: 4711, StartNs: 1, Exe: "/bin/future"}
	actor.ProtoReflect().SetUnknown(unknown(70, "inside the actor"))
	op.Actor, op.Payload = actor, &event.Event_Process{Process: activity}

	old := event1(event.Schema - 1) // it knew neither boot id nor sensor, class nor activity
	old.BootId, old.BootNs = "", 0
	old.Payload = &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Argv: []string{"/bin/past"}}}
	return map[string][]byte{
		"unknown kind": newKind, "unknown field": newField, "unknown operation and sensor, unknown fields inside": mustMarshal(t, op), "older": mustMarshal(t, old),
		"nothing but a sender": mustMarshal(t, &event.Event{Tenant: "default", Host: host}),
	}
}

// bare is an event as its agent sent it: without what the bus and the brain number.
func bare(t *testing.T, ev *event.Event) []byte {
	t.Helper()
	ev = ev.CloneVT()
	ev.Epoch, ev.Seq, ev.Arrival = 0, 0, 0
	return mustMarshal(t, ev)
}

// TestOtherSchemas: what an agent of another schema sends passes bus, archive and export
// byte for byte, can be hunted, and harms nobody.
func TestOtherSchemas(t *testing.T) {
	b := newBrain(t)
	s := newSynth(t, b.join(t, "default", "other"), t.TempDir(), 0)
	sent := foreignSchema(t, "other")
	for _, raw := range sent {
		s.raw(identity.Precious, raw)
	}
	s.emit(ran(77, time.Now().UnixNano(), "/bin/ours"))
	s.settled()
	if n := number(t, b.data, "default", "select count(*) from events where host='other' and kind in ('unknown', 'process.unknown')"); n != 4 {
		t.Errorf("%d events of unknown kind can be hunted, want 4", n)
	}
	if n := number(t, b.data, "default", "select count(*) from processes where exe = '/bin/ours'"); n != 1 {
		t.Errorf("an ordinary event beside them: %d", n)
	}
	file := filepath.Join(t.TempDir(), "export.rwe")
	if err := try(b.data, "record", file, "--since", "500000h"); err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	exported := map[string]int{}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := event.ReadRecording(f, func(ev *event.Event) error { exported[string(bare(t, ev))]++; return nil }); err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for _, ev := range archived(t, b.data, "default") {
		stored[string(bare(t, ev))]++
	}
	for what, raw := range sent {
		if stored[string(raw)] != 1 {
			t.Errorf("%s: not in the archive as it was sent: %x", what, raw)
		}
		if exported[string(raw)] != 1 {
			t.Errorf("%s: not in the export as it was sent: %x", what, raw)
		}
	}
	ask(t, t.TempDir(), "replay", file)
}
