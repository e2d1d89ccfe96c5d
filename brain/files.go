// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/ledger"
)

// File is one content under one path of a host that the file layer had something to say of.
type File struct {
	Host, Path, SHA256 string
	Size               int64
	Colour             string
	Score              float64
	Stage, Rule, Title string // of the newest finding
	Techniques         []string
	First, Last        time.Time
	Count              int64  // findings
	Finding            string // the newest
	Quarantine         *action.Record
}

// FileQuery chooses files; a zero field does not narrow.
type FileQuery struct {
	Host, Text   string // Text in path, rule or title, or the sha256 as a whole
	Colour       string
	Since, Until time.Time
}

// quarantinesMost bounds how many actions are looked through for the state of files.
const quarantinesMost = 1000

// Files lists what the file layer found, the newest first. cut tells that there is more.
func (b *Brain) Files(ctx context.Context, tenant string, q FileQuery) (out []File, cut bool, err error) {
	// The judge tells of an agent's finding once more; its own host is the agent's.
	where := "kind = 'finding' AND layer = 'file' AND path IS NOT NULL AND host <> " + quoted(judgeHost)
	if q.Host != "" {
		where += " AND host = " + quoted(q.Host)
	}
	if q.Text != "" {
		where += fmt.Sprintf(" AND (contains(lower(path), %[1]s) OR contains(lower(rule), %[1]s) OR contains(lower(title), %[1]s) OR sha256 = %[1]s)", quoted(strings.ToLower(q.Text)))
	}
	if q.Colour != "" {
		where += " AND colour = " + quoted(q.Colour)
	}
	if !q.Since.IsZero() {
		where += fmt.Sprintf(" AND time_ns >= %d", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		where += fmt.Sprintf(" AND time_ns <= %d", q.Until.UnixNano())
	}
	held, err := b.quarantines(ctx, tenant)
	if err != nil {
		return nil, false, err
	}
	sql := `SELECT host, path, sha256, max(time_ns), min(time_ns), count(*), arg_max(colour, time_ns), CAST(arg_max(score, time_ns) * 1000000 AS BIGINT), arg_max(stage, time_ns), arg_max(rule, time_ns), arg_max(title, time_ns), arg_max(techniques, time_ns), arg_max(finding_id, time_ns), arg_max(size, time_ns)
FROM events WHERE ` + where + ` GROUP BY host, path, sha256 ORDER BY max(time_ns) DESC, host, path`
	cut, err = b.ask(ctx, tenant, sql, func(row []any) error {
		f := File{
			Host: textOf(row[0]), Path: textOf(row[1]), SHA256: textOf(row[2]), Last: wallOf(numberOf(row[3])), First: wallOf(numberOf(row[4])), Count: numberOf(row[5]),
			Colour: textOf(row[6]), Score: float64(numberOf(row[7])) / 1e6, Stage: textOf(row[8]), Rule: textOf(row[9]), Title: textOf(row[10]),
			Techniques: strings.Fields(textOf(row[11])), Finding: textOf(row[12]), Size: numberOf(row[13]),
		}
		f.Quarantine = held[f.Host+"\x00"+f.Path]
		out = append(out, f)
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("files: %w", err)
	}
	return out, cut, nil
}

// quarantines are the newest quarantine of each file, by host and path.
func (b *Brain) quarantines(ctx context.Context, tenant string) (map[string]*action.Record, error) {
	list, _, err := b.Actions(ctx, tenant, ledger.ActionQuery{Kind: action.QuarantineFile, Page: ledger.Page{Limit: quarantinesMost}})
	if err != nil {
		return nil, err
	}
	out := map[string]*action.Record{}
	for i := range list {
		k := list[i].Host + "\x00" + list[i].Subject.GetFile().GetPath()
		if out[k] == nil {
			out[k] = &list[i]
		}
	}
	return out, nil
}
