// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ringwall/ringwall/sense/kernel"
)

// Kinds of line, in the order in which they come.
const (
	LineKernel = "kernel" // Text: release and version
	LineHooks  = "hooks"  // Name: the set-up; Hooks
	LineChain  = "chain"  // Name: the server; Text: a marker that its deeds carry
	LineEvent  = "event"  // Name: the chain; Event
	LineTest   = "test"   // Name: the program; Text: a line it wrote
	LineDoctor = "doctor" // Event: what the agent's doctor says
	LineFault  = "fault"  // Text: what could not be done
	LineDone   = "done"
)

// Line is one JSON line from the guest.
type Line struct {
	Kind  string              `json:"kind"`
	Name  string              `json:"name,omitempty"`
	Text  string              `json:"text,omitempty"`
	Hooks []kernel.Capability `json:"hooks,omitempty"`
	Event json.RawMessage     `json:"event,omitempty"` // protojson of event.Event
}

// Report is what one boot told.
type Report struct {
	Kernel  string
	Hooks   map[string][]kernel.Capability // by set-up
	Markers map[string]string              // by chain
	Events  map[string][]json.RawMessage   // by chain
	Tests   []string
	Doctor  json.RawMessage
	Faults  []string
	Done    bool // the guest came to its end
}

// ReadReport takes the lines of a serial port apart. A line that is not JSON is an error
// that names its number.
func ReadReport(r io.Reader) (*Report, error) {
	rep := &Report{Hooks: map[string][]kernel.Capability{}, Markers: map[string]string{}, Events: map[string][]json.RawMessage{}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20) // an event with argv and environment stays under 64 KiB
	for n := 1; s.Scan(); n++ {
		text := strings.TrimSpace(s.Text())
		if text == "" {
			continue
		}
		var l Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return rep, fmt.Errorf("guest's report, line %d: %w: %.80q", n, err, text)
		}
		rep.add(&l)
	}
	if err := s.Err(); err != nil {
		return rep, fmt.Errorf("guest's report: %w", err)
	}
	return rep, nil
}

func (r *Report) add(l *Line) {
	switch l.Kind {
	case LineKernel:
		r.Kernel = l.Text
	case LineHooks:
		r.Hooks[l.Name] = l.Hooks
	case LineChain:
		r.Markers[l.Name] = l.Text
	case LineEvent:
		r.Events[l.Name] = append(r.Events[l.Name], l.Event)
	case LineTest:
		r.Tests = append(r.Tests, l.Text)
	case LineDoctor:
		r.Doctor = l.Event
	case LineFault:
		r.Faults = append(r.Faults, l.Name+": "+l.Text)
	case LineDone:
		r.Done = true
	}
}
