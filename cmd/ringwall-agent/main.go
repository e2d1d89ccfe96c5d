// SPDX-License-Identifier: Apache-2.0

// Command ringwall-agent is the agent alone, static and without archive, console or
// training. In come the command line and its configuration file; out goes a host that is
// watched. It holds no logic; package cli/host composes it. The trap to know: one import
// too many brings the brain with it, so deps_test.go lists what may not come.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/cli/host"
)

func main() {
	root := &cobra.Command{Use: "ringwall-agent", Short: "Ringwall's agent for one host", Version: host.Version, SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(host.RunCmd("run"), host.JoinCmd(), host.ShareCmd(), host.AgentDoctor(), host.OffCmd(), host.BundleCmd())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ringwall-agent:", err)
		os.Exit(2)
	}
}
