// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// overview: what waits is tallied and what is done with is not; bursts fall into their
// steps, by layer, and grey is none.
func overview(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		for i, at := range []time.Duration{0, 59 * time.Second, 60 * time.Second, 179 * time.Second, 180 * time.Second} {
			f := &verdict.Finding{Id: fmt.Sprint("f-", i), WallNs: t0.Add(at).UnixNano(), Layer: "file", Colour: verdict.Colour_BLACK}
			if err := tx.PutFinding("acme", f); err != nil {
				return err
			}
		}
		if err := tx.PutFinding("acme", &verdict.Finding{Id: "f-net", WallNs: t0.UnixNano(), Layer: "network", Colour: verdict.Colour_BLACK}); err != nil {
			return err
		}
		if err := tx.PutFinding("acme", &verdict.Finding{Id: "f-grey", WallNs: t0.UnixNano(), Layer: "file"}); err != nil {
			return err
		}
		for id, inc := range map[string]*verdict.Incident{"a": {State: "open", Score: 0.99}, "b": {State: "open", Score: 0.96}, "c": {State: "contained", Score: 0.6}, "d": {State: "closed", Score: 0.99}, "e": {State: "open", Score: 0.99}} {
			inc.Id, inc.Tenant = id, "acme"
			if err := tx.PutIncident(inc, "", t0); err != nil {
				return err
			}
		}
		if err := tx.SetDesk("acme", "b", 0, Desk{Status: "working", At: t0}); err != nil {
			return err
		}
		return tx.SetDesk("acme", "e", 0, Desk{Status: "solved", At: t0})
	})
	view(t, l, func(tx *Tx) error {
		bursts, err := tx.Activity("acme", []string{"network", "file", "intel"}, t0, t0.Add(3*time.Minute), time.Minute)
		if err != nil {
			return err
		}
		want := []Burst{{t0, "network", 1}, {t0, "file", 2}, {t0.Add(time.Minute), "file", 1}, {t0.Add(2 * time.Minute), "file", 1}}
		if !slices.EqualFunc(bursts, want, func(a, b Burst) bool { return a.At.Equal(b.At) && a.Layer == b.Layer && a.Count == b.Count }) {
			t.Errorf("activity: %+v, want %+v", bursts, want)
		}
		if _, err := tx.Activity("acme", nil, t0, t0.Add(time.Hour), time.Second); err == nil {
			t.Error("3,600 steps were taken")
		}
		tally, err := tx.Tally("acme")
		slices.SortFunc(tally, func(a, b Tally) int { return slices.Compare([]string{a.State, a.Status}, []string{b.State, b.Status}) })
		if want := []Tally{{"contained", "new", "medium", 1}, {"open", "new", "critical", 1}, {"open", "working", "critical", 1}}; !slices.Equal(tally, want) {
			t.Errorf("tally: %+v, want %+v", tally, want)
		}
		if none, _ := tx.Tally("other"); len(none) != 0 {
			t.Errorf("of another tenant: %+v", none)
		}
		return err
	})
}
