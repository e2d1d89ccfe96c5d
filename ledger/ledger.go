// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps mutable truth: incidents and their history, actions with deadline
// and inverse, exceptions, the audit chain, users, tokens, policy stages
// and the resolver's aliases.
//
// In come changes inside Update, all of them durable when it returns without error or
// none; out comes what holds now, inside View. It believes its callers about who acts:
// names of actors are given, not checked, here.
//
// The SQL is what SQLite and PostgreSQL share, and the contract test runs on whatever
// engine is given to it. The engine here is SQLite in pure Go, for one brain; the
// one for several brains comes with several brains.
//
// The worst trap: an action must be in the ledger as ordered before anything is
// touched, with what undoes it, in an Update that has returned. Only then can
// Reconcile find it after a kill.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite" // also the driver "sqlite"
)

// Errors that callers decide on; each comes wrapped with what was asked.
var (
	ErrNotFound   = errors.New("not in the ledger")
	ErrExists     = errors.New("already in the ledger")
	ErrTransition = errors.New("no such step from the state it is in")
	ErrSpent      = errors.New("secret is unknown, used or expired")
	ErrBroken     = errors.New("audit chain is broken")
)

// Config of the embedded ledger.
type Config struct {
	Path string // the database file, made 0600; -wal and -shm lie beside it
}

// Ledger is an open ledger. Safe for many goroutines; several processes may have the
// same file open.
type Ledger struct {
	write, read *sql.DB
	engine      engine
}

// engine is where the two databases differ.
type engine struct {
	name   string
	ddl    func(string) string // from the migrations' spelling
	rebind func(string) string // from ? to the engine's placeholder
}

func same(s string) string { return s }

var sqlite = engine{name: "sqlite", ddl: same, rebind: same}

// Open opens or makes the ledger and brings its tables up to date. A ledger of a newer
// build is refused and left as it is.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	if cfg.Path == "" {
		return nil, errors.New("ledger.path is empty: name the database file")
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("make ledger folder: %w", err)
	}
	// Made here and not by SQLite, for the mode; its -wal and -shm take the same.
	f, err := os.OpenFile(cfg.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	err = errors.Join(f.Chmod(0o600), f.Close())
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{engine: sqlite}
	// FULL: a commit is fsynced, so that "ordered" outlives a power cut. One writer at
	// a time per process; other processes wait up to busy_timeout.
	if l.write, err = openPatiently(ctx, cfg.Path, "journal_mode(WAL)", "synchronous(FULL)"); err == nil {
		l.write.SetMaxOpenConns(1)
		l.read, err = open(cfg.Path, "query_only(1)")
	}
	if err == nil {
		err = l.migrate(ctx)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("open ledger %s: %w", cfg.Path, err)
	}
	return l, nil
}

// openPatiently opens a ledger that another process may be turning into a WAL one at
// this moment: that step answers busy at once, whatever the timeout.
func openPatiently(ctx context.Context, path string, pragmas ...string) (*sql.DB, error) {
	const busy = 5 // SQLITE_BUSY, the low byte of the extended code
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		db, err := open(path, pragmas...)
		var code *sqlite3.Error
		if err == nil || !errors.As(err, &code) || code.Code()&0xff != busy || wait > 5*time.Second {
			return db, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func open(path string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "foreign_keys(1)"}, pragmas...), "_txlock": {"immediate"}}
	if strings.HasPrefix(pragmas[0], "query_only") {
		q.Set("_txlock", "deferred")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: abs}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	if err := db.Ping(); err != nil {
		db.Close()
		return nil, fmt.Errorf("%w; if the file is damaged, move it away with its -wal and restore a copy", err)
	}
	return db, nil
}

// Close ends all use.
func (l *Ledger) Close() error {
	var errs []error
	for _, db := range []*sql.DB{l.read, l.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Tx is one transaction; use it only inside the function it was given to.
type Tx struct {
	ctx    context.Context
	tx     *sql.Tx
	engine engine
}

// Update runs f in a transaction that is durable when Update returns nil; an error from
// f undoes all of it. Updates run one after another.
func (l *Ledger) Update(ctx context.Context, f func(*Tx) error) error {
	return l.run(ctx, l.write, f)
}

// View runs f on one state of the ledger; what f writes is refused.
func (l *Ledger) View(ctx context.Context, f func(*Tx) error) error {
	return l.run(ctx, l.read, f)
}

func (l *Ledger) run(ctx context.Context, db *sql.DB, f func(*Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin ledger transaction: %w", err)
	}
	defer tx.Rollback() // nothing after a commit
	if err := f(&Tx{ctx, tx, l.engine}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit to the ledger: %w", err)
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(t.ctx, t.engine.rebind(query), args...)
}

// row scans the one row of a query into dest; ErrNotFound without one.
func (t *Tx) row(query string, args []any, dest ...any) error {
	err := t.tx.QueryRowContext(t.ctx, t.engine.rebind(query), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// rows calls scan for each row.
func (t *Tx) rows(query string, args []any, scan func(*sql.Rows) error) error {
	rs, err := t.tx.QueryContext(t.ctx, t.engine.rebind(query), args...)
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		if err := scan(rs); err != nil {
			return err
		}
	}
	return rs.Err()
}

// ns and at turn times to what is stored and back; the zero time is 0.
func ns(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func at(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// in gives "?, ?, …" and the values for an IN list.
func in[T ~string](vals []T) (string, []any) {
	args := make([]any, len(vals))
	for i, v := range vals {
		args[i] = string(v)
	}
	return strings.TrimSuffix(strings.Repeat("?, ", len(vals)), ", "), args
}

// most rows that a list gives when it was not told.
const most = 1000

func limit(n int) int {
	if n <= 0 || n > 100*most {
		return most
	}
	return n
}
