// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/identity"
)

// giveLong bounds the waiting for an agent that builds its layers anew.
const giveLong = time.Minute

// BundleCmd looks at bundles in files and hands them to the agent of a data folder.
func BundleCmd() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "What this host works from: show a bundle file, or take one where no brain can be reached",
	}
	cmd.PersistentFlags().StringVar(&data, "data", "./var", "folder of the agent")
	var out string
	cmd.PersistentFlags().StringVar(&out, "json", "", jsonHelp)
	folder := func() string { return data }
	cmd.AddCommand(ShowBundleCmd(folder, &out), ApplyBundleCmd(folder, &out))
	return cmd
}

// ShowBundleCmd prints what a bundle file holds, and whether the host whose agent's folder
// data names would believe it. out is where JSON goes: nowhere, a file, or - for standard
// output.
func ShowBundleCmd(data func() string, out *string) *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Print what a bundle file holds and who signed it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := bundle.ReadFile(args[0])
			if err != nil {
				return err
			}
			b, key, err := bundle.Inspect(raw)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			signed := "by key " + string(key) + "; not checked, because this host has not joined a brain"
			if who, err := identity.LoadAgent(filepath.Join(data(), "self")); err == nil {
				signed = "by the brain of this host, for it"
				if _, err := bundle.Open(raw, who.Verifier(nil), time.Now()); err != nil {
					signed = "this host would refuse it: " + err.Error()
				}
			}
			return document(cmd, *out, struct {
				bundle.Manifest
				ID     string `json:"id"`
				Ref    string `json:"ref"`
				Signed string `json:"signed"`
			}{b.Manifest, b.ID, b.Ref(), signed}, func(w io.Writer) error { return printBundle(w, b, signed) })
		},
	}
}

// document writes a value as JSON where that is asked for, else for people.
func document(cmd *cobra.Command, out string, value any, people func(io.Writer) error) error {
	w, err := Output(cmd, out)
	switch {
	case err != nil:
		return err
	case w == nil:
		return people(cmd.OutOrStdout())
	}
	return json.NewEncoder(w).Encode(value)
}

func printBundle(w io.Writer, b *bundle.Bundle, signed string) error {
	tw := tabwriter.NewWriter(w, 2, 2, 2, ' ', 0)
	fmt.Fprintf(tw, "bundle\t%s\ntenant\t%s\nmade\t%s\nnote\t%q\nsigned\t%s\n", b.Ref(), b.Tenant, b.Created.Format(time.RFC3339), b.Note, signed)
	if b.MinAgent != "" {
		fmt.Fprintf(tw, "least agent\t%s\n", b.MinAgent)
	}
	for _, f := range b.Files {
		fmt.Fprintf(tw, "%s\t%d bytes\t%.16s\n", f.Name, f.Size, f.SHA256)
	}
	return tw.Flush()
}

// ApplyBundleCmd hands a bundle file to the agent of the folder that data names.
func ApplyBundleCmd(data func() string, out *string) *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Take a bundle from a file: the signature decides, not the way it came", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := bundle.ReadFile(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), giveLong)
			defer cancel()
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			got, err := agent.GiveBundle(ctx, data(), Version, raw, log)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return document(cmd, *out, got, func(w io.Writer) error {
				what := "taken:"
				if !got.Changed {
					what = "in force already:"
				}
				_, err := fmt.Fprintln(w, what, got.Bundle)
				return err
			})
		},
	}
}
