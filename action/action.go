// SPDX-License-Identifier: Apache-2.0

// Package action holds the words for what is done: the order, its stage, its state
// and how it is undone.
//
// In comes a decision; out goes an Order that the bus carries signed, the ledger
// keeps with a deadline and an inverse, and an enforcer carries out. It believes
// that every action ends: an order without a deadline is refused.
//
// The worst trap: Stage is read in one place, the enforcer. Whoever branches on it
// elsewhere makes "observe touches nothing" untestable.
package action

import (
	"errors"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/entity"
)

// Kind names what is done.
type Kind string

// The kinds of action.
const (
	BlockAddress   Kind = "block_address"
	CutConnection  Kind = "cut_connection"
	KillTree       Kind = "kill_tree"
	QuarantineFile Kind = "quarantine_file"
	IsolateHost    Kind = "isolate_host"
)

// Sequence is the order that leaves no gap: the address first, so that nothing new
// comes in; the open connections; the processes; the file; then the host.
var Sequence = []Kind{BlockAddress, CutConnection, KillTree, QuarantineFile, IsolateHost}

// Stage is how far a policy may go. Observe is the zero value: forgetting is safe.
type Stage int

// Observe writes down; Shadow also says what would have been touched; Enforce acts.
const (
	Observe Stage = iota
	Shadow
	Enforce
)

var stageNames = [...]string{"observe", "shadow", "enforce"}

// String names the stage.
func (s Stage) String() string {
	if s < 0 || int(s) >= len(stageNames) {
		return fmt.Sprintf("stage(%d)", int(s))
	}
	return stageNames[s]
}

// MarshalText writes the name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Stage) UnmarshalText(b []byte) error {
	for i, n := range stageNames {
		if n == string(b) {
			*s = Stage(i)
			return nil
		}
	}
	return fmt.Errorf("stage %q: want observe, shadow or enforce", b)
}

// State is where an action stands.
type State string

// An action is ordered, then done (or refused, failed, or only shadowed), verified,
// and at last undone or expired.
const (
	Ordered  State = "ordered"
	Shadowed State = "shadowed"
	Done     State = "done"
	Verified State = "verified"
	Refused  State = "refused"
	Failed   State = "failed"
	Undone   State = "undone"
	Expired  State = "expired"
)

// Live tells whether the action still has hold of something (or may have).
func (s State) Live() bool { return s == Ordered || s == Done || s == Verified }

// Order is what an enforcer is asked to do to one entity on one host.
type Order struct {
	ID       string           `json:"id"`
	Tenant   string           `json:"tenant"`
	Host     string           `json:"host"`
	Kind     Kind             `json:"kind"`
	Subject  *entity.Sighting `json:"subject"`
	Incident string           `json:"incident"`
	Findings []string         `json:"findings"`
	Reason   string           `json:"reason"`
	Policy   string           `json:"policy"` // bundle version it rests on
	Stage    Stage            `json:"stage"`
	Ordered  time.Time        `json:"ordered"`
	Deadline time.Time        `json:"deadline"` // undone by itself then
}

// Validate names what is missing.
func (o *Order) Validate() error {
	var errs []error
	if o.ID == "" || o.Host == "" {
		errs = append(errs, errors.New("order without id or host"))
	}
	if o.Deadline.IsZero() || !o.Deadline.After(o.Ordered) {
		errs = append(errs, fmt.Errorf("order %s: deadline %v is not after %v; every action has a lifetime", o.ID, o.Deadline, o.Ordered))
	}
	if o.Subject == nil && o.Kind != IsolateHost {
		errs = append(errs, fmt.Errorf("order %s: %s without a subject", o.ID, o.Kind))
	}
	return errors.Join(errs...)
}

// Record is an action with its history, as the ledger keeps it.
type Record struct {
	Order
	State   State     `json:"state"`
	Inverse []byte    `json:"inverse,omitempty"` // what the enforcer needs to undo it; only it reads this
	Result  string    `json:"result,omitempty"`  // what was touched, or why it was refused
	Updated time.Time `json:"updated"`
}

// Command is what a signed order carries to an enforcer: exactly one of its fields.
type Command struct {
	Orders []Order `json:"orders,omitempty"` // of one decision, which leaves no gap only as a whole
	Undo   string  `json:"undo,omitempty"`   // id of the action to take back
	Off    bool    `json:"off,omitempty"`    // take everything back
	Who    string  `json:"who,omitempty"`    // who asked, for the record
}
