// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/behaviour"
	"github.com/ringwall/ringwall/behaviour/incident"
	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/intel"
	"github.com/ringwall/ringwall/intel/risk"
	"github.com/ringwall/ringwall/network/exposure"
	"github.com/ringwall/ringwall/verdict"
)

// worker is the judge of one tenant: it owns the graph, the incidents and the
// decisions, and everything that touches them runs on its goroutine.
type worker struct {
	tenant string
	judge  *behaviour.Judge
	shown  *exposure.Stage
	intel  *intel.Stage
	own    *risk.Memory
	fold   *incident.Builder
	decide *decide.Decider
	except *decide.Exceptions
	refs   map[identity.Group]string // bundle that each group's hosts are judged by
	log    *slog.Logger
	now    func() time.Time

	groupOf func(host string) identity.Group // nil: of a replay, which has no bundles

	// out is where judgements go; each is called on the worker's goroutine.
	out outlets

	mu      sync.Mutex // orders arrival with entry into the queue
	arrival uint64
	queue   chan *event.Event
	calls   chan func()

	hold   hold
	loose  []behaviour.Judged // black, and their entry not known yet
	counts workerCounts

	// Of a warm start: whether events are judged again, the findings that the archive
	// had then, and up to which arrival it surely had all of them. What is held back over
	// its end must not be told twice.
	replaying   bool
	late        bool // the event at hand came behind that
	told        map[string]bool
	toldThrough uint64
}

// outlets takes what a worker makes.
type outlets struct {
	finding  func(tenant string, f *verdict.Finding, arrival uint64)
	seen     func(ev *event.Event, past bool) // every event, first
	incident func(*verdict.Incident)
	orders   func([]action.Order) // of one decision, in the order that leaves no gap
	action   func(*event.Event)
}

// queueLen is how many events may wait for judgement: at 100,000 events/s a third of
// a second. A full queue makes the bus wait, which the spools are there for.
const queueLen = 32768

func newWorker(tenant string, rules behaviour.Matcher, cfg Config, ex *decide.Exceptions, in *intel.Stage, own *risk.Memory, out outlets, log *slog.Logger) *worker {
	g := graph.New(tenant, cfg.Graph)
	return &worker{
		tenant: tenant, judge: behaviour.New(g, rules), shown: exposure.NewStage(exposure.NewProbing(), exposure.NewLearner(cfg.Exposure)), intel: in, own: own, hold: newHold(g), fold: incident.New(tenant, g, cfg.Incident),
		decide: decide.New(cfg.Policy), except: ex, log: log, now: time.Now, out: out,
		queue: make(chan *event.Event, queueLen), calls: make(chan func()),
	}
}

// put queues the events of one delivery in one piece and numbers their arrival. It
// blocks while the queue is full.
func (w *worker) put(ctx context.Context, events []*event.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range events {
		w.arrival++
		ev.Arrival = w.arrival
	}
	for _, ev := range events {
		select {
		case w.queue <- ev:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// run judges until ctx ends.
func (w *worker) run(ctx context.Context) {
	tick := time.NewTicker(heldLong / 3)
	defer tick.Stop()
	for {
		select {
		case ev := <-w.queue:
			w.see(ev)
		case <-tick.C:
			w.release(w.now())
		case f := <-w.calls:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// stages counts what the stages of the brain have done for this tenant. Safe for many
// goroutines.
func (w *worker) stages() []funnel.StageCounts {
	return slices.Concat(w.shown.Counts(), w.judge.Counts(), w.intel.Counts())
}

// do runs f on the worker's goroutine and waits for it.
func (w *worker) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case w.calls <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// release judges what was held back long enough.
func (w *worker) release(now time.Time) {
	if len(w.hold.wait) == 0 {
		return
	}
	for _, ev := range w.hold.due(now) {
		w.judgeOne(ev)
	}
}

// see takes one event: most are judged at once.
func (w *worker) see(ev *event.Event) {
	w.counts.events.Add(1)
	w.out.seen(ev, w.replaying)
	w.late = w.replaying && ev.Arrival >= w.toldThrough
	now := w.now() // not the event's: its host's clock may be stepped
	if w.replaying {
		now = ev.Wall()
	}
	if !w.hold.take(ev, now) {
		w.judgeOne(ev)
	}
	w.release(now)
}

// judgeOne judges one event.
func (w *worker) judgeOne(ev *event.Event) {
	if ev.GetAction() != nil {
		w.out.action(ev)
		return
	}
	judged := w.judge.See(ev)
	w.catchUp(ev)
	for _, j := range judged {
		w.found(j, ev)
	}
	for _, f := range append(w.intel.See(ev), w.shown.See(ev, w.replaying)...) {
		for _, j := range w.judge.Place(ev, f) {
			w.found(j, ev)
		}
	}
}

// looseFor is how long (steady time) a finding's chain may come late: two sensors of
// one host tell of one request within milliseconds, a loaded host within seconds.
const (
	looseFor  = int64(3e9)
	looseMost = 64
)

// catchUp traces again what could not be led to its entry when it was told, because
// one sensor outran another.
func (w *worker) catchUp(ev *event.Event) {
	if len(w.loose) == 0 || ev.GetHttp() == nil && ev.GetProcess() == nil && ev.GetFile() == nil && ev.GetAuth() == nil {
		return
	}
	now := w.judge.Graph().Steady(ev.Host, ev.BootNs, ev.WallNs) // no step of a clock makes it late
	w.loose = slices.DeleteFunc(w.loose, func(j behaviour.Judged) bool {
		if w.judge.Retrace(&j) {
			w.fold1(j)
			return true
		}
		return now-j.T > looseFor
	})
}

// found takes one finding on to incident and decision. Findings that an agent made
// are in the archive already; our own go there through the outlet.
func (w *worker) found(j behaviour.Judged, ev *event.Event) {
	f := j.Finding
	if ex := w.except.Match(f, ev.Wall()); ex != nil {
		if !w.replaying || w.late { // else it was counted then
			w.except.Hit(ex)
		}
		w.counts.excepted.Add(1)
		w.judge.Acquit(j)
		return
	}
	if f.PublishedNs == 0 || ev.GetFinding() != nil {
		f.PublishedNs = w.now().UnixNano()
	}
	if ev.GetFinding() == nil && w.groupOf != nil { // an agent's says itself what it rests on
		f.Bundle = w.refs[w.groupOf(f.Host)]
	}
	w.counts.finding(f)
	if !w.told[f.Id] && (!w.replaying || w.late) {
		w.out.finding(w.tenant, f, ev.Arrival)
	}
	if f.Black() && j.Path.Entry == 0 && len(w.loose) < looseMost {
		w.loose = append(w.loose, j)
	}
	w.fold1(j)
}

// fold1 takes a finding into its incident and on to the decision.
func (w *worker) fold1(j behaviour.Judged) {
	f := j.Finding
	inc := w.fold.Add(f, j.Subject, j.Path, j.T)
	if inc == nil {
		return
	}
	w.remember(inc, f)
	orders := w.decide.Decide(inc, f, w.now()) // remembers what was ordered
	if w.replaying && !w.late {
		return
	}
	w.out.incident(inc)
	if len(orders) > 0 {
		w.out.orders(orders)
	}
}

// remember tells the vertical whom the incident led back to.
func (w *worker) remember(inc *verdict.Incident, f *verdict.Finding) {
	if f.Black() && inc.GetEntry().GetKind() == entity.Kind_REQUEST {
		client := inc.Entry.GetRequest().GetFlow().Src().Addr()
		w.own.Note(w.tenant, client, inc.Id, f.Host, inc.Score, time.Unix(0, f.WallNs))
	}
}
