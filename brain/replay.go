// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/intel"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/intel/risk"
	"github.com/ringwall/ringwall/verdict"
)

// Heard takes what a Replayer finds, in order; a nil field is not called.
type Heard struct {
	Finding  func(*verdict.Finding)
	Incident func(*verdict.Incident) // at each change
	Order    func(action.Order)
}

// Replayer judges recorded events by the same worker as the live brain, without bus,
// archive or ledger. The same events and configuration give the same findings: its
// clock is that of the events.
type Replayer struct {
	w     *worker
	now   time.Time
	lists *reputation.Library // not read yet; nil once they are
	log   *slog.Logger
}

// NewReplayer compiles the rules for one tenant.
func NewReplayer(cfg Config, tenant string, heard Heard, log *slog.Logger) (*Replayer, error) {
	rules, _, err := compile(cfg.Rules)
	if err != nil {
		return nil, err
	}
	ex, err := decide.NewExceptions(cfg.Except)
	if err != nil {
		return nil, err
	}
	lists, err := reputation.New(cfg.Intel, log)
	if err != nil {
		return nil, err
	}
	r := &Replayer{lists: lists, log: log}
	out := outlets{
		finding: func(_ string, f *verdict.Finding, _ uint64) { call(heard.Finding, f) }, incident: func(i *verdict.Incident) { call(heard.Incident, i) },
		orders: func(list []action.Order) {
			for _, o := range list {
				call(heard.Order, o)
			}
		}, action: func(*event.Event) {}, seen: func(*event.Event, bool) {},
	}
	own := risk.NewMemory()
	r.w = newWorker(tenant, rules, cfg, ex, intel.NewStage(lists, own), own, out, log)
	r.w.now = func() time.Time { return r.now }
	return r, nil
}

func call[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

// See judges one event.
func (r *Replayer) See(ev *event.Event) {
	r.now = ev.Wall()
	if r.lists != nil { // as they stood then: what has expired since still counts
		if err := r.lists.Reload(context.Background(), r.now); err != nil {
			r.log.Warn("list not read", "error", err)
		}
		r.lists = nil
	}
	r.w.see(ev)
}

// Finish judges what was held back for later events that will not come.
func (r *Replayer) Finish() { r.w.release(r.now.Add(heldLong)) }

// Incidents lists what the events so far amount to.
func (r *Replayer) Incidents() []*verdict.Incident { return r.w.fold.Incidents() }

// Story leads an incident back to its entry and on to its effects.
func (r *Replayer) Story(inc *verdict.Incident) *Story {
	g := r.w.judge.Graph()
	e := inc.GetEntry()
	return story(g, inc.Id, trace.Back(g, g.Resolve(e, e.GetHost(), e.GetWallNs()), 0), inc)
}

// compile gives our own and the operator's Sigma rules.
func compile(dirs []string) (*sigma.Set, *sigma.Report, error) {
	sources := []sigma.Source{sigma.Own()}
	more, err := sigma.Dirs(dirs)
	if err != nil {
		return nil, nil, err
	}
	return sigma.Compile(append(sources, more...), sigma.Options{Sensors: sigma.Sensors()})
}

// Record writes the events of a tenant since a moment, in the order they were judged. It
// stands in the audit chain: a recording is raw content.
func (b *Brain) Record(ctx context.Context, tenant, who string, since time.Time, w io.Writer) error {
	if err := b.audit(ctx, tenant, who, "read raw", "recording", "since "+since.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	rec, err := event.NewRecorder(w)
	if err != nil {
		return err
	}
	if err := b.store.Flush(); err != nil {
		return err
	}
	for ev, err := range b.store.Scan(ctx, tenant, archive.Range{From: since, Order: archive.ByArrival}) {
		if err != nil {
			return err
		}
		if ev.Host == judgeHost {
			continue
		}
		if err := rec.Write(ev); err != nil {
			return err
		}
	}
	return rec.Close()
}
