// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/proving/rerun"
	"github.com/ringwall/ringwall/spool"
)

// synth is an agent without sensors: spool and link as a real one has them, and the
// test says what it saw.
type synth struct {
	t     *testing.T
	self  *identity.Agent
	spool *spool.Spool
	link  *bus.Link
	stop  func()
	seen  uint64
}

// newSynth runs one. Its spool lies in dir and may hold so many bytes; 0 is the default.
func newSynth(t *testing.T, self *identity.Agent, dir string, most int64) *synth {
	t.Helper()
	sp, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), MaxBytes: most})
	if err != nil {
		t.Fatal(err)
	}
	link, err := bus.Dial(bus.LinkConfig{Agent: self})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	precious, bulk := sp.Reader(identity.Precious), sp.Reader(identity.Bulk)
	pub := link.NewPublisher(bus.PublisherConfig{Precious: precious, Bulk: bulk, Trim: sp.Trim})
	wg.Go(func() { _ = pub.Run(ctx) })
	sctx, scancel := context.WithCancel(context.Background())
	var swg sync.WaitGroup
	swg.Go(func() { _ = sp.Run(sctx) })
	s := &synth{t: t, self: self, spool: sp, link: link}
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		scancel()
		swg.Wait()
		link.Close()
		precious.Close()
		bulk.Close()
	})
	t.Cleanup(s.stop)
	return s
}

// emit spools an event of this host and tells whether it was kept.
func (s *synth) emit(ev *event.Event) bool {
	s.t.Helper()
	s.seen++
	ev.Tenant, ev.Host, ev.BootId, ev.Schema = string(s.self.Tenant), string(s.self.Host), "synthetic", event.Schema
	if ev.BootNs == 0 {
		ev.BootNs = s.seen * 1000
	}
	ev.Classify()
	return s.raw(agent.ClassOf(ev), mustMarshal(s.t, ev))
}

// raw spools bytes.
func (s *synth) raw(class identity.Class, raw []byte) bool {
	s.t.Helper()
	_, kept, err := s.spool.Append(class, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return kept == 1
}

// settled waits until the archive has stored all of it.
func (s *synth) settled() {
	s.t.Helper()
	eventually(s.t, "everything of "+string(s.self.Host)+" stored", func() bool {
		return s.spool.Stats(identity.Precious).Waiting == 0 && s.spool.Stats(identity.Bulk).Waiting == 0
	})
}

func mustMarshal(t *testing.T, ev *event.Event) []byte {
	t.Helper()
	raw, err := ev.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ran is a program that ran, and wrote a file.
func ran(pid uint32, wall int64, argv ...string) *event.Event {
	p := &entity.Process{Pid: pid, StartNs: uint64(pid) * 7919, Exe: argv[0], Comm: filepath.Base(argv[0])}
	return &event.Event{WallNs: wall, Sensor: event.Sensor_KERNEL, Actor: p,
		Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Argv: argv, Image: &entity.File{Path: argv[0]}}}}
}

// wrote is a bulk event: a file opened for writing.
func wrote(pid uint32, wall int64, path string) *event.Event {
	p := &entity.Process{Pid: pid, StartNs: uint64(pid) * 7919, Exe: "/bin/sh", Comm: "sh"}
	return &event.Event{WallNs: wall, Sensor: event.Sensor_KERNEL, Actor: p,
		Payload: &event.Event_File{File: &event.FileActivity{Op: event.FileActivity_OPEN_WRITE, File: &entity.File{Path: path, Inode: uint64(pid)}}}}
}

func nonce(what string, i int) string { return fmt.Sprintf("nonce-%s-%06d", what, i) }

// publish sends a feed as an agent until the test ends.
func publish(t *testing.T, self *identity.Agent, f *rerun.Feed) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.Publish(ctx, self); err != nil && ctx.Err() == nil {
			t.Errorf("publish as %s: %v", self.Host, err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}
