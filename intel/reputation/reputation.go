// SPDX-License-Identifier: Apache-2.0

// Package reputation answers one question in under a microsecond: what do the lists
// we imported say about this address, domain, URL, hash or fingerprint?
//
// In go files that something else fetched (plain, CSV, STIX, MISP), each with how far
// it is believed, and allow-lists; out comes an Answer with a level, the claims it rests
// on and, where an allow-list objects, why it must not be acted on. It runs in the
// agent: no cgo, no goroutine but Run, a byte budget.
//
// It believes that lists copy each other (intel.md §4.1.2), so agreement adds nothing:
// the strongest single claim is the confidence, and ten copies of a list weigh as one.
// The figure is the operator's trust in the source, decayed; it is not calibrated. It
// believes that allow-lists win over everything, and that a list which fails to load
// leaves the last good one standing.
//
// The worst trap: a listing is a claim about exactly what it names. "evil.example/x.php"
// says little about evil.example, and github.io nothing about its users. Public
// suffixes are never stored, and a look-up never goes above the registered domain.
package reputation

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Level is the graded standing. Unknown is zero: silence of lists is no praise.
type Level uint8

// The levels, rising, but for Allowed, which only an allow-list gives.
const (
	Unknown    Level = iota
	Allowed          // a hard allow-list covers it, whatever else is claimed
	Listed           // somebody claims something; below Config.Suspicious
	Suspicious       // worth a look
	Malicious        // may be acted on, if the layer above agrees
)

var levelNames = [...]string{"unknown", "allowed", "listed", "suspicious", "malicious"}

func (l Level) String() string { return levelNames[min(int(l), len(levelNames)-1)] }

// MarshalText gives the name, for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name.
func (l *Level) UnmarshalText(b []byte) error {
	i := slices.Index(levelNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is no level", b)
	}
	*l = Level(i)
	return nil
}

// Width says how the claim relates to what was asked.
type Width string

// The widths, from the narrowest.
const (
	Exact    Width = "exact"
	NoQuery  Width = "without query" // the URL without its query is listed
	PathPart Width = "path"          // host and first path part are listed
	HostWide Width = "host"          // the host's root URL, its domain or its address is listed
	Parent   Width = "parent"        // a parent domain is listed
	InPrefix Width = "prefix"        // a prefix around the address is listed
)

// Match is one claim that covers what was asked. Tags are shared: do not change them.
type Match struct {
	Source     string    `json:"source"`
	Value      string    `json:"value"` // what is listed
	Width      Width     `json:"width"`
	Tags       []string  `json:"tags,omitempty"`
	Confidence float64   `json:"confidence"` // in (0,1], decayed to the time asked for
	LastSeen   time.Time `json:"last_seen,omitzero"`
	Expires    time.Time `json:"expires,omitzero"` // zero: never
}

// Answer is what is known. The zero value: nothing.
type Answer struct {
	Level      Level   `json:"level"`
	Confidence float64 `json:"confidence"` // of the strongest match, after a soft veto; 0 under a hard one
	Matches    []Match `json:"matches,omitempty"`
	// Veto names the allow-list that objects: "hard: …" forbids any action, "soft: …"
	// caps Level at Suspicious. It may stand without any match.
	Veto string `json:"veto,omitempty"`
}

// Library holds the lists. Safe for many goroutines; make it with New.
type Library struct {
	cfg Config
	log *slog.Logger
	key hasher

	now       atomic.Pointer[snapshot]
	health    atomic.Pointer[[]Health]
	malformed atomic.Uint64

	mu     sync.Mutex // guards states: one reload at a time
	states []*state
}

// New checks the configuration and builds an empty library; Reload or Run fill it.
// A nil log is silent.
func New(cfg Config, log *slog.Logger) (*Library, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("intel.reputation: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Library{cfg: cfg, log: log, key: newHasher()}
	l.states = l.declare()
	l.now.Store(l.build())
	l.report()
	return l, nil
}

// Malformed counts look-ups whose value could not be read as its kind: they answer
// "nothing known", which is not the same as "looked and found nothing".
func (l *Library) Malformed() uint64 { return l.malformed.Load() }
