// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

func networkCmd(g *global) *cobra.Command {
	var host string
	cmd := &cobra.Command{Use: "network", Short: "Ask the network layer"}
	learned := &cobra.Command{
		Use: "exposure", Short: "List what each host was learned to do: who talks to which port, where it talks to", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(g, cmd, "/v1/exposure", g.query("host", host, "sort", "sureness"), 0, "HOST\tWAY\tPROTO\tPORT\tPEER\tCOUNT\tDAYS\tSURE\tLAST", func(e api.Exposed) []string {
				way := "out"
				if e.Inbound {
					way = "in"
				}
				return []string{e.Host, way, strconv.Itoa(int(e.Proto)), strconv.Itoa(int(e.Port)), e.Peer, strconv.FormatUint(e.Count, 10), strconv.Itoa(e.Days), strconv.FormatFloat(e.Sureness, 'f', 2, 64), day(e.Last)}
			})
		},
	}
	learned.Flags().StringVar(&host, "host", "", "only of this host")
	cmd.AddCommand(learned, connectionsCmd(g))
	return cmd
}
