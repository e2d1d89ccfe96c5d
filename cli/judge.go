// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/proving"
	"github.com/ringwall/ringwall/proving/lab"
)

func rangeCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "range", Short: "Attack a small network of namespaces and score what was seen"}
	var opt proving.Options
	var seed uint64
	runCmd := &cobra.Command{
		Use: "run FILE.yaml", Short: "Build the lab, play a scenario and score what was seen (root)", Args: cobra.ExactArgs(1),
		ValidArgsFunction: filesNamed("yaml", "yml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.File, opt.Product = args[0], proving.ProductRingwall
			if terminal(cmd.ErrOrStderr()) {
				opt.Log = cmd.ErrOrStderr()
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if opt.Binary == "" {
				opt.Binary = self
			}
			if opt.Agent == "" {
				opt.Agent = filepath.Join(filepath.Dir(self), "ringwall-agent")
			}
			if cmd.Flags().Changed("seed") {
				opt.Seed = &seed
			}
			res, err := proving.Run(cmd.Context(), opt)
			if errors.Is(err, lab.ErrMissing) {
				return &missing{err}
			}
			if err != nil {
				return err
			}
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			if out != nil {
				if err := json.NewEncoder(out).Encode(res); err != nil {
					return err
				}
			}
			if g.json != "-" {
				return res.WriteTable(cmd.OutOrStdout())
			}
			return nil
		},
	}
	f := runCmd.Flags()
	f.StringVar(&opt.Binary, "binary", "", "the ringwall that is judged (default this one)")
	f.StringVar(&opt.Agent, "agent", "", "the ringwall-agent that is judged (default the one beside it)")
	f.BoolVar(&opt.Enforce, "enforce", false, "let actions be carried out")
	f.Uint64Var(&seed, "seed", 0, "names, ports and pauses come from it")
	f.StringSliceVar(&opt.Without, "without", nil, "leave a sensor out: kernel, packet, file, log")
	f.Float64Var(&opt.Minutes, "minutes", 0, "length of an ordinary day")
	f.StringVar(&opt.Dir, "keep", "", "keep truth, findings and logs in this folder")
	cmd.AddCommand(runCmd)
	return cmd
}

func sigmaCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "sigma", Short: "Check and test Sigma rules"}
	cmd.AddCommand(&cobra.Command{
		Use: "check DIR…", Short: "Say what becomes of every rule", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, report, err := sigma.CompileDirs(args, sigma.Options{Sensors: sigma.Sensors()})
			if err != nil {
				return err
			}
			return g.document(cmd, report, func(w io.Writer) {
				fmt.Fprintf(w, "%d of %d loaded, %d refused, %d never fire with our sensors\n", report.Loaded, report.Total, len(report.Refused), len(report.NeverFires))
				for _, r := range report.Refused {
					fmt.Fprintln(w, "refused", r)
				}
			})
		},
	}, &cobra.Command{
		Use: "test DIR…", Short: "Run the cases beside the rules", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cases, _, err := sigma.Test(args, sigma.Options{})
			if err != nil {
				return err
			}
			return g.document(cmd, cases, func(w io.Writer) { fmt.Fprintf(w, "%+v\n", *cases) })
		},
	})
	return cmd
}
