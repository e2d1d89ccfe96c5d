// SPDX-License-Identifier: Apache-2.0

// Package rerun tells a recorded intrusion to a running brain, as the agents did that
// were there.
//
// In comes a recording, such as that of `ringwall demo`; out go its events to the bus, as
// if the last of them had happened just now, under an identity that the caller enrolled.
// It believes the recording.
//
// The worst trap: events keep their order within a host only while they go by one feed.
package rerun

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// Read gives what each host of a recording told, with all times moved so that the last
// event happened at end. Ids are left out: who sends them gives new ones.
func Read(path string, end time.Time) (map[string][]*event.Event, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	defer f.Close()
	by, last := map[string][]*event.Event{}, int64(0)
	err = event.ReadRecording(f, func(ev *event.Event) error {
		by[ev.Host] = append(by[ev.Host], ev)
		last = max(last, ev.WallNs)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read recording %s: %w", path, err)
	}
	shift := end.UnixNano() - last
	for _, list := range by {
		for _, ev := range list {
			ev.Arrival, ev.Epoch, ev.Seq = 0, 0, 0
			ev.WallNs += shift
			if f := ev.GetFinding(); f != nil {
				f.WallNs += shift
			}
		}
	}
	return by, nil
}

// Feed is a spool in memory whose ids the caller chooses: events of one host, all of one
// class, so that they are judged in this order in every run. Safe for many goroutines.
type Feed struct {
	epoch uint64

	mu      sync.Mutex // guards what follows
	events  [][]byte
	at      int           // next to give
	stored  uint64        // sequence up to which the archive has them
	changed chan struct{} // closed when more may be read
}

// New makes an empty one; its events belong to that epoch, numbered from 1.
func New(epoch uint64) *Feed { return &Feed{epoch: epoch, changed: make(chan struct{})} }

func (f *Feed) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Add appends encoded events.
func (f *Feed) Add(events ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	f.wake()
}

// Next implements bus.Reader.
func (f *Feed) Next(ctx context.Context, maxEvents, maxBytes int) (identity.Position, uint64, [][]byte, error) {
	for {
		f.mu.Lock()
		if f.at < len(f.events) {
			from, size := f.at, 0
			for f.at < len(f.events) && f.at-from < maxEvents && (f.at == from || size+len(f.events[f.at]) <= maxBytes) {
				size += len(f.events[f.at])
				f.at++
			}
			out := f.events[from:f.at]
			f.mu.Unlock()
			return identity.Position{Epoch: f.epoch, Seq: uint64(from) + 1}, 0, out, nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return identity.Position{}, 0, nil, ctx.Err()
		case <-changed:
		}
	}
}

// Rewind implements bus.Reader.
func (f *Feed) Rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = int(f.stored)
	f.wake()
}

func (f *Feed) trim(p identity.Position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Epoch == f.epoch {
		f.stored = max(f.stored, p.Seq)
	}
	return nil
}

// Left is how many events the archive has not stored.
func (f *Feed) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events) - int(f.stored)
}

// Publish sends the feed as that agent until ctx ends.
func (f *Feed) Publish(ctx context.Context, self *identity.Agent) error {
	link, err := bus.Dial(bus.LinkConfig{Agent: self})
	if err != nil {
		return err
	}
	defer link.Close()
	return link.NewPublisher(bus.PublisherConfig{Precious: f, Bulk: New(f.epoch + 1), Trim: f.trim}).Run(ctx)
}
