// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/intel/reputation"
)

// reloadable are the sections that Prepare takes over without a restart.
var reloadable = map[string]bool{"rules": true, "policy": true, "exceptions": true, "intel": true, "bundle": true}

// Prepare reads and compiles what a new configuration names, while the old one is in
// force. An error changes nothing. apply puts rules, policy, exceptions and lists in
// force between two events of each worker, so that no event is lost or judged by half
// of each, and into the next bundles of all groups; it gives the sections that changed and need a restart.
func (b *Brain) Prepare(ctx context.Context, cfg Config) (apply func(context.Context) (restart []string, err error), err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rules, err := b.rules(b.withOwn(cfg))
	if err != nil {
		return nil, err
	}
	from, err := readMaterial(b.withOwn(cfg))
	if err != nil {
		return nil, err
	}
	lists, err := reputation.New(cfg.Intel, b.opt.Log)
	if err == nil { // a list that cannot be read must not replace its last good state
		err = lists.Reload(ctx, time.Now())
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]string, error) {
		in := map[string]*decide.Exceptions{}
		for t := range b.workers {
			b.keepHits(ctx, t)
			if in[t], err = b.exceptions(ctx, t, cfg.Except); err != nil {
				return nil, err
			}
		}
		from.except = in
		if err := b.makeBundles(ctx, from); err != nil { // told, and tried again
			b.opt.Log.Warn("bundles", "error", err)
		}
		for t, w := range b.workers {
			ex, refs := in[t], b.bundles.refs(t)
			err := w.do(ctx, func() {
				w.refs = refs
				w.judge.SetRules(rules.set)
				w.decide.Set(cfg.Policy)
				w.except = ex
				w.intel.SetLists(lists)
			})
			if err != nil {
				return nil, err
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lists, b.book = lists, rules
		if b.follow != nil {
			b.follow(lists)
		}
		restart := b.cfg.differ(&cfg)
		b.cfg.Rules, b.cfg.Policy, b.cfg.Except, b.cfg.Intel, b.cfg.Bundles = cfg.Rules, cfg.Policy, cfg.Except, cfg.Intel, cfg.Bundles
		b.bundles.soon()
		return restart, nil
	}, nil
}

// differ names the sections that only a restart takes over.
func (c *Config) differ(o *Config) (names []string) {
	a, b := reflect.ValueOf(*c), reflect.ValueOf(*o)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("yaml")
		if name != "" && !reloadable[name] && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, "brain."+name)
		}
	}
	return names
}

// followLists keeps the lists fresh: those in use, and those that Prepare puts in their
// place, each until others come or ctx ends.
func (b *Brain) followLists(ctx context.Context, wg *sync.WaitGroup) {
	stop := func() {}
	follow := func(l *reputation.Library) {
		stop()
		own, end := context.WithCancel(ctx)
		stop = end
		wg.Go(func() {
			if err := l.Run(own); err != nil && own.Err() == nil {
				b.opt.Board.Set("intel.reputation", health.Degraded, err.Error())
			}
		})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow = follow
	follow(b.lists)
}

// stopReload makes later configurations wait for the next start.
func (b *Brain) stopReload() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow = nil
}
