// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/file/known"
	"github.com/ringwall/ringwall/file/light"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/verdict"
)

// Config of the file funnel. The zero value of a field means its default.
type Config struct {
	Root     string   `yaml:"-"`        // folder under which the host's files lie; default /
	Hashes   []string `yaml:"hashes"`   // lists of lines "SHA256 white|black [note]"
	Rules    string   `yaml:"rules"`    // folder with the operator's own *.yar, beside the built-in ones
	MaxScan  int64    `yaml:"max_scan"` // bytes of a file that rules see; default 16 MiB
	MaxHash  int64    `yaml:"max_hash"` // bytes of a file that is hashed at all; default 256 MiB
	Convict  float64  `yaml:"convict"`  // score from which a file is black; default 0.9
	CPU      float64  `yaml:"cpu"`      // share of one core for the queue; default 0.1
	QueueMax int      `yaml:"queue"`    // files that may wait; default 8192

	More  []string     `yaml:"-"` // further folders of *.yar: of a bundle; those of Rules win
	Known *known.Known `yaml:"-"` // the first stage of a judge before, where Root and Hashes are what they were; nil: made anew
}

// DefaultConfig is what an agent runs with.
func DefaultConfig() Config {
	return Config{Root: "/", MaxScan: 16 << 20, MaxHash: 256 << 20, Convict: 0.9, CPU: 0.1, QueueMax: 8192}
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	if c.MaxScan < 0 || c.MaxScan > 1<<30 {
		errs = append(errs, fmt.Errorf("file.max_scan: %d bytes; want 1 to 1 GiB", c.MaxScan))
	}
	if c.Convict < 0 || c.Convict > 1 {
		errs = append(errs, fmt.Errorf("file.convict: %v; a score lies between 0 and 1", c.Convict))
	}
	if c.CPU < 0 || c.CPU > 64 {
		errs = append(errs, fmt.Errorf("file.cpu: %v; want a share of one core, such as 0.1", c.CPU))
	}
	if c.QueueMax < 0 {
		errs = append(errs, fmt.Errorf("file.queue: %d; want a number of files", c.QueueMax))
	}
	for _, p := range append([]string{c.Rules, c.Root}, c.Hashes...) {
		if p != "" && !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("file: %q is not an absolute path", p))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) fill() {
	d := DefaultConfig()
	def(&c.Root, d.Root)
	def(&c.MaxScan, d.MaxScan)
	def(&c.MaxHash, d.MaxHash)
	def(&c.Convict, d.Convict)
	def(&c.CPU, d.CPU)
	def(&c.QueueMax, d.QueueMax)
	c.MaxHash = max(c.MaxHash, c.MaxScan)
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Engine is what one engine said.
type Engine struct {
	Name     string              `json:"name"` // known, or light/RULE
	Score    float64             `json:"score"`
	Evidence []*verdict.Evidence `json:"evidence"`
}

// Timing is how long a stage took: wall time, as the funnel counts it.
type Timing struct {
	Stage string        `json:"stage"`
	Took  time.Duration `json:"ns"`
}

// Result is the judgement on one file.
type Result struct {
	Path       string
	ID         known.ID // zero for bytes that lie in no file
	SHA256     string   // lower-case hex; "" if the file is larger than MaxHash
	Size       int64
	Kind       string // elf, php, sh, text…; see light.KindOf
	Mode, UID  uint32
	Colour     verdict.Colour
	Score      float64
	Stage      string // stage that coloured it, or the last
	Engines    []Engine
	Rules      string // version of the light rules that looked; "" where none did
	Evidence   []*verdict.Evidence
	Family     string
	Techniques []string // ATT&CK
	Package    string   // owner, if the package manager knows the path
	Partial    string   // why the file was judged only in part; "" if it was not
	Again      bool     // the package manager is at work; judge again when it is done
	Failed     []funnel.StageFailure
	Timings    []Timing
}

// item goes down the funnel.
type item struct {
	res  Result
	data []byte
	vars light.Vars
	sum  [32]byte
	md5  func() ([16]byte, error)
	disk bool // lies in a file whose path means something
	now  time.Time
}

// Judge judges files. Safe for many goroutines.
type Judge struct {
	cfg    Config
	known  *known.Known
	funnel *funnel.Funnel[*item]

	rules    atomic.Pointer[ruleSet]
	unread   atomic.Uint64
	cacheHit atomic.Uint64
}

// ruleSet keeps Scanners apart by the rules they belong to.
type ruleSet struct {
	rules    *light.Rules
	scanners sync.Pool
}

// New reads manifests, hash lists and rules. Rules that are refused and wrong
// lines of hash lists come back as warnings: the rest works.
func New(cfg Config) (j *Judge, warnings []error, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	cfg.fill()
	j = &Judge{cfg: cfg}
	if j.known = cfg.Known; j.known == nil {
		j.known, err = known.New(known.Config{Root: cfg.Root, Hashes: cfg.Hashes})
	}
	if j.known == nil {
		return nil, nil, err
	}
	if err != nil {
		warnings = append(warnings, err)
	}
	rules, refused, err := light.Load(append(slices.Clone(cfg.More), cfg.Rules)...)
	if err != nil {
		return nil, warnings, err
	}
	for _, r := range refused {
		warnings = append(warnings, r)
	}
	j.SetRules(rules)
	j.funnel = funnel.New("file",
		funnel.Func("known", j.timed("known", j.judgeKnown)),
		funnel.Func("light", j.timed("light", j.judgeLight)))
	return j, warnings, nil
}

// SetRules changes the rules; scans that run end with the old ones.
func (j *Judge) SetRules(r *light.Rules) {
	set := &ruleSet{rules: r}
	set.scanners.New = func() any { return light.NewScanner(r) }
	j.rules.Store(set)
}

// Known is the first stage, for whoever asks who owns a file.
func (j *Judge) Known() *known.Known { return j.known }

// Counts are the funnel's counters.
func (j *Judge) Counts() []funnel.StageCounts { return j.funnel.Counts() }

// Unread counts files that could not be looked at, and answers that needed no
// read because stat showed an unchanged packaged file.
func (j *Judge) Unread() (failed, cached uint64) { return j.unread.Load(), j.cacheHit.Load() }

// Path judges the file at path as the host sees it. An error means that it
// could not be looked at: ErrNotRegular, ErrChanged, or from the system.
func (j *Judge) Path(ctx context.Context, path string) (Result, error) {
	res, err := j.path(ctx, path)
	if err != nil {
		j.unread.Add(1)
	}
	return res, err
}

func (j *Judge) path(ctx context.Context, path string) (Result, error) {
	start := time.Now()
	h, err := open(j.cfg.Root, path)
	if err != nil {
		return Result{Path: path}, err
	}
	defer h.Close()
	if a, sum, ok := j.known.Cached(path, h.id); ok {
		j.cacheHit.Add(1)
		return Result{Path: path, ID: h.id, SHA256: hex.EncodeToString(sum[:]), Size: h.id.Size, Mode: h.mode, UID: h.uid,
			Colour: a.Colour, Stage: "known", Package: a.Package, Timings: []Timing{{"known", time.Since(start)}}}, nil
	}
	buf := buffers.Get().(*[]byte)
	c, err := h.read(ctx, *buf, j.cfg.MaxScan, j.cfg.MaxHash)
	defer func() {
		if cap(c.data) > 0 && cap(c.data) <= 1<<20 {
			*buf = c.data[:0]
		}
		buffers.Put(buf)
	}()
	if err != nil {
		return Result{Path: path, ID: h.id}, err
	}
	it := newItem(path, c.data, c.sha256)
	it.disk = true
	it.res.ID, it.res.Size, it.res.Mode, it.res.UID, it.res.Partial = h.id, h.id.Size, h.mode, h.uid, c.partial
	it.vars.Owner = ownerName(h.uid)
	it.md5 = func() ([16]byte, error) {
		if int64(len(c.data)) == h.id.Size {
			return md5.Sum(c.data), nil
		}
		return h.md5(ctx, j.cfg.MaxHash)
	}
	it.res.Timings = append(it.res.Timings, Timing{"read", time.Since(start)})
	return j.judge(ctx, it), nil
}

// Bytes judges content that lies in no file of this host: an upload, a member
// of an archive. name helps rules that look at names.
func (j *Judge) Bytes(ctx context.Context, name string, data []byte) Result {
	it := newItem(name, data, sha256.Sum256(data))
	it.res.Size = int64(len(data))
	if int64(len(data)) > j.cfg.MaxScan {
		it.data = data[:j.cfg.MaxScan]
		it.res.Partial = fmt.Sprintf("only the first %d of %d bytes were scanned", j.cfg.MaxScan, len(data))
	}
	return j.judge(ctx, it)
}

func newItem(path string, data []byte, sum [32]byte) *item {
	ext := extension(path)
	it := &item{data: data, sum: sum, now: time.Now()}
	it.res.Path, it.res.Kind = path, light.KindOf(data, ext)
	if sum != [32]byte{} {
		it.res.SHA256 = hex.EncodeToString(sum[:])
	}
	it.vars = light.Vars{Filename: filepath.Base(path), Filepath: path, Extension: ext, Filetype: it.res.Kind}
	return it
}

func (j *Judge) judge(ctx context.Context, it *item) Result {
	out := j.funnel.Judge(ctx, it)
	r := it.res
	r.Colour, r.Score, r.Stage, r.Evidence, r.Failed = out.Colour, out.Score, out.Stage, out.Evidence, out.Failed
	if r.Family == "" {
		r.Family = out.Family
	}
	if r.Colour == verdict.Colour_WHITE && len(r.Failed) > 0 {
		r.Colour = verdict.Colour_GREY
	}
	return r
}

// timed notes how long a stage took for this item.
func (j *Judge) timed(stage string, f func(context.Context, *item) (verdict.Verdict, error)) func(context.Context, *item) (verdict.Verdict, error) {
	return func(ctx context.Context, it *item) (verdict.Verdict, error) {
		start := time.Now()
		v, err := f(ctx, it)
		it.res.Timings = append(it.res.Timings, Timing{stage, time.Since(start)})
		return v, err
	}
}
