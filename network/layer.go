// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/network/application"
	"github.com/ringwall/ringwall/network/fingerprint"
	"github.com/ringwall/ringwall/verdict"
)

// Config of the layer. The zero value of a field means its default.
type Config struct {
	Application application.Config `yaml:"application"`
	Fingerprint fingerprint.Config `yaml:"fingerprint"`
	Queue       int                `yaml:"queue"`      // requests that may wait for the rules; default 1024
	CPU         float64            `yaml:"cpu"`        // share of one core for the rules; default 0.25
	PerSource   int                `yaml:"per_source"` // findings of one address per minute; default 120
}

// DefaultConfig is what an agent runs with.
func DefaultConfig() Config {
	return Config{Application: application.DefaultConfig(), Queue: 1024, CPU: 0.25, PerSource: 120}
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	if c.Queue < 0 || c.Queue > 1<<16 {
		errs = append(errs, fmt.Errorf("network.queue: %d; want a number of requests up to 65536", c.Queue))
	}
	if c.CPU < 0 || c.CPU > 1 {
		errs = append(errs, fmt.Errorf("network.cpu: %v; want a share of one core, such as 0.25", c.CPU))
	}
	if c.PerSource < 0 {
		errs = append(errs, fmt.Errorf("network.per_source: %d; want findings per minute", c.PerSource))
	}
	return errors.Join(append(errs, c.Application.Validate(), c.Fingerprint.Validate())...)
}

func (c *Config) fill() {
	d := DefaultConfig()
	if c.Queue == 0 {
		c.Queue = d.Queue
	}
	if c.CPU == 0 {
		c.CPU = d.CPU
	}
	if c.PerSource == 0 {
		c.PerSource = d.PerSource
	}
}

// Options join the layer to its surroundings.
type Options struct {
	// Found takes every finding: those on requests from the goroutine of Run, those on
	// hellos from the one that called See. It must not block.
	Found func(*verdict.Finding)
	Intel fingerprint.Lookup // outside knowledge of fingerprints; may be nil
	// After is the layer whose place this one takes: its rules, where their configuration
	// is the same, and what it remembers of requests and hellos go on here. May be nil.
	After *Layer
	Board *health.Board // where states and drops are told
	Log   *slog.Logger  // nil: silent
}

// Layer judges the requests and hellos of one host. Safe for many goroutines.
type Layer struct {
	cfg    Config
	opt    Options
	engine *application.Engine // nil: off, for the reason on the board
	names  *fingerprint.Library

	first *funnel.Funnel[*event.HttpActivity] // on the caller's goroutine
	rules *funnel.Funnel[*work]               // on ours
	hello *funnel.Funnel[*event.Event]

	once  *once
	queue *queue
	quiet quiet

	seen, repeated, judged, failed, cut, found, quieted atomic.Uint64
	fault                                               atomic.Pointer[error] // of the last request that could not be judged
}

// work is one request on its way through the rules.
type work struct {
	ev     *event.Event
	ticket ticket
	res    application.Result
}

// New loads rules and names, which takes half a second. Rules that cannot be loaded
// switch the application stage off, told on the board; the rest works. The error is
// about the configuration.
func New(cfg Config, opt Options) (*Layer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.fill()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Board == nil {
		opt.Board = health.NewBoard()
	}
	if opt.Found == nil {
		opt.Found = func(*verdict.Finding) {}
	}
	l := &Layer{cfg: cfg, opt: opt, queue: newQueue(cfg.Queue, cfg.CPU), once: new(once)}
	l.quiet.most = cfg.PerSource
	opt.Board.Set(applicationName, health.On, "")
	opt.Board.Set(fingerprintName, health.On, "")
	var err error
	if before := opt.After; before != nil && before.engine != nil && before.cfg.Application == cfg.Application {
		l.engine, l.once = before.engine, before.once
	} else if l.engine, err = application.New(cfg.Application); err != nil {
		l.engine = nil
		opt.Board.Set(applicationName, health.Off, err.Error())
	}
	names, warnings, err := fingerprint.New(cfg.Fingerprint, opt.Intel)
	if err != nil {
		opt.Board.Set(fingerprintName, health.Degraded, err.Error())
	}
	l.names = names
	if opt.After != nil {
		l.names.Remember(opt.After.names)
		l.opt.After = nil // else every layer there ever was stays in memory
	}
	l.warn(warnings)
	l.first = funnel.New("network", funnel.Func("ordinary", l.ordinary))
	l.rules = funnel.New("network", funnel.Func("application", l.application))
	l.hello = funnel.New("network", funnel.Func("fingerprint", l.names.Judge))
	return l, nil
}

// Names on the health board.
const (
	applicationName = "network.application"
	fingerprintName = "network.fingerprint"
)

func (l *Layer) warn(warnings []error) {
	for _, w := range warnings {
		l.opt.Log.Warn("network layer", "warning", w)
	}
}

// Reload reads rules and names again. What cannot be read leaves the old in use.
func (l *Layer) Reload() error {
	var errs []error
	if l.engine != nil {
		errs = append(errs, l.engine.Reload())
	}
	warnings, err := l.names.Reload()
	l.warn(warnings)
	return errors.Join(append(errs, err)...)
}

// See takes one event, which must have its id. It costs a microsecond or two and never
// blocks; the event must not change afterwards.
func (l *Layer) See(ev *event.Event) {
	if f := l.greet(ev); f != nil {
		l.tell(f)
		return
	}
	if w := l.admit(ev); w != nil {
		l.queue.put(w)
	}
}

// Judge is See for replay: it runs all stages at once and returns the finding instead
// of telling it. nil: nothing to tell.
func (l *Layer) Judge(ctx context.Context, ev *event.Event) *verdict.Finding {
	if f := l.greet(ev); f != nil {
		return f
	}
	if w := l.admit(ev); w != nil {
		return l.judge(ctx, w)
	}
	return nil
}

// greet judges a hello.
func (l *Layer) greet(ev *event.Event) *verdict.Finding {
	switch ev.GetPayload().(type) {
	case *event.Event_Tls, *event.Event_Ssh, *event.Event_Network:
		if n := ev.GetNetwork(); n != nil && n.Syn == "" {
			return nil
		}
		return l.names.Finding(ev, l.hello.Judge(context.Background(), ev).Verdict)
	}
	return nil
}

// admit takes a request that was not judged yet past the first look. nil: nothing more
// to do.
func (l *Layer) admit(ev *event.Event) *work {
	a := ev.GetHttp()
	if a.GetOp() != event.HttpActivity_REQUEST || l.engine == nil {
		return nil
	}
	switch a.Seen {
	case event.HttpActivity_WIRE, event.HttpActivity_SOCKET, event.HttpActivity_FASTCGI, event.HttpActivity_TLS:
	default:
		return nil // a line of a log has neither headers nor body
	}
	l.seen.Add(1)
	t, ok := l.once.admit(ev)
	if !ok {
		l.repeated.Add(1)
		return nil
	}
	if l.first.Judge(context.Background(), a).Colour == verdict.Colour_WHITE {
		return nil
	}
	return &work{ev: ev, ticket: t}
}

func (l *Layer) ordinary(_ context.Context, a *event.HttpActivity) (verdict.Verdict, error) {
	v := verdict.Verdict{Engine: "ordinary"}
	if l.engine.White(a) {
		v.Colour = verdict.Colour_WHITE
	}
	return v, nil
}

func (l *Layer) application(_ context.Context, w *work) (verdict.Verdict, error) {
	var err error
	w.res, err = l.engine.Judge(w.ev.GetHttp())
	return verdict.Verdict{Engine: "coraza", Score: w.res.Score()}, err
}

// judge runs the rules and words what they say, unless it was said already.
func (l *Layer) judge(ctx context.Context, w *work) *verdict.Finding {
	out := l.rules.Judge(ctx, w)
	if len(out.Failed) > 0 {
		l.failed.Add(1)
		l.fault.Store(&out.Failed[0].Err)
		return nil
	}
	l.judged.Add(1)
	if w.res.Cut {
		l.cut.Add(1)
	}
	f := l.engine.Finding(w.ev, &w.res)
	if f == nil || !l.once.told(w.ticket, w.res.Anomaly) {
		return nil
	}
	if !l.quiet.may(w.ev.GetHttp().GetRequest().GetFlow().Src().Addr(), w.ev.WallNs) {
		l.quieted.Add(1)
		return nil
	}
	return f
}

func (l *Layer) tell(f *verdict.Finding) {
	l.found.Add(1)
	l.opt.Found(f)
}

// Run judges what See queued until ctx ends, and tells of drops.
func (l *Layer) Run(ctx context.Context) error {
	var tending sync.WaitGroup
	defer tending.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tending.Go(func() { l.tend(ctx) })
	return l.queue.run(ctx, func(w *work) {
		if f := l.judge(ctx, w); f != nil {
			l.tell(f)
		}
	})
}

// calm is how long nothing must go wrong before a stage counts as well again.
const calm = 10 * time.Second

// tend looks once a second at what went wrong.
func (l *Layer) tend(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var bad, failed uint64
	var last time.Time
	from := time.Now()
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
		dropped := l.queue.dropped.Load()
		if n := dropped - bad; n > 0 {
			l.opt.Board.Lost(&verdict.LossWindow{Sensor: applicationName, Class: "request", FromNs: from.UnixNano(), ToNs: now.UnixNano(), Count: n,
				Reason: "the queue to the rules was full"})
			l.opt.Board.Set(applicationName, health.Degraded, "more requests than the CPU share allows are not judged; raise network.cpu or network.queue")
			bad, last = dropped, now
		}
		if n := l.failed.Load(); n > failed {
			failed, last = n, now
			l.opt.Board.Set(applicationName, health.Degraded, (*l.fault.Load()).Error())
		}
		if !last.IsZero() && now.Sub(last) > calm {
			l.opt.Board.Set(applicationName, health.On, "")
			last = time.Time{}
		}
		from = now
	}
}

// Counts reports every stage, in the order of cost.
func (l *Layer) Counts() []funnel.StageCounts {
	out := append(l.first.Counts(), l.hello.Counts()...)
	return append(out, l.rules.Counts()...)
}

// Stats counts since start.
type Stats struct {
	Seen     uint64 // requests that sensors told of
	Repeated uint64 // of a request that was judged already
	Judged   uint64 // by the rules
	Failed   uint64 // by the rules, which could not look
	Dropped  uint64 // not judged: the queue was full
	Cut      uint64 // judged in part
	Found    uint64 // findings
	Quieted  uint64 // findings beyond per_source
	Waiting  int
	Busy     time.Duration // CPU time of the rules
	Waited   time.Duration // for the CPU quota
}

// Stats reads the counters.
func (l *Layer) Stats() Stats {
	return Stats{
		Seen: l.seen.Load(), Repeated: l.repeated.Load(), Judged: l.judged.Load(), Failed: l.failed.Load(), Dropped: l.queue.dropped.Load(),
		Cut: l.cut.Load(), Found: l.found.Load(), Quieted: l.quieted.Load(), Waiting: len(l.queue.waiting),
		Busy: time.Duration(l.queue.busy.Load()), Waited: time.Duration(l.queue.waited.Load()),
	}
}
