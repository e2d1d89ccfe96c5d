// SPDX-License-Identifier: Apache-2.0

// Package risk remembers what our own hosts saw an address do.
//
// In come addresses that an incident led back to, with its score; out comes how much
// that still weighs. It believes incidents, not single findings, and that a sighting
// fades: its log-odds halve every half-life and begin anew when the address is seen
// at it again.
//
// The worst trap: an address is shared (NAT, proxies). What is remembered here is
// context for findings, never by itself a reason to block.
package risk

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// halfLife of our own sightings: attackers' addresses in the panel of intel.md §4
// are reused for days, seldom for weeks.
const halfLife = 48 * time.Hour

// kept bounds the memory: about 10 MB.
const kept = 1 << 16

// Sighting is what one address was part of.
type Sighting struct {
	Incident string        `json:"incident"`
	Host     string        `json:"host"` // where it was seen first
	Score    float64       `json:"score"`
	First    time.Time     `json:"first"`
	Last     time.Time     `json:"last"`
	Age      time.Duration `json:"-"`
}

// Memory holds sightings by tenant and address. Safe for many goroutines.
type Memory struct {
	mu   sync.Mutex
	seen map[key]Sighting
}

type key struct {
	tenant string
	addr   netip.Addr
}

// NewMemory makes an empty memory.
func NewMemory() *Memory { return &Memory{seen: map[key]Sighting{}} }

// Note writes down that an incident of that score led back to the address.
func (m *Memory) Note(tenant string, addr netip.Addr, incident, host string, score float64, at time.Time) {
	if !addr.IsValid() || addr.IsLoopback() || addr.IsUnspecified() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := key{tenant, addr.Unmap()}
	s, ok := m.seen[k]
	if !ok {
		if len(m.seen) >= kept {
			clear(m.seen)
		}
		s = Sighting{Incident: incident, Host: host, First: at}
	}
	s.Score, s.Last = max(score, m.fade(s, at)), at
	m.seen[k] = s
}

// Lookup tells what the address was part of and the score that is left of it.
func (m *Memory) Lookup(tenant string, addr netip.Addr, at time.Time) (Sighting, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.seen[key{tenant, addr.Unmap()}]
	if !ok {
		return s, false
	}
	s.Score, s.Age = m.fade(s, at), at.Sub(s.Last)
	return s, true
}

// fade halves the evidence above even odds every half-life.
func (m *Memory) fade(s Sighting, at time.Time) float64 {
	odds := float64(verdict.Odds(s.Score))
	if odds <= 0 {
		return s.Score
	}
	age := max(0, at.Sub(s.Last))
	return verdict.LogOdds(odds * math.Pow(0.5, float64(age)/float64(halfLife))).Probability()
}
