// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/archive/query"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/cli/host"
	"github.com/ringwall/ringwall/doctor"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/respond"
)

// Config is the whole configuration file.
type Config struct {
	Agent agent.Config `yaml:"agent"`
	Brain brain.Config `yaml:"brain"`
	// Metrics is the loopback address of /metrics and /health; "off" for none.
	Metrics string `yaml:"metrics"`
	// API is where browsers and programs reach the API over TCP.
	API api.Door `yaml:"api"`
}

func defaultConfig() Config {
	return Config{Agent: agent.DefaultConfig(), Brain: brain.DefaultConfig(), Metrics: defaultMetrics, API: api.Door{Listen: api.DefaultDoor}}
}

const defaultMetrics = "127.0.0.1:9310"

func (g *global) load(cmd *cobra.Command) (Config, error) {
	cfg := defaultConfig()
	path := g.config
	if path == "" {
		path = filepath.Join(g.data, "ringwall.yaml")
	}
	if err := host.Decode(path, g.config == "", &cfg); err != nil {
		return cfg, err
	}
	if err := errors.Join(cfg.Agent.Validate(), cfg.Brain.Validate(), cfg.API.Validate()); err != nil {
		return cfg, host.Locate(path, err)
	}
	return cfg, nil
}

// Root is the command line of bin/ringwall.
func Root() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use: "ringwall", Short: "Sees an intrusion on the wire, in the files and in the kernel, and traces it to the request that began it",
		Version: host.Version, SilenceUsage: true, SilenceErrors: true,
	}
	g.bind(root)
	root.AddCommand(upCmd(g), brainCmd(g), host.RunCmd("agent"), host.JoinCmd(), configCmd(g), queryCmd(), rangeCmd(g), sigmaCmd(g), replayCmd(g), recordCmd(g), demoCmd(g), scanCmd(g), networkCmd(g), bundleCmd(g), host.ShareCmd(), doctorCmd(g))
	root.AddCommand(asking(g)...)
	explain(root)
	return root
}

func upCmd(g *global) *cobra.Command {
	var at where
	cmd := &cobra.Command{
		Use: "up", Short: "Run agent and brain in one process and print what is found", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, g, true, at) },
	}
	cmd.Flags().StringVar(&at.bus, "bus", "", busHelp)
	return cmd
}

// where are the flags that say it beside the configuration file.
type where struct{ listen, bus string }

const busHelp = "nats://HOST:PORT of an external NATS cluster instead of the embedded one (overrides brain.bus; `ringwall config nats` prints what its servers need)"

func (w where) set(cfg *brain.Config) {
	cfg.Listen, cfg.Bus = cmp.Or(w.listen, cfg.Listen), cmp.Or(w.bus, cfg.Bus)
}

func brainCmd(g *global) *cobra.Command {
	var at where
	cmd := &cobra.Command{
		Use: "brain", Short: "Run the brain alone; agents join over --listen", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, g, false, at) },
	}
	cmd.Flags().StringVar(&at.bus, "bus", "", busHelp)
	cmd.Flags().StringVar(&at.listen, "listen", "", "host:port where agents reach the bus (overrides brain.listen)")
	return cmd
}

// run composes the roles: the only place that sees all of them.
func run(cmd *cobra.Command, g *global, withAgent bool, at where) error {
	hangups := host.Hangups()
	cfg, err := g.load(cmd)
	if err != nil {
		return err
	}
	at.set(&cfg.Brain)
	if err := cfg.Brain.Validate(); err != nil {
		return err
	}
	g.inForce.Store(&cfg)
	data, err := filepath.Abs(g.data)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	// The graph's budget is of live memory; with the default of 100 the garbage of its
	// decoding would double what is resident.
	debug.SetGCPercent(50)
	out, err := g.output(cmd)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	board := health.NewBoard()
	pool, err := query.New(query.Config{Root: filepath.Join(data, "archive")})
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	b, err := brain.Open(ctx, cfg.Brain, brain.Options{Data: data, Hunter: pool, Board: board, Log: log})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	failed := make(chan error, 3)
	start := func(what string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	start("brain", b.Run)
	if err := doors(ctx, cmd.OutOrStdout(), b, g, cfg.API, data, board, log, start); err != nil {
		return err
	}
	if cfg.Brain.Listen != "" {
		start("enrolment", func(ctx context.Context) error { return enrolment(ctx, b, cfg.Brain.Listen, log) })
	}
	shown := &metrics{board: board, brain: b}
	var a *agent.Agent
	if withAgent {
		a, err = localAgent(b, cfg.Agent, data, board, log)
		if err != nil {
			return err
		}
		a.OnReady(func() {
			if out != nil {
				host.ReadyJSON(out, board)
				return
			}
			host.Ready(cmd.OutOrStdout(), "this host", board)
		})
		shown.tenant, shown.stages, shown.seen, shown.sensed, shown.denied = string(localTenant), a.Stages, a.Seen, a.Sensed, a.Refused
		start("agent", a.Run)
	} else if out != nil {
		host.ReadyJSON(out, board)
	} else {
		fmt.Fprintln(cmd.OutOrStdout(), "ready: brain in", data)
	}
	if err := loopback(data, cfg.Metrics, shown, start); err != nil {
		return err
	}
	for _, t := range b.Tenants() {
		wg.Go(func() {
			if out != nil {
				printJSON(ctx, out, b, t)
				return
			}
			print(ctx, cmd.OutOrStdout(), b, t)
		})
	}
	defer hangups.Do(func() {
		host.Reloaded(cmd.OutOrStdout(), func() ([]string, error) { return g.reload(ctx, cmd, b, a, at) })
	})()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// loopback opens the door for metrics and health, behind a token file in the data
// folder. A port that is taken is no reason not to run.
func loopback(data, address string, shown *metrics, start func(string, func(context.Context) error)) error {
	if address == "off" {
		return nil
	}
	token, err := api.TokenFile(data)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(shown)
	door := &api.Loopback{Address: address, Token: token, Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Healthy: func() error {
		for _, c := range shown.board.Components() {
			// What was switched off or may not be done here is no illness; `status` tells it.
			if c.State == health.Off.String() && c.Name != "" && !strings.HasPrefix(c.Name, "sensor.") && !strings.HasPrefix(c.Name, respond.Name+".") {
				return fmt.Errorf("%s is off: %s", c.Name, c.Reason)
			}
		}
		return nil
	}}
	start("metrics", func(ctx context.Context) error {
		if err := door.Run(ctx); err != nil {
			shown.board.Set("door.metrics", health.Degraded, err.Error()+"; set metrics: to another loopback address or off")
		}
		return nil
	})
	return nil
}

// localTenant is whose the agent beside the brain is.
const localTenant = identity.Tenant("default")

// localAgent enrols and builds the agent of this very process.
func localAgent(b *brain.Brain, cfg agent.Config, data string, board *health.Board, log *slog.Logger) (*agent.Agent, error) {
	name, err := host.HostName(cfg.Host)
	if err != nil {
		return nil, err
	}
	const group = identity.Group("default")
	self, err := b.Authority().NewAgent(localTenant, name, group, time.Now())
	if err != nil {
		return nil, err
	}
	if err := b.PushTenant(context.Background(), string(localTenant)); err != nil {
		return nil, err
	}
	secret, err := b.Secret(string(localTenant))
	if err != nil {
		return nil, err
	}
	server, url, pins := b.Bus()
	if server == nil {
		self.Bus, self.Pins = url, pins
	}
	return agent.New(cfg, agent.Options{Data: filepath.Join(data, "agent"), Self: self, Server: server, Secret: secret, Version: host.Version, Board: board, Log: log})
}

// reload reads the configuration again. Both roles must be able to take it before
// either does; a is nil without an agent.
func (g *global) reload(ctx context.Context, cmd *cobra.Command, b *brain.Brain, a *agent.Agent, at where) (restart []string, err error) {
	cfg, err := g.load(cmd)
	if err != nil {
		return nil, err
	}
	at.set(&cfg.Brain)
	judge, err := b.Prepare(ctx, cfg.Brain)
	if err != nil {
		return nil, err
	}
	if a != nil {
		sense, err := a.Prepare(cfg.Agent)
		if err != nil {
			return nil, err
		}
		restart = sense()
	}
	more, err := judge(ctx)
	if err == nil {
		g.inForce.Store(&cfg)
	}
	return append(restart, more...), err
}

// print writes findings and incidents of a tenant as they happen.
func print(ctx context.Context, w io.Writer, b *brain.Brain, tenant string) {
	for u := range b.Follow(ctx, tenant) {
		switch {
		case u.Finding != nil && u.Finding.Black():
			PrintFinding(w, api.FindingOf(u.Finding, ""))
		case u.Incident != nil:
			PrintIncident(w, api.IncidentOf(ledger.ListedIncident{Incident: u.Incident}, false))
		case u.Action != nil:
			PrintAction(w, api.ActionOf(u.Action))
		}
	}
}

// printJSON writes the same and what is only suspicious, one document a line.
func printJSON(ctx context.Context, w io.Writer, b *brain.Brain, tenant string) {
	for u := range b.Follow(ctx, tenant) {
		switch {
		case u.Finding != nil:
			writeLine(w, "finding", api.FindingOf(u.Finding, ""))
		case u.Incident != nil:
			writeLine(w, "incident", api.IncidentOf(ledger.ListedIncident{Incident: u.Incident}, false))
		case u.Action != nil:
			writeLine(w, "action", api.ActionOf(u.Action))
		}
	}
}

// doctorCmd looks at both roles of the data folder.
func doctorCmd(g *global) *cobra.Command {
	return host.DoctorCmd(func(cmd *cobra.Command) (doctor.Config, error) {
		file := g.config
		if file == "" {
			file = filepath.Join(g.data, "ringwall.yaml")
		}
		cfg, err := g.load(cmd)
		out := doctor.Config{
			Data: g.data, ConfigFile: file, CheckConfig: func() error { return err },
			Sockets: []doctor.Socket{{Name: "brain", Path: socketPath(g.data)}},
			Watched: cfg.Agent.Files.Roots, KeepBytes: cfg.Brain.Retention.Bytes,
		}
		var st brain.Status
		if newClient(g.data).get(cmd.Context(), "/v1/status", g.query(), &st) == nil {
			out.Components = st.Components
		}
		return out, nil
	})
}

func configCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	cmd.AddCommand(&cobra.Command{
		Use: "check", Short: "Check the configuration file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := g.load(cmd); err != nil {
				return err
			}
			return g.document(cmd, map[string]any{"good": true}, func(w io.Writer) { fmt.Fprintln(w, "configuration is good") })
		},
	}, natsCmd(g))
	return cmd
}

// queryCmd is the engine process of a hunt.
func queryCmd() *cobra.Command {
	return &cobra.Command{
		Use: "archive-query", Hidden: true, DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) { os.Exit(query.Serve(args)) },
	}
}

// switchOff takes every action back: those of other hosts by asking them through the
// brain where it answers, those of this host without it.
func switchOff(cmd *cobra.Command, g *global, keep bool) error {
	cfg, err := g.load(cmd)
	if err != nil {
		return err
	}
	out, err := g.output(cmd)
	if err != nil {
		return err
	}
	said := struct {
		Off   bool `json:"off"`
		Asked bool `json:"asked_other_hosts"`
	}{Off: true}
	var d struct{ Done bool }
	w := cmd.OutOrStdout()
	if out != nil {
		w = io.Discard
	}
	if err := newClient(g.data).post(cmd.Context(), "/v1/off", g.query(), nil, &d); err == nil {
		said.Asked = true
		fmt.Fprintln(w, "asked every host to take everything back; `ringwall actions` shows it")
	}
	if err := host.Off(cmd.Context(), w, filepath.Join(g.data, "agent"), cfg.Agent, keep); err != nil || out == nil {
		return err
	}
	return json.NewEncoder(out).Encode(said)
}
