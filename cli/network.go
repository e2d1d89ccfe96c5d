// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

func networkCmd(g *global) *cobra.Command {
	var host string
	cmd := &cobra.Command{Use: "network", Short: "Ask the network layer"}
	learned := &cobra.Command{
		Use: "exposure", Short: "List what each host was learned to do: who talks to which port, where it talks to", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			var list []api.Exposed
			if err := newClient(g.data).get(cmd.Context(), "/v1/exposure", g.query("host", host), &list); err != nil {
				return err
			}
			if out != nil {
				return json.NewEncoder(out).Encode(list)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 2, 2, ' ', 0)
			fmt.Fprintln(tw, "HOST\tWAY\tPROTO\tPORT\tPEER\tCOUNT\tDAYS\tSURE\tLAST")
			for _, e := range list {
				way := "out"
				if e.Inbound {
					way = "in"
				}
				fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%d\t%d\t%.2f\t%s\n", e.Host, way, e.Proto, e.Port, e.Peer, e.Count, e.Days, e.Sureness, e.Last.Format("01-02 15:04"))
			}
			return tw.Flush()
		},
	}
	learned.Flags().StringVar(&host, "host", "", "only of this host")
	cmd.AddCommand(learned)
	return cmd
}
