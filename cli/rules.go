// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

// ruleText reads a rule file, or standard input for -.
func ruleText(cmd *cobra.Command, name string) (string, error) {
	if name == "-" {
		raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		return string(raw), err
	}
	raw, err := os.ReadFile(name)
	return string(raw), err
}

func rulesCmd(g *global) *cobra.Command {
	var engine, state, text string
	var hit bool
	cmd := &cobra.Command{
		Use: "rules", Short: "List the rules that judge, and those that were refused", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := g.query("engine", engine, "state", state, "q", text)
			if hit {
				q.Set("hit", "true")
			}
			return listing(g, cmd, "/v1/rules", q, 0, "ID\tENGINE\tSTATE\tLEVEL\tHITS\tLAST\tTITLE\tTECHNIQUES\tREASON", func(r api.Rule) []string {
				return []string{r.ID, r.Engine, r.State, orDash(r.Level), strconv.Itoa(r.Hits), day(r.Last), r.Title, strings.Join(r.Techniques, " "), r.Reason}
			})
		},
	}
	cmd.Flags().StringVar(&engine, "engine", "", "only sigma or yara")
	cmd.Flags().StringVar(&state, "state", "", "only loaded, silent or refused")
	cmd.Flags().StringVar(&text, "find", "", "only with this in id, title, technique, tag or file")
	cmd.Flags().BoolVar(&hit, "hit", false, "only those that spoke")
	cmd.AddCommand(&cobra.Command{
		Use: "show ID", Short: "Show a rule's text", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.RuleText
			if err := newClient(g.data).get(cmd.Context(), "/v1/rules/text", g.query("id", args[0]), &r); err != nil {
				return err
			}
			return g.document(cmd, r, func(w io.Writer) { fmt.Fprintln(w, strings.TrimRight(r.Text, "\n")) })
		},
	}, &cobra.Command{
		Use: "save FILE", Short: "Put a Sigma rule in force", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := ruleText(cmd, args[0])
			if err != nil {
				return err
			}
			var s api.SavedRule
			if err := newClient(g.data).post(cmd.Context(), "/v1/rules", g.query(), map[string]string{"text": text}, &s); err != nil {
				return err
			}
			return g.document(cmd, s, func(w io.Writer) { fmt.Fprintln(w, s.ID, "is in force") })
		},
	}, &cobra.Command{
		Use: "drop ID", Short: "End a rule that was saved here", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.deleted(cmd, "/v1/rules/"+url.PathEscape(args[0]), plain(args[0])+" judges no more")
		},
	}, backtestCmd(g))
	return cmd
}

func backtestCmd(g *global) *cobra.Command {
	var host string
	var since, limit time.Duration
	var events int
	cmd := &cobra.Command{
		Use: "backtest FILE", Short: "Try a Sigma rule on what the archive holds", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := ruleText(cmd, args[0])
			if err != nil {
				return err
			}
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			ask := map[string]any{"text": text, "events": events, "seconds": limit.Seconds()}
			if host != "" {
				ask["host"] = host
			}
			if since > 0 {
				ask["since"] = sinceValue(since)
			}
			bar := progress(cmd.ErrOrStderr(), "events", -1)
			var failed string
			err = newClient(g.data).lines(cmd.Context(), http.MethodPost, "/v1/rules/backtest", g.query(), ask, func(line []byte) error {
				var said struct {
					Match         *api.BacktestMatch
					Progress, End *api.Backtest
					Error         string
				}
				if err := json.Unmarshal(line, &said); err != nil {
					return err
				}
				if said.Error != "" {
					failed = said.Error
				}
				if out != nil {
					_, err := fmt.Fprintf(out, "%s\n", line)
					return err
				}
				printBacktest(cmd, bar, said.Match, said.Progress, said.End)
				return nil
			})
			_ = bar.Finish()
			if err == nil && failed != "" {
				err = fmt.Errorf("backtest: %s", failed)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only events of this host")
	cmd.Flags().DurationVar(&since, "since", 0, "how far back; 0: all that the archive holds")
	cmd.Flags().DurationVar(&limit, "time", time.Minute, "most time")
	cmd.Flags().IntVar(&events, "events", 1_000_000, "most events")
	return cmd
}

func printBacktest(cmd *cobra.Command, bar interface{ Set(int) error }, m *api.BacktestMatch, at, end *api.Backtest) {
	w := cmd.OutOrStdout()
	switch {
	case m != nil:
		fmt.Fprintf(w, "%s %-8s %s  %s\n", day(m.Time), plain(m.Host), plain(m.Title), plain(m.What))
	case at != nil:
		_ = bar.Set(at.Events)
	case end != nil:
		cut := ""
		if end.Cut != "" {
			cut = "; cut by its bound of " + end.Cut
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d matches on %d hosts in %d events, %v%s\n", end.Matches, len(end.Hosts), end.Events, time.Duration(end.ElapsedMs*1e6).Round(time.Millisecond), cut)
		if len(end.Silent) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "no sensor here gives %s\n", strings.Join(end.Silent, ", "))
		}
	}
}
