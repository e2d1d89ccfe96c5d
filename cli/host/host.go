// SPDX-License-Identifier: Apache-2.0

// Package host is the agent's part of the command line: what both binaries can do on
// a host without archive, console or training.
//
// In come arguments and the configuration file; out goes a running agent. The worst
// trap: this package must import nothing of the brain (deps_test.go holds it to that).
package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/agent"
	"github.com/ringwall/ringwall/doctor"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/sense/kernel"
)

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

// RunCmd runs an agent that joins (once) and then serves a brain.
func RunCmd() *cobra.Command {
	var join, data, config string
	cmd := &cobra.Command{
		Use:     "run",
		Aliases: []string{"agent"},
		Short:   "Run the agent of this host: sensors, spool, link to the brain",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := agent.DefaultConfig()
			if config == "" {
				config = filepath.Join(data, "agent.yaml")
			}
			if err := Decode(config, !cmd.Flags().Changed("config"), &cfg); err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			self, err := joined(cmd.Context(), join, data, cfg.Host)
			if err != nil {
				return err
			}
			secret, err := redactionKey(data)
			if err != nil {
				return err
			}
			board := health.NewBoard()
			a, err := agent.New(cfg, agent.Options{Data: data, Self: self, Secret: secret, Board: board, Log: log})
			if err != nil {
				return err
			}
			a.OnReady(func() { Ready(cmd.OutOrStdout(), string(self.Host), board) })
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&join, "join", "", "TOKEN@HOST:PORT from `ringwall enroll`, needed once")
	cmd.Flags().StringVar(&data, "data", "./var", "folder of identity and spool (0700)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (default DATA/agent.yaml where it exists)")
	return cmd
}

// redactionKey is this host's key for hashing credentials, made on first use (0600).
// Equal secrets correlate on this host only, until a bundle brings the tenant's key.
func redactionKey(data string) ([]byte, error) {
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
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return self, err
	}
	if join == "" {
		return nil, fmt.Errorf("this host has not joined a brain; make a token there with `ringwall enroll` and give it as --join")
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
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := kernel.Share(pin, kernel.Defaults()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready: program set pinned in", pin)
			<-cmd.Context().Done()
			return kernel.Unshare(pin)
		},
	}
	cmd.Flags().StringVar(&pin, "pin", "/sys/fs/bpf/ringwall", "folder on a bpf file system")
	return cmd
}

// OffCmd takes back what the agent of a data folder did, without any brain.
func OffCmd() *cobra.Command {
	var data, config string
	cmd := &cobra.Command{
		Use:   "off",
		Short: "Take every action of this host's agent back; needs no brain, and that the agent is stopped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := agent.DefaultConfig()
			if config == "" {
				config = filepath.Join(data, "agent.yaml")
			}
			if err := Decode(config, !cmd.Flags().Changed("config"), &cfg); err != nil {
				return err
			}
			return respond.Off(cmd.Context(), filepath.Join(data, "respond"), cfg.Respond)
		},
	}
	cmd.Flags().StringVar(&data, "data", "./var", "folder of the agent")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (default DATA/agent.yaml where it exists)")
	return cmd
}

// DoctorCmd says what this kernel and host offer. what tells it where the files of
// the role lie.
func DoctorCmd(what func(*cobra.Command) (doctor.Config, error)) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this kernel and host offer, what is missing, what that costs and how to mend it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := what(cmd)
			if err != nil {
				return err
			}
			report := doctor.Run(cmd.Context(), cfg)
			switch out {
			case "":
				return report.WriteTable(cmd.OutOrStdout())
			case "-":
				return report.WriteJSON(cmd.OutOrStdout())
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return fmt.Errorf("write JSON: %w", err)
			}
			defer f.Close()
			return report.WriteJSON(f)
		},
	}
	cmd.Flags().StringVar(&out, "json", "", "write JSON to this file, - for standard output")
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
