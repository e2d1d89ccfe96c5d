// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/csv"
	"github.com/ringwall/ringwall/feed/plain"
)

// Config of the library. The zero value is usable: built-in allow-list, no source.
type Config struct {
	Sources []Source `yaml:"sources"`
	Allow   []Allow  `yaml:"allow"`

	// Own prefixes and addresses of the operator: a hard veto.
	Own []netip.Prefix `yaml:"own"`
	// CountReserved are ranges of reserved space (private, documentation, …) where
	// listings count all the same: a laboratory, or a list about the inside.
	CountReserved []netip.Prefix `yaml:"count_reserved"`

	// Reload is how often files are looked at. Default 5 min.
	Reload time.Duration `yaml:"reload"`
	// MaxBytes bounds one generation of the library; while it reloads two exist. 0: 48 MiB,
	// two million indicators and a third of the agent's 150 MB (DESIGN §6).
	MaxBytes int64 `yaml:"max_bytes"`
	// MaxMalformed is the share of records that may be unreadable before a file is
	// refused as of the wrong format. 0: 0.5.
	MaxMalformed float64 `yaml:"max_malformed"`

	// Suspicious and Malicious are the confidences from which a level begins: 0.6 and
	// 0.9, after the guide of a large provider (intel.md §6: act from 90, look from 60).
	Suspicious float64 `yaml:"suspicious"`
	Malicious  float64 `yaml:"malicious"`
	// WideURL weakens a URL claim that is wider than the URL asked for. 0: 0.8, a choice,
	// not a measure: a certain source then says suspicious, never malicious.
	WideURL float64 `yaml:"wide_url"`
	// SoftFactor weakens what a soft allow-list covers. 0: 0.5.
	SoftFactor float64 `yaml:"soft_factor"`
}

// List is one file (or MISP folder) that something else fetches and renames into place.
type List struct {
	Name   string        `yaml:"name"`
	Path   string        `yaml:"path"`
	Format string        `yaml:"format"` // plain, csv, stix, misp
	Plain  plain.Options `yaml:"plain"`
	CSV    csv.Columns   `yaml:"csv"`
	// Observables takes bare STIX observables too.
	Observables bool `yaml:"observables"`
}

// Source is a list of claims.
type Source struct {
	List `yaml:",inline"`

	// Confidence in the source, in (0,1]; multiplied with what the source states of an
	// indicator. 0: 0.5, which alone never says more than "listed".
	Confidence float64  `yaml:"confidence"`
	Tags       []string `yaml:"tags"`

	// HalfLife halves the confidence of addresses, domains and URLs since they were last
	// seen; 0: no decay. Hashes and fingerprints stay what they are.
	HalfLife time.Duration `yaml:"half_life"`
	// Expiry ends claims about addresses, domains and URLs so long after they were last
	// seen, if the source does not end them earlier. 0: 90 days, twice the slow half-life
	// of intel.md §4.1.5; below 0: never.
	Expiry time.Duration `yaml:"expiry"`
	// StaleAfter tells health when the file's content has not changed for so long. 0: never.
	StaleAfter time.Duration `yaml:"stale_after"`

	Licence string `yaml:"licence"` // shown, so that terms of use are not forgotten
}

// Allow is an allow-list. Soft lists (clouds, popular names, VPN exits) weaken and cap;
// hard ones (resolvers, partners, crawlers by verified range) forbid. Either covers what
// lies below its entries too: subdomains, and every URL on a host.
type Allow struct {
	List `yaml:",inline"`
	Hard bool `yaml:"hard"`
}

const day = 24 * time.Hour

func (c Config) withDefaults() Config {
	set := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxMalformed, 0.5)
	set(&c.Suspicious, 0.6)
	set(&c.Malicious, 0.9)
	set(&c.WideURL, 0.8)
	set(&c.SoftFactor, 0.5)
	if c.Reload == 0 {
		c.Reload = 5 * time.Minute
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 48 << 20
	}
	c.Sources = slices.Clone(c.Sources)
	for i := range c.Sources {
		set(&c.Sources[i].Confidence, 0.5)
		if c.Sources[i].Expiry == 0 {
			c.Sources[i].Expiry = 90 * day
		}
	}
	return c
}

// Validate names every fault of the configuration. Files are not touched.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	names := map[string]bool{}
	check := func(l List) {
		if names[l.Name] {
			bad("list %q: the name is given twice", l.Name)
		}
		names[l.Name] = true
		if err := l.validate(); err != nil {
			bad("list %q: %w", l.Name, err)
		}
	}
	for _, s := range c.Sources {
		check(s.List)
		if !(s.Confidence > 0 && s.Confidence <= 1) {
			bad("list %q: confidence %v is not in (0,1]", s.Name, s.Confidence)
		}
		if s.HalfLife < 0 {
			bad("list %q: half_life %v is below 0", s.Name, s.HalfLife)
		}
	}
	for _, a := range c.Allow {
		check(a.List)
	}
	if !(c.Suspicious > 0 && c.Suspicious <= c.Malicious && c.Malicious <= 1) {
		bad("suspicious %v and malicious %v must rise within (0,1]", c.Suspicious, c.Malicious)
	}
	for name, v := range map[string]float64{"max_malformed": c.MaxMalformed, "wide_url": c.WideURL, "soft_factor": c.SoftFactor} {
		if !(v > 0 && v <= 1) {
			bad("%s %v is not in (0,1]", name, v)
		}
	}
	if c.Reload < time.Second {
		bad("reload %v is below 1s", c.Reload)
	}
	if c.MaxBytes < 1<<20 {
		bad("max_bytes %d is below 1 MiB", c.MaxBytes)
	}
	if n := len(c.Sources) + len(c.Allow); n > maxLists {
		bad("%d lists; the most is %d", n, maxLists)
	}
	for _, p := range slices.Concat(c.Own, c.CountReserved) {
		if !p.IsValid() {
			bad("own and count_reserved: %v is not a prefix", p)
		}
	}
	return errors.Join(errs...)
}

func (l List) validate() error {
	switch {
	case l.Name == "":
		return errors.New("name: give it a name")
	case l.Path == "":
		return errors.New("path: name the file")
	}
	switch l.Format {
	case "plain":
		if k := l.Plain.Kind; k != "" && !k.Known() {
			return fmt.Errorf("plain.kind: %q is not a kind; kinds are %v", k, feed.Kinds)
		}
	case "csv":
		return l.CSV.Validate()
	case "stix", "misp":
	default:
		return fmt.Errorf("format: %q is not one of plain, csv, stix, misp", l.Format)
	}
	return nil
}
