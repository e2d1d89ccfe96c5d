// SPDX-License-Identifier: Apache-2.0

// Package host is the agent's part of the command line: what both binaries can do on
// a host without archive, console or training.
//
// In come arguments and the configuration file; out goes a running agent. The worst
// trap: this package must import nothing of the brain (cmd/ringwall-agent/deps_test.go holds it to that).
package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/doctor"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/sense/kernel"
)

// Version is set by the linker; bundles may ask for a newer one.
var Version = "dev"

// Decode reads one YAML file into a configuration; unknown keys are errors that name
// their line. A missing file is no error where optional.
func Decode(path string, optional bool, into any) error {
	raw, err := os.ReadFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// Ready prints what is watched and what is not and why, once at the start.
func Ready(w io.Writer, name string, board *health.Board) {
	for _, c := range board.Components() {
		fmt.Fprintf(w, "  %-18s %-9s %s\n", c.Name, c.State, c.Reason)
	}
	fmt.Fprintf(w, "watching %s\n", name)
}

// ReadyJSON writes the same, one component a line.
func ReadyJSON(w io.Writer, board *health.Board) {
	for _, c := range board.Components() {
		line, _ := json.Marshal(map[string]health.Component{"component": c})
		fmt.Fprintf(w, "%s\n", line)
	}
}

const jsonHelp = "write JSON to this file, - for standard output"

// Output opens what --json names; nil when it was not given. A file is made anew, 0600,
// and is the caller's until the process ends.
func Output(cmd *cobra.Command, name string) (io.Writer, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return cmd.OutOrStdout(), nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return f, nil
}

// RunCmd runs an agent that joins (once) and then serves a brain. use is its name:
// run in ringwall-agent, agent in ringwall.
func RunCmd(use string) *cobra.Command {
	var join, data, config, out string
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the agent of this host: sensors, spool, link to the brain",
		Long: "Run senses this host, keeps what it saw in a spool until the brain has stored it, judges files and requests here,\n" +
			"and carries out what its brain orders and its own guard rails allow. It says once what is on and what is not and why.\n" +
			"SIGHUP reads the configuration again; Ctrl-C or SIGTERM ends it; a second start goes on where the first ended.",
		Example: "  ringwall-agent run --join TOKEN@10.0.0.5:4223 --data /var/lib/ringwall-agent   # the first time\n" +
			"  ringwall-agent run --data /var/lib/ringwall-agent",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangups := Hangups()
			read := func() (agent.Config, error) { return readAgent(cmd, config, data) }
			cfg, err := read()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			self, err := joined(cmd.Context(), join, data, cfg.Host)
			if err != nil {
				return err
			}
			secret, err := redactionKey(data, self)
			if err != nil {
				return err
			}
			board := health.NewBoard()
			a, err := agent.New(cfg, agent.Options{Data: data, Self: self, Secret: secret, Version: Version, Board: board, Log: log})
			if err != nil {
				return err
			}
			say, err := Output(cmd, out)
			if err != nil {
				return err
			}
			a.OnReady(func() {
				if say != nil {
					ReadyJSON(say, board)
					return
				}
				Ready(cmd.OutOrStdout(), string(self.Host), board)
			})
			stop := hangups.Do(func() {
				Reloaded(cmd.OutOrStdout(), func() ([]string, error) {
					cfg, err := read()
					if err != nil {
						return nil, err
					}
					apply, err := a.Prepare(cfg)
					if err != nil {
						return nil, err
					}
					return apply(), nil
				})
			})
			defer stop()
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&join, "join", "", "TOKEN@HOST:PORT from 'ringwall enroll', needed once")
	cmd.Flags().StringVar(&out, "json", "", jsonHelp)
	cmd.Flags().StringVar(&data, "data", "./var", "folder of identity and spool (0700)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (default DATA/agent.yaml where it exists)")
	return cmd
}

// readAgent reads the agent's own configuration file.
func readAgent(cmd *cobra.Command, config, data string) (agent.Config, error) {
	cfg := agent.DefaultConfig()
	if config == "" {
		config = filepath.Join(data, "agent.yaml")
	}
	if err := Decode(config, !cmd.Flags().Changed("config"), &cfg); err != nil {
		return cfg, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, Locate(config, err)
	}
	return cfg, nil
}

// Hangup is SIGHUP, which asks for the configuration to be read again. Without it the
// signal ends the process, so it is taken first of all.
type Hangup chan os.Signal

// Hangups begins to take them.
func Hangups() Hangup {
	h := make(Hangup, 1)
	signal.Notify(h, syscall.SIGHUP)
	return h
}

// Do calls f on each, one after another, until stop is called.
func (h Hangup) Do(f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range h {
			f()
		}
	}()
	return func() {
		signal.Stop(h)
		close(h)
		<-done
	}
}

// Reloaded reads the configuration again and says what came of it: a bad file is
// refused with the reason, and what was in force stays.
func Reloaded(w io.Writer, reload func() (restart []string, err error)) {
	restart, err := reload()
	if err != nil {
		fmt.Fprintln(w, "configuration not taken, the old one stays in force:", err)
		return
	}
	fmt.Fprintln(w, "configuration is taken")
	if len(restart) > 0 {
		fmt.Fprintln(w, "changed, and taken at the next start only:", strings.Join(restart, ", "))
	}
}

// redactionKey is the tenant's key for hashing credentials, which came with the
// enrolment; where a host joined before there was one, a key of its own (0600), by which
// equal secrets correlate on this host only. The bundle names the tenant's key, and the
// agent says so where it has another.
func redactionKey(data string, self *identity.Agent) ([]byte, error) {
	if len(self.Redact) >= 16 {
		return self.Redact, nil
	}
	path := filepath.Join(data, "self", "redact.key")
	key, err := os.ReadFile(path)
	if err == nil && len(key) >= 32 {
		return key, nil
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("make the redaction key: %w", err)
	}
	return key, nil
}

func joined(ctx context.Context, join, data, name string) (*identity.Agent, error) {
	dir := filepath.Join(data, "self")
	self, err := identity.LoadAgent(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return self, err
	}
	if err == nil && (join == "" || len(self.Redact) > 0) {
		return self, nil // one that joined before there was a tenant's key may join once more
	}
	if join == "" {
		return nil, fmt.Errorf("this host has not joined a brain; make a token there with `ringwall enroll` and give it as --join (or to `ringwall-agent join`)")
	}
	token, err := identity.ParseJoinToken(join)
	if err != nil {
		return nil, err
	}
	host, err := HostName(name)
	if err != nil {
		return nil, err
	}
	if self, err = identity.JoinBrain(ctx, token, host); err != nil {
		return nil, err
	}
	return self, self.Save(dir)
}

// HostName is the configured name or what the kernel calls the machine.
func HostName(name string) (identity.Host, error) {
	if name != "" {
		return identity.ParseHost(name)
	}
	h, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w; set agent.host", err)
	}
	return identity.HostFromHostname(h), nil
}

// ShareCmd holds one program set for several agents of one kernel.
func ShareCmd() *cobra.Command {
	var pin string
	cmd := &cobra.Command{
		Use:   "kernel-share",
		Short: "Load one kernel program set for several agents of this machine, until ended",
		Long: "Several agents on one kernel, one per container or namespace, each cost every system call. With one shared set,\n" +
			"which agents name as kernel.shared, they cost what one does. It ends with Ctrl-C and takes its pins with it.",
		Example: "  ringwall-agent kernel-share --pin /sys/fs/bpf/ringwall",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := kernel.Share(pin, kernel.Defaults()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready: program set pinned in", pin)
			<-cmd.Context().Done()
			return kernel.Unshare(pin)
		},
	}
	cmd.Flags().StringVar(&pin, "pin", DefaultPins, "folder on a bpf file system")
	return cmd
}

// OffCmd takes back what the agent of a data folder did, without any brain.
func OffCmd() *cobra.Command {
	var data, config string
	var keep bool
	cmd := &cobra.Command{
		Use:   "off",
		Short: "Take every action of this host's agent back and end it; needs no brain",
		Long: "Off undoes every block, isolation and quarantine of this host, last done first, then ends the agent, whose programs\n" +
			"are in the kernel as long as it lives. It works on an agent that runs, that was killed, and without any brain.",
		Example: "  ringwall-agent off --data /var/lib/ringwall-agent\n  ringwall-agent off --keep-watching",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readAgent(cmd, config, data)
			if err != nil {
				return err
			}
			return Off(cmd.Context(), cmd.OutOrStdout(), data, cfg, keep)
		},
	}
	cmd.Flags().StringVar(&data, "data", "./var", "folder of the agent")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (default DATA/agent.yaml where it exists)")
	cmd.Flags().BoolVar(&keep, "keep-watching", false, "let the agent run on; it acts no more until it is started anew")
	return cmd
}

// offLong bounds the waiting for an agent that takes everything back and ends.
const offLong = time.Minute

// Off takes back everything that the agent of a data folder did, by its journal or,
// where it runs, by asking it; then the agent is ended, unless keep, because its
// programs are in the kernel as long as it lives. What a killed kernel-share left there
// goes too.
func Off(ctx context.Context, w io.Writer, data string, cfg agent.Config, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, offLong)
	defer cancel()
	journal := filepath.Join(data, "respond")
	err := respond.Off(ctx, journal, cfg.Respond)
	if errors.Is(err, respond.ErrRunning) {
		pid, err := agent.AskOff(ctx, data)
		if err != nil {
			return err
		}
		if keep {
			fmt.Fprintln(w, "everything is taken back; the agent watches on, and acts no more until it is started anew")
			return nil
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("end the agent, process %d: %w", pid, err)
		}
		for errors.Is(respond.Off(ctx, journal, cfg.Respond), respond.ErrRunning) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("the agent, process %d, does not end: %w", pid, ctx.Err())
			case <-time.After(100 * time.Millisecond):
			}
		}
	} else if err != nil {
		return err
	}
	for _, pins := range []string{DefaultPins, cfg.Kernel.Shared} {
		if _, err := os.Stat(pins); pins != "" && err == nil {
			if err := kernel.Unshare(pins); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(w, "nothing of Ringwall is left in kernel, firewall or files of this host")
	return nil
}

// DefaultPins is where kernel-share pins its programs.
const DefaultPins = "/sys/fs/bpf/ringwall"

// DoctorCmd says what this kernel and host offer. what tells it where the files of
// the role lie.
func DoctorCmd(what func(*cobra.Command) (doctor.Config, error)) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this kernel and host offer, what is missing, what that costs and how to mend it",
		Long: "Doctor tries what Ringwall would use, each hook, socket and mark, takes it back, and says of what is missing what\n" +
			"is lost without it and how to get it. Run it as the user that runs Ringwall: other rights find other things. What\n" +
			"Ringwall does not cover yet is listed too.",
		Example: "  ringwall doctor\n  ringwall doctor --json - | jq '.checks[] | select(.state != \"ok\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := what(cmd)
			if err != nil {
				return err
			}
			report := doctor.Run(cmd.Context(), cfg)
			w, err := Output(cmd, out)
			switch {
			case err != nil:
				return err
			case w == nil:
				return report.WriteTable(cmd.OutOrStdout())
			}
			return report.WriteJSON(w)
		},
	}
	cmd.Flags().StringVar(&out, "json", "", jsonHelp)
	return cmd
}

// AgentDoctor looks at the agent of a data folder.
func AgentDoctor() *cobra.Command {
	var data string
	cmd := DoctorCmd(func(*cobra.Command) (doctor.Config, error) {
		file := filepath.Join(data, "agent.yaml")
		return doctor.Config{Data: data, ConfigFile: file, CheckConfig: func() error {
			cfg := agent.DefaultConfig()
			if err := Decode(file, true, &cfg); err != nil {
				return err
			}
			return cfg.Validate()
		}, Watched: agent.DefaultConfig().Files.Roots}, nil
	})
	cmd.Flags().StringVar(&data, "data", "./var", "folder of the agent")
	return cmd
}
