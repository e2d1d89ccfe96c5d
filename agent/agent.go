// SPDX-License-Identifier: Apache-2.0

// Package agent is the role that lives on a host: sensors, the spool and the link to
// the brain. It has no rule of its own; it joins what others make.
//
// In come a configuration and an identity; out go events over the bus. It believes
// the spool for what is acknowledged and keeps working while the brain is away.
//
// The worst trap: a sensor that cannot start is not an error of the agent. It is put
// on the health board with its reason, told to the brain, and the rest goes on.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/respond/witness"
	"github.com/ringwall/ringwall/sense/kernel"
	"github.com/ringwall/ringwall/spool"
	"github.com/ringwall/ringwall/verdict"
)

// Options join an agent to its surroundings.
type Options struct {
	Data    string          // folder of spool and state (0700)
	Self    *identity.Agent // who it is
	Server  *bus.Server     // the broker of this process; nil: Self.Bus is the address
	Secret  []byte          // the tenant's key for hashing credentials
	Version string          // of this build (v1.2.3), for bundles that want a newer one
	Board   *health.Board
	Log     *slog.Logger
}

// Agent is one running host.
type Agent struct {
	cfg    Config
	opt    Options
	boot   string
	clock  *event.Clock
	spool  *spool.Spool
	redact *event.Redactor

	layers  atomic.Pointer[layers]                              // Reload puts new ones in their place
	local   func(netip.AddrPort) (netip.AddrPort, uint64, bool) // where a client's connection ends; nil: unknown
	births  atomic.Pointer[kernel.Sensor]                       // who saw them; nil where the kernel sensor is off
	witness *witness.Witness                                    // verifies actions by what the kernel sensor tells
	enforce *respond.Enforcer                                   // nil where nothing can be enforced
	nonces  *identity.Nonces
	shelf   *shelf

	ready          func()
	seen           atomic.Uint64
	refused        atomic.Uint64 // orders that are not ours to obey
	refusedBundles atomic.Uint64

	changing sync.Mutex // one bundle or configuration is taken at a time; guards work
	work     *work      // the bundle in force; nil: none

	mu     sync.Mutex // guards what follows, and cfg
	senses map[string]sensor
	serve  func(next, old *layers) // runs the next until the agent ends, and ends the old; nil before Run
}

// New opens the spool; no sensor starts before Run.
func New(cfg Config, opt Options) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Spool.MaxBytes == 0 {
		cfg.Spool = DefaultConfig().Spool
	}
	if err := os.MkdirAll(opt.Data, 0o700); err != nil {
		return nil, fmt.Errorf("agent data: %w", err)
	}
	sp, err := spool.Open(spool.Config{Dir: filepath.Join(opt.Data, "spool"), MaxBytes: cfg.Spool.MaxBytes})
	if err != nil {
		return nil, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("boot id: %w", err)
	}
	nonces, err := identity.OpenNonces(filepath.Join(opt.Data, "nonces"))
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, opt: opt, boot: strings.TrimSpace(string(boot)),
		clock: event.NewClock(), spool: sp, redact: event.NewRedactor(opt.Secret), nonces: nonces,
	}
	if a.shelf, err = openShelf(opt.Data, opt.Version, opt.Self.Verifier(nil)); err != nil {
		return nil, err
	}
	a.work, err = a.shelf.lastGood(opt.Log)
	a.bundleIs(a.work)
	if err != nil {
		a.refuseBundle(fmt.Errorf("the newest bundle on disk does not work: %w", err), false)
	}
	l, err := a.build(cfg, a.work, false, nil)
	if err != nil {
		return nil, err
	}
	a.layers.Store(l)
	if a.enforce, err = a.newEnforcer(); err != nil {
		opt.Board.Set(respond.Name, health.Off, err.Error())
	}
	return a, nil
}

// OnReady sets what is called once, when every sensor that can run does.
func (a *Agent) OnReady(f func()) { a.ready = f }

// Seen counts the events taken since start.
func (a *Agent) Seen() uint64 { return a.seen.Load() }

// Run senses and sends until ctx ends; then what is spooled stays for the next start.
func (a *Agent) Run(ctx context.Context) error {
	link, err := bus.Dial(bus.LinkConfig{Agent: a.opt.Self, Server: a.opt.Server, Log: a.opt.Log})
	if err != nil {
		return err
	}
	defer link.Close()
	defer a.nonces.Close()
	defer a.shelf.close()
	a.opt.Board.Set(linkName, health.On, "")
	a.opt.Board.Set(spoolName, health.On, "")
	a.opt.Board.Set(clockName, health.On, "")
	a.opt.Board.Set(hostName, health.On, about(a.cfg.Scope.Root, a.opt.Version))
	a.opt.Board.Watch(a.tellState)
	var spooling, sensing sync.WaitGroup
	spoolCtx, stopSpool := context.WithCancel(context.WithoutCancel(ctx))
	defer spooling.Wait()
	defer stopSpool()
	spooling.Go(func() {
		if err := a.spool.Run(spoolCtx); err != nil {
			a.opt.Log.Error("spool stopped", "error", err)
		}
	})
	sensing.Go(func() { a.publish(ctx, link) })
	a.mu.Lock()
	a.serve = func(next, old *layers) {
		sensing.Go(func() { next.run(ctx) })
		if old != nil {
			sensing.Go(func() { old.drain(ctx) })
		}
	}
	a.serve(a.layers.Load(), nil)
	a.mu.Unlock()
	if a.enforce != nil {
		sensing.Go(func() {
			if err := a.enforce.Run(ctx); err != nil && ctx.Err() == nil {
				a.opt.Board.Set(respond.Name, health.Off, err.Error())
			}
		})
	}
	sensing.Go(func() {
		if err := link.Orders(ctx, func(signed []byte) { a.ordered(ctx, signed) }); err != nil && ctx.Err() == nil {
			a.opt.Log.Error("orders stopped", "error", err)
		}
	})
	sensing.Go(func() {
		take := func(raw []byte) bool {
			_, _, settled, _ := a.takeBundle(ctx, raw) // told where it failed
			return settled
		}
		if err := link.Bundles(ctx, take); err != nil && ctx.Err() == nil {
			a.opt.Log.Error("bundles stopped", "error", err)
		}
	})
	for name, s := range a.sensors() {
		sensing.Go(func() {
			if err := s.Run(ctx); err != nil && ctx.Err() == nil {
				a.opt.Board.Set(name, health.Off, err.Error())
			}
		})
	}
	sensing.Go(func() { a.tellReady(ctx) })
	a.housekeeping(ctx, link)
	a.mu.Lock()
	a.serve = nil
	a.mu.Unlock()
	sensing.Wait()
	return nil
}

// readyLong bounds the wait for sensors that are starting. Measured: 0.5 s; on a machine
// that has other things to do, 5 s.
const readyLong = 20 * time.Second

// tellReady calls ready when no sensor is on its way any more.
func (a *Agent) tellReady(ctx context.Context) {
	if a.ready == nil {
		return
	}
	starting := func(c health.Component) bool { return c.State == health.Off.String() && c.Reason == "not started" }
	for end := time.Now().Add(readyLong); time.Now().Before(end) && slices.ContainsFunc(a.opt.Board.Components(), starting); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	a.ready()
}

// publish sends what is spooled. A spool that cannot be read is read again, from where it stood.
func (a *Agent) publish(ctx context.Context, link *bus.Link) {
	for ctx.Err() == nil {
		precious, bulk := a.spool.Reader(identity.Precious), a.spool.Reader(identity.Bulk)
		err := link.NewPublisher(bus.PublisherConfig{Precious: precious, Bulk: bulk, Trim: a.trim}).Run(ctx)
		_, _ = precious.Close(), bulk.Close()
		if ctx.Err() != nil {
			return
		}
		a.opt.Log.Error("publisher stopped, beginning anew", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (a *Agent) trim(p identity.Position) error {
	err := a.spool.Trim(p)
	if errors.Is(err, spool.ErrBeyond) {
		a.opt.Log.Warn("watermark refused", "position", p.String(), "error", err)
	}
	return err
}

// encoded are buffers for events on their way into the spool, which copies them.
var encoded = sync.Pool{New: func() any { return new([]byte) }}

// Emit puts one event into the spool. It never blocks; what the spool cannot take is
// counted there and told as loss.
func (a *Agent) Emit(ev *event.Event) { a.put(ev) }

// put tells whether the spool took it.
func (a *Agent) put(ev *event.Event) bool {
	a.seen.Add(1)
	if a.witness != nil {
		a.witness.See(ev)
	}
	ev.Tenant, ev.Host, ev.BootId, ev.Schema = string(a.opt.Self.Tenant), string(a.opt.Self.Host), a.boot, event.Schema
	ev.Classify()
	buf := encoded.Get().(*[]byte)
	defer encoded.Put(buf)
	size := ev.SizeVT()
	*buf = slices.Grow((*buf)[:0], size)[:size]
	raw := *buf
	if _, err := ev.MarshalToSizedBufferVT(raw); err != nil {
		a.opt.Log.Error("encode event", "kind", ev.Kind(), "error", err)
		return false
	}
	at, kept, err := a.spool.Append(ClassOf(ev), raw)
	if errors.Is(err, spool.ErrEvent) { // longer than any that may travel
		a.opt.Board.Lost(&verdict.LossWindow{Sensor: spoolName, Class: ClassOf(ev).String(), FromNs: ev.WallNs, ToNs: ev.WallNs, Count: 1, Reason: err.Error()})
	}
	if err != nil || kept == 0 {
		return false
	}
	ev.Epoch, ev.Seq = at.Epoch, at.Seq
	a.layers.Load().see(ev)
	return true
}

// ClassOf tells how dear an event is: what carries the chain from a request to its
// deeds is never shed for the sake of bulk.
func ClassOf(ev *event.Event) identity.Class {
	switch p := ev.Payload.(type) {
	case *event.Event_File:
		switch p.File.Op {
		case event.FileActivity_UNLINK, event.FileActivity_OPEN_WRITE, event.FileActivity_SWEPT:
			return identity.Bulk
		}
	case *event.Event_Dns, *event.Event_Inventory, *event.Event_Log:
		return identity.Bulk
	case *event.Event_Http:
		if p.Http.Seen == event.HttpActivity_LOG {
			return identity.Bulk
		}
	case *event.Event_Network:
		switch p.Network.Op {
		case event.NetworkActivity_RESET, event.NetworkActivity_FLOW_CLOSE, event.NetworkActivity_SEND:
			return identity.Bulk
		}
	}
	return identity.Precious
}
