// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line: it composes the roles and asks the brain.
//
// In come arguments; out go tables for people and, with --json, documents for
// programs (schema_version first). Exit status: 0 the command ran, whatever it
// found; 2 the input was bad; 3 something it needs is missing here.
//
// The worst trap: this is the only place that sees the whole. Whatever decides
// anything belongs to a package below.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/cli/host"
)

// SchemaVersion stands first in every JSON document that a judge reads.
const SchemaVersion = 1

// missing marks an error of kind "something is not here": exit status 3.
type missing struct{ error }

func (m *missing) Unwrap() error { return m.error }

// Main runs the command line and gives the exit status.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	var m *missing
	switch {
	case err == nil:
		return 0
	case errors.As(err, &m):
		fmt.Fprintln(os.Stderr, "ringwall:", err)
		return 3
	default:
		fmt.Fprintln(os.Stderr, "ringwall:", err)
		return 2
	}
}

// global are the flags every command knows.
type global struct {
	data   string
	config string
	json   string
	tenant string

	inForce atomic.Pointer[Config] // of a running brain
}

func (g *global) bind(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&g.data, "data", "./var", "folder of everything Ringwall keeps (0700)")
	f.StringVar(&g.config, "config", "", "configuration file (default DATA/ringwall.yaml where it exists)")
	f.StringVar(&g.json, "json", "", "write JSON to this file, - for standard output")
	f.StringVar(&g.tenant, "tenant", "default", "tenant to ask about")
}

// output opens what --json names; nil when it was not given.
func (g *global) output(cmd *cobra.Command) (io.Writer, error) { return host.Output(cmd, g.json) }

// document writes v where --json asks for it, else what people read.
func (g *global) document(cmd *cobra.Command, v any, people func(io.Writer)) error {
	out, err := g.output(cmd)
	if err != nil {
		return err
	}
	if out == nil {
		people(cmd.OutOrStdout())
		return nil
	}
	return json.NewEncoder(out).Encode(v)
}
