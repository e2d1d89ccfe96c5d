// SPDX-License-Identifier: Apache-2.0

// Package health is the memory of what is on, degraded or off, and of what was
// lost while it was so.
//
// In come states and loss windows from every component; out go a snapshot for
// doctor and the console, and the windows that a finding carries as completeness.
// It believes what it is told.
//
// The worst trap: a component that never reports looks healthy. Components are
// declared by their owner at start (Set with Off), so silence shows as off.
package health

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// State of a component. Off is zero: what never reported is off.
type State int

// Off, On or Degraded (working, but less than asked).
const (
	Off State = iota
	On
	Degraded
)

// String names the state.
func (s State) String() string { return [...]string{"off", "on", "degraded"}[s] }

// Component is one thing that can fail by itself.
type Component struct {
	Name   string    `json:"name"` // "sensor.kernel", "network.intercept", "archive"
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"` // why not on, and the mend
	Since  time.Time `json:"since"`
}

// Count is what a sensor did with the facts of one class since its start. Filtered are
// those left out on purpose, Lost those that were wanted and not told.
type Count struct{ Seen, Filtered, Lost uint64 }

// windows kept: at one a second per class this is a quarter of an hour of storm.
const maxWindows = 1024

// Board holds the states. Safe for many goroutines.
type Board struct {
	mu         sync.Mutex
	components map[string]Component
	losses     []*verdict.LossWindow
	lost       map[string]uint64
	watch      []func(Component)
}

// NewBoard makes an empty board.
func NewBoard() *Board {
	return &Board{components: map[string]Component{}, lost: map[string]uint64{}}
}

// Set declares or changes a component and tells the watchers when the state or the
// reason changed.
func (b *Board) Set(name string, s State, reason string) {
	b.mu.Lock()
	old, known := b.components[name]
	c := Component{Name: name, State: s.String(), Reason: reason, Since: time.Now()}
	if known && old.State == c.State && old.Reason == reason {
		b.mu.Unlock()
		return
	}
	b.components[name] = c
	watch := slices.Clone(b.watch)
	b.mu.Unlock()
	for _, f := range watch {
		f(c)
	}
}

// Watch calls f on every later change. f must not block.
func (b *Board) Watch(f func(Component)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watch = append(b.watch, f)
}

// Lost writes down a loss window.
func (b *Board) Lost(w *verdict.LossWindow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost[w.Sensor+"/"+w.Class] += w.Count
	if len(b.losses) >= maxWindows {
		b.losses = slices.Delete(b.losses, 0, maxWindows/4)
	}
	b.losses = append(b.losses, w)
}

// LossTotals gives the count lost per "sensor/class" since start.
func (b *Board) LossTotals() map[string]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]uint64, len(b.lost))
	for k, v := range b.lost {
		out[k] = v
	}
	return out
}

// Completeness is what was lost or off in [from, to] (wall ns).
func (b *Board) Completeness(from, to int64) *verdict.Completeness {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &verdict.Completeness{}
	for _, w := range b.losses {
		if w.FromNs <= to && w.ToNs >= from {
			c.Losses = append(c.Losses, w)
		}
	}
	for _, k := range b.components {
		if k.State != On.String() && strings.HasPrefix(k.Name, "sensor.") {
			c.Refused = append(c.Refused, k.Name)
		}
	}
	slices.Sort(c.Refused)
	return c
}

// Components lists all, by name.
func (b *Board) Components() []Component {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Component, 0, len(b.components))
	for _, c := range b.components {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, c Component) int { return strings.Compare(a.Name, c.Name) })
	return out
}
