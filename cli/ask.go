// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/health"
)

// asking are the commands that only ask the brain.
func asking(g *global) []*cobra.Command {
	return []*cobra.Command{findingsCmd(g), incidentsCmd(g), traceCmd(g), actionsCmd(g), huntCmd(g), intelCmd(g), offCmd(g), enrollCmd(g), statusCmd(g), hostsCmd(g), filesCmd(g), rulesCmd(g), auditCmd(g)}
}

func (g *global) query(pairs ...string) url.Values {
	v := url.Values{"tenant": {g.tenant}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func findingsCmd(g *global) *cobra.Command {
	var follow, grey bool
	var since time.Duration
	var host string
	var limit int
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "List what was found, newest last; --follow prints findings and incidents as they happen",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			if limit < 1 || since < 0 {
				return fmt.Errorf("findings: --limit %d --since %v: want a limit of at least 1 and a positive time", limit, since)
			}
			if follow {
				return newClient(g.data).follow(cmd.Context(), g.query(), func(kind string, data []byte) error {
					if out != nil {
						_, err := fmt.Fprintf(out, "{%q:%s}\n", kind, data)
						return err
					}
					printUpdate(cmd.OutOrStdout(), kind, data)
					return nil
				})
			}
			q := g.query("host", host)
			if grey {
				q.Set("grey", "true")
			}
			if since > 0 {
				q.Set("since", time.Now().Add(-since).Format(time.RFC3339Nano))
			}
			list, err := pages[api.Finding](cmd.Context(), newClient(g.data), "/v1/findings", q, limit)
			if err != nil {
				return err
			}
			for _, raw := range slices.Backward(list) {
				if out != nil {
					fmt.Fprintf(out, "%s\n", raw)
					continue
				}
				printUpdate(cmd.OutOrStdout(), "finding", raw)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as they happen")
	cmd.Flags().BoolVar(&grey, "grey", false, "also what was only suspicious")
	cmd.Flags().DurationVar(&since, "since", 0, "only the last while, such as 1h")
	cmd.Flags().StringVar(&host, "host", "", "only of this host")
	cmd.Flags().IntVar(&limit, "limit", 1000, "most findings listed")
	return cmd
}

// printUpdate writes one finding, incident or action for people.
func printUpdate(w io.Writer, kind string, data []byte) {
	switch kind {
	case "finding":
		show(data, func(f api.Finding) { PrintFinding(w, f) })
	case "incident":
		show(data, func(i api.Incident) { PrintIncident(w, i) })
	case "action":
		show(data, func(a api.Action) { PrintAction(w, a) })
	}
}

func show[T any](data []byte, f func(T)) {
	var v T
	if json.Unmarshal(data, &v) == nil {
		f(v)
	}
}

// clock is how a time of today is shown.
func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// PrintFinding writes one finding on one line.
func PrintFinding(w io.Writer, f api.Finding) {
	mark := "?"
	if f.Colour == "black" {
		mark = "!"
	}
	where := ""
	if len(f.Subjects) > 0 {
		where = "  " + f.Subjects[0].Label
	}
	fmt.Fprintf(w, "%s %s %-8s %s/%s  %.2f  %s%s  %s\n", clock(f.Time), mark, f.Host, f.Layer, f.Stage, f.Score, f.Title, plain(where), strings.Join(f.Techniques, " "))
}

// PrintIncident writes where an incident stands.
func PrintIncident(w io.Writer, inc api.Incident) {
	entry := "entry unknown"
	if inc.Entry != nil {
		entry = "came in by " + plain(inc.Entry.Label)
	}
	fmt.Fprintf(w, "%s ▲ incident %s  %.2f  %d findings on %s  %s\n", clock(inc.Updated), inc.ID, inc.Score, len(inc.Findings), strings.Join(inc.Hosts, ", "), entry)
}

// PrintAction writes where an action stands.
func PrintAction(w io.Writer, a api.Action) {
	fmt.Fprintf(w, "%s ■ %s %s on %s: %s %s\n", clock(a.Updated), a.Kind, plain(a.Target), a.Host, a.State, plain(a.Result))
}

// plain makes text from hosts harmless on a terminal: control bytes and direction
// marks become their escapes.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func incidentsCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use:               "incidents [ID]",
		Short:             "List intrusions, or show one",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.ids("/v1/incidents"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			c := newClient(g.data)
			var list []json.RawMessage
			if len(args) == 1 {
				list = make([]json.RawMessage, 1)
				err = c.get(cmd.Context(), "/v1/incidents/"+url.PathEscape(args[0]), g.query(), &list[0])
			} else {
				list, err = pages[api.Incident](cmd.Context(), c, "/v1/incidents", g.query("sort", "opened", "order", "asc"), 0)
			}
			if err != nil {
				return err
			}
			for _, raw := range list {
				if out != nil {
					fmt.Fprintf(out, "%s\n", raw)
					continue
				}
				show(raw, func(inc api.Incident) {
					PrintIncident(cmd.OutOrStdout(), inc)
					for _, st := range inc.Story {
						fmt.Fprintf(cmd.OutOrStdout(), "  %s %-8s %s\n", clock(st.Time), st.Host, plain(st.Text))
					}
				})
			}
			if out == nil && len(list) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no incidents")
			}
			return nil
		},
	}
}

func traceCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use:               "trace ID",
		Short:             "Tell the story of an incident or finding, from its entry to its effects",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.ids("/v1/incidents"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := newClient(g.data).get(cmd.Context(), "/v1/trace/"+url.PathEscape(args[0]), g.query(), &raw); err != nil {
				return err
			}
			if out != nil {
				_, err := fmt.Fprintf(out, "%s\n", raw)
				return err
			}
			var st api.Story
			if err := json.Unmarshal(raw, &st); err != nil {
				return err
			}
			for _, line := range st.Text {
				fmt.Fprintln(cmd.OutOrStdout(), plain(line))
			}
			return nil
		},
	}
}

func actionsCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "List what was done, and undo it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			list, err := pages[api.Action](cmd.Context(), newClient(g.data), "/v1/actions", g.query("order", "asc"), 0)
			if err != nil {
				return err
			}
			if out != nil {
				for _, raw := range list {
					fmt.Fprintf(out, "%s\n", raw)
				}
				return nil
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 2, 2, ' ', 0)
			fmt.Fprintln(tw, "ID\tHOST\tWHAT\tTARGET\tSTATE\tUNTIL\tRESULT")
			for _, raw := range list {
				show(raw, func(a api.Action) {
					fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Host, a.Kind, plain(a.Target), a.State, a.Deadline.Local().Format("15:04:05"), plain(a.Result))
				})
			}
			return tw.Flush()
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "undo ID", Short: "Take an action back before its time", Args: cobra.ExactArgs(1), ValidArgsFunction: g.ids("/v1/actions"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d api.Done
			if err := newClient(g.data).post(cmd.Context(), "/v1/actions/"+url.PathEscape(args[0])+"/undo", g.query(), nil, &d); err != nil {
				return err
			}
			return g.document(cmd, d, func(w io.Writer) {
				fmt.Fprintf(w, "asked the host to take %s back; `ringwall actions` shows when it has\n", plain(args[0]))
			})
		},
	})
	return cmd
}

func huntCmd(g *global) *cobra.Command {
	var rows int
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "hunt SQL",
		Short: "Ask the archive in SQL",
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			if rows < 1 || limit <= 0 {
				return fmt.Errorf("hunt: --rows %d --time %v: want at least 1 row and a positive time", rows, limit)
			}
			bar := progress(cmd.ErrOrStderr(), "rows", -1)
			body := map[string]any{"sql": args[0], "rows": rows, "seconds": limit.Seconds()}
			var table [][]string
			var end struct {
				End   *api.HuntEnd
				Error string
			}
			err = newClient(g.data).lines(cmd.Context(), http.MethodPost, "/v1/hunt", g.query(), body, func(line []byte) error {
				_ = bar.Add(1)
				if len(line) > 0 && line[0] == '{' {
					return json.Unmarshal(line, &end)
				}
				if out != nil {
					_, err := fmt.Fprintf(out, "%s\n", line)
					return err
				}
				var row []any
				if err := json.Unmarshal(line, &row); err != nil {
					return err
				}
				cells := make([]string, len(row))
				for i, c := range row {
					if c != nil {
						cells[i] = plain(fmt.Sprint(c))
					}
				}
				table = append(table, cells)
				return nil
			})
			_ = bar.Finish()
			switch {
			case err != nil:
				return err
			case end.Error != "":
				return fmt.Errorf("hunt: %s", end.Error)
			case end.End == nil || out != nil:
				return nil
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 2, 2, ' ', 0)
			fmt.Fprintln(tw, strings.Join(end.End.Columns, "\t"))
			for _, cells := range table {
				fmt.Fprintln(tw, strings.Join(cells, "\t"))
			}
			if err := tw.Flush(); err != nil {
				return err
			}
			more := ""
			if end.End.Truncated {
				more = ", there are more (--rows)"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d rows in %v%s\n", end.End.Rows, time.Duration(end.End.ElapsedMs*1e6).Round(time.Millisecond), more)
			return nil
		},
	}
	cmd.Flags().IntVar(&rows, "rows", 10000, "most rows")
	cmd.Flags().DurationVar(&limit, "time", 30*time.Second, "most time")
	return cmd
}

func intelCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "intel", Short: "Ask the intelligence library"}
	cmd.AddCommand(&cobra.Command{
		Use: "lookup VALUE", Short: "What is known of an address, domain, URL, hash or fingerprint", Args: cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			var a brain.IntelAnswer
			if err := newClient(g.data).get(cmd.Context(), "/v1/intel", g.query("value", args[0]), &a); err != nil {
				return err
			}
			return g.document(cmd, a, func(w io.Writer) { printIntel(w, &a) })
		},
	})
	return cmd
}

// printIntel writes what the lists and our own incidents say of a value.
func printIntel(w io.Writer, a *brain.IntelAnswer) {
	fmt.Fprintf(w, "%s %s: ", a.Kind, plain(a.Value))
	if len(a.Lists.Matches) == 0 && a.Own == nil && a.Lists.Veto == "" {
		fmt.Fprintln(w, "nothing is known")
		return
	}
	fmt.Fprintf(w, "%v, confidence %.2f\n", a.Lists.Level, a.Lists.Confidence)
	for _, m := range a.Lists.Matches {
		until := "does not expire"
		if !m.Expires.IsZero() {
			until = "until " + m.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "  listed by %s as %s (%.2f, %s)  %s\n", plain(m.Source), plain(m.Value), m.Confidence, until, plain(strings.Join(m.Tags, " ")))
	}
	if a.Lists.Veto != "" {
		fmt.Fprintf(w, "  vouched for: %s\n", plain(a.Lists.Veto))
	}
	if a.Own != nil {
		fmt.Fprintf(w, "  seen here in incident %s on %s, score %.2f, last %s\n", a.Own.Incident, a.Own.Host, a.Own.Score, a.Own.Last.Format(time.DateTime))
	}
}

func offCmd(g *global) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "off",
		Short: "Take every trace of Ringwall out of kernel, firewall and files; needs no brain",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return switchOff(cmd, g, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-watching", false, "let the agent run on; it acts no more until it is started anew")
	return cmd
}

func enrollCmd(g *global) *cobra.Command {
	var host, group, life string
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Make a one-time token with which a host joins",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got struct {
				Join string `json:"join"`
			}
			q := map[string]string{"host": host, "group": group, "life": life}
			if err := newClient(g.data).post(cmd.Context(), "/v1/enroll", g.query(), q, &got); err != nil {
				return err
			}
			return g.document(cmd, got, func(w io.Writer) { fmt.Fprintln(w, got.Join) })
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only for this host name")
	cmd.Flags().StringVar(&group, "group", "default", "group whose bundle the host takes")
	cmd.Flags().StringVar(&life, "life", "1h", "how long the token is good")
	cmd.AddCommand(joinCmds(g)...)
	return cmd
}

func statusCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What is on, what is degraded and what was lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			var st brain.Status
			if err := newClient(g.data).get(cmd.Context(), "/v1/status", g.query(), &st); err != nil {
				return err
			}
			if out != nil {
				return json.NewEncoder(out).Encode(st)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 2, 2, ' ', 0)
			printStatus(tw, &st)
			return tw.Flush()
		},
	}
}

// printStatus writes a line for each component: of the brain and the agent in its
// process first, then of each host that says something else.
func printStatus(w io.Writer, st *brain.Status) {
	own := map[health.Component]bool{}
	for _, c := range st.Components {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, c.State, plain(c.Reason))
		own[health.Component{Name: c.Name, State: c.State, Reason: c.Reason}] = true
	}
	for _, class := range slices.Sorted(maps.Keys(st.Lost)) {
		fmt.Fprintf(w, "lost\t%s\t%d\n", class, st.Lost[class])
	}
	for _, h := range st.Hosts {
		name := h.Host
		if h.Tenant != "default" {
			name = h.Tenant + "/" + h.Host
		}
		for _, c := range h.Components {
			if !own[health.Component{Name: c.Name, State: c.State, Reason: c.Reason}] {
				fmt.Fprintf(w, "%s: %s\t%s\t%s\n", name, plain(c.Name), plain(c.State), plain(c.Reason))
			}
		}
		for _, class := range slices.Sorted(maps.Keys(h.Lost)) {
			if st.Lost[class] < h.Lost[class] {
				fmt.Fprintf(w, "%s: lost\t%s\t%d\n", name, plain(class), h.Lost[class])
			}
		}
	}
}
