// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ringwall/ringwall/action"
)

var rewrite = flag.Bool("update", false, "add the hashes of new migrations to testdata/migrations.txt")

const killEnv = "RINGWALL_LEDGER_KILL"

func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		if err := actUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// actUntilKilled is an enforcer: it orders, then touches a file, then says done.
func actUntilKilled(path string) error {
	l, err := Open(context.Background(), Config{Path: path})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		o := order(fmt.Sprintf("%d-%d", os.Getpid(), i))
		if err := l.Update(context.Background(), func(tx *Tx) error {
			if _, err := tx.Audit("acme", Entry{At: t0, Actor: "enforcer", Verb: "order", Object: o.ID}); err != nil {
				return err
			}
			return tx.Order(o, []byte("rm "+o.ID))
		}); err != nil {
			return err
		}
		fmt.Println("ordered", o.ID)
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "touched-"+o.ID), nil, 0o600); err != nil {
			return err
		}
		if err := l.Update(context.Background(), func(tx *Tx) error { return tx.Advance("acme", o.ID, action.Done, "touched", nil, t0) }); err != nil {
			return err
		}
		fmt.Println("done", o.ID)
	}
}

// Killed between ordered and done: whatever was touched is in the ledger, as done or to
// be reconciled, and nothing acknowledged is missing.
func TestKillBetweenOrderedAndDone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.db")
	said := map[string]action.State{}
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(150+31*round)*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var state, id string
			if n, _ := fmt.Sscan(lines.Text(), &state, &id); n == 2 {
				said[id] = action.State(state)
			}
		}
		cmd.Wait()
	}
	if len(said) == 0 {
		t.Fatal("nothing was done before the kills")
	}
	l := openTest(t, path)
	view(t, l, func(tx *Tx) error {
		unfinished, _, err := tx.Reconcile("acme", "web", t0)
		if err != nil {
			return err
		}
		open := map[string]bool{}
		for _, rec := range unfinished {
			open[rec.ID] = true
			if string(rec.Inverse) != "rm "+rec.ID {
				t.Errorf("%s cannot be undone: inverse %q", rec.ID, rec.Inverse)
			}
		}
		for id, state := range said {
			rec, err := tx.Action("acme", id)
			if err != nil || (state == action.Done && rec.State != action.Done) {
				t.Errorf("%s said %s, and is %v, %v", id, state, rec, err)
			}
		}
		touched, _ := filepath.Glob(filepath.Join(dir, "touched-*"))
		for _, name := range touched {
			id := strings.TrimPrefix(filepath.Base(name), "touched-")
			if rec, err := tx.Action("acme", id); err != nil || (rec.State != action.Done && !open[id]) {
				t.Errorf("%s was touched and the ledger has %v, %v", id, rec, err)
			}
		}
		_, err = tx.VerifyAudit("acme", Head{})
		t.Logf("%d ordered, %d to reconcile after 6 kills", len(said), len(unfinished))
		return err
	})
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var")
	l := openTest(t, filepath.Join(dir, "a b?#%.db"))
	update(t, l, func(tx *Tx) error { return tx.Order(order("a"), nil) })
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if st, _ := e.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", e.Name(), st.Mode())
		}
	}
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v", st.Mode())
	}
}

// Whoever edits the file by hand is found, and the first false entry named.
func TestTamperedAuditChainIsNamed(t *testing.T) {
	for sql, want := range map[string]string{
		"UPDATE audit SET detail = 'nothing' WHERE seq = 3":            "entry 3 was changed",
		"UPDATE audit SET at_ns = at_ns + 1 WHERE seq = 1":             "entry 1 was changed",
		"DELETE FROM audit WHERE seq = 2":                              "entry 2 is missing",
		"DELETE FROM audit WHERE seq = 1":                              "entry 1 is missing",
		"UPDATE audit SET hash = x'00' WHERE seq = 4":                  "entry 4 was changed",
		"UPDATE audit SET prev = x'00' WHERE seq = 4":                  "entry 4 does not follow",
		"UPDATE audit SET tenant = 'other' WHERE seq = 5":              "cut off",
		"DELETE FROM audit WHERE seq > 3":                              "cut off",
		"UPDATE audit SET actor = 'ev', verb = 'eorder' WHERE seq = 2": "entry 2 was changed", // fields do not run together
		"UPDATE audit SET seq = CASE seq WHEN 2 THEN 3 ELSE 2 END + 100 WHERE seq IN (2, 3); UPDATE audit SET seq = seq - 100 WHERE seq > 100": "entry 2 does not follow",
	} {
		path := filepath.Join(t.TempDir(), "ledger.db")
		l := openTest(t, path)
		var head Head
		for i := range 5 {
			update(t, l, func(tx *Tx) (err error) {
				head, err = tx.Audit("acme", Entry{At: t0, Actor: "eve", Verb: "order", Object: fmt.Sprint(i)})
				return err
			})
		}
		raw := rawDB(t, path)
		for _, s := range append([]string{"DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"}, sql) {
			if _, err := raw.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		err := l.View(t.Context(), func(tx *Tx) error { _, err := tx.VerifyAudit("acme", head); return err })
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
}

func rawDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewerLedgerIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openTest(t, path)
	update(t, l, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO schema_versions (version, name, applied_ns) VALUES (999, 'future', 0)")
		return err
	})
	if _, err := Open(t.Context(), Config{Path: path}); err == nil || !strings.Contains(err.Error(), "newer build") {
		t.Errorf("a ledger of the future: %v", err)
	}
}

func TestDamagedFileIsAClearError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Path: path}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore a copy") {
		t.Errorf("%v", err)
	}
}

// Two processes (here: two ledgers) may start on the same new file and write at once.
func TestTwoOpenersMigrateOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	errs := make(chan error, 4)
	for i := range cap(errs) {
		go func() {
			l, err := Open(context.Background(), Config{Path: path})
			if err == nil {
				err = l.Update(context.Background(), func(tx *Tx) error { return tx.Order(order(fmt.Sprint(i)), nil) })
				l.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A migration that was ever released is never edited: ledgers out there have run it.
func TestMigrationsAreForEver(t *testing.T) {
	name := filepath.Join("testdata", "migrations.txt")
	b, err := os.ReadFile(name)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	for _, f := range files {
		text, _ := migrations.ReadFile(f)
		line := fmt.Sprintf("%s %x\n", filepath.Base(f), sha256.Sum256(text))
		switch {
		case strings.Contains(string(b), line):
		case strings.Contains(string(b), filepath.Base(f)+" "):
			t.Errorf("%s was edited; undo that and add a new migration instead", f)
		case *rewrite:
			b = append(b, line...)
		default:
			t.Errorf("%s is new: run go test ./ledger -update", f)
		}
	}
	if *rewrite {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadOrdersMigrations(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	got, err := load(fstest.MapFS{"migrations/0001_a.sql": file("1"), "migrations/0002_b.sql": file("2"), "migrations/0002_b.sqlite.sql": file("2s"), "migrations/0002_b.postgres.sql": file("2p")}, "sqlite")
	if err != nil || fmt.Sprint(got) != "[{1 0001_a [1]} {2 0002_b [2 2s]}]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range []string{"migrations/0002_gap.sql", "migrations/x.sql"} {
		if _, err := load(fstest.MapFS{name: file("")}, "sqlite"); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func BenchmarkOrderAndDone(b *testing.B) {
	l := openTest(b, filepath.Join(b.TempDir(), "ledger.db"))
	for i := 0; b.Loop(); i++ {
		o := order(fmt.Sprint(i))
		update(b, l, func(tx *Tx) error { return tx.Order(o, nil) })
		update(b, l, func(tx *Tx) error { return tx.Advance("acme", o.ID, action.Done, "", nil, t0) })
	}
}
