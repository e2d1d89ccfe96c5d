// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/ringwall/ringwall/event"
)

// Config of the signature engine. The zero value of a field means its default.
type Config struct {
	Paranoia  int    `yaml:"paranoia"`  // of the Core Rule Set, 1 to 4; default 1
	Threshold int    `yaml:"threshold"` // anomaly score from which a request is told; default 5, one critical rule
	MaxBytes  int    `yaml:"max_bytes"` // of one request that rules see; default 4 KiB: the cost of BenchmarkHostile halves, and TestBrowsing finds no less
	Rules     string `yaml:"rules"`     // folder with the operator's own *.conf and, in crs/, a rule set in place of the built-in one
}

// DefaultConfig is what an agent runs with.
func DefaultConfig() Config { return Config{Paranoia: 1, Threshold: 5, MaxBytes: 4 << 10} }

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	if c.Paranoia < 0 || c.Paranoia > 4 {
		errs = append(errs, fmt.Errorf("network.application.paranoia: %d; want 1 to 4", c.Paranoia))
	}
	if c.Threshold < 0 {
		errs = append(errs, fmt.Errorf("network.application.threshold: %d; want an anomaly score such as 5", c.Threshold))
	}
	if c.MaxBytes < 0 || c.MaxBytes > maxInspect {
		errs = append(errs, fmt.Errorf("network.application.max_bytes: %d; want at most %d", c.MaxBytes, maxInspect))
	}
	if c.Rules != "" && !filepath.IsAbs(c.Rules) {
		errs = append(errs, fmt.Errorf("network.application.rules: %q is not an absolute path", c.Rules))
	}
	return errors.Join(errs...)
}

func (c *Config) fill() {
	d := DefaultConfig()
	c.Paranoia = cmp.Or(c.Paranoia, d.Paranoia)
	c.Threshold = cmp.Or(c.Threshold, d.Threshold)
	c.MaxBytes = cmp.Or(c.MaxBytes, d.MaxBytes)
}

// maxInspect bounds max_bytes: network.md §3.2 measured 130 ms and more at 16 kB.
const maxInspect = 64 << 10

// files of the Core Rule Set that are loaded. Left out: 911 and 920, which enforce form
// (80 of 116 false alarms of network.md §3.2 and no attack of its own), 943, which needs
// cookies that we only have as hashes, 949 and 980, which sum and block, and everything
// that reads responses.
var files = []string{
	"REQUEST-901-INITIALIZATION", "REQUEST-913-SCANNER-DETECTION", "REQUEST-921-PROTOCOL-ATTACK",
	"REQUEST-922-MULTIPART-ATTACK", "REQUEST-930-APPLICATION-ATTACK-LFI", "REQUEST-931-APPLICATION-ATTACK-RFI",
	"REQUEST-932-APPLICATION-ATTACK-RCE", "REQUEST-933-APPLICATION-ATTACK-PHP", "REQUEST-934-APPLICATION-ATTACK-GENERIC",
	"REQUEST-941-APPLICATION-ATTACK-XSS", "REQUEST-942-APPLICATION-ATTACK-SQLI", "REQUEST-944-APPLICATION-ATTACK-JAVA",
}

// Engine is the rule set. Safe for many goroutines.
type Engine struct {
	cfg   Config
	rules atomic.Pointer[rules]
}

// rules is one loaded rule set; requests that run end with the one they began with.
type rules struct {
	waf     coraza.WAF
	plain   *Ordinary
	count   int
	version string
}

// New loads the built-in rule set and the operator's rules beside it. Building takes
// half a second and 20 MB.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.fill()
	e := &Engine{cfg: cfg}
	return e, e.Reload()
}

// Reload reads the rules again. After an error the old rules stay.
func (e *Engine) Reload() error {
	r, err := load(e.cfg)
	if err != nil {
		return err
	}
	old := e.rules.Swap(r)
	if old == nil {
		return nil
	}
	if c, ok := old.waf.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// White tells whether a request is plainly ordinary (Ordinary.White), by the word lists
// of the rules in use.
func (e *Engine) White(a *event.HttpActivity) bool { return e.rules.Load().plain.White(a) }

// Count is the number of rules loaded.
func (e *Engine) Count() int { return e.rules.Load().count }

// Version names the rule set, as a finding cites it.
func (e *Engine) Version() string { return e.rules.Load().version }

func load(cfg Config) (*rules, error) {
	root, version, err := ruleFiles(cfg.Rules)
	if err != nil {
		return nil, err
	}
	own, err := ownRules(cfg.Rules)
	if err != nil {
		return nil, err
	}
	conf := coraza.NewWAFConfig().WithRootFS(root).WithDirectives(base(cfg))
	for _, f := range files {
		name := "@owasp_crs/" + f + ".conf"
		if _, err := fs.Stat(root, name); errors.Is(err, fs.ErrNotExist) && version != builtin {
			continue // an operator's rule set may be of another cut
		}
		conf = conf.WithDirectives("Include " + name)
	}
	conf = conf.WithDirectives(removals())
	if len(own) > 0 {
		version += "+own"
	}
	for _, name := range own {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		// One by one, so that the error names the file.
		if _, err := coraza.NewWAF(conf.WithDirectives(string(text))); err != nil {
			return nil, fmt.Errorf("rules %s: %w; the rules in use stay", name, err)
		}
		conf = conf.WithDirectives(string(text))
	}
	waf, err := coraza.NewWAF(conf)
	if err != nil {
		return nil, fmt.Errorf("load rule set %s: %w", version, err)
	}
	r := &rules{waf: waf, version: version}
	if r.plain, err = newOrdinary(root); err != nil {
		return nil, err
	}
	if c, ok := waf.(interface{ RulesCount() int }); ok {
		r.count = c.RulesCount()
	}
	return r, nil
}

// base is the engine's own configuration: it only looks, keeps everything in memory,
// and takes bodies in the form that fill in body.go writes.
func base(cfg Config) string {
	return fmt.Sprintf(`
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit %[1]d
SecRequestBodyInMemoryLimit %[1]d
SecRequestBodyLimitAction ProcessPartial
SecResponseBodyAccess Off
SecAuditEngine Off
SecAction "id:1000001,phase:1,pass,nolog,ctl:requestBodyProcessor=%[2]s"
SecAction "id:1000002,phase:1,pass,nolog,setvar:tx.crs_setup_version=4250,setvar:tx.blocking_paranoia_level=%[3]d,setvar:tx.detection_paranoia_level=%[3]d"
`, 2*maxInspect, strings.ToUpper(bodyKind), cfg.Paranoia)
}

const builtin = "crs-4.25.0"

// ruleFiles is where names of rule and data files are looked up: the built-in set, or
// the folder crs/ of the operator's, which then stands in its place.
func ruleFiles(dir string) (fs.FS, string, error) {
	if dir == "" {
		return coreruleset.FS, builtin, nil
	}
	crs := filepath.Join(dir, "crs")
	switch st, err := os.Stat(crs); {
	case errors.Is(err, fs.ErrNotExist):
		return coreruleset.FS, builtin, nil
	case err != nil:
		return nil, "", fmt.Errorf("rule set: %w", err)
	case !st.IsDir():
		return nil, "", fmt.Errorf("rule set %s is not a folder; put REQUEST-*.conf and *.data of the Core Rule Set into it", crs)
	}
	return crsFolder{os.DirFS(crs)}, "crs-own", nil
}

// crsFolder gives a plain folder the names of the embedded rule set.
type crsFolder struct{ dir fs.FS }

func (c crsFolder) Open(name string) (fs.File, error) {
	if i := strings.Index(name, "@owasp_crs/"); i >= 0 {
		name = name[i+len("@owasp_crs/"):]
	}
	return c.dir.Open(name)
}

func ownRules(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	own, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	slices.Sort(own)
	return own, err
}

// Judge runs the rules over one request. The error says that they could not look.
func (e *Engine) Judge(a *event.HttpActivity) (res Result, err error) {
	r := e.rules.Load()
	in := e.cfg.inputs(a, r.plain)
	defer func() {
		// A fault in the engine is its own failure and must not be the agent's.
		if p := recover(); p != nil {
			err = fmt.Errorf("rule set %s on %s %.80q: %v", r.version, a.GetRequest().GetMethod(), a.GetRequest().GetUri(), p)
		}
	}()
	tx := r.waf.NewTransaction()
	defer tx.Close()
	if err := in.feed(tx); err != nil {
		return Result{}, fmt.Errorf("rule set %s: %w", r.version, err)
	}
	res = weigh(tx.MatchedRules())
	res.Cut, res.Version = in.cut, r.version
	return res, nil
}

// feed runs the two phases that look at requests.
func (in *inputs) feed(tx types.Transaction) error {
	tx.ProcessConnection(in.client, in.clientPort, "", 0)
	tx.ProcessURI(in.uri, in.method, "HTTP/1.1")
	for _, h := range in.headers {
		tx.AddRequestHeader(h.name, h.value)
	}
	tx.SetServerName(in.host)
	tx.ProcessRequestHeaders()
	if body := in.encode(); len(body) > 0 {
		if _, _, err := tx.WriteRequestBody(body); err != nil {
			return fmt.Errorf("hand over the body: %w", err)
		}
	}
	_, err := tx.ProcessRequestBody()
	return err
}
