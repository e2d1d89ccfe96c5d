// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/ringwall/ringwall/network/application"
	"github.com/ringwall/ringwall/network/fingerprint"
)

// Prepare reads what a new configuration names and builds the layers anew, while the
// old ones work on. An error changes nothing. apply puts the new layers in place of
// the old, which end when what they have taken is judged; sensors, spool and link
// run on untouched. It gives the sections that changed and need a restart.
func (a *Agent) Prepare(cfg Config) (apply func() (restart []string), err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	// Tried apart: the network layer takes rules that cannot be loaded for a stage that is
	// off, and here the old one is better.
	if _, err := application.New(cfg.Network.Application); err != nil {
		return nil, fmt.Errorf("agent.network.application: %w", err)
	}
	if _, _, err := fingerprint.New(cfg.Network.Fingerprint, nil); err != nil {
		return nil, fmt.Errorf("agent.network.fingerprint: %w", err)
	}
	from := a.work
	next, err := a.build(cfg, from, true, nil)
	if err != nil {
		return nil, err
	}
	return func() []string {
		a.changing.Lock()
		defer a.changing.Unlock()
		if a.work != from { // a bundle came in between
			if again, err := a.build(cfg, a.work, true, nil); err == nil {
				next = again
			} else {
				a.opt.Log.Warn("the layers cannot be built on the bundle that just came; they work from the one before until the next", "error", err)
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		restart := a.cfg.differ(&cfg)
		a.cfg.Network, a.cfg.File = cfg.Network, cfg.File
		a.putInForce(next)
		return restart
	}, nil
}

// differ names the sections that only a restart takes over.
func (c *Config) differ(o *Config) (names []string) {
	a, b := reflect.ValueOf(*c), reflect.ValueOf(*o)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("yaml")
		if name != "network" && name != "file" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, "agent."+name)
		}
	}
	return names
}

// drainLong bounds the waiting for layers that go.
const drainLong = 30 * time.Second

// drain ends layers when what waits in them is judged.
func (l *layers) drain(ctx context.Context) {
	defer l.end()
	ctx, cancel := context.WithTimeout(ctx, drainLong)
	defer cancel()
	for empty := 0; empty < 20; { // a second long: the last one taken must be told too
		if empty++; l.waiting() > 0 {
			empty = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *layers) waiting() (n int) {
	if l.network != nil {
		n += l.network.Stats().Waiting
	}
	if l.file != nil {
		n += l.file.queue.Stats().Waiting
	}
	return n
}

// ending gives a context of ctx that end ends too.
func (l *layers) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, l.stop = context.WithCancel(ctx)
	return ctx, l.stop
}

func (l *layers) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
}
