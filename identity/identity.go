// SPDX-License-Identifier: Apache-2.0

// Package identity says who is who. In go names, keys and one-time secrets; out
// come the NATS tokens that let an agent on to the bus, the subjects it may use,
// and the signed envelopes (orders, bundles) that it may believe.
//
// It believes nothing that is not signed: the operator key signs accounts (one per
// tenant), the account key signs agents, and a separate ed25519 key signs orders and
// bundles, so that a hostile broker can withhold an order but not forge, redirect,
// prolong or repeat one.
//
// Worst trap: a name is part of a subject, a path and a key. Only Parse functions
// make names; a Tenant or Host converted from a raw string may hold a wildcard.
package identity

import (
	"errors"
	"fmt"
	"strings"
)

// Tenant, Host and Group are validated names: 1 to 63 of a-z, 0-9 and '-'.
type (
	Tenant string // owner of hosts; a NATS account, an archive partition
	Host   string // one agent; unique within its tenant
	Group  string // hosts that share one bundle
)

// Names used where the user gave none.
const (
	DefaultTenant Tenant = "default"
	DefaultGroup  Group  = "default"
)

// MaxName is the longest name: one DNS label (RFC 1035 §2.3.4).
const MaxName = 63

// ErrName is wrapped by every refusal of a name.
var ErrName = errors.New("not a name of 1 to 63 characters a-z, 0-9, '-'")

func checkName(kind, s string) error {
	ok := len(s) >= 1 && len(s) <= MaxName
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%s %.80q: %w", kind, s, ErrName)
	}
	return nil
}

// ParseTenant checks and returns a tenant's name.
func ParseTenant(s string) (Tenant, error) { return Tenant(s), checkName("tenant", s) }

// ParseHost checks and returns a host's name.
func ParseHost(s string) (Host, error) { return Host(s), checkName("host", s) }

// ParseGroup checks and returns a group's name.
func ParseGroup(s string) (Group, error) { return Group(s), checkName("group", s) }

// HostFromHostname makes a legal Host of what the kernel calls the machine: lower
// case, every other character '-'. Two machines may collide; enrolment refuses the
// second.
func HostFromHostname(hostname string) Host {
	b := []byte(strings.ToLower(hostname))
	if len(b) > MaxName {
		b = b[:MaxName]
	}
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9') {
			b[i] = '-'
		}
	}
	if len(b) == 0 {
		return "unnamed"
	}
	return Host(b)
}

// Class says how dear an event is. The zero value is the class that is never shed
// for the other.
type Class uint8

// Precious events (exec, fork, accept, connect, request bytes, findings) may use
// space that Bulk events may not.
const (
	Precious Class = iota
	Bulk
)

// Classes lists both, dearest first.
var Classes = [...]Class{Precious, Bulk}

func (c Class) String() string {
	if c == Precious {
		return "precious"
	}
	return "bulk"
}

// ParseClass reads the word of a subject.
func ParseClass(s string) (Class, error) {
	switch s {
	case "precious":
		return Precious, nil
	case "bulk":
		return Bulk, nil
	}
	return 0, fmt.Errorf("class %.80q: want precious or bulk", s)
}

// Position is an event's place in the spool of one host; with tenant and host it is
// the event's id. An epoch belongs to one class (its lowest bit), and within an
// epoch sequences start at 1 and rise by 1, so that what is missing can be counted.
type Position struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Class is the class whose spool gave the position.
func (p Position) Class() Class { return Class(p.Epoch & 1) }

// Less orders positions of one class as they were given.
func (p Position) Less(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Seq) }
