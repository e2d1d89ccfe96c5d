// SPDX-License-Identifier: Apache-2.0

// Package score compares what a product said with what was true.
//
// In: a scenario with its truth, what became of each step, and the findings, incidents, actions
// and traces that the product printed as JSON. Out: one Result, whose JSON is the stable form that
// strangers judge us by, and a table of it for people.
//
// It believes the runner about truth and the product about nothing: an entity is found when the
// product prints a mark that only this entity has (a source port, a path, a nonce in an argument,
// a process number that the process itself printed).
//
// Worst trap: time alone must not give credit. A finding is taken for a step by its marks; time is
// asked only to choose between steps, or for findings that the product itself put into an incident
// with findings of the attack.
package score

import "encoding/json"

// Finding is one line of the product's findings. Unknown fields are ignored, but all texts of the
// subjects are searched for marks.
type Finding struct {
	ID          string           `json:"id"`
	PublishedNS int64            `json:"published_ns"` // wall clock
	Host        string           `json:"host"`
	Layer       string           `json:"layer"`
	Stage       string           `json:"stage"`
	Colour      string           `json:"colour"`
	Score       float64          `json:"score"`
	Title       string           `json:"title"`
	Techniques  []string         `json:"techniques"`
	Subjects    []map[string]any `json:"subjects"`
	Evidence    []any            `json:"evidence"` // searched for marks like the subjects
	Incident    string           `json:"incident"`
}

// AboveGrey says whether this is a finding in the sense of the design; grey records are only
// sightings of a layer.
func (f Finding) AboveGrey() bool { return f.Colour != "grey" && f.Colour != "white" }

// By names layer and stage as the scenario does.
func (f Finding) By() string {
	if f.Stage == "" {
		return f.Layer
	}
	return f.Layer + "." + f.Stage
}

// Cause is a root cause as the product tells it.
type Cause struct {
	Kind   string          `json:"kind,omitempty"`
	Client string          `json:"client,omitempty"` // ip:port
	URI    string          `json:"uri,omitempty"`
	Method string          `json:"method,omitempty"`
	Host   string          `json:"host,omitempty"`
	Path   string          `json:"path,omitempty"`
	Time   json.RawMessage `json:"time,omitempty"` // nanoseconds or RFC 3339
}

// Incident is one of the product's incidents.
type Incident struct {
	ID        string   `json:"id"`
	Score     float64  `json:"score"`
	Findings  []string `json:"findings"`
	RootCause *Cause   `json:"root_cause"`
	Hosts     []string `json:"hosts"`
}

// Action is something the product did or would have done.
type Action struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Target    string          `json:"target"`
	Host      string          `json:"host"`
	Stage     string          `json:"stage"` // observe, shadow or enforce
	State     string          `json:"state"`
	Time      json.RawMessage `json:"time"`
	OrderedNS int64           `json:"ordered_ns"`
	Verified  bool            `json:"verified"`
}

// Trace is the way from one entity back to the entry.
type Trace struct {
	RootCause *Cause `json:"root_cause"`
	Rule      string `json:"rule"` // which rule tied the request to the worker
}

// Events are the sensors' counters over all hosts.
type Events struct {
	Seen int64 `json:"seen"`
	Lost int64 `json:"lost"`
}
