// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrCursor is wrapped where a cursor is none that a page gave.
var ErrCursor = errors.New("no cursor of this list")

// Page chooses a part of a list that goes by one column and then by id, so that what
// comes and goes meanwhile neither repeats nor hides a row.
type Page struct {
	After     string // the cursor that the page before gave; empty: from the start
	Limit     int    // rows, default 100, at most 1000
	Ascending bool   // smallest first; else largest first
}

const (
	pageRows = 100
	pageMost = 1000
)

func (p Page) limit() int {
	if p.Limit <= 0 {
		return pageRows
	}
	return min(p.Limit, pageMost)
}

// cursor is the place behind a row: the value it was sorted by, and its id.
type cursor struct {
	Key json.Number `json:"k"`
	ID  string      `json:"i"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err == nil && (c.Key == "" || c.ID == "") {
		err = errors.New("incomplete")
	}
	if err != nil {
		return c, fmt.Errorf("%w: %q", ErrCursor, s)
	}
	return c, nil
}

// filter gathers the conditions of a list.
type filter struct {
	where []string
	args  []any
}

func (f *filter) and(condition string, args ...any) {
	f.where, f.args = append(f.where, condition), append(f.args, args...)
}

// equal narrows to a column's value; an empty one does not narrow.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.and(column+" = ?", value)
	}
}

// between narrows to times of a column, both ends included; 0 is open.
func (f *filter) between(column string, from, to int64) {
	if from != 0 {
		f.and(column+" >= ?", from)
	}
	if to != 0 {
		f.and(column+" <= ?", to)
	}
}

// holds narrows to rows one of whose columns has the text in it, case apart.
func (f *filter) holds(text string, columns ...string) {
	if text == "" {
		return
	}
	like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(text)) + "%"
	var any []string
	for _, c := range columns {
		any = append(any, "LOWER("+c+`) LIKE ? ESCAPE '\'`)
		f.args = append(f.args, like)
	}
	f.where = append(f.where, "("+strings.Join(any, " OR ")+")")
}

// page ends a query that begins "SELECT … FROM …" and goes by sort and id. One row more
// than asked for tells that there is a next page.
func (f *filter) page(query, sort, id string, p Page) (string, []any, error) {
	order, than := "DESC", "<"
	if p.Ascending {
		order, than = "ASC", ">"
	}
	if p.After != "" {
		c, err := parseCursor(p.After)
		if err != nil {
			return "", nil, err
		}
		var key any
		if n, err := c.Key.Int64(); err == nil {
			key = n
		} else if x, err := c.Key.Float64(); err == nil {
			key = x
		} else {
			return "", nil, fmt.Errorf("%w: %q", ErrCursor, p.After)
		}
		f.and("("+sort+", "+id+") "+than+" (?, ?)", key, c.ID)
	}
	query += " WHERE " + strings.Join(f.where, " AND ") + " ORDER BY " + sort + " " + order + ", " + id + " " + order + " LIMIT ?"
	return query, append(f.args, p.limit()+1), nil
}

// cut drops the row too many and gives the cursor of the next page; empty when this was
// the last.
func cut[T any](rows []T, p Page, place func(T) cursor) ([]T, string) {
	n := p.limit()
	if len(rows) <= n {
		return rows, ""
	}
	return rows[:n], place(rows[n-1]).String()
}

// only gives the one row of a list that was asked for by id; ErrNotFound without one.
func only[T any](rows []T, err error) (T, error) {
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}
