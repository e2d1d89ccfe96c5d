// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/network"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/witness"
	"github.com/ringwall/ringwall/verdict"
)

// layers are the stages that judge on the host itself. A layer that cannot start is
// nil, and says why on the health board.
type layers struct {
	network *network.Layer
	file    *fileLayer

	mu   sync.Mutex // guards stop
	stop context.CancelFunc
}

// build makes the layers of a configuration and a bundle. At a start a layer that cannot
// be had is off; where others work already, strict, it is an error: the old one is better.
// What before has read of the same configuration is not read again; nil reads everything.
func (a *Agent) build(cfg Config, w *work, strict bool, before *layers) (*layers, error) {
	cfg = w.over(cfg)
	l := &layers{}
	if before != nil && before.file != nil && slices.Equal(cfg.File.Hashes, before.file.hashes) {
		cfg.File.Known = before.file.judge.Known()
	}
	var err error
	if l.file, err = newFileLayer(a, cfg, w); err != nil {
		if strict {
			return nil, fmt.Errorf("agent.file: %w", err)
		}
		l.file = nil
		a.opt.Board.Set("file", health.Off, err.Error())
	}
	opt := network.Options{Found: func(f *verdict.Finding) { a.found(f, w, 0) }, Intel: w.lookup(), Board: a.opt.Board, Log: a.opt.Log}
	if before != nil {
		opt.After = before.network
	}
	if l.network, err = network.New(cfg.Network, opt); err != nil {
		if strict {
			return nil, fmt.Errorf("agent.network: %w", err)
		}
		l.network = nil
		a.opt.Board.Set("network", health.Off, err.Error())
	}
	return l, nil
}

// putInForce puts layers in place of those before, which end when what they have taken
// is judged. The caller holds a.mu.
func (a *Agent) putInForce(next *layers) {
	old := a.layers.Swap(next)
	if a.serve != nil {
		a.serve(next, old)
	}
}

// see shows an event that has its id to every layer. It never blocks.
func (l *layers) see(ev *event.Event) {
	if ev.GetFinding() != nil {
		return
	}
	if l.network != nil {
		l.network.See(ev)
	}
	if l.file != nil {
		l.file.see(ev)
	}
}

// run works the layers' queues until ctx ends, or end is called.
func (l *layers) run(ctx context.Context) {
	ctx, stop := l.ending(ctx)
	defer stop()
	var wg sync.WaitGroup
	if l.network != nil {
		wg.Go(func() { _ = l.network.Run(ctx) })
	}
	if l.file != nil {
		wg.Go(func() { l.file.run(ctx) })
	}
	wg.Wait()
}

// found sends a finding of a layer that works from w on its way. told is up to when the
// kernel sensor has told all, where it was asked.
func (a *Agent) found(f *verdict.Finding, w *work, told uint64) {
	f.Host = string(a.opt.Self.Host)
	w.mark(f)
	a.emitNow(&event.Event{Sensor: event.Sensor_JUDGE, ToldNs: told, Payload: &event.Event_Finding{Finding: f}})
}

// toldLong bounds the wait for the kernel sensor, which needs a millisecond or two: the next
// file waits meanwhile. For one that needs longer the brain waits (brain/hold.go).
const toldLong = 20 * time.Millisecond

// told lets the kernel sensor speak first: whose request a writer had in its hands is then
// known before the verdict on what it wrote.
func (a *Agent) told() uint64 {
	if s := a.births.Load(); s != nil {
		return s.Told(toldLong)
	}
	return 0
}

// Stages counts what each stage of each layer on this host has done.
func (a *Agent) Stages() []funnel.StageCounts {
	var out []funnel.StageCounts
	if a.enforce != nil {
		out = a.enforce.Counts()
	}
	l := a.layers.Load()
	if l.network != nil {
		out = append(out, l.network.Counts()...)
	}
	if l.file != nil {
		out = append(out, l.file.judge.Counts()...)
	}
	return out
}

// newEnforcer opens the enforcer of this host. Its brain is never blocked.
func (a *Agent) newEnforcer() (*respond.Enforcer, error) {
	cfg := a.cfg.Respond
	cfg.Brain = append(cfg.Brain, brokers(a.opt.Self.Bus)...)
	opt := respond.Options{
		Data: filepath.Join(a.opt.Data, "respond"), Host: string(a.opt.Self.Host), Root: a.cfg.Scope.Root, Netns: a.cfg.Scope.Netns,
		Clock: a.clock, Board: a.opt.Board, Emit: a.Emit, Lineage: a.lineage,
	}
	opt.Owner = a.owner()
	spared := append(slices.Clone(cfg.Critical), cfg.Operators...)
	for _, b := range cfg.Brain {
		spared = append(spared, netip.PrefixFrom(b.Unmap(), b.Unmap().BitLen()))
	}
	a.witness = witness.New(spared, func(p *entity.Process) bool { return process.Lives(int(p.GetPid()), p.GetStartNs()) })
	opt.Witness = func(o *action.Order) func(context.Context) (string, error) {
		if a.births.Load() == nil {
			return nil // no kernel sensor: what was done is verified by looking alone
		}
		return a.witness.Watch(o)
	}
	return respond.New(cfg, opt)
}

// lineage gives who descends from a process by the births that the kernel sensor saw;
// nobody without one.
func (a *Agent) lineage(p *entity.Process) (out []process.Stat) {
	s := a.births.Load()
	if s == nil {
		return nil
	}
	for _, d := range s.Lineage(p.GetPid(), p.GetStartNs()) {
		out = append(out, process.Stat{PID: int(d.PID), PPID: int(d.Under), Start: process.Ticks(d.StartNs)})
	}
	return out
}

// namesLong bounds the asking for the addresses of brokers that are known by name.
const namesLong = 2 * time.Second

// brokers are the addresses behind a URL of the bus, or behind several with commas
// between: what must stay reachable for this host to be told anything.
func brokers(bus string) (out []netip.Addr) {
	ctx, cancel := context.WithTimeout(context.Background(), namesLong)
	defer cancel()
	for _, text := range strings.Split(bus, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Hostname() == "" {
			continue
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			out = append(out, addr)
		} else if addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err == nil {
			out = append(out, addrs...)
		}
	}
	return out
}

// owner tells which package a file belongs to, by the layer that is in use when it is
// asked; nil without one.
func (a *Agent) owner() func(string) string {
	if a.layers.Load().file == nil {
		return nil
	}
	return func(path string) string { return a.layers.Load().file.judge.Known().Owner(path) }
}
