// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall/behaviour/incident"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/network/exposure"
)

// Config of the brain. The zero value of a field means its default.
type Config struct {
	Listen    string               `yaml:"listen"`  // host:port where agents reach the bus; empty: this process only
	Bus       string               `yaml:"bus"`     // nats:// or tls:// URLs of an external cluster, with commas between; empty: embedded
	Tenants   []string             `yaml:"tenants"` // default: default
	Rules     []string             `yaml:"rules"`   // folders of Sigma rules beside our own
	Policy    decide.Policy        `yaml:"policy"`  // what may be done; default observe
	Except    []*decide.Exception  `yaml:"exceptions"`
	Graph     graph.Config         `yaml:"graph"`
	Incident  incident.Config      `yaml:"incident"`
	Exposure  exposure.LearnConfig `yaml:"exposure"` // how long a host is only watched
	Intel     reputation.Config    `yaml:"intel"`    // lists to look values up in
	Retention Retention            `yaml:"retention"`
	Warm      time.Duration        `yaml:"warm"`   // history judged again at start, so that the graph knows the recent past; default 1 h
	Bundles   Bundles              `yaml:"bundle"` // what agents get to work from
}

// Retention bounds the archive.
type Retention struct {
	Age   time.Duration `yaml:"age"`   // default 30 days
	Bytes int64         `yaml:"bytes"` // per tenant; default 20 GiB
}

// DefaultConfig observes one tenant.
func DefaultConfig() Config {
	return Config{
		Tenants: []string{"default"}, Policy: decide.DefaultPolicy(), Graph: graph.DefaultConfig(), Exposure: exposure.LearnConfig{Learn: 24 * time.Hour, Most: 8192}, Incident: incident.DefaultConfig(),
		Retention: Retention{Age: 30 * 24 * time.Hour, Bytes: 20 << 30}, Warm: time.Hour,
	}
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Tenants) == 0 {
		errs = append(errs, errors.New("brain.tenants is empty; name at least one, such as default"))
	}
	for _, s := range strings.Split(c.Bus, ",") {
		if u, err := url.Parse(strings.TrimSpace(s)); c.Bus != "" && (err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls") {
			errs = append(errs, fmt.Errorf("brain.bus: %q is no broker; want nats://HOST:PORT or tls://HOST:PORT", s))
		}
	}
	if p := c.Policy.Act; p < 0 || p > 1 {
		errs = append(errs, fmt.Errorf("brain.policy.act %v is no probability; want 0 to 1", p))
	}
	for _, d := range c.Rules {
		if !filepath.IsAbs(d) {
			errs = append(errs, fmt.Errorf("brain.rules: %q is not an absolute path", d))
		}
	}
	if _, err := decide.NewExceptions(c.Except); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Intel.Validate(), c.Bundles.Content.validate("brain.bundle"))
	for name, group := range c.Bundles.Groups {
		if _, err := identity.ParseGroup(name); err != nil {
			errs = append(errs, fmt.Errorf("brain.bundle.groups: %w", err))
		}
		errs = append(errs, group.validate("brain.bundle.groups."+name))
	}
	return errors.Join(errs...)
}
