// SPDX-License-Identifier: Apache-2.0

// Package doctor says what this kernel and host offer Ringwall, what is missing, what
// that costs and how to mend it.
//
// In comes where Ringwall's files are; out goes a report of checks for people and
// programs. It believes only what it tried: a hook is loaded, a socket opened, a mark
// set, and each is taken back before the next check.
//
// The worst trap: a check with other rights than the agent's tells of another agent. Run
// it as the user and with the capabilities that the agent has; the first check says which
// these are.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/kernel"
)

// State of a check. Missing is the zero value: what was not looked at is not ok.
type State int

// Missing: not to be had as things stand. Degraded: less than could be. OK.
const (
	Missing State = iota
	Degraded
	OK
)

// String names the state.
func (s State) String() string { return [...]string{"missing", "degraded", "ok"}[s] }

// MarshalText writes the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *State) UnmarshalText(b []byte) error {
	for _, v := range []State{Missing, Degraded, OK} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%q is no state of a check", b)
}

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"` // "kernel.sched_process_exec/on_exec", "disk.space"
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // what was found
	Mend   string `json:"mend,omitempty"`   // what would make it ok
	Costs  string `json:"costs,omitempty"`  // what is lost without it
}

// Report is the result of all checks, in a fixed order.
type Report struct {
	SchemaVersion int     `json:"schema_version"`
	Host          string  `json:"host"`
	Kernel        string  `json:"kernel"`
	OK            int     `json:"ok"`
	Degraded      int     `json:"degraded"`
	Missing       int     `json:"missing"`
	Checks        []Check `json:"checks"`
}

// Socket is a door that should answer.
type Socket struct{ Name, Path string }

// Config says where to look. Empty fields leave their checks out.
type Config struct {
	Data        string         // folder of agent and brain
	ConfigFile  string         // may be absent: defaults hold
	CheckConfig func() error   // reads ConfigFile as the roles would
	Sockets     []Socket       // unix sockets of agent and brain
	Kernel      *kernel.Config // what the agent asks of the kernel; nil: its defaults
	Watched     []string       // folders of the file sensor; their file systems are tried
	SpoolBytes  int64          // bound of the spool; 0 not known
	KeepBytes   int64          // bound of the archive by size; 0 unbounded
	Components  []health.Component
}

// check looks at one matter. It must leave nothing behind.
type check func(context.Context, *Config) []Check

var checks = []check{
	rights, kernelHooks, btf, bpffs, memlock, cgroup2, fanotify, packets, netfilter, sandbox,
	journal, diskSpace, clockSync, webServers, dataFolder, configFile, sockets, components,
}

// Run looks at everything; it takes a second or two, most of it for the kernel's
// verifier. When ctx ends the rest is left out.
func Run(ctx context.Context, cfg Config) Report {
	r := Report{SchemaVersion: 1, Kernel: release()}
	r.Host, _ = os.Hostname() // unnamed: shown empty
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		r.Checks = append(r.Checks, c(ctx, &cfg)...)
	}
	for _, c := range r.Checks {
		switch c.State {
		case OK:
			r.OK++
		case Degraded:
			r.Degraded++
		default:
			r.Missing++
		}
	}
	return r
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// WriteJSON writes the report as one indented object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteTable writes the report for people: what is not ok comes with its mend and price.
func (r Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, Linux %s: %d ok, %d degraded, %d missing\n", r.Host, r.Kernel, r.OK, r.Degraded, r.Missing)
	wide := 0
	for _, c := range r.Checks {
		wide = max(wide, len(c.Name))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "  %-8s  %-*s  %s\n", c.State, wide, c.Name, plain(c.Reason))
		for _, more := range [][2]string{{"mend", c.Mend}, {"costs", c.Costs}} {
			if c.State != OK && more[1] != "" {
				fmt.Fprintf(&b, "  %8s  %*s  %s: %s\n", "", wide, "", more[0], plain(more[1]))
			}
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// plain keeps what a file name or an error may hold from steering a terminal.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
