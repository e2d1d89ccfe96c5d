// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/spool"
	"github.com/ringwall/ringwall/verdict"
)

// Names on the health board.
const (
	linkName      = "link"
	spoolName     = "spool"
	clockName     = "clock"
	ordersName    = "orders"
	bundleName    = "bundle"
	redactionName = "redaction"
)

// stagesName is what the counters of the stages go by; no component of the board.
const stagesName = "stages"

// stagesEvery is how often they are told, when they changed: often enough to watch a
// funnel live, and at most 8,640 small events a day.
const stagesEvery = 10 * time.Second

// calm is how long nothing must go wrong before a component counts as well again.
const calm = 10 * time.Second

// keeper looks after what the agent rests on: clock, spool and link.
type keeper struct {
	a      *Agent
	link   *bus.Link
	untold []spool.Loss // not in the spool yet, because it was full
	full   time.Time    // last drop
	step   time.Time    // last step of the clock
	away   int          // looks in a row at which the bus was away
	told   uint64       // items that all stages had met when their counters were last told
	next   time.Time    // when they are told again
}

// housekeeping looks at clock, spool and link once a second.
func (a *Agent) housekeeping(ctx context.Context, link *bus.Link) {
	for _, c := range a.opt.Board.Components() {
		a.tellState(c)
	}
	k := &keeper{a: a, link: link}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.clock(now)
			k.losses(now)
			k.disk(now)
			k.bus()
			k.stages(now)
			a.offAsked(ctx)
			a.bundleGiven(ctx)
		}
	}
}

func (k *keeper) clock(now time.Time) {
	before := k.a.clock.Wall(0)
	if k.a.clock.Check() {
		by := time.Duration(k.a.clock.Wall(0) - before).Round(time.Millisecond)
		k.a.opt.Log.Warn("the wall clock was stepped", "by", by, "epoch", k.a.clock.Epoch())
		k.a.opt.Board.Set(clockName, health.Degraded, fmt.Sprintf("the wall clock was stepped by %v; boot time orders what this host saw", by))
		k.step = now
	} else if !k.step.IsZero() && now.Sub(k.step) > time.Minute {
		k.a.opt.Board.Set(clockName, health.On, "")
		k.step = time.Time{}
	}
}

// losses tells what the spool dropped. The word of a loss must itself find room, so it
// waits until there is some.
func (k *keeper) losses(now time.Time) {
	for _, l := range k.a.spool.Losses() {
		k.a.opt.Board.Lost(window(l))
		if l.Reason == spool.LossFull {
			k.full = now
			k.a.opt.Board.Set(spoolName, health.Degraded, fmt.Sprintf("full: new %s events are dropped and counted until the brain has stored older ones; raise agent.spool.max_bytes", l.Class))
		}
		k.keep(l)
	}
	for len(k.untold) > 0 && k.room() && k.a.emitNow(&event.Event{Payload: &event.Event_Loss{Loss: window(k.untold[0])}}) {
		k.untold = k.untold[1:]
	}
}

// keep joins a loss to one of its kind that waits, so that there are few.
func (k *keeper) keep(l spool.Loss) {
	for i := range k.untold {
		if o := &k.untold[i]; o.Class == l.Class && o.Reason == l.Reason {
			o.Count += l.Count
			o.To = l.To
			return
		}
	}
	k.untold = append(k.untold, l)
}

// room tells whether a small event surely fits: a try that fails is itself a loss.
func (k *keeper) room() bool {
	used := int64(0)
	for _, class := range identity.Classes {
		st := k.a.spool.Stats(class)
		used += st.Disk + int64(st.Pending)
	}
	return used < k.a.cfg.Spool.MaxBytes-64<<10
}

func window(l spool.Loss) *verdict.LossWindow {
	return &verdict.LossWindow{Sensor: spoolName, Class: l.Class.String(), FromNs: l.From.UnixNano(), ToNs: l.To.UnixNano(), Count: l.Count, Reason: l.Reason}
}

func (k *keeper) disk(now time.Time) {
	for _, class := range identity.Classes {
		if err := k.a.spool.Stats(class).DiskError; err != nil {
			k.a.opt.Board.Set(spoolName, health.Degraded, err.Error()+"; it is tried again, and events travel from memory meanwhile")
			k.full = now
			return
		}
	}
	if !k.full.IsZero() && now.Sub(k.full) > calm {
		k.a.opt.Board.Set(spoolName, health.On, "")
		k.full = time.Time{}
	}
}

// bus tells of a bus that was away at two looks in a row: at start it is, for a moment.
func (k *keeper) bus() {
	if k.link.Connected() {
		k.away = 0
		k.a.opt.Board.Set(linkName, health.On, "")
		return
	}
	if k.away++; k.away >= 2 {
		err := k.link.LastError()
		if err == nil {
			err = errors.New("no answer")
		}
		k.a.opt.Board.Set(linkName, health.Degraded, fmt.Sprintf("the brain's bus is away (%v); events wait in the spool", err))
	}
}

// stages tells what the stages of this host have done, when there is room for it: the next
// word holds all that this one would have.
func (k *keeper) stages(now time.Time) {
	if now.Before(k.next) || !k.room() {
		return
	}
	k.next = now.Add(stagesEvery)
	state, met := &event.SensorState{Component: stagesName, State: health.On.String()}, uint64(0)
	for _, c := range k.a.Stages() {
		met += c.In
		state.Stages = append(state.Stages, &event.StageCount{
			Layer: c.Layer, Stage: c.Stage, In: c.In, White: c.White, Black: c.Black, Passed: c.Passed, Errors: c.Errors,
			P50Ns: uint64(c.P50), P99Ns: uint64(c.P99), BusyNs: uint64(c.Busy),
		})
	}
	if met == k.told || !k.a.emitNow(&event.Event{Payload: &event.Event_State{State: state}}) {
		return
	}
	k.told = met
}

func (a *Agent) tellState(c health.Component) {
	a.emitNow(&event.Event{Payload: &event.Event_State{State: &event.SensorState{Component: c.Name, State: c.State, Reason: c.Reason}}})
}

func (a *Agent) emitNow(ev *event.Event) bool {
	a.clock.Stamp(ev, event.BootNow())
	return a.put(ev)
}
