// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// TestExceptionsLiveInTheLedger: what the configuration says is there with its hits, what
// it says no more has ended, and one that a person made is in force beside it.
func TestExceptionsLiveInTheLedger(t *testing.T) {
	b := opened(t)
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	backup := &decide.Exception{ID: "backup", Scope: decide.Scope{Rule: "r", Exe: "/usr/bin/rsync"}, Reason: "nightly", Owner: "ops", Expires: ends}
	nameless := &decide.Exception{Scope: decide.Scope{Rule: "q"}, Reason: "noise", Owner: "ops", Expires: ends}
	over := &decide.Exception{ID: "over", Scope: decide.Scope{Rule: "r"}, Reason: "was", Owner: "ops", Expires: time.Now().Add(-time.Hour)}
	say := func(list ...*decide.Exception) *decide.Exceptions {
		t.Helper()
		x, err := b.exceptions(t.Context(), "default", list)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	noise, other := &verdict.Finding{Rule: "q"}, &verdict.Finding{Rule: "s"}
	x := say(backup, nameless, over)
	for range 3 {
		x.Hit(x.Match(noise, time.Now()))
	}
	b.keepTaken(t.Context(), "default", x)
	b.keepTaken(t.Context(), "default", x) // nothing new

	if err := b.ledger.Update(t.Context(), func(tx *ledger.Tx) error {
		return tx.PutException("default", ledger.Exception{ID: "by-hand", Scope: []byte(`{"rule":"s"}`), Reason: "r", Owner: "ann", Made: time.Now(), Expires: ends})
	}); err != nil {
		t.Fatal(err)
	}
	x = say(backup, nameless) // again, as at the next start
	if e := x.Match(noise, time.Now()); e == nil || e.Hits != 3 {
		t.Errorf("its hits did not survive: %+v", e)
	}
	if x.Match(other, time.Now()) == nil {
		t.Error("one that a person made is not in force")
	}
	if x := say(backup); x.Match(noise, time.Now()) != nil || x.Match(other, time.Now()) == nil {
		t.Error("gone from the configuration must end, and nothing else")
	}

	var lines []string
	if err := b.ledger.View(t.Context(), func(tx *ledger.Tx) error {
		all, err := tx.Exceptions("default", time.Time{})
		for _, e := range all {
			lines = append(lines, fmt.Sprint(e.ID, " hits ", e.Hits, " ended ", !e.Removed.IsZero()))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines, ", ")
	for _, want := range []string{"configuration/backup hits 0 ended false", "configuration/2 hits 3 ended true", "configuration/over hits 0 ended true", "by-hand hits 0 ended false"} {
		if !strings.Contains(got, want) {
			t.Errorf("the ledger has %s; want %s", got, want)
		}
	}
	if _, err := b.exceptions(t.Context(), "other", nil); err != nil {
		t.Error(err)
	}
}
