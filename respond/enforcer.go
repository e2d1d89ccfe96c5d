// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/respond/process"
)

// Enforcer carries out orders on one host. Safe for many goroutines; one action runs
// at a time.
type Enforcer struct {
	cfg  Config
	opt  Options
	ns   *os.File // nil: the own network namespace
	boot string

	turns     turns
	acts      map[action.Kind]actuator // what can be done here
	cannot    map[action.Kind]error    // and what not, with the reason
	host      *host
	settled   bool // what the last life left was looked at; belongs to the turn
	troubled  map[string]time.Time
	switched  atomic.Bool // off
	wake      chan struct{}
	closeOnce sync.Once

	life       context.Context // ends with Close
	dying      context.CancelFunc
	confirming sync.WaitGroup

	mu      sync.Mutex // guards what is below
	journal *journal
	entries map[string]*entry
	order   []string // ids, oldest first
}

// inverse is what the enforcer needs to undo an action; nobody else reads it.
type inverse struct {
	Boot    string          `json:"boot"`     // of this start of the machine
	UntilNs uint64          `json:"until_ns"` // boot time at which it ends; no step of the wall clock moves it
	Part    json.RawMessage `json:"part,omitempty"`
}

// Name of the enforcer on the health board; each kind that cannot be done is set as Name.kind.
const Name = "respond"

// New opens the journal and what it acts with. What cannot be had here (no root, no
// nftables) is set on the board, and orders for it fail with the reason. ErrRunning is
// wrapped when another enforcer has the journal.
func New(cfg Config, opt Options) (*Enforcer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opt.Clock == nil {
		opt.Clock = event.NewClock()
	}
	if opt.Board == nil {
		opt.Board = health.NewBoard()
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("boot id: %w", err)
	}
	e := &Enforcer{
		cfg: cfg, opt: opt, boot: strings.TrimSpace(string(boot)), wake: make(chan struct{}, 1),
		entries: map[string]*entry{}, troubled: map[string]time.Time{},
	}
	e.life, e.dying = context.WithCancel(context.Background())
	j, entries, err := openJournal(opt.Data)
	if err != nil {
		return nil, err
	}
	e.journal = j
	for _, x := range entries {
		if x.Place == nil {
			e.keep(x)
		}
	}
	if err := e.open(); err != nil {
		e.Close()
		return nil, err
	}
	if err := j.append(entry{Place: &place{Root: opt.Root, Netns: opt.Netns, Host: opt.Host}}); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close lets go of everything that is open. What was done stays done.
func (e *Enforcer) Close() {
	e.closeOnce.Do(func() {
		e.dying()
		e.confirming.Wait()
		for _, a := range e.acts {
			a.close()
		}
		if e.host != nil {
			e.host.close()
		}
		if e.ns != nil {
			e.ns.Close()
		}
		e.journal.close()
	})
}

// stage is the only place where the stage is read: the order's, but never further than
// this host permits.
func (e *Enforcer) stage(o *action.Order) action.Stage { return min(o.Stage, e.cfg.Most) }

// Do carries out one order and gives its record; it never gives an error, because what
// went wrong is part of the record. An id that was seen before acts no second time: its
// record is given as it stands.
func (e *Enforcer) Do(ctx context.Context, o action.Order) action.Record {
	if err := o.Validate(); err != nil {
		return action.Record{Order: o, State: action.Refused, Result: err.Error(), Updated: e.now()}
	}
	pass, err := e.turns.take(ctx, rank(o.Kind))
	if err != nil {
		return action.Record{Order: o, State: action.Failed, Result: "its turn did not come: " + err.Error(), Updated: e.now()}
	}
	defer pass()
	e.settle(ctx)
	if rec, ok := e.Record(o.ID); ok {
		return rec
	}
	return e.do(ctx, o)
}

// DoAll carries out orders that came together, in the sequence that leaves no gap.
func (e *Enforcer) DoAll(ctx context.Context, orders []action.Order) []action.Record {
	orders = slices.Clone(orders)
	slices.SortStableFunc(orders, func(a, b action.Order) int { return rank(a.Kind) - rank(b.Kind) })
	out := make([]action.Record, 0, len(orders))
	for _, o := range orders {
		out = append(out, e.Do(ctx, o))
	}
	return out
}

func (e *Enforcer) do(ctx context.Context, o action.Order) action.Record {
	ctx, cancel := context.WithTimeout(ctx, patienceOfOne)
	defer cancel()
	x := &entry{Record: action.Record{Order: o, State: action.Ordered, Updated: e.now()}}
	stage := e.stage(&o)
	x.Record.Stage = stage
	if stage <= action.Observe {
		return e.end(x, action.Shadowed, "observe: written down, nothing looked at and nothing touched")
	}
	if e.switched.Load() {
		return e.end(x, action.Refused, "the enforcer is switched off until it is started anew")
	}
	left := min(o.Deadline.Sub(o.Ordered), o.Deadline.Sub(e.now()))
	if e.cfg.Lifetime > 0 {
		left = min(left, e.cfg.Lifetime)
	}
	if left <= 0 {
		return e.end(x, action.Refused, "its deadline "+o.Deadline.UTC().Format(time.RFC3339)+" has passed")
	}
	e.host.look()
	a, p, state, why := e.plan(ctx, x)
	if state != "" {
		return e.end(x, state, why)
	}
	if stage < action.Enforce {
		what, err := p.what()
		if err != nil {
			return e.end(x, failure(err), err.Error())
		}
		return e.end(x, action.Shadowed, "would "+what)
	}
	inv := &inverse{Boot: e.boot, UntilNs: event.BootNow() + uint64(left), Part: p.inverse}
	x.Record.Inverse, _ = json.Marshal(inv) // a struct of strings and numbers
	x.Record.Deadline = e.now().Add(left)
	if err := e.write(x); err != nil {
		return e.end(x, action.Failed, err.Error())
	}
	return e.act(ctx, x, a, inv)
}

// patienceOfOne bounds a single action; the longest is a tree that keeps forking.
const patienceOfOne = 20 * time.Second

// plan asks the guard rails and looks at what would be touched; it touches nothing. A
// state that is not empty ends the action.
func (e *Enforcer) plan(ctx context.Context, x *entry) (a actuator, p plan, end action.State, why string) {
	o := &x.Record.Order
	if a = e.acts[o.Kind]; a == nil {
		err := e.cannot[o.Kind]
		if err == nil {
			err = fmt.Errorf("no such kind of action: %q", o.Kind)
		}
		return nil, p, action.Failed, err.Error()
	}
	if why := e.refuse(ctx, o); why != "" {
		return nil, p, action.Refused, why
	}
	p, err := a.plan(ctx, o)
	if err != nil {
		return nil, p, failure(err), err.Error()
	}
	x.Target = p.target
	if why := e.overReach(x); why != "" {
		return nil, p, action.Refused, why
	}
	return a, p, "", ""
}

// failure tells a refusal, which is a guard rail's word, from what went wrong.
func failure(err error) action.State {
	var spared *process.SparedError
	if errors.As(err, &spared) || errors.Is(err, process.ErrTooMany) || errors.Is(err, errRefused) {
		return action.Refused
	}
	return action.Failed
}

// act does what was written down, and looks whether it holds.
func (e *Enforcer) act(ctx context.Context, x *entry, a actuator, inv *inverse) action.Record {
	seen := e.watched(&x.Record.Order)
	part, what, err := a.act(ctx, &x.Record.Order, inv)
	if part != nil {
		inv.Part = part
		x.Record.Inverse, _ = json.Marshal(inv)
	}
	if err != nil {
		seen.drop()
		state, text := failure(err), err.Error()
		if note, err := a.undo(ctx, &x.Record.Order, inv); err != nil {
			text += "; and taking it back failed: " + err.Error()
			state = action.Done // it may hold something: keep it in hand
		} else if note != "" {
			text += "; " + note
		}
		return e.end(x, state, text)
	}
	e.end(x, action.Done, what)
	if err := a.verify(ctx, &x.Record.Order, inv); err != nil {
		seen.drop()
		return e.end(x, action.Done, what+"; not verified: "+err.Error())
	}
	if seen != nil {
		e.confirm(x.Record.ID, what, seen)
		return x.Record
	}
	return e.end(x, action.Verified, what)
}

// Undo takes an action back. One that was taken back already gives its record.
func (e *Enforcer) Undo(ctx context.Context, id, who string) (action.Record, error) {
	pass, err := e.turns.take(ctx, takingBack)
	if err != nil {
		return action.Record{}, fmt.Errorf("undo %s: %w", id, err)
	}
	defer pass()
	e.settle(ctx)
	return e.takeBack(ctx, id, action.Undone, "undone by "+who)
}

func (e *Enforcer) takeBack(ctx context.Context, id string, state action.State, why string) (action.Record, error) {
	e.mu.Lock()
	x, ok := e.entries[id]
	e.mu.Unlock()
	if !ok {
		return action.Record{}, fmt.Errorf("undo %s: no such action on this host", id)
	}
	rec := x.Record
	if !rec.State.Live() {
		if rec.State == action.Undone || rec.State == action.Expired {
			return rec, nil
		}
		return rec, fmt.Errorf("undo %s: it is %s: it holds nothing", id, rec.State)
	}
	a := e.acts[rec.Kind]
	if a == nil {
		return rec, fmt.Errorf("undo %s: %w", id, e.cannot[rec.Kind])
	}
	var inv inverse
	if err := json.Unmarshal(rec.Inverse, &inv); err != nil {
		return rec, fmt.Errorf("undo %s: its inverse cannot be read: %w", id, err)
	}
	e.host.look()
	note, err := a.undo(ctx, &rec.Order, &inv)
	if err != nil {
		return rec, fmt.Errorf("undo %s: %w", id, err)
	}
	if note != "" {
		why += "; " + note
	}
	next := &entry{Record: rec, Target: x.Target}
	return e.end(next, state, why), nil
}

// Counts reports the stage that this enforcer holds in the kernel; none where it cannot.
func (e *Enforcer) Counts() []funnel.StageCounts {
	if b, ok := e.acts[action.BlockAddress].(*block); ok {
		return []funnel.StageCounts{b.counts()}
	}
	return nil
}

// Record gives one.
func (e *Enforcer) Record(id string) (action.Record, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, ok := e.entries[id]
	if !ok {
		return action.Record{}, false
	}
	return x.Record, true
}

// Records gives all that are remembered, oldest first.
func (e *Enforcer) Records() []action.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]action.Record, 0, len(e.order))
	for _, id := range e.order {
		out = append(out, e.entries[id].Record)
	}
	return out
}

// end takes a record to a state: journal, memory, event. A journal that cannot be
// written does not hide what is so; the board tells.
func (e *Enforcer) end(x *entry, state action.State, result string) action.Record {
	x.Record.State, x.Record.Result, x.Record.Updated = state, result, e.now()
	if err := e.write(x); err != nil {
		e.opt.Board.Set(Name, health.Degraded, err.Error())
	}
	return x.Record
}

// write journals, remembers and tells the state of an action.
func (e *Enforcer) write(x *entry) error {
	e.mu.Lock()
	err := e.journal.append(*x)
	e.keep(*x)
	e.compact()
	e.mu.Unlock()
	e.tell(&x.Record)
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return err
}

// keep remembers; the caller holds mu (or is New).
func (e *Enforcer) keep(x entry) {
	id := x.Record.ID
	if _, ok := e.entries[id]; !ok {
		e.order = append(e.order, id)
	}
	e.entries[id] = &x
}

// compact bounds journal and memory; the caller holds mu.
func (e *Enforcer) compact() {
	if e.journal.size < compactAt {
		return
	}
	now := e.now()
	maps.DeleteFunc(e.entries, func(_ string, x *entry) bool { return !worthKeeping(&x.Record, now) })
	e.order = slices.DeleteFunc(e.order, func(id string) bool { return e.entries[id] == nil })
	all := []entry{{Place: &place{Root: e.opt.Root, Netns: e.opt.Netns, Host: e.opt.Host}}}
	for _, id := range e.order {
		all = append(all, *e.entries[id])
	}
	if err := e.journal.rewrite(all); err != nil {
		e.opt.Board.Set(Name, health.Degraded, "rewrite the journal of actions: "+err.Error())
	}
}

func (e *Enforcer) tell(r *action.Record) {
	if e.opt.Emit == nil {
		return
	}
	ev := &event.Event{Sensor: event.Sensor_ENFORCER, Payload: &event.Event_Action{Action: &event.ActionRecord{
		Id: r.ID, Kind: string(r.Kind), State: string(r.State), Target: r.Subject.Label(), Reason: reasons(r), Incident: r.Incident,
		Stage: r.Stage.String(), DeadlineNs: r.Deadline.UnixNano(), Subject: r.Subject, Inverse: r.Inverse,
	}}}
	ev.Classify()
	e.opt.Clock.Stamp(ev, event.BootNow())
	e.opt.Emit(ev)
}

func reasons(r *action.Record) string {
	if r.Result == "" {
		return r.Reason
	}
	return r.Result + " (" + r.Reason + ")"
}

func (e *Enforcer) now() time.Time { return time.Unix(0, e.opt.Clock.Wall(event.BootNow())) }
