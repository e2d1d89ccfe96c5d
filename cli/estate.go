// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

// since is the query value of a time that lies some way back; empty for none.
func sinceValue(back time.Duration) string {
	if back <= 0 {
		return ""
	}
	return time.Now().Add(-back).UTC().Format(time.RFC3339)
}

func day(t time.Time) string {
	if t.Unix() <= 0 {
		return "-"
	}
	return t.Local().Format("01-02 15:04")
}

func hostsCmd(g *global) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: "hosts [HOST]", Short: "List hosts with how they are, or show one", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listing(g, cmd, "/v1/hosts", g.query("state", state, "sort", "name", "order", "asc"), 0, "HOST\tSTATE\tGROUP\tLAST\tINCIDENTS\tBUNDLE\tSYSTEM", func(h api.Host) []string {
					return []string{h.Name, h.State, h.Group, day(h.Last), strconv.Itoa(h.Incidents), h.Bundle, h.About}
				})
			}
			var h api.Host
			if err := newClient(g.data).get(cmd.Context(), "/v1/hosts/"+url.PathEscape(args[0]), g.query(), &h); err != nil {
				return err
			}
			return g.document(cmd, h, func(w io.Writer) { printHost(w, &h) })
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only those that are on, degraded, silent or revoked")
	cmd.AddCommand(&cobra.Command{
		Use: "revoke HOST", Short: "End a host's right to the bus", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.deleted(cmd, "/v1/hosts/"+url.PathEscape(args[0])+"/enrolment", fmt.Sprintf("%s is off the bus; to come back it joins anew", plain(args[0])))
		},
	})
	return cmd
}

func printHost(w io.Writer, h *api.Host) {
	fmt.Fprintf(w, "%s  %s  %s\ngroup %s, enrolled %s, heard of %s\nbundle %s\n", plain(h.Name), h.State, plain(h.About), h.Group, day(h.Enrolled), day(h.Last), plain(h.Bundle))
	for _, c := range h.Components {
		fmt.Fprintf(w, "  %-22s %-9s %s\n", plain(c.Name), plain(c.State), plain(c.Reason))
	}
	for class, n := range h.Lost {
		fmt.Fprintf(w, "  lost %s: %d\n", plain(class), n)
	}
}

// deleted asks for a DELETE and says what came of it.
func (g *global) deleted(cmd *cobra.Command, path, said string) error {
	out, err := newClient(g.data).open(cmd.Context(), http.MethodDelete, path, g.query(), nil)
	if err != nil {
		return err
	}
	out.Close()
	return g.document(cmd, api.Done{Done: true}, func(w io.Writer) { fmt.Fprintln(w, said) })
}

func connectionsCmd(g *global) *cobra.Command {
	var host string
	var since time.Duration
	cmd := &cobra.Command{
		Use: "connections", Short: "List who talked to whom, over which port, how often", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(g, cmd, "/v1/connections", g.query("host", host, "since", sinceValue(since)), 0, "HOST\tWAY\tPEER\tPORT\tPROTO\tCOUNT\tBYTES\tFIRST\tLAST\tPROGRAMS", func(c api.Connection) []string {
				way, peer := "out", c.Peer
				if c.Inbound {
					way = "in"
				}
				if c.PeerHost != "" {
					peer += " (" + c.PeerHost + ")"
				}
				return []string{c.Host, way, peer, strconv.Itoa(int(c.Port)), strconv.Itoa(int(c.Proto)), strconv.FormatInt(c.Count, 10), strconv.FormatInt(c.Bytes, 10), day(c.First), day(c.Last), strings.Join(c.Programs, " ")}
			})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only where this host is at one end")
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far back")
	return cmd
}

func filesCmd(g *global) *cobra.Command {
	var host, colour, text string
	var limit int
	cmd := &cobra.Command{
		Use: "files", Short: "List the files that the file layer had something to say of", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(g, cmd, "/v1/files", g.query("host", host, "colour", colour, "q", text), limit, "HOST\tCOLOUR\tSCORE\tPATH\tTITLE\tSHA256\tLAST\tQUARANTINE", func(f api.FoundFile) []string {
				held := "-"
				if f.Quarantine != nil {
					held = f.Quarantine.State
				}
				return []string{f.Host, f.Colour, strconv.FormatFloat(f.Score, 'f', 2, 64), f.Path, f.Title, f.SHA256, day(f.Last), held}
			})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only of this host")
	cmd.Flags().StringVar(&colour, "colour", "", "only grey or black")
	cmd.Flags().StringVar(&text, "find", "", "only with this in path, rule or title, or of this sha256")
	cmd.Flags().IntVar(&limit, "limit", 1000, "most files listed")
	return cmd
}

// joinCmds look after the tokens that enroll makes.
func joinCmds(g *global) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "list", Short: "List join tokens that have not expired", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				var list []api.Join
				if err := newClient(g.data).get(cmd.Context(), "/v1/joins", g.query(), &list); err != nil {
					return err
				}
				return g.document(cmd, list, func(w io.Writer) {
					for _, j := range list {
						fmt.Fprintf(w, "%s  group %s  host %s  by %s  until %s  used by %s\n", j.ID, j.Group, orDash(j.Host), orDash(plain(j.By)), day(j.Expires), orDash(j.Used))
					}
				})
			},
		},
		{
			Use: "end ID", Short: "End a join token before its time", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return g.deleted(cmd, "/v1/joins/"+url.PathEscape(args[0]), "nobody can join by it any more")
			},
		},
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
