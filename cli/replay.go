// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// demo is a recorded run of the range's web-upload: our own page, our own attacker.
//
//go:embed demo.rwe
var demo []byte

func replayCmd(g *global) *cobra.Command {
	var events bool
	cmd := &cobra.Command{
		Use:   "replay FILE…",
		Short: "Judge recorded events or packets again; the same input gives the same findings",
		Args:  cobra.MinimumNArgs(1),

		ValidArgsFunction: filesNamed("rwe", "pcap", "pcapng", "gz"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load(cmd)
			if err != nil {
				return err
			}
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			heard := heardJSON(out)
			if out == nil {
				heard = heardText(cmd.OutOrStdout(), 0)
			}
			r, err := brain.NewReplayer(cfg.Brain, g.tenant, heard, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			bar := progress(cmd.ErrOrStderr(), "events", -1)
			see := func(ev *event.Event) {
				_ = bar.Add(1)
				if out != nil && events && ev.GetFinding() == nil {
					writeLine(out, "event", ev)
				}
				r.See(ev)
			}
			for _, name := range args {
				if err := replayFile(cmd.Context(), cfg, g.tenant, name, see); err != nil {
					return err
				}
			}
			_ = bar.Finish()
			r.Finish()
			if out == nil {
				tellStories(cmd.OutOrStdout(), r)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&events, "events", true, "with --json, the events too")
	return cmd
}

// replayFile knows recordings by their name; everything else is a capture.
func replayFile(ctx context.Context, cfg Config, tenant, name string, see func(*event.Event)) error {
	if filepath.Ext(name) != ".rwe" {
		secret := []byte("replay of a capture: equal secrets correlate in it")
		return agent.Capture(ctx, name, cfg.Agent, secret, tenant, "capture", slog.New(slog.DiscardHandler), see)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	defer f.Close()
	if err := event.ReadRecording(f, func(ev *event.Event) error { see(ev); return nil }); err != nil {
		return fmt.Errorf("replay %s: %w; what came before it was judged", name, err)
	}
	return nil
}

func writeLine(w io.Writer, name string, v any) {
	marshal := json.Marshal
	if m, ok := v.(proto.Message); ok { // an event: its schema is its JSON
		marshal = func(any) ([]byte, error) { return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m) }
	}
	if raw, err := marshal(v); err == nil {
		line, _ := json.Marshal(map[string]json.RawMessage{name: raw})
		fmt.Fprintf(w, "%s\n", line)
	}
}

// heardJSON writes one document a line: {"finding"|"incident"|"order": …}.
func heardJSON(w io.Writer) brain.Heard {
	write := func(name string, v any) { writeLine(w, name, v) }
	return brain.Heard{
		Finding: func(f *verdict.Finding) {
			f.PublishedNs = 0 // of the run, not of the events
			write("finding", api.FindingOf(f, ""))
		},
		Incident: func(i *verdict.Incident) { write("incident", api.IncidentOf(ledger.ListedIncident{Incident: i}, true)) },
		Order:    func(o action.Order) { write("order", o) },
	}
}

// heardText prints black findings and orders; pause slows a demonstration down.
func heardText(w io.Writer, pause time.Duration) brain.Heard {
	return brain.Heard{
		Finding: func(f *verdict.Finding) {
			if f.Black() {
				PrintFinding(w, api.FindingOf(f, ""))
				time.Sleep(pause)
			}
		},
		Order: func(o action.Order) {
			PrintAction(w, api.ActionOf(&action.Record{Order: o, State: action.Shadowed, Result: "would have been done", Updated: o.Ordered}))
			time.Sleep(pause / 4)
		},
	}
}

func tellStories(w io.Writer, r *brain.Replayer) {
	for _, inc := range r.Incidents() {
		fmt.Fprintln(w)
		for _, line := range r.Story(inc).Text {
			fmt.Fprintln(w, plain(line))
		}
	}
}

func demoCmd(g *global) *cobra.Command {
	var fast bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch a recorded intrusion being seen, traced to its request and answered in shadow", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pause := 700 * time.Millisecond
			if fast {
				pause = 0
			}
			w := cmd.OutOrStdout()
			fmt.Fprintln(w, "A recorded attack on a small web page, in a lab of namespaces. Ordinary visitors and administrators work beside it.")
			fmt.Fprintln(w, "What Ringwall finds, as it found it (! is above suspicion, ■ is what it would do):")
			fmt.Fprintln(w)
			r, err := brain.NewReplayer(brain.DefaultConfig(), g.tenant, heardText(w, pause), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			if err := event.ReadRecording(bytes.NewReader(demo), func(ev *event.Event) error { r.See(ev); return nil }); err != nil {
				return err
			}
			r.Finish()
			tellStories(w, r)
			return nil
		},
	}
	cmd.Flags().BoolVar(&fast, "fast", false, "without pauses")
	return cmd
}

func recordCmd(g *global) *cobra.Command {
	var since time.Duration
	cmd := &cobra.Command{
		Use: "record FILE", Short: "Write the events of the last while into a recording for replay", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := g.query("since", time.Now().Add(-since).Format(time.RFC3339Nano))
			body, err := newClient(g.data).open(cmd.Context(), http.MethodGet, "/v1/recording", q, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return fmt.Errorf("record: %w", err)
			}
			bar := progress(cmd.ErrOrStderr(), "bytes", -1)
			n, err := io.Copy(io.MultiWriter(f, bar), body)
			_ = bar.Finish()
			if err != nil {
				f.Close()
				return fmt.Errorf("record %s: %w; the recording is cut", args[0], err)
			}
			if err := f.Close(); err != nil {
				return fmt.Errorf("record %s: %w", args[0], err)
			}
			return g.document(cmd, map[string]any{"path": args[0], "bytes": n}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d bytes; judge it again with `ringwall replay %s`\n", args[0], n, args[0])
			})
		},
	}
	cmd.Flags().DurationVar(&since, "since", time.Hour, "how far back")
	return cmd
}
