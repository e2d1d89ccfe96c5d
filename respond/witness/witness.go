// SPDX-License-Identifier: Apache-2.0

// Package witness says of an action what the sensors saw of it: whether the process
// ended, whether the peer was let in again, whether the file ran on.
//
// In come orders that are about to be carried out and the events of the kernel sensor;
// out comes a word for the record, or an error when the sensor saw otherwise. It
// believes the sensor for what it tells. Its silence counts only for what cannot be
// seen otherwise: that nothing comes any more.
//
// The worst trap: what was already on its way. A connection that was accepted before
// the block is told after it, so only the time of the deed counts, never of the telling.
package witness

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// quiet is how long nothing must come before silence counts: several times what the
// kernel sensor takes to tell of a deed (docs/benchmarks.md: p99 under 0.1 s at load).
const quiet = 500 * time.Millisecond

// ErrUnseen is wrapped when what must be seen was not told in time.
var ErrUnseen = errors.New("not told")

// Witness watches actions that are in hand. Safe for many goroutines.
type Witness struct {
	spared []netip.Prefix // may come on while the host is isolated
	lives  func(*entity.Process) bool

	some atomic.Bool // an action is watched: See has something to do
	mu   sync.Mutex  // guards watched and what its members have seen
	all  []*watch
}

// New makes a witness; spared may connect to an isolated host, lives tells whether a
// process is there now.
func New(spared []netip.Prefix, lives func(*entity.Process) bool) *Witness {
	return &Witness{spared: spared, lives: lives}
}

// watch is one action in hand.
type watch struct {
	order *action.Order
	peer  netip.Prefix // of a block, a cut
	flow  *entity.Flow // of a cut of one conversation
	alive bool         // the process lived when it was begun

	since  uint64 // boot ns from which nothing may come; 0 while it is being done
	closed int    // connections
	ended  bool
	breach string
	told   chan struct{} // closed when the process ended
}

// See takes one event. It costs a load where no action is in hand.
func (w *Witness) See(ev *event.Event) {
	if !w.some.Load() || ev.Sensor != event.Sensor_KERNEL {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.all {
		x.see(ev, w.spared)
	}
}

// Watch begins to watch an order that is about to be carried out. What it returns is
// called once: after the action, and waits for what the sensors tell; or with a context
// that has ended, when nothing was done.
func (w *Witness) Watch(o *action.Order) func(context.Context) (saw string, err error) {
	x := &watch{order: o, told: make(chan struct{})}
	switch s := o.Subject; o.Kind {
	case action.BlockAddress, action.CutConnection:
		x.flow = s.GetFlow()
		if p, err := netip.ParsePrefix(s.GetText()); err == nil {
			x.peer = p
		} else if a, err := netip.ParseAddr(s.GetText()); err == nil {
			a = a.Unmap()
			x.peer = netip.PrefixFrom(a, a.BitLen())
		}
	case action.KillTree:
		x.alive = w.lives(s.GetProcess())
	}
	w.mu.Lock()
	w.all = append(w.all, x)
	w.some.Store(true)
	w.mu.Unlock()
	return func(ctx context.Context) (string, error) {
		defer w.end(x)
		return w.confirm(ctx, x)
	}
}

func (w *Witness) end(x *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(w.all, func(o *watch) bool { return o == x })
	w.some.Store(len(w.all) > 0)
}

// see is called under the witness's mutex.
func (x *watch) see(ev *event.Event, spared []netip.Prefix) {
	n := ev.GetNetwork()
	if n.GetOp() == event.NetworkActivity_CLOSE && x.concerns(n.Flow) {
		x.closed++
	}
	p := ev.GetProcess()
	if p.GetOp() == event.ProcessActivity_EXIT && x.order.Kind == action.KillTree && same(ev.Actor, x.order.Subject.GetProcess()) && !x.ended {
		x.ended = true
		close(x.told)
	}
	if x.since == 0 || ev.BootNs <= x.since {
		return
	}
	switch x.order.Kind {
	case action.BlockAddress, action.CutConnection, action.IsolateHost:
		if n.GetOp() != event.NetworkActivity_ACCEPT && (n.GetOp() != event.NetworkActivity_CONNECT || n.Failed) {
			return
		}
		if x.order.Kind == action.BlockAddress && x.concerns(n.Flow) || x.order.Kind == action.IsolateHost && outside(n, spared) {
			x.breach = fmt.Sprintf("a connection was made all the same: %s → %s", n.Flow.Src(), n.Flow.Dst())
		}
	case action.QuarantineFile:
		if p.GetOp() == event.ProcessActivity_EXEC && ev.Actor.GetExe() == x.order.Subject.GetFile().GetPath() {
			x.breach = fmt.Sprintf("it was run all the same, as pid %d", ev.Actor.GetPid())
		}
	}
}

// concerns tells whether a flow is with the peer, or is the conversation, of the order.
func (x *watch) concerns(f *entity.Flow) bool {
	src, dst := f.Src(), f.Dst()
	if x.flow != nil {
		a, b := x.flow.Src(), x.flow.Dst()
		return src == a && dst == b || src == b && dst == a
	}
	return x.peer.IsValid() && (x.peer.Contains(src.Addr().Unmap()) || x.peer.Contains(dst.Addr().Unmap()))
}

// outside tells whether a new connection is with somebody whom an isolated host must not
// talk to.
func outside(n *event.NetworkActivity, spared []netip.Prefix) bool {
	a := n.Flow.Dst().Addr()
	if n.Inbound {
		a = n.Flow.Src().Addr()
	}
	a = a.Unmap()
	return a.IsValid() && !a.IsLoopback() && !slices.ContainsFunc(spared, func(p netip.Prefix) bool { return p.Contains(a) })
}

// tick is the grain of start times that come from /proc (USER_HZ is 100).
const tick = uint64(10e6)

func same(a, b *entity.Process) bool {
	x, y := a.GetStartNs(), b.GetStartNs()
	return a.GetPid() == b.GetPid() && max(x, y)-min(x, y) < tick
}

// confirm waits for what proves the action, or for silence.
func (w *Witness) confirm(ctx context.Context, x *watch) (string, error) {
	if x.order.Kind == action.KillTree {
		if !x.alive {
			return "", ctx.Err()
		}
		select {
		case <-x.told:
			return "the kernel sensor saw it end", nil
		case <-ctx.Done():
			return "", fmt.Errorf("the end of pid %d: %w by the kernel sensor", x.order.Subject.GetProcess().GetPid(), ErrUnseen)
		}
	}
	w.mu.Lock()
	x.since = event.BootNow()
	w.mu.Unlock()
	select {
	case <-time.After(quiet):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case x.breach != "":
		return "", errors.New(x.breach)
	case x.order.Kind == action.CutConnection:
		return fmt.Sprintf("the kernel sensor saw %d end", x.closed), nil
	case x.order.Kind == action.QuarantineFile:
		return "the kernel sensor saw it run no more", nil
	}
	return "the kernel sensor saw no connection since", nil
}
