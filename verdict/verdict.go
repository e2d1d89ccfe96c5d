// SPDX-License-Identifier: Apache-2.0

// Package verdict holds the words for judgements: colour, evidence, finding,
// incident and the completeness that travels with them.
//
// In comes what a stage saw; out go messages that the bus, the archive and the
// doors carry unchanged. It believes that weights of evidence are log-odds in
// nats and add up, but only once per root fact: ten rules on one exec are one
// witness (Join).
//
// The worst trap: a Finding whose colour is grey is context, not an alarm. Doors
// show it only when asked.
package verdict

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/zeebo/xxh3"
)

// LogOdds is evidence in nats; they add up.
type LogOdds float64

// Probability maps log-odds to [0,1].
func (l LogOdds) Probability() float64 { return 1 / (1 + math.Exp(-float64(l))) }

// Odds is the inverse of Probability, clamped to ±20 nats so that certainty can
// still be argued with.
func Odds(p float64) LogOdds {
	if p <= 0 {
		return -20
	}
	if p >= 1 {
		return 20
	}
	return LogOdds(max(-20, min(20, math.Log(p/(1-p)))))
}

// Verdict is what one stage says of one item.
type Verdict struct {
	Colour   Colour
	Score    float64 // calibrated probability that the item is malicious
	Engine   string
	Family   string
	Evidence []*Evidence
}

// Join adds evidence to a prior, the strongest of each root only, and returns the
// evidence that counted, strongest first. Evidence without a root counts alone.
// The order of the input decides nothing.
func Join(prior LogOdds, evidence []*Evidence) (LogOdds, []*Evidence) {
	sorted := slices.Clone(evidence)
	slices.SortStableFunc(sorted, func(a, b *Evidence) int {
		return cmp.Or(
			-cmp.Compare(math.Abs(a.Weight), math.Abs(b.Weight)),
			cmp.Compare(a.Root, b.Root), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.What, b.What))
	})
	seen := map[string]bool{}
	var kept []*Evidence
	for _, e := range sorted {
		if e.Root != "" {
			if seen[e.Root] {
				continue
			}
			seen[e.Root] = true
		}
		prior += LogOdds(e.Weight)
		kept = append(kept, e)
	}
	return prior, kept
}

// Black tells whether a finding is above grey: something to show a person.
func (f *Finding) Black() bool { return f.GetColour() == Colour_BLACK }

// Text is the id as "tenant/host/epoch/seq".
func (id *EventID) Text() string {
	return fmt.Sprintf("%s/%s/%d/%d", id.GetTenant(), id.GetHost(), id.GetEpoch(), id.GetSeq())
}

// SetID derives the finding's id from what it says and the events it rests on, so
// that a replay of the same events gives the same id.
func (f *Finding) SetID() {
	var h xxh3.Hasher
	for _, s := range []string{f.Host, f.Layer, f.Stage, f.Rule} {
		h.WriteString(s)
		h.Write([]byte{0})
	}
	for _, id := range f.Events {
		h.WriteString(id.Text())
		h.Write([]byte{0})
	}
	if len(f.Events) == 0 {
		for _, s := range f.Subjects {
			h.WriteString(s.Label())
			h.Write([]byte{0})
		}
		fmt.Fprint(&h, f.WallNs)
	}
	sum := h.Sum128().Bytes()
	f.Id = "f-" + hex.EncodeToString(sum[:8])
}
