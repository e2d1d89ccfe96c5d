// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/identity"
)

// natsCmd prints what the servers of an external cluster need to believe this brain.
func natsCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "nats",
		Short: "Print the configuration for the servers of an external NATS cluster",
		Long: "Print what every nats-server of an external cluster must have in its configuration, so that it lets this\n" +
			"brain and its agents in and nobody else: our operator, the system account, a full resolver and JetStream.\n" +
			"It holds no secret. Add listen, tls and cluster as NATS documents them; then start the brain with --bus.",
		Args:    cobra.NoArgs,
		Example: "  ringwall config nats > /etc/nats/ringwall.conf",
		RunE: func(cmd *cobra.Command, _ []string) error {
			auth, err := identity.OpenAuthority(filepath.Join(g.data, "identity"))
			if err != nil {
				return err
			}
			text, err := bus.ClusterConfig(auth)
			if err == nil {
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			}
			return err
		},
	}
}
