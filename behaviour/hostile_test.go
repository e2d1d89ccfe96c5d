// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"testing"

	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/verdict"
)

// FuzzSee gives the heart what a hostile agent may send: any message that decodes. The
// seeds are the events of the cases and of every operation with nothing filled in.
func FuzzSee(f *testing.F) {
	add := func(ev *event.Event) {
		if raw, err := ev.MarshalVT(); err == nil {
			f.Add(raw)
		}
	}
	for i, ev := range hollow() {
		if i%16 == 0 {
			add(ev)
		}
	}
	s := newStream(1, 1)
	for range 60 {
		add(s.next())
	}
	rules := ownRules(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := newHeart(t, rules, graph.Config{Bytes: 1 << 20}, nil)
		var again []*event.Event
		for _, part := range [][]byte{raw, raw[:len(raw)/2], raw[len(raw)/2:]} {
			ev := &event.Event{}
			if ev.UnmarshalVT(part) == nil {
				again = append(again, ev)
			}
		}
		for range 2 {
			for _, ev := range again {
				h.see(ev)
			}
		}
		for _, k := range []entity.Kind{entity.Kind_PROCESS, entity.Kind_FILE, entity.Kind_FLOW, entity.Kind_REQUEST, entity.Kind_LOGIN, entity.Kind_ADDRESS} {
			id := h.g.Resolve(&entity.Sighting{Kind: k}, "", 0)
			trace.Back(h.g, id, 0)
			trace.Forward(h.g, id, 10)
		}
	})
}

// hollow is one event of every kind and operation, with nothing in it or with only
// empty messages in it.
func hollow() []*event.Event {
	var out []*event.Event
	who := []*entity.Process{nil, {}, {Pid: 7}, {Pid: 7, StartNs: 9}}
	add := func(p *event.Event) {
		for _, a := range who {
			out = append(out, &event.Event{Host: "h", Actor: a, Sensor: event.Sensor_KERNEL, Payload: p.Payload})
			out = append(out, &event.Event{Actor: a, Payload: p.Payload, WallNs: -5, BootNs: 1 << 63})
		}
	}
	flows := []*entity.Flow{nil, {}, {SrcIp: []byte{1}, DstIp: []byte{2, 3}}, {SrcIp: make([]byte, 4), DstIp: make([]byte, 16), SrcPort: 1 << 20, DstPort: 3}}
	files := []*entity.File{nil, {}, {Path: "/a.php"}, {Inode: 3}}
	for op := range event.ProcessActivity_Op_name {
		for i := range 2 {
			p := &event.ProcessActivity{Op: event.ProcessActivity_Op(op)}
			if i == 1 {
				p.Target, p.Parent, p.Image, p.Fds = &entity.Process{Pid: 7}, &entity.Process{Pid: 7}, &entity.File{}, []*event.Descriptor{nil, {}, {Type: 99}, {Type: event.Descriptor_SOCKET}}
			}
			add(&event.Event{Payload: &event.Event_Process{Process: p}})
		}
	}
	for op := range event.FileActivity_Op_name {
		for _, fl := range files {
			add(&event.Event{Payload: &event.Event_File{File: &event.FileActivity{Op: event.FileActivity_Op(op), File: fl, NewPath: "/b.php"}}})
			add(&event.Event{Payload: &event.Event_File{File: &event.FileActivity{Op: event.FileActivity_Op(op), File: fl}}})
		}
	}
	for op := range event.NetworkActivity_Op_name {
		for _, fl := range flows {
			add(&event.Event{Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: event.NetworkActivity_Op(op), Flow: fl}}})
		}
	}
	for seen := range event.HttpActivity_Seen_name {
		for op := range event.HttpActivity_Op_name {
			add(&event.Event{Payload: &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_Op(op), Seen: event.HttpActivity_Seen(seen)}}})
			for _, fl := range flows {
				add(&event.Event{Payload: &event.Event_Http{Http: &event.HttpActivity{Op: event.HttpActivity_Op(op), Seen: event.HttpActivity_Seen(seen), Channel: 5, Script: "/a.php",
					Params: []*event.Param{nil, {}}, Uploads: []*event.Upload{nil, {}}, Request: &entity.Request{Flow: fl}}}})
			}
		}
	}
	for _, fl := range flows {
		add(&event.Event{Payload: &event.Event_Auth{Auth: &event.Authentication{Outcome: event.Authentication_SUCCESS, Flow: fl}}})
		add(&event.Event{Payload: &event.Event_Tls{Tls: &event.TlsActivity{Flow: fl}}})
		add(&event.Event{Payload: &event.Event_Ssh{Ssh: &event.SshActivity{Flow: fl}}})
		for k := range entity.Kind_name {
			for _, colour := range []verdict.Colour{verdict.Colour_GREY, verdict.Colour_BLACK} {
				add(&event.Event{Payload: &event.Event_Finding{Finding: &verdict.Finding{Colour: colour, Score: 0.99, Subjects: []*entity.Sighting{
					{Kind: entity.Kind(k)}, {Kind: entity.Kind(k), Flow: fl, File: &entity.File{}, Process: &entity.Process{Pid: 7}, Request: &entity.Request{Flow: fl}, Text: "x"}, nil}, Evidence: []*verdict.Evidence{nil}}}})
			}
		}
	}
	add(&event.Event{Payload: &event.Event_Channel{Channel: &event.ChannelActivity{Op: event.ChannelActivity_UNIX_PAIR, PeerPid: 7}}})
	add(&event.Event{Payload: &event.Event_Loss{Loss: &verdict.LossWindow{}}})
	add(&event.Event{Payload: &event.Event_State{State: &event.SensorState{}}})
	add(&event.Event{Payload: &event.Event_Dns{Dns: &event.DnsActivity{}}})
	add(&event.Event{Payload: &event.Event_Log{Log: &event.LogRecord{}}})
	add(&event.Event{})
	return out
}

// TestHollowEvents runs them all through one heart: a message that a sensor would
// never send must not end the brain.
func TestHollowEvents(t *testing.T) {
	h := newHeart(t, ownRules(t), graph.Config{}, nil)
	for range 2 {
		for _, ev := range hollow() {
			raw, err := ev.MarshalVT()
			if err != nil {
				continue // a list with a hole cannot be sent
			}
			got := &event.Event{}
			if err := got.UnmarshalVT(raw); err != nil {
				t.Fatal(err)
			}
			h.see(got)
		}
	}
}
