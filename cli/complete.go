// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

// completeWithin bounds a question to the brain while a person waits for the Tab key.
const completeWithin = time.Second

// ids completes the first argument with the ids of a list of the brain. Where none
// answers there is nothing to offer, and no error to show in the middle of a line.
func (g *global) ids(path string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeWithin)
		defer cancel()
		var list api.Page[struct {
			ID string `json:"id"`
		}]
		_ = newClient(g.data).get(ctx, path, g.query("limit", "100"), &list)
		for _, x := range list.Items {
			out = append(out, x.ID)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// filesNamed completes with files of these endings, and folders.
func filesNamed(endings ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return endings, cobra.ShellCompDirectiveFilterFileExt
	}
}
