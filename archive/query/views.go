// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/archive"
)

// views are what a hunt sees. raw has everything; events leaves out the blob, and the
// rest are its rows of one sort with the columns that have a meaning for them.
var views = []struct{ name, sql string }{
	{"events", `SELECT * EXCLUDE (event) FROM raw`},
	{"findings", `SELECT time, host, epoch, seq, finding_id, layer, stage, rule, title, score, colour, techniques, pid, start_ns, exe, path, sha256, src_ip, src_port, dst_ip, dst_port, community_id, published_ns FROM events WHERE kind = 'finding'`},
	{"requests", `SELECT time, host, epoch, seq, kind, sensor, src_ip, src_port, dst_ip, dst_port, community_id, method, uri, host_header, status, user_agent, script, pid, start_ns, sha256, size FROM events WHERE class_uid = 4002`},
	{"processes", `SELECT time, host, epoch, seq, kind, pid, start_ns, comm, exe, argv, cwd, uid, ppid, parent_start_ns, parent_exe, target_pid, target_start_ns, exit_code, sha256, container, detail FROM events WHERE class_uid = 1007`},
	{"files", `SELECT time, host, epoch, seq, kind, path, new_path, inode, size, sha256, pid, start_ns, comm, exe, uid, container FROM events WHERE class_uid = 1001`},
	{"flows", `SELECT time, host, epoch, seq, kind, sensor, src_ip, src_port, dst_ip, dst_port, proto, community_id, inbound, bytes_src, bytes_dst, app, domain, ja3, ja3s, ja4, hassh, cert_sha256, pid, start_ns, comm, exe FROM events WHERE class_uid IN (4001, 4007)`},
	{"lookups", `SELECT time, host, epoch, seq, domain, answers, detail AS rcode, src_ip, dst_ip, pid, start_ns, exe FROM events WHERE class_uid = 4003`},
	{"logins", `SELECT time, host, epoch, seq, user, outcome, service, method, src_ip, src_port, pid, start_ns FROM events WHERE class_uid = 3002`},
	{"actions", `SELECT time, host, epoch, seq, action_id, rule AS kind, state, title AS target, stage, incident, detail AS reason FROM events WHERE class_uid = 7001`},
	{"losses", `SELECT time, host, epoch, seq, title AS sensor, rule AS class, lost, detail AS reason FROM events WHERE kind = 'loss'`},
	{"edges", `SELECT lower(hex(key)) AS key, make_timestamp(time_ns // 1000) AS time, time_ns, type, lower(hex(other)) AS other, host, epoch, seq FROM raw_edges`},
}

// viewSQL gives the statements that make the views over the segments below dir. A
// segment of an older schema gets NULL for the columns it did not have.
func viewSQL(dir string, segs []archive.Segment) []string {
	out := []string{
		"CREATE VIEW raw AS " + unionSQL(dir, archive.Events, segs),
		"CREATE VIEW raw_edges AS " + unionSQL(dir, archive.Edges, segs),
	}
	for _, v := range views {
		out = append(out, "CREATE VIEW "+v.name+" AS "+v.sql)
	}
	return out
}

func unionSQL(dir string, table archive.Table, segs []archive.Segment) string {
	bySchema := map[int][]string{}
	for _, g := range segs {
		if g.Table == table {
			bySchema[g.Schema] = append(bySchema[g.Schema], quote(path.Join(dir, g.Path())))
		}
	}
	cols := archive.Columns(table)
	if len(bySchema) == 0 {
		return selectSQL(cols, 0) + " WHERE false"
	}
	var parts []string
	for _, schema := range sorted(bySchema) {
		files := bySchema[schema]
		slices.Sort(files)
		// hive partitioning would read meaning into folder names.
		parts = append(parts, selectSQL(cols, schema)+" FROM read_parquet(["+strings.Join(files, ", ")+"], hive_partitioning = false)")
	}
	return strings.Join(parts, " UNION ALL ")
}

func selectSQL(cols []archive.Column, schema int) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = `"` + c.Name + `"`
		if c.Since > schema {
			names[i] = fmt.Sprintf(`NULL::%s AS "%s"`, c.Type, c.Name)
		}
	}
	return "SELECT " + strings.Join(names, ", ")
}

func sorted(m map[int][]string) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
