// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Known is what some source says of a fingerprint.
type Known struct {
	Label     string // name of the program
	Malicious bool
	Source    string  // file or list that says so
	Trust     float64 // in (0,1]: how far the source is believed; 0 counts as 1
}

// Lookup asks outside knowledge, such as intel's lists, in the form kind "fingerprint",
// value "ja4:…", at a time. ok false: nothing is known. It must be safe for many
// goroutines and quick.
type Lookup func(kind, value string, now time.Time) (k Known, ok bool)

// Config of the library.
type Config struct {
	// Files is a folder with the operator's own *.txt: lines "METHOD:VALUE
	// benign|malicious NAME…", # begins a comment. "" for none.
	Files string `yaml:"files"`

	More []string `yaml:"-"` // further folders of such files: of a bundle
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	if c.Files != "" && !filepath.IsAbs(c.Files) {
		return fmt.Errorf("network.fingerprint.files: %q is not an absolute path", c.Files)
	}
	return nil
}

// Library knows fingerprints. Safe for many goroutines.
type Library struct {
	cfg    Config
	lookup Lookup
	names  atomic.Pointer[map[string]Known]
	memory *memory
	told   *told
}

// New reads the operator's files. Wrong lines are warnings: the rest works. lookup may
// be nil.
func New(cfg Config, lookup Lookup) (l *Library, warnings []error, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	l = &Library{cfg: cfg, lookup: lookup, memory: new(memory), told: new(told)}
	l.names.Store(&map[string]Known{})
	warnings, err = l.Reload()
	return l, warnings, err
}

// Remember goes on with what another library has seen and told of hellos, before this one
// has seen any.
func (l *Library) Remember(before *Library) { l.memory, l.told = before.memory, before.told }

// Reload reads the files again. A file that cannot be read leaves all as it was.
func (l *Library) Reload() (warnings []error, err error) {
	var files []string
	for _, dir := range append([]string{l.cfg.Files}, l.cfg.More...) {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("fingerprints: %w", err)
		}
		found, err := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err != nil {
			return nil, err
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	names := map[string]Known{}
	for _, path := range files {
		wrong, err := read(path, names)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, wrong...)
	}
	l.names.Store(&names)
	return warnings, nil
}

// Len is the number of fingerprints that the operator's files name.
func (l *Library) Len() int { return len(*l.names.Load()) }

// maxNames bounds what files may hold: 100,000 are about 20 MB.
const maxNames = 100_000

// read adds the lines of one file to names.
func read(path string, names map[string]Known) (wrong []error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("fingerprints: %w", err)
	}
	defer f.Close()
	source := filepath.Base(path)
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line, _, _ := strings.Cut(s.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, k, err := parse(line)
		if err != nil {
			if len(wrong) < 100 {
				wrong = append(wrong, fmt.Errorf("%s line %d: %w; line skipped", path, n, err))
			}
			continue
		}
		if len(names) >= maxNames {
			return append(wrong, fmt.Errorf("%s line %d: more than %d fingerprints; the rest is left out", path, n, maxNames)), nil
		}
		k.Source = source
		if old, double := names[key]; double && old.Malicious != k.Malicious {
			// Benign wins: a name that both use proves nothing.
			k.Malicious = false
			k.Label = old.Label + " or " + k.Label
		}
		names[key] = k
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("fingerprints %s: %w", path, err)
	}
	return wrong, nil
}

var (
	hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)
	// JA4 of FoxIO's technical description: a_b_c with transport, version, SNI, counts, ALPN.
	ja4 = regexp.MustCompile(`^[tqd](?:1[0-3]|s[23]|d[1-3]|00)[di][0-9]{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)
)

// methods and the form of their values.
var methods = map[string]*regexp.Regexp{"ja3": hex32, "ja3s": hex32, "ja4": ja4, "hassh": hex32, "hassh_server": hex32, "syn": syn}

// syn is what wire/ip writes of a SYN: window, option kinds, segment size, scale.
var syn = regexp.MustCompile(`^[0-9]{1,5}:(?:[0-9a-d-]{0,40}):[0-9]{1,5}:[0-9]{1,3}$`)

// builtin are programs that make their SYNs themselves instead of asking a system's
// stack, by their source code: no system opens connections so. The operator's files win.
var builtin = map[string]Known{
	"syn:1024:2:1460:0": {Label: "nmap or masscan", Malicious: true, Source: "builtin"},
	"syn:1024::0:0":     {Label: "masscan", Malicious: true, Source: "builtin"},
	"syn:65535::0:0":    {Label: "zmap", Malicious: true, Source: "builtin"},
	"syn:8192::0:0":     {Label: "scapy", Malicious: true, Source: "builtin"},
}

// parse reads "METHOD:VALUE benign|malicious NAME…".
func parse(line string) (key string, k Known, err error) {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return "", k, errors.New(`want "METHOD:VALUE benign|malicious NAME"`)
	}
	key = strings.ToLower(fields[0])
	method, value, _ := strings.Cut(key, ":")
	form := methods[method]
	switch {
	case form == nil:
		return "", k, fmt.Errorf("method %q is not known; want one of %s", method, strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	case !form.MatchString(value):
		return "", k, fmt.Errorf("%q is no value of %s", value, method)
	}
	switch fields[1] {
	case "malicious":
		k.Malicious = true
	case "benign":
	default:
		return "", k, fmt.Errorf("%q: want benign or malicious", fields[1])
	}
	k.Label = strings.Join(fields[2:], " ")
	return key, k, nil
}

// of asks the operator's files first, then outside knowledge, then what is built in.
func (l *Library) of(key string, now time.Time) (Known, bool) {
	if k, ok := (*l.names.Load())[key]; ok {
		return k, true
	}
	if l.lookup != nil {
		if k, ok := l.lookup("fingerprint", key, now); ok {
			return k, true
		}
	}
	k, ok := builtin[key]
	return k, ok
}
