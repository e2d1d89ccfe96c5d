// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/identity"
)

// JoinCmd joins a brain and ends: what an operator does once, before a unit runs the agent.
func JoinCmd() *cobra.Command {
	var data, config string
	cmd := &cobra.Command{
		Use:   "join TOKEN@HOST:PORT",
		Short: "Join a brain, once, without running the agent",
		Long: "Join joins this host to the brain that made the token (`ringwall enroll`) and ends. The identity is kept in\n" +
			"DATA/self, readable by this user only: run it as the user that will run the agent. It prints what the systemd unit\n" +
			"must be told so that it may reach the brain.",
		Example: "  runuser -u ringwall -- ringwall-agent join TOKEN@10.0.0.5:4223 --data /var/lib/ringwall-agent",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readAgent(cmd, config, data)
			if err != nil {
				return err
			}
			if _, err := identity.LoadAgent(filepath.Join(data, "self")); err == nil {
				return fmt.Errorf("this host has joined a brain already; remove %s to join another", filepath.Join(data, "self"))
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			self, err := joined(cmd.Context(), args[0], data, cfg.Host)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "joined as %s of tenant %s; the brain is at %s\n", self.Host, self.Tenant, self.Bus)
			u, err := url.Parse(self.Bus)
			if err != nil {
				return nil // told above as it is
			}
			addrs, err := net.DefaultResolver.LookupHost(cmd.Context(), u.Hostname())
			if err != nil || len(addrs) == 0 {
				addrs = []string{"ADDRESS-OF-THE-BRAIN"}
			}
			fmt.Fprintf(w, "under systemd, let its unit reach the brain:\n"+
				"  mkdir -p /etc/systemd/system/ringwall-agent.service.d\n"+
				"  printf '[Service]\\nIPAddressAllow=%s\\n' > /etc/systemd/system/ringwall-agent.service.d/brain.conf\n"+
				"  systemctl daemon-reload\n", addrs[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "./var", "folder of identity and spool (0700)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (default DATA/agent.yaml where it exists)")
	return cmd
}
