// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

func findings(t *testing.T, l *Ledger) {
	const n = 25
	update(t, l, func(tx *Tx) error {
		for i := range n {
			f := &verdict.Finding{Id: fmt.Sprintf("f-%02d", i), WallNs: t0.UnixNano() + int64(i/3), Host: []string{"web", "db"}[i%2], Layer: "file", Rule: "r1", Title: "100% shell_", Colour: verdict.Colour_BLACK, Score: 0.9}
			if i%5 == 0 {
				f.Colour, f.Title = verdict.Colour_GREY, "odd"
			}
			for range 2 { // the second changes nothing
				if err := tx.PutFinding("acme", f); err != nil {
					return err
				}
			}
		}
		return tx.PutIncident(&verdict.Incident{Id: "i-1", Tenant: "acme", Findings: []string{"f-01", "f-02"}}, "", t0)
	})
	view(t, l, func(tx *Tx) error {
		for _, p := range []Page{{Limit: 4}, {Limit: 4, Ascending: true}, {}} {
			seen := map[string]bool{}
			last := ""
			for q := (FindingQuery{Grey: true, Page: p}); ; {
				list, next, err := tx.Findings("acme", q)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range list {
					if seen[f.Id] || last != "" && (f.Id > last) != p.Ascending {
						t.Errorf("%+v: %s after %s", p, f.Id, last)
					}
					seen[f.Id], last = true, f.Id
				}
				if q.After = next; next == "" {
					break
				}
			}
			if len(seen) != n {
				t.Errorf("%+v: %d of %d", p, len(seen), n)
			}
		}
		for _, c := range []struct {
			q    FindingQuery
			want int
		}{
			{FindingQuery{}, 20}, {FindingQuery{Host: "web"}, 10}, {FindingQuery{Layer: "network"}, 0}, {FindingQuery{Incident: "i-1"}, 2},
			{FindingQuery{Text: "100%"}, 20}, {FindingQuery{Text: "100_"}, 0}, {FindingQuery{Text: "ODD", Grey: true}, 5},
			{FindingQuery{Until: t0.Add(1)}, 4}, {FindingQuery{Since: t0.Add(8)}, 1},
		} {
			if list, _, err := tx.Findings("acme", c.q); err != nil || len(list) != c.want {
				t.Errorf("%+v: %d, want %d; %v", c.q, len(list), c.want, err)
			}
		}
		if list, _, _ := tx.Findings("other", FindingQuery{Grey: true}); len(list) != 0 {
			t.Error("another tenant sees them")
		}
		for _, bad := range []string{"x", "e30", "eyJrIjoiYSIsImkiOiJiIn0"} {
			if _, _, err := tx.Findings("acme", FindingQuery{Page: Page{After: bad}}); !errors.Is(err, ErrCursor) {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
		if f, err := tx.Finding("acme", "f-01"); err != nil || f.Incident != "i-1" || f.Rule != "r1" {
			t.Errorf("%+v, %v", f, err)
		}
		return nil
	})
	update(t, l, func(tx *Tx) error {
		if gone, err := tx.DropFindings("acme", t0.Add(1)); gone != 3 || err != nil {
			t.Errorf("dropped %d, %v", gone, err)
		}
		return nil
	})
}

func desk(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		return tx.PutIncident(&verdict.Incident{Id: "i-1", Tenant: "acme", Score: 0.5}, "", t0)
	})
	put := func(of int64, status, who string) error {
		return l.Update(t.Context(), func(tx *Tx) error {
			return tx.SetDesk("acme", "i-1", of, Desk{Status: status, Assignee: who, At: t0})
		})
	}
	if err := put(0, "working", "ann"); err != nil {
		t.Fatal(err)
	}
	if err := put(0, "solved", "bob"); !errors.Is(err, ErrChanged) { // both saw version 0
		t.Fatalf("got %v", err)
	}
	if err := put(1, "nonsense", ""); err == nil {
		t.Fatal("a status of no meaning was taken")
	}
	update(t, l, func(tx *Tx) error { // the judge goes on and leaves the desk alone
		return tx.PutIncident(&verdict.Incident{Id: "i-1", Tenant: "acme", Score: 0.9}, "more", t0.Add(time.Second))
	})
	update(t, l, func(tx *Tx) error {
		return tx.AddNote("acme", Note{ID: "n1", Incident: "i-1", At: t0, Author: "ann", Text: "<b>look</b>"})
	})
	view(t, l, func(tx *Tx) error {
		x, err := tx.OnDesk("acme", "i-1")
		if err != nil || x.Score != 0.9 || x.Desk.Status != "working" || x.Desk.Assignee != "ann" || x.Desk.Version != 1 {
			t.Errorf("%+v, %v", x, err)
		}
		for q, want := range map[IncidentQuery]int{{Status: "working"}: 1, {Status: "new"}: 0, {Assignee: "ann"}: 1, {Score: 0.95}: 0, {Sort: ByScore}: 1} {
			if list, _, err := tx.Incidents("acme", q); len(list) != want || err != nil {
				t.Errorf("%+v: %d, %v", q, len(list), err)
			}
		}
		if notes, err := tx.Notes("acme", "i-1"); len(notes) != 1 || err != nil {
			t.Errorf("%v, %v", notes, err)
		}
		return nil
	})
}

func hunts(t *testing.T, l *Ledger) {
	h := Hunt{ID: "h1", Name: "shells", Query: "select 1", Owner: "ann", Made: t0}
	update(t, l, func(tx *Tx) error { return tx.PutHunt("acme", h) })
	view(t, l, func(tx *Tx) error {
		if list, err := tx.Hunts("acme"); err != nil || len(list) != 1 || list[0] != h {
			t.Errorf("%+v, %v", list, err)
		}
		return nil
	})
	update(t, l, func(tx *Tx) error { return tx.DropHunt("acme", "h1") })
	if err := l.Update(t.Context(), func(tx *Tx) error { return tx.DropHunt("acme", "h1") }); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
