// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"fmt"
	"math"
	"time"
)

// Bundle is one version of what a group's agents work from.
type Bundle struct {
	Group   string    `json:"group"`
	Version uint64    `json:"version"` // at least 1; only rises within tenant and group
	ID      string    `json:"id"`      // hash of the signed manifest
	Content string    `json:"content"` // hash of what is in it, whatever version, time and note
	Note    string    `json:"note"`
	Created time.Time `json:"created"`
}

// AddBundle stores a version. One that is not above every earlier one of its group is
// ErrExists.
func (t *Tx) AddBundle(tenant string, b Bundle) error {
	fail := func(err error) error {
		return fmt.Errorf("add bundle %s/%s version %d: %w", tenant, b.Group, b.Version, err)
	}
	if tenant == "" || b.Group == "" || b.Version < 1 || b.Version > math.MaxInt64 || b.ID == "" {
		return fail(fmt.Errorf("tenant, group, id and a version of 1 to %d are required", int64(math.MaxInt64)))
	}
	var last int64
	if err := t.row("SELECT COALESCE(MAX(version), 0) FROM bundles WHERE tenant = ? AND grp = ?", []any{tenant, b.Group}, &last); err != nil {
		return fail(err)
	}
	if int64(b.Version) <= last {
		return fail(fmt.Errorf("%w: version %d stands", ErrExists, last))
	}
	_, err := t.exec("INSERT INTO bundles (tenant, grp, version, id, content, note, created_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
		tenant, b.Group, int64(b.Version), b.ID, b.Content, b.Note, ns(b.Created))
	if err != nil {
		return fail(err)
	}
	return nil
}

// Bundles lists the versions of a group, the newest first; limit 0 is all.
func (t *Tx) Bundles(tenant, group string, limit int) (out []Bundle, err error) {
	query, args := "SELECT version, id, content, note, created_ns FROM bundles WHERE tenant = ? AND grp = ? ORDER BY version DESC", []any{tenant, group}
	if limit > 0 {
		query, args = query+" LIMIT ?", append(args, limit)
	}
	err = t.rows(query, args, func(r *sql.Rows) error {
		b := Bundle{Group: group}
		var version, created int64
		if err := r.Scan(&version, &b.ID, &b.Content, &b.Note, &created); err != nil {
			return err
		}
		b.Version, b.Created = uint64(version), at(created)
		out = append(out, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list bundles of %s/%s: %w", tenant, group, err)
	}
	return out, nil
}
