// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/cli/host"
)

// bundleCmd looks at what agents work from and carries it by hand.
func bundleCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "What agents work from: policy, rules, lists and exceptions, signed as one file",
	}
	agentData := func() string {
		if own := filepath.Join(g.data, "agent"); exists(own) { // of `ringwall up`
			return own
		}
		return g.data
	}
	cmd.AddCommand(exportBundleCmd(g), host.ShowBundleCmd(agentData, &g.json), host.ApplyBundleCmd(agentData, &g.json))
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func exportBundleCmd(g *global) *cobra.Command {
	var group string
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write the newest bundle of a group into a file", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := newClient(g.data).open(cmd.Context(), http.MethodGet, "/v1/bundle", g.query("group", group), nil)
			if err != nil {
				return err
			}
			defer body.Close()
			tmp := args[0] + ".new"
			f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return fmt.Errorf("export bundle: %w", err)
			}
			_, err = io.Copy(f, body)
			if err = errors.Join(err, f.Close()); err == nil {
				err = os.Rename(tmp, args[0])
			}
			if err != nil {
				_ = os.Remove(tmp)
				return fmt.Errorf("export bundle: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&group, "group", "default", "group of hosts")
	return cmd
}
