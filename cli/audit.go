// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/api"
)

func auditCmd(g *global) *cobra.Command {
	var limit int
	var since time.Duration
	var text string
	cmd := &cobra.Command{
		Use: "audit", Short: "List who did what to which thing, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(g, cmd, "/v1/audit", g.query("q", text, "since", sinceValue(since)), limit, "SEQ\tTIME\tACTOR\tVERB\tOBJECT\tDETAIL", func(e api.AuditEntry) []string {
				return []string{strconv.FormatUint(e.Seq, 10), e.Time.Local().Format("2006-01-02 15:04:05"), e.Actor, e.Verb, e.Object, e.Detail}
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 200, "most entries listed")
	cmd.Flags().DurationVar(&since, "since", 0, "how far back; 0: all")
	cmd.Flags().StringVar(&text, "find", "", "only with this in actor, verb, object or detail")
	var known string
	verify := &cobra.Command{
		Use: "verify", Short: "Walk the whole audit chain and tell whether every link holds", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			seq, hash, found := strings.Cut(known, ":")
			if known != "" && (!found || hash == "") {
				return fmt.Errorf("audit verify: --head %q; want SEQ:HASH as this command printed it", known)
			}
			var c api.AuditCheck
			if err := newClient(g.data).get(cmd.Context(), "/v1/audit/check", g.query("seq", seq, "hash", hash), &c); err != nil {
				return err
			}
			if err := g.document(cmd, c, func(w io.Writer) { fmt.Fprintf(w, "%d entries hold; head %d:%s\n", c.Seq, c.Seq, c.Hash) }); err != nil {
				return err
			}
			if !c.Whole {
				return errors.New("audit verify: " + c.Fault)
			}
			return nil
		},
	}
	verify.Flags().StringVar(&known, "head", "", "SEQ:HASH noted earlier, which the chain must still hold")
	cmd.AddCommand(verify)
	return cmd
}
