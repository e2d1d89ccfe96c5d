// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"

	"github.com/ringwall/ringwall/archive"
)

// HuntView is one view that a hunt may ask.
type HuntView struct {
	Name    string       `json:"name"`
	Raw     bool         `json:"raw" doc:"Needs the permission raw: it shows events whole"`
	Columns []HuntColumn `json:"columns"`
}

// HuntColumn is one column of a view.
type HuntColumn struct {
	Name string `json:"name"`
	Type string `json:"type" doc:"As DuckDB names it"`
	Doc  string `json:"doc,omitempty"`
}

// HuntSchema lists the views as the engine itself sees them, with what the archive says of
// their columns.
func (b *Brain) HuntSchema(ctx context.Context, tenant string) (out []HuntView, err error) {
	docs := map[string]string{}
	for _, table := range []archive.Table{archive.Edges, archive.Events} {
		for _, c := range archive.Columns(table) {
			docs[c.Name] = c.Doc
		}
	}
	_, err = b.ask(ctx, tenant, "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'main' ORDER BY table_name = 'raw', table_name <> 'events', table_name, ordinal_position", func(row []any) error {
		view := textOf(row[0])
		if view == "raw_edges" {
			return nil // what edges is made of
		}
		if len(out) == 0 || out[len(out)-1].Name != view {
			out = append(out, HuntView{Name: view, Raw: view == "raw"})
		}
		last := &out[len(out)-1]
		last.Columns = append(last.Columns, HuntColumn{textOf(row[1]), textOf(row[2]), docs[textOf(row[1])]})
		return nil
	})
	return out, err
}
