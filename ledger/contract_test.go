// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

// engines are all that a ledger can stand on; each runs the whole contract.
var engines = map[string]func(t *testing.T) *Ledger{
	"sqlite": func(t *testing.T) *Ledger { return openTest(t, t.TempDir()+"/ledger.db") },
}

func openTest(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

var t0 = time.Unix(1_795_478_400, 0).UTC()

func update(t testing.TB, l *Ledger, f func(*Tx) error) {
	t.Helper()
	if err := l.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, l *Ledger, f func(*Tx) error) {
	t.Helper()
	if err := l.View(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func order(id string) action.Order {
	return action.Order{ID: id, Tenant: "acme", Host: "web", Kind: action.BlockAddress, Incident: "i-1", Ordered: t0, Deadline: t0.Add(time.Hour),
		Subject: &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: "192.0.2.1"}}
}

func TestContract(t *testing.T) {
	for name, open := range engines {
		for what, check := range map[string]func(*testing.T, *Ledger){
			"incidents": incidents, "merges": merges, "actions": actions, "reconcile": reconcile, "exceptions": exceptions,
			"audit": audit, "audit head": auditHead, "bundles": bundles, "tokens": tokens, "people": people, "sessions": sessions, "links": links, "policy": policy, "aliases": aliases,
			"findings": findings, "desk": desk, "overview": overview, "hunts": hunts, "atomic": atomic, "views do not write": viewsDoNotWrite, "writers": writers, "hostile text": hostileText,
		} {
			t.Run(name+"/"+what, func(t *testing.T) { check(t, open(t)) })
		}
	}
}

func incidents(t *testing.T, l *Ledger) {
	inc := &verdict.Incident{Id: "i-1", Tenant: "acme", Title: "Web shell", State: "open", Score: 0.9, OpenedNs: 5, UpdatedNs: 10, Findings: []string{"f-1"}, Hosts: []string{"web"}}
	update(t, l, func(tx *Tx) error { return tx.PutIncident(inc, "first finding", t0) })
	update(t, l, func(tx *Tx) error { return tx.PutIncident(inc, "the same", t0) })
	inc.Findings, inc.Hosts, inc.UpdatedNs = append(inc.Findings, "f-2"), append(inc.Hosts, "db"), 20
	update(t, l, func(tx *Tx) error { return tx.PutIncident(inc, "it spread", t0.Add(time.Second)) })
	other := &verdict.Incident{Id: "i-2", Tenant: "acme", State: "closed", UpdatedNs: 15, Hosts: []string{"mail"}}
	foreign := &verdict.Incident{Id: "i-1", Tenant: "evil", State: "open", UpdatedNs: 99}
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutIncident(other, "", t0), tx.PutIncident(foreign, "", t0))
	})
	view(t, l, func(tx *Tx) error {
		got, err := tx.OnDesk("acme", "i-1")
		if err != nil || got.Title != "Web shell" || len(got.Hosts) != 2 {
			t.Errorf("incident %v, %v", got, err)
		}
		hist, err := tx.History("acme", "i-1")
		if err != nil || len(hist) != 2 || hist[1].Why != "it spread" || len(hist[0].Incident.Findings) != 1 || !hist[1].At.Equal(t0.Add(time.Second)) {
			t.Errorf("history %+v, %v", hist, err)
		}
		for _, c := range []struct {
			q    IncidentQuery
			want string
		}{
			{IncidentQuery{}, "i-1 i-2"}, {IncidentQuery{Page: Page{Limit: 1}}, "i-1"}, {IncidentQuery{Page: Page{Ascending: true}}, "i-2 i-1"}, {IncidentQuery{State: "closed"}, "i-2"},
			{IncidentQuery{Host: "db"}, "i-1"}, {IncidentQuery{Host: "nowhere"}, ""}, {IncidentQuery{Since: time.Unix(0, 16)}, "i-1"},
		} {
			list, _, err := tx.Incidents("acme", c.q)
			var ids []string
			for _, i := range list {
				ids = append(ids, i.Id)
			}
			if err != nil || strings.Join(ids, " ") != c.want {
				t.Errorf("%+v: %v, %v", c.q, ids, err)
			}
		}
		if id, err := tx.IncidentOf("acme", "f-2"); id != "i-1" || err != nil {
			t.Errorf("finding f-2 is of %q, %v", id, err)
		}
		if _, err := tx.OnDesk("acme", "i-9"); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		if _, err := tx.History("acme", "i-9"); !errors.Is(err, ErrNotFound) {
			t.Errorf("history of the unknown: %v", err)
		}
		return nil
	})
}

func merges(t *testing.T, l *Ledger) {
	put := func(id string, aliases []string, findings ...string) {
		t.Helper()
		update(t, l, func(tx *Tx) error {
			return tx.PutIncident(&verdict.Incident{Id: id, Tenant: "acme", State: "open", Aliases: aliases, Findings: findings, Hosts: []string{"h-" + id}}, "", t0)
		})
	}
	put("a", nil, "f-a")
	put("b", nil, "f-b")
	put("c", nil, "f-c")
	update(t, l, func(tx *Tx) error {
		o := order("act")
		o.Incident = "b"
		return tx.Order(o, nil)
	})
	put("b", []string{"c"}, "f-b", "f-c")
	put("a", []string{"b", "c"}, "f-a", "f-b", "f-c")
	view(t, l, func(tx *Tx) error {
		for _, id := range []string{"a", "b", "c"} {
			if got, err := tx.OnDesk("acme", id); err != nil || got.Id != "a" {
				t.Errorf("%s is %v, %v", id, got, err)
			}
			if of, err := tx.IncidentOf("acme", "f-"+id); of != "a" || err != nil {
				t.Errorf("f-%s is of %q, %v", id, of, err)
			}
		}
		if list, _, _ := tx.Incidents("acme", IncidentQuery{}); len(list) != 1 {
			t.Errorf("%d incidents after the merge", len(list))
		}
		if hist, err := tx.History("acme", "c"); err != nil || len(hist) != 1 {
			t.Errorf("the merged one's history: %v, %v", hist, err)
		}
		if acts, _, _ := tx.Actions("acme", ActionQuery{Incident: "a"}); len(acts) != 1 || acts[0].Incident != "a" {
			t.Errorf("its actions: %+v", acts)
		}
		return nil
	})
	put("c", nil, "f-c") // split off again
	view(t, l, func(tx *Tx) error {
		if got, err := tx.OnDesk("acme", "c"); err != nil || got.Id != "c" {
			t.Errorf("c after the split: %v, %v", got, err)
		}
		if hist, _ := tx.History("acme", "c"); len(hist) != 2 {
			t.Errorf("%d entries in its history", len(hist))
		}
		return nil
	})
}

func actions(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error { return tx.Order(order("a-1"), []byte("nft delete element")) })
	err := l.Update(t.Context(), func(tx *Tx) error { return tx.Order(order("a-1"), nil) })
	if !errors.Is(err, ErrExists) {
		t.Errorf("ordered twice: %v", err)
	}
	bad := order("a-2")
	bad.Deadline = bad.Ordered
	if err := l.Update(t.Context(), func(tx *Tx) error { return tx.Order(bad, nil) }); err == nil {
		t.Error("an order without a lifetime was taken")
	}
	advance := func(to action.State, result string) error {
		return l.Update(t.Context(), func(tx *Tx) error { return tx.Advance("acme", "a-1", to, result, nil, t0.Add(time.Minute)) })
	}
	for _, c := range []struct {
		to   action.State
		want error
	}{
		{action.Verified, ErrTransition}, {action.Done, nil}, {action.Done, nil}, {action.Ordered, ErrTransition}, {action.Verified, nil},
		{action.Shadowed, ErrTransition}, {action.Undone, nil}, {action.Done, ErrTransition}, {action.Undone, nil},
	} {
		if err := advance(c.to, ""); !errors.Is(err, c.want) {
			t.Errorf("to %s: %v, want %v", c.to, err, c.want)
		}
	}
	view(t, l, func(tx *Tx) error {
		rec, err := tx.Action("acme", "a-1")
		if err != nil || rec.State != action.Undone || string(rec.Inverse) != "nft delete element" || rec.Subject.GetText() != "192.0.2.1" || !rec.Deadline.Equal(t0.Add(time.Hour)) {
			t.Errorf("record %+v, %v", rec, err)
		}
		steps, err := tx.ActionHistory("acme", "a-1")
		var states []string
		for _, s := range steps {
			states = append(states, string(s.State))
		}
		if got := strings.Join(states, " "); got != "ordered done verified undone" || err != nil {
			t.Errorf("history %s, %v", got, err)
		}
		if _, err := tx.Action("evil", "a-1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("another tenant sees it: %v", err)
		}
		return nil
	})
}

func reconcile(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		for i, to := range []action.State{"", action.Done, action.Verified, action.Refused, action.Undone} {
			id := fmt.Sprintf("a-%d", i)
			if err := tx.Order(order(id), nil); err != nil {
				return err
			}
			if to == action.Verified {
				if err := tx.Advance("acme", id, action.Done, "", nil, t0); err != nil {
					return err
				}
			}
			if to != "" {
				if err := tx.Advance("acme", id, to, "", nil, t0); err != nil {
					return err
				}
			}
		}
		far := order("elsewhere")
		far.Host = "db"
		return tx.Order(far, nil)
	})
	check := func(now time.Time, host string, unfinished, overdue int) {
		t.Helper()
		view(t, l, func(tx *Tx) error {
			u, o, err := tx.Reconcile("acme", host, now)
			if err != nil || len(u) != unfinished || len(o) != overdue {
				t.Errorf("at %v on %q: %d unfinished, %d overdue, %v; want %d and %d", now, host, len(u), len(o), err, unfinished, overdue)
			}
			return nil
		})
	}
	check(t0, "web", 1, 0)
	check(t0, "", 2, 0)
	check(t0.Add(time.Hour), "web", 1, 2)
	update(t, l, func(tx *Tx) error { return tx.Prolong("acme", "a-1", t0.Add(3*time.Hour), t0) })
	check(t0.Add(2*time.Hour), "web", 1, 1)
	if err := l.Update(t.Context(), func(tx *Tx) error { return tx.Prolong("acme", "a-3", t0.Add(9*time.Hour), t0) }); !errors.Is(err, ErrTransition) {
		t.Errorf("a refused action was prolonged: %v", err)
	}
}

func exceptions(t *testing.T, l *Ledger) {
	e := Exception{ID: "x", Scope: []byte(`{"rule":"r","path":"/srv/*"}`), Reason: "backup", Owner: "eve", Made: t0, Expires: t0.Add(time.Hour)}
	update(t, l, func(tx *Tx) error { return tx.PutException("acme", e) })
	update(t, l, func(tx *Tx) error { return tx.HitException("acme", "x", 3, t0) })
	update(t, l, func(tx *Tx) error { return tx.HitException("acme", "x", 2, t0.Add(time.Minute)) })
	update(t, l, func(tx *Tx) error { return tx.PutException("acme", e) })
	view(t, l, func(tx *Tx) error {
		got, err := tx.Exceptions("acme", t0)
		if err != nil || len(got) != 1 || got[0].Hits != 5 || string(got[0].Scope) != string(e.Scope) || !got[0].LastHit.Equal(t0.Add(time.Minute)) {
			t.Errorf("%+v, %v", got, err)
		}
		if got, _ := tx.Exceptions("acme", t0.Add(time.Hour)); len(got) != 0 {
			t.Error("it outlived its expiry")
		}
		return nil
	})
	update(t, l, func(tx *Tx) error { return tx.RemoveException("acme", "x", t0) })
	view(t, l, func(tx *Tx) error {
		now, _ := tx.Exceptions("acme", t0)
		all, _ := tx.Exceptions("acme", time.Time{})
		if len(now) != 0 || len(all) != 1 || all[0].Removed.IsZero() {
			t.Errorf("after the removal: %v in force, %v in all", now, all)
		}
		return nil
	})
	for _, bad := range []Exception{{ID: "y", Scope: []byte("{"), Reason: "r", Owner: "o", Expires: t0}, {ID: "y", Scope: []byte("{}"), Owner: "o", Expires: t0}, {ID: "y", Scope: []byte("{}"), Reason: "r", Owner: "o"}} {
		if err := l.Update(t.Context(), func(tx *Tx) error { return tx.PutException("acme", bad) }); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if err := l.Update(t.Context(), func(tx *Tx) error { return tx.HitException("acme", "none", 1, t0) }); !errors.Is(err, ErrNotFound) {
		t.Errorf("a hit on nothing: %v", err)
	}
}

func audit(t *testing.T, l *Ledger) {
	var heads []Head
	for i := range 5 {
		update(t, l, func(tx *Tx) error {
			h, err := tx.Audit("acme", Entry{At: t0.Add(time.Duration(i)), Actor: "eve", Verb: "order", Object: fmt.Sprint(i), Detail: "d"})
			heads = append(heads, h)
			return err
		})
	}
	update(t, l, func(tx *Tx) error { _, err := tx.Audit("other", Entry{At: t0, Actor: "bob", Verb: "look"}); return err })
	view(t, l, func(tx *Tx) error {
		head, err := tx.VerifyAudit("acme", heads[2])
		if err != nil || head != heads[4] {
			t.Errorf("head %v, %v; want %v", head, err, heads[4])
		}
		if _, err := tx.VerifyAudit("acme", Head{9, "00"}); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("a head past the end: %v", err)
		}
		if _, err := tx.VerifyAudit("acme", Head{3, "00"}); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "entry 3") {
			t.Errorf("another entry 3: %v", err)
		}
		tail, err := tx.AuditTail("acme", 2)
		if err != nil || len(tail) != 2 || tail[0].Seq != 5 || tail[0].Hash != heads[4].Hash {
			t.Errorf("tail %+v, %v", tail, err)
		}
		for _, ascending := range []bool{false, true} {
			var seen []uint64
			for after := ""; ; {
				page, next, err := tx.AuditEntries("acme", AuditQuery{Actor: "eve", Page: Page{Limit: 2, After: after, Ascending: ascending}})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					seen = append(seen, e.Seq)
				}
				if after = next; next == "" {
					break
				}
			}
			want := []uint64{5, 4, 3, 2, 1}
			if ascending {
				slices.Reverse(want)
			}
			if !slices.Equal(seen, want) {
				t.Errorf("pages (ascending %t) show %v, want %v", ascending, seen, want)
			}
		}
		if found, _, err := tx.AuditEntries("acme", AuditQuery{Text: "ORDER", Since: t0.Add(3)}); err != nil || len(found) != 2 {
			t.Errorf("filtered: %+v, %v", found, err)
		}
		return nil
	})
	for _, sql := range []string{"UPDATE audit SET actor = 'x'", "DELETE FROM audit"} {
		if err := l.Update(t.Context(), func(tx *Tx) error { _, err := tx.exec(sql); return err }); err == nil {
			t.Errorf("%s went through", sql)
		}
	}
}

func policy(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		return errors.Join(
			tx.SetStage("acme", Stage{Scope: "network", Stage: action.Shadow, Actor: "eve", Reason: "trial", At: t0}),
			tx.SetStage("acme", Stage{Scope: "network", Stage: action.Enforce, Actor: "eve", Reason: "proven", At: t0.Add(1)}),
			tx.SetStage("acme", Stage{Scope: "", Stage: action.Observe, Actor: "eve", At: t0}))
	})
	view(t, l, func(tx *Tx) error {
		got, err := tx.Stages("acme")
		if err != nil || len(got) != 2 || got[1].Stage != action.Enforce || got[1].Reason != "proven" {
			t.Errorf("%+v, %v", got, err)
		}
		return nil
	})
}

func aliases(t *testing.T, l *Ledger) {
	a := Alias{Alias: entity.Key{1}, Entity: entity.Key{2}, Rule: "nat", Event: "acme/web/1/2", At: t0}
	update(t, l, func(tx *Tx) error { return errors.Join(tx.AddAlias("acme", a), tx.AddAlias("acme", a)) })
	update(t, l, func(tx *Tx) error { return tx.UndoAlias("acme", a.Alias, a.Entity, t0.Add(1)) })
	view(t, l, func(tx *Tx) error {
		for _, k := range []entity.Key{a.Alias, a.Entity} {
			got, err := tx.Aliases("acme", k)
			if err != nil || len(got) != 1 || got[0].Rule != "nat" || !got[0].Undone.Equal(t0.Add(1)) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		return nil
	})
}

// An error undoes all of an Update, and nothing of it was seen meanwhile.
func atomic(t *testing.T, l *Ledger) {
	stop := errors.New("stop")
	err := l.Update(t.Context(), func(tx *Tx) error {
		if err := tx.Order(order("a"), nil); err != nil {
			return err
		}
		view(t, l, func(v *Tx) error {
			if _, err := v.Action("acme", "a"); !errors.Is(err, ErrNotFound) {
				t.Errorf("seen before the commit: %v", err)
			}
			return nil
		})
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	view(t, l, func(tx *Tx) error {
		if _, err := tx.Action("acme", "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("left behind: %v", err)
		}
		return nil
	})
}

func viewsDoNotWrite(t *testing.T, l *Ledger) {
	if err := l.View(t.Context(), func(tx *Tx) error { return tx.Order(order("a"), nil) }); err == nil {
		t.Error("a view wrote")
	}
}

// Many writers and readers at once: every count and the chain are whole.
func writers(t *testing.T, l *Ledger) {
	const n, each = 8, 25
	update(t, l, func(tx *Tx) error {
		return tx.PutException("acme", Exception{ID: "x", Scope: []byte("{}"), Reason: "r", Owner: "o", Made: t0, Expires: t0.Add(1)})
	})
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for i := range each {
				err := l.Update(t.Context(), func(tx *Tx) error {
					if err := tx.HitException("acme", "x", 1, t0); err != nil {
						return err
					}
					_, err := tx.Audit("acme", Entry{At: t0, Actor: fmt.Sprint(w), Verb: "hit", Object: fmt.Sprint(i)})
					return err
				})
				if err == nil {
					err = l.View(t.Context(), func(tx *Tx) error { _, err := tx.VerifyAudit("acme", Head{}); return err })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	view(t, l, func(tx *Tx) error {
		head, err := tx.VerifyAudit("acme", Head{})
		ex, _ := tx.Exceptions("acme", time.Time{})
		if err != nil || head.Seq != n*each || ex[0].Hits != n*each {
			t.Errorf("chain of %d, %d hits, %v; want %d", head.Seq, ex[0].Hits, err, n*each)
		}
		return nil
	})
}

func hostileText(t *testing.T, l *Ledger) {
	for _, s := range []string{"'; DROP TABLE incidents; --", "\x00", "\xff\xfe", strings.Repeat("x", 1<<16), "%_", "?"} {
		update(t, l, func(tx *Tx) error {
			return tx.PutIncident(&verdict.Incident{Id: s, Tenant: "acme", Title: strings.ToValidUTF8(s, "?"), Findings: []string{strings.ToValidUTF8(s, "?")}}, s, t0)
		})
		view(t, l, func(tx *Tx) error {
			got, err := tx.OnDesk("acme", s)
			if err != nil || got.Id != s {
				t.Errorf("%.20q came back as %v, %v", s, got, err)
			}
			return nil
		})
	}
}
