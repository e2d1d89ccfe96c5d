// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/archive"
)

// TestRawIsAPermission: without it no hunt shows an event whole, and hunts that ask for
// nothing of it go on.
func TestRawIsAPermission(t *testing.T) {
	s, p := lab(t, Config{})
	put(t, s, "acme", 2)
	ask := func(sql string, raw bool) error {
		_, err := p.Hunt(t.Context(), "acme", sql, archive.Limits{Raw: raw}, func([]any) error { return nil })
		return err
	}
	for _, sql := range []string{
		"select event from raw", "from raw", "table raw", "FROM RAW", `select * from "raw"`, "summarize raw", "select * from (summarize raw)", "describe raw",
		"select host from events where seq in (select seq from raw where event is not null)",
		"select (select max(event) from raw)", "with x as (select * from raw) select * from x", "with raw as (select 1) select * from raw",
		"with recursive x as (select 1 as n union all select n + 1 from x, raw where n < 3) select * from x",
		"select * from main.raw", "select * from memory.raw", "explain analyze select * from raw where octet_length(event) > 9", "explain select * from raw",
		"select * from read_parquet('/events/*.parquet')", "select * from '/events/000000000001.parquet'", "select * from parquet_scan('/events/000000000001.parquet')",
		"select * from read_blob('/events/000000000001.parquet')", "select * from parquet_metadata('/events/000000000001.parquet')",
		"select * from query('select event from raw')", "select * from query_table('raw')", "select * from glob('/**')", "select * from duckdb_views()",
		"pivot raw on kind using count(*)", "select * from events, lateral (select event from raw limit 1)", "select * from events union all by name select * from raw",
		"with \"/events/000000000001.parquet\" as (select 1) select * from (select * from '/events/000000000001.parquet')",
	} {
		err := ask(sql, false)
		if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrSQL) {
			t.Errorf("%s: went through or broke the engine: %v", sql, err)
		}
		if errors.Is(err, ErrSQL) && strings.Contains(err.Error(), "read the hunt's parts") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"select count(*) from events", "from findings", "describe events", "summarize processes", "show tables", "select unnest(range(3))", "select * from range(3)",
		"with x as (select host from events), y as (select * from x) select * from y union all select host from flows", "values (1), (2)", "explain select * from events",
		"explain analyze select count(*) from events;", "select list(kind) from events group by host -- raw", "select 'raw' as raw", "select raw.host from events as raw",
		"select * from (select host, kind from events) pivot (count(*) for kind in ('finding'))",
	} {
		if err := ask(sql, false); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if err := ask("from raw", false); !errors.Is(err, archive.ErrRaw) || !errors.Is(err, ErrRefused) {
		t.Errorf("the refusal is %v", err)
	}
	if err := ask("select event from raw limit 1", true); err != nil {
		t.Errorf("with the permission: %v", err)
	}
}
