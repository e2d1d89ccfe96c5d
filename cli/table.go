// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// listing reads a paged list and shows it: as JSON lines where --json asks for it, else as a
// table under head, a row for each item.
func listing[T any](g *global, cmd *cobra.Command, path string, q url.Values, most int, head string, row func(T) []string) error {
	out, err := g.output(cmd)
	if err != nil {
		return err
	}
	list, err := pages[T](cmd.Context(), newClient(g.data), path, q, most)
	if err != nil {
		return err
	}
	if out != nil {
		for _, raw := range list {
			if _, err := fmt.Fprintf(out, "%s\n", raw); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 2, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	for _, raw := range list {
		var x T
		if err := json.Unmarshal(raw, &x); err != nil {
			return err
		}
		cells := row(x)
		for i := range cells {
			cells[i] = plain(cells[i])
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}
