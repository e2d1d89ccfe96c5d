// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"errors"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/verdict"
)

// ErrNotFound is what an answer gives for an id it does not know.
var ErrNotFound = errors.New("not found")

// ErrInput is wrapped where the request is at fault.
var ErrInput = errors.New("bad request")

// Update is one thing that changed.
type Update struct {
	Finding  *verdict.Finding
	Incident *verdict.Incident
	Action   *action.Record
}

// Story is a finding or incident led back to its entry and on to its effects.
type Story struct {
	ID      string           `json:"id"`
	Result  string           `json:"result"` // found or unknown
	Entry   *entity.Sighting `json:"entry,omitempty"`
	Rule    string           `json:"rule,omitempty"`
	Guess   bool             `json:"guess,omitempty"`
	Path    []StoryHop       `json:"path"`    // from the entry to the finding
	Effects []StoryHop       `json:"effects"` // what came of the entry
	Text    []string         `json:"text"`    // the story in sentences
}

// StoryHop is one node of a story.
type StoryHop struct {
	Time  time.Time `json:"time"`
	Host  string    `json:"host"`
	Kind  string    `json:"kind"`
	Label string    `json:"label"`
	Rule  string    `json:"rule,omitempty"`
	Guess bool      `json:"guess,omitempty"`
	Key   string    `json:"key"`
}

// HuntLimit bounds a hunt.
type HuntLimit struct {
	Rows int
	Time time.Duration
	Raw  bool // who asks may read raw content; when they do it is audited
}

// HuntEnd closes a hunt's rows.
type HuntEnd struct {
	Columns   []string      `json:"columns"`
	Rows      int           `json:"rows"`
	Truncated bool          `json:"truncated"`
	Elapsed   time.Duration `json:"elapsed_ns"`
}

// Status is the whole on one page.
type Status struct {
	Version    string             `json:"version"`
	Role       string             `json:"role"`
	Started    time.Time          `json:"started"`
	Components []health.Component `json:"components"`
	Lost       map[string]uint64  `json:"lost"`
	Hosts      []HostStatus       `json:"hosts,omitempty"` // as their agents told it
	Counts     map[string]uint64  `json:"counts"`
}
