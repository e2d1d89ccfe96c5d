// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one step forward; there is no way back but a copy of the file.
type migration struct {
	version int
	name    string
	sql     []string // the common part, then the engine's own
}

// load lists the migrations for an engine: NNNN_name.sql, then NNNN_name.ENGINE.sql.
func load(files fs.FS, engine string) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []migration
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".sql")
		base, own, special := strings.Cut(base, ".")
		if special && own != engine {
			continue
		}
		number, _, _ := strings.Cut(base, "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s: want NNNN_name.sql", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].version != n {
			if n != len(out)+1 {
				return nil, fmt.Errorf("migration %s: want number %d", name, len(out)+1)
			}
			out = append(out, migration{version: n, name: base})
		}
		last := &out[len(out)-1]
		last.sql = append(last.sql, string(text))
	}
	return out, nil
}

// migrate brings the tables to this build's version, each step in a transaction of its own.
func (l *Ledger) migrate(ctx context.Context) error {
	steps, err := load(migrations, l.engine.name)
	if err != nil {
		return err
	}
	err = l.Update(ctx, func(t *Tx) error {
		_, err := t.exec("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_ns BIGINT NOT NULL)")
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range steps {
		err := l.Update(ctx, func(t *Tx) error { return t.step(m, len(steps)) })
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// step applies m unless it has been. The look is inside the transaction: two processes
// may start at once.
func (t *Tx) step(m migration, newest int) error {
	var have int
	if err := t.row("SELECT COALESCE(MAX(version), 0) FROM schema_versions", nil, &have); err != nil {
		return err
	}
	if have > newest {
		return fmt.Errorf("the ledger is of version %d and this build knows %d; run the newer build, or restore a copy from before it", have, newest)
	}
	if have >= m.version {
		return nil
	}
	for _, sql := range m.sql {
		if _, err := t.exec(t.engine.ddl(sql)); err != nil {
			return err
		}
	}
	_, err := t.exec("INSERT INTO schema_versions (version, name, applied_ns) VALUES (?, ?, ?)", m.version, m.name, time.Now().UnixNano())
	return err
}
