// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/file"
	"github.com/ringwall/ringwall/network"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/sense/files"
	"github.com/ringwall/ringwall/sense/inventory"
	"github.com/ringwall/ringwall/sense/logs"
	"github.com/ringwall/ringwall/sense/packet"
)

// Config of an agent. The zero value of a field means its default.
type Config struct {
	Host      string            `yaml:"host"`    // default: the machine's name
	Sensors   map[string]Switch `yaml:"sensors"` // each on (default) or off
	Scope     Scope             `yaml:"scope"`
	Spool     Spool             `yaml:"spool"`
	Kernel    Kernel            `yaml:"kernel"`
	Files     files.Config      `yaml:"files"`
	Packet    packet.Config     `yaml:"packet"`
	Logs      logs.Config       `yaml:"logs"`
	Inventory inventory.Config  `yaml:"inventory"`
	Network   network.Config    `yaml:"network"` // the network funnel
	File      file.Config       `yaml:"file"`    // the file funnel
	Respond   respond.Config    `yaml:"respond"` // what this host permits, whatever is ordered
}

// Switch is on or off in the configuration file.
type Switch bool

// UnmarshalText reads on, off, true and false.
func (s *Switch) UnmarshalText(b []byte) error {
	switch string(b) {
	case "on", "true":
		*s = true
	case "off", "false":
		*s = false
	default:
		return fmt.Errorf("%q: want on or off", b)
	}
	return nil
}

// Scope confines an agent, so that several hosts run on one kernel.
type Scope struct {
	Cgroup string `yaml:"cgroup"` // folder in the cgroup2 tree
	Netns  string `yaml:"netns"`  // file of a network namespace
	Root   string `yaml:"root"`   // folder under which the host's files lie
}

// Spool bounds what waits for the brain.
type Spool struct {
	MaxBytes int64 `yaml:"max_bytes"` // on disk; a quarter is kept for precious events; default 512 MiB
}

// Kernel are the settings of the kernel sensor that an operator may want.
type Kernel struct {
	Shared    string   `yaml:"shared"`    // folder of a program set that `kernel-share` pinned
	Syscalls  Switch   `yaml:"syscalls"`  // files by name and privilege calls; default on
	Sensitive []string `yaml:"sensitive"` // patterns of paths whose reads are told, beside the built-in list
}

// DefaultConfig has every sensor on.
func DefaultConfig() Config {
	return Config{
		Sensors: map[string]Switch{"kernel": true, "packet": true, "files": true, "inventory": true, "logs": true},
		Spool:   Spool{MaxBytes: 512 << 20},
		Packet:  packet.DefaultConfig(), Inventory: inventory.DefaultConfig(),
		Network: network.DefaultConfig(), Respond: respond.DefaultConfig(),
		Kernel: Kernel{Syscalls: true}, Files: files.DefaultConfig(), Logs: logs.DefaultConfig(), File: file.DefaultConfig(),
	}
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	for name := range c.Sensors {
		if !slices.Contains(sensorNames(), name) {
			errs = append(errs, fmt.Errorf("agent.sensors: %q is no sensor; want one of %s", name, strings.Join(sensorNames(), ", ")))
		}
	}
	for _, p := range []string{c.Scope.Cgroup, c.Scope.Netns, c.Scope.Root, c.Kernel.Shared} {
		if p != "" && !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("agent: %q is not an absolute path", p))
		}
	}
	if m := c.Spool.MaxBytes; m != 0 && m < 1<<20 {
		errs = append(errs, fmt.Errorf("agent.spool.max_bytes: %d; want at least 1048576 (1 MiB)", c.Spool.MaxBytes))
	}
	errs = append(errs, c.Files.Validate(), c.Packet.Validate(), c.Logs.Validate(), c.Inventory.Validate(), c.Network.Validate(), c.File.Validate(), c.Respond.Validate())
	return errors.Join(errs...)
}
