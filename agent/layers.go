// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/network"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/verdict"
)

// layers are the stages that judge on the host itself. A layer that cannot start is
// nil, and says why on the health board.
type layers struct {
	network *network.Layer
	file    *fileLayer
}

func newLayers(a *Agent) layers {
	var l layers
	var err error
	if l.network, err = network.New(a.cfg.Network, network.Options{Found: a.found, Board: a.opt.Board, Log: a.opt.Log}); err != nil {
		l.network = nil
		a.opt.Board.Set("network", health.Off, err.Error())
	}
	if l.file, err = newFileLayer(a); err != nil {
		l.file = nil
		a.opt.Board.Set("file", health.Off, err.Error())
	}
	return l
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

// run works the layers' queues until ctx ends.
func (l *layers) run(ctx context.Context) {
	var wg sync.WaitGroup
	if l.network != nil {
		wg.Go(func() { _ = l.network.Run(ctx) })
	}
	if l.file != nil {
		wg.Go(func() { l.file.run(ctx) })
	}
	wg.Wait()
}

// found sends a finding of a layer on its way.
func (a *Agent) found(f *verdict.Finding) {
	f.Host = string(a.opt.Self.Host)
	a.emitNow(&event.Event{Sensor: event.Sensor_JUDGE, Payload: &event.Event_Finding{Finding: f}})
}

// Stages counts what each stage of each layer on this host has done.
func (a *Agent) Stages() []funnel.StageCounts {
	var out []funnel.StageCounts
	if a.layers.network != nil {
		out = append(out, a.layers.network.Counts()...)
	}
	if a.layers.file != nil {
		out = append(out, a.layers.file.judge.Counts()...)
	}
	return out
}

// newEnforcer opens the enforcer of this host. Its brain is never blocked.
func (a *Agent) newEnforcer() (*respond.Enforcer, error) {
	cfg := a.cfg.Respond
	if u, err := url.Parse(a.opt.Self.Bus); err == nil {
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			cfg.Brain = append(cfg.Brain, addr)
		}
	}
	opt := respond.Options{
		Data: filepath.Join(a.opt.Data, "respond"), Host: string(a.opt.Self.Host), Root: a.cfg.Scope.Root, Netns: a.cfg.Scope.Netns,
		Clock: a.clock, Board: a.opt.Board, Emit: a.Emit,
	}
	if a.layers.file != nil {
		opt.Owner = a.layers.file.judge.Known().Owner
	}
	return respond.New(cfg, opt)
}
