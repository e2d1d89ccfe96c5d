// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/respond/process"
)

func network(op event.NetworkActivity_Op, src, dst string, inbound bool) *event.Event {
	f := entity.NewFlow(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), 6)
	return &event.Event{Sensor: event.Sensor_KERNEL, Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: op, Flow: f, Inbound: inbound}}}
}

func ran(exe string) *event.Event {
	return &event.Event{Sensor: event.Sensor_KERNEL, Actor: &entity.Process{Pid: 9, Exe: exe}, Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXEC}}}
}

// TestSilence: each kind with what breaks it and its near miss, told while the action is
// confirmed.
func TestSilence(t *testing.T) {
	const peer, own, other = "203.0.113.9:4000", "10.0.0.2:80", "192.0.2.7:4000"
	address := &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "203.0.113.9"}
	prefix := &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "203.0.113.0/24"}
	file := &entity.Sighting{Kind: entity.Kind_FILE, File: &entity.File{Path: "/tmp/dropped"}}
	accept := event.NetworkActivity_ACCEPT
	for _, c := range []struct {
		name    string
		kind    action.Kind
		subject *entity.Sighting
		ev      *event.Event
		want    string // of the breach; "" holds
	}{
		{"the peer is let in", action.BlockAddress, address, network(accept, peer, own, true), "a connection was made"},
		{"one of the prefix is let in", action.BlockAddress, prefix, network(accept, peer, own, true), "a connection was made"},
		{"we call the peer", action.BlockAddress, address, network(event.NetworkActivity_CONNECT, own, peer, false), "a connection was made"},
		{"another is let in", action.BlockAddress, address, network(accept, other, own, true), ""},
		{"the peer knocks", action.BlockAddress, address, network(event.NetworkActivity_RESET, peer, own, true), ""},
		{"a cut does not forbid a new one", action.CutConnection, address, network(accept, peer, own, true), ""},
		{"somebody is let in", action.IsolateHost, nil, network(accept, peer, own, true), "a connection was made"},
		{"the brain is let in", action.IsolateHost, nil, network(accept, other, own, true), ""},
		{"the brain is called", action.IsolateHost, nil, network(event.NetworkActivity_CONNECT, own, other, false), ""},
		{"it runs", action.QuarantineFile, file, ran("/tmp/dropped"), "it was run"},
		{"another runs", action.QuarantineFile, file, ran("/tmp/dropped2"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := New([]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}, nil)
			for _, late := range []bool{true, false} { // told late of what was before is no breach
				confirm := w.Watch(&action.Order{Kind: c.kind, Subject: c.subject})
				before := event.BootNow()
				done := make(chan error)
				go func() { _, err := confirm(t.Context()); done <- err }()
				for begun := false; !begun; time.Sleep(time.Millisecond) {
					w.mu.Lock()
					begun = w.all[0].since != 0
					w.mu.Unlock()
				}
				if c.ev.BootNs = event.BootNow(); late {
					c.ev.BootNs = before
				}
				w.See(c.ev)
				want := c.want
				if late {
					want = ""
				}
				if err := <-done; (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("late %v: %v, want %q", late, err, want)
				}
				if w.some.Load() {
					t.Error("it watches on")
				}
			}
		})
	}
}

func TestEndOfAProcess(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	st, err := process.Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	life := &entity.Process{Pid: uint32(st.PID), StartNs: st.Start * uint64(process.Tick)}
	order := &action.Order{Kind: action.KillTree, Subject: &entity.Sighting{Kind: entity.Kind_PROCESS, Process: life}}
	exit := func(p *entity.Process) *event.Event {
		return &event.Event{Sensor: event.Sensor_KERNEL, Actor: p, Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXIT}}}
	}
	w := New(nil, func(p *entity.Process) bool { return process.Lives(int(p.GetPid()), p.GetStartNs()) })
	seen, unseen := w.Watch(order), w.Watch(order)
	w.See(exit(&entity.Process{Pid: life.Pid, StartNs: life.StartNs + 5e9})) // a later life
	w.See(exit(&entity.Process{Pid: uint32(os.Getpid()), StartNs: life.StartNs}))
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := unseen(short); !errors.Is(err, ErrUnseen) {
		t.Errorf("others ended: %v", err)
	}
	w.See(exit(life))
	w.See(exit(life))
	if saw, err := seen(t.Context()); err != nil || saw == "" {
		t.Errorf("it ended: %q, %v", saw, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if saw, err := w.Watch(order)(t.Context()); err != nil || saw != "" {
		t.Errorf("it had ended before: %q, %v", saw, err)
	}
}
