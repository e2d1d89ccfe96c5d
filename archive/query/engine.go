// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/ringwall/ringwall/archive"
)

// engine answers hunts one after another, each in a database of its own in memory, so
// that nothing a hunt does is there for the next.
type engine struct {
	dir    string
	parse  mapping.Connection // counts statements; executes none
	parsed mapping.Database
}

func newEngine(dir string) (*engine, error) {
	e := &engine{dir: strings.TrimSuffix(dir, "/")}
	var config mapping.Config
	defer mapping.DestroyConfig(&config)
	var why string
	if mapping.CreateConfig(&config) == mapping.StateError || mapping.SetConfig(config, "threads", "1") == mapping.StateError ||
		mapping.SetConfig(config, "memory_limit", "64MB") == mapping.StateError ||
		mapping.OpenExt(":memory:", &e.parsed, config, &why) == mapping.StateError ||
		mapping.Connect(e.parsed, &e.parse) == mapping.StateError {
		return nil, fmt.Errorf("open DuckDB in memory: %s", why)
	}
	// The first database of a process pays for what all share.
	_, closeAll, err := e.open(request{Threads: 1})
	if err != nil {
		return nil, err
	}
	closeAll()
	return e, nil
}

// problem is a failure with the code that crosses to the parent.
type problem struct{ code, text string }

func (p *problem) Error() string { return p.text }

func refused(format string, args ...any) error {
	return &problem{"refused", fmt.Sprintf(format, args...)}
}

// hunt runs one request and says its columns and rows.
func (e *engine) hunt(r request, say func(any) error) *end {
	from := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), r.Limits.Time)
	defer cancel()
	done := &end{}
	if err := e.run(ctx, r, say, done); err != nil {
		done.Code, done.Error = classify(ctx, err)
	}
	done.Elapsed = time.Since(from)
	return done
}

// classify turns DuckDB's errors into ours, each with its mend.
func classify(ctx context.Context, err error) (code, text string) {
	var p *problem
	if errors.As(err, &p) {
		return p.code, p.text
	}
	if ctx.Err() != nil {
		return "time", err.Error()
	}
	text = err.Error()
	var d *duckdb.Error
	if errors.As(err, &d) {
		switch d.Type {
		case duckdb.ErrorTypeOutOfMemory:
			return "memory", text
		case duckdb.ErrorTypePermission:
			return "refused", text + "; a hunt may read only the views: events, findings, requests, processes, files, flows, lookups, logins, actions, losses, edges, raw"
		case duckdb.ErrorTypeIO:
			if strings.Contains(text, "No such file") {
				return "gone", text
			}
		}
	}
	if strings.Contains(text, "failed to allocate") || strings.Contains(text, "Out of Memory") {
		return "memory", text
	}
	return "sql", text
}

// settings shut the database; the order matters, the last locks the rest.
func settings(dir string) []string {
	return []string{
		"SET temp_directory = ''",
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allow_persistent_secrets = false",
		"SET allowed_directories = [" + quote(dir+"/"+string(archive.Events)+"/") + ", " + quote(dir+"/"+string(archive.Edges)+"/") + "]",
		"SET enable_external_access = false",
	}
}

// open makes a database with the views over the request's segments, shut and locked.
func (e *engine) open(r request) (*duckdb.Conn, func(), error) {
	// Given at the opening, or DuckDB reads them from /proc and cgroup files that the
	// sandbox does not show, and 1.5.6 aborts on one that is there but refused.
	c, err := duckdb.NewConnector(fmt.Sprintf("?threads=%d&memory_limit=%dMB", max(1, r.Threads), max(64, r.Limits.MemoryMB)), nil)
	if err != nil {
		return nil, nil, err
	}
	raw, err := c.Connect(context.Background())
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	conn := raw.(*duckdb.Conn)
	closeAll := func() {
		conn.Close()
		c.Close()
	}
	steps := append(settings(e.dir), viewSQL(e.dir+"/", r.Segments)...)
	steps = append(steps, "SET lock_configuration = true")
	for _, s := range steps {
		if _, err := conn.ExecContext(context.Background(), s, nil); err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("prepare the views: %w", err)
		}
	}
	return conn, closeAll, nil
}

func (e *engine) run(ctx context.Context, r request, say func(any) error, done *end) error {
	if err := e.single(r.SQL); err != nil {
		return err
	}
	conn, closeAll, err := e.open(r)
	if err != nil {
		return err
	}
	defer closeAll()
	if !r.Limits.Raw {
		if err := withoutRaw(ctx, conn, r.SQL); err != nil {
			return err
		}
	}
	stmt, err := prepare(ctx, conn, r.SQL, r.Limits.Rows)
	if err != nil {
		return err
	}
	defer stmt.Close()
	rows, err := stmt.QueryContext(ctx, nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	return stream(ctx, rows, r.Limits.Rows, say, done)
}

// single refuses anything but one statement: DuckDB's own parser counts, because the
// driver would execute all but the last while preparing.
func (e *engine) single(sql string) error {
	if strings.ContainsRune(sql, 0) {
		return refused("the SQL holds a zero byte; remove it")
	}
	if strings.EqualFold(firstWord(sql), "pragma") { // DuckDB turns some into a SELECT
		return refused("PRAGMA is not for hunts; DESCRIBE shows columns, SHOW TABLES the views")
	}
	var found mapping.ExtractedStatements
	n := mapping.ExtractStatements(e.parse, sql, &found)
	defer mapping.DestroyExtracted(&found)
	switch {
	case n == 1:
		return nil
	case n > 1:
		return refused("%d statements; a hunt is one SELECT, so run them one by one", n)
	}
	if text := mapping.ExtractStatementsError(found); text != "" {
		return &problem{"sql", text}
	}
	return refused("no statement; try: select * from events order by time desc limit 20")
}

// firstWord is the first word of sql behind blanks, semicolons and comments.
func firstWord(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " ;\t\r\n\f\v(")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		default:
			end := strings.IndexFunc(sql, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
			if end < 0 {
				end = len(sql)
			}
			return sql[:end]
		}
	}
}

// prepare checks the kind of the statement, and bounds a SELECT inside the engine, so
// that it never makes more rows than will be handed out.
func prepare(ctx context.Context, conn *duckdb.Conn, sql string, rows int) (*duckdb.Stmt, error) {
	raw, err := conn.PrepareContext(ctx, sql)
	if err != nil {
		return nil, err
	}
	stmt := raw.(*duckdb.Stmt)
	kind, err := stmt.StatementType()
	if err == nil && kind != duckdb.STATEMENT_TYPE_SELECT && kind != duckdb.STATEMENT_TYPE_EXPLAIN {
		err = refused("a hunt only reads: SELECT, WITH, FROM, DESCRIBE, SUMMARIZE or EXPLAIN; this is another kind of statement")
	}
	if err == nil && stmt.NumInput() != 0 {
		err = refused("the SQL has %d parameters ($1 or ?); write the values into it", stmt.NumInput())
	}
	if err != nil {
		stmt.Close()
		return nil, err
	}
	if kind == duckdb.STATEMENT_TYPE_EXPLAIN {
		return stmt, nil
	}
	body := strings.TrimRight(sql, "; \t\r\n")
	if bounded, err := conn.PrepareContext(ctx, fmt.Sprintf("SELECT * FROM (\n%s\n) LIMIT %d", body, rows+1)); err == nil {
		stmt.Close()
		return bounded.(*duckdb.Stmt), nil
	}
	return stmt, nil // DESCRIBE and its like, or a comment after the semicolon: bounded while streaming
}

func stream(ctx context.Context, rows driver.Rows, most int, say func(any) error, done *end) error {
	names := rows.Columns()
	types := make([]string, len(names))
	if t, ok := rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		for i := range types {
			types[i] = t.ColumnTypeDatabaseTypeName(i)
		}
	}
	if err := say(reply{Columns: names, Types: types}); err != nil {
		return err
	}
	vals := make([]driver.Value, len(names))
	size := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := rows.Next(vals)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if done.Rows == most {
			done.Truncated = true
			return nil
		}
		row := make([]any, len(vals))
		for i, v := range vals {
			row[i] = plain(v)
		}
		b, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("row %d as JSON: %w", done.Rows+1, err)
		}
		if size += len(b) + 16; size > mostBytes {
			done.Truncated = true
			return nil
		}
		if err := say(rowReply{b}); err != nil {
			return err
		}
		done.Rows++
	}
}
