// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"slices"
	"time"
)

// Health is the state of one list, for doctor and metrics.
type Health struct {
	Name    string `json:"name"`
	Role    string `json:"role"` // source, soft allow-list, hard allow-list
	Path    string `json:"path,omitempty"`
	Format  string `json:"format,omitempty"`
	Licence string `json:"licence,omitempty"`

	Loaded bool  `json:"loaded"` // some good version is in use
	Count  int   `json:"count"`  // distinct values in use
	Bytes  int64 `json:"bytes"`

	// Age since the content in use last changed: a file that is rewritten but not renewed
	// grows old. 0 for the built-in lists and for what was never loaded.
	Age   time.Duration `json:"age"`
	Stale bool          `json:"stale"` // Age is above the source's stale_after

	// Error of the last reload; while it stands, the content in use is the last good one.
	Error string `json:"error,omitempty"`

	// Of the version in use: records left out by their own word, not understood, already
	// expired, and refused because they name a public suffix.
	Skipped   int `json:"skipped"`
	Malformed int `json:"malformed"`
	Expired   int `json:"expired"`
	Suffixes  int `json:"suffixes"`

	version    time.Time
	staleAfter time.Duration
}

// Health reports each list as the last reload left it: the built-in ones first, then in
// order of configuration, allow-lists before sources. Safe for many goroutines; it never
// waits for a reload.
func (l *Library) Health(now time.Time) []Health {
	out := slices.Clone(*l.health.Load())
	for i := range out {
		if h := &out[i]; !h.version.IsZero() {
			h.Age = max(now.Sub(h.version), 0)
			h.Stale = h.staleAfter > 0 && h.Age > h.staleAfter
		}
	}
	return out
}

// report renews what Health shows; the caller holds mu.
func (l *Library) report() {
	out := make([]Health, 0, len(l.states))
	for _, st := range l.states {
		h := Health{Name: st.good.name, Role: [...]string{"source", "soft allow-list", "hard allow-list"}[st.good.role],
			Path: st.file.Path, Format: st.file.Format, Licence: st.source.Licence,
			Loaded: st.good.loaded, Count: st.good.count, Bytes: st.good.bytes,
			Skipped: st.report.Skipped, Malformed: st.report.Malformed, Expired: st.expired, Suffixes: st.refused,
			version: st.version, staleAfter: st.source.StaleAfter}
		if st.err != nil {
			h.Error = st.err.Error()
		}
		out = append(out, h)
	}
	l.health.Store(&out)
}

// Bytes is what the generation in use holds, without the Go runtime's own overhead.
func (l *Library) Bytes() int64 {
	s := l.now.Load()
	n := int64(len(s.records))*recordBytes + int64(len(s.first))*4 + int64(len(s.filter))*8 + int64(s.prefixes.Size())*prefixBytes
	for _, li := range s.lists {
		for _, set := range li.tags {
			for _, t := range set {
				n += int64(len(t)) + 16
			}
		}
	}
	return n
}
