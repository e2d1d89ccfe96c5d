// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// rawView holds the events whole: headers and values of requests, lines of logs.
const rawView = "raw"

// ranges are the table functions that read nothing.
var ranges = []string{"unnest", "range", "generate_series", "generate_subscripts"}

// withoutRaw refuses a hunt that could read the events whole. DuckDB knows no rights, and
// the views read the same files that the view raw does; so its own parser says what
// the hunt reads: only views, its own WITH names, and table functions that read nothing.
func withoutRaw(ctx context.Context, conn *duckdb.Conn, sql string) error {
	tree, err := syntax(ctx, conn, plainStatement(sql))
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, v := range views {
		names[v.name] = true
	}
	each(tree, func(node map[string]any) error {
		if with, ok := node["cte_map"].(map[string]any); ok {
			list, _ := with["map"].([]any)
			for _, x := range list {
				if m, ok := x.(map[string]any); ok {
					names[name(m["key"])] = true
				}
			}
		}
		return nil
	})
	delete(names, rawView)
	return each(tree, func(node map[string]any) error {
		switch node["type"] {
		case "BASE_TABLE":
			n := name(node["table_name"])
			if !names[n] || strings.ContainsAny(n, "/*") || name(node["schema_name"]) != "" && name(node["schema_name"]) != "main" {
				return unseen(n)
			}
		case "SHOW_REF":
			if n := strings.Trim(name(node["table_name"]), `"`); n == rawView {
				return unseen(n)
			}
		case "TABLE_FUNCTION":
			f, _ := node["function"].(map[string]any)
			if n := name(f["function_name"]); !slices.Contains(ranges, n) {
				return unseen(n + "()")
			}
		}
		return nil
	})
}

func unseen(what string) error {
	return &problem{"raw", fmt.Sprintf("%s could show events whole, with what requests and logs hold; that needs the permission raw. All else is in events, findings, requests, processes, files, flows, lookups, logins, actions, losses and edges", what)}
}

func name(v any) string {
	s, _ := v.(string)
	return strings.ToLower(s)
}

// plainStatement is what an EXPLAIN explains, and every other statement itself.
func plainStatement(sql string) string {
	rest := sql
	for _, word := range []string{"explain", "analyze"} {
		if at := strings.ToLower(firstWord(rest)); at == word {
			_, rest, _ = cutFold(rest, word)
		}
	}
	return strings.TrimRight(rest, "; \t\r\n")
}

// cutFold is strings.Cut without regard to case.
func cutFold(s, word string) (before, after string, found bool) {
	i := strings.Index(strings.ToLower(s), word)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(word):], true
}

// syntax is the parser's tree of one SELECT.
func syntax(ctx context.Context, conn *duckdb.Conn, sql string) (any, error) {
	rows, err := conn.QueryContext(ctx, "SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", []driver.NamedValue{{Ordinal: 1, Value: sql}})
	if err != nil {
		return nil, fmt.Errorf("read the hunt's parts: %w", err)
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return nil, fmt.Errorf("read the hunt's parts: %w", err)
	}
	text, _ := row[0].(string)
	var tree struct {
		Error      bool   `json:"error"`
		Message    string `json:"error_message"`
		Statements any    `json:"statements"`
	}
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		return nil, fmt.Errorf("read the hunt's parts: %w", err)
	}
	if tree.Error {
		return nil, refused("%s; a hunt without the permission raw is one SELECT, DESCRIBE or SUMMARIZE", tree.Message)
	}
	return tree.Statements, nil
}

// each calls f for every object of a tree until one gives an error.
func each(v any, f func(map[string]any) error) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := each(x, f); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := f(v); err != nil {
			return err
		}
		for _, x := range v {
			if err := each(x, f); err != nil {
				return err
			}
		}
	}
	return nil
}
