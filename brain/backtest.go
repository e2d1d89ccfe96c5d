// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/behaviour"
	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/graph"
)

// BacktestQuery says what of the archive a rule is tried on.
type BacktestQuery struct {
	Text         string // Sigma, one rule or a correlation with the rules that it names
	Host         string // empty: all
	Since, Until time.Time
	Events       int           // most events, default and most 5 million
	Time         time.Duration // most time, default 1 minute, at most 10
}

// BacktestMatch is one time that a rule would have spoken.
type BacktestMatch struct {
	Time  time.Time
	Host  string
	Rule  string // its id
	Title string
	What  string // what was done, in a few words
	Event string // tenant/host/epoch/seq
	Count int    // events of a correlation
}

// BacktestState is how far a back-test has come.
type BacktestState struct {
	Events  int
	Matches int
	Reached time.Time // of the event at hand
	Elapsed time.Duration
	Hosts   map[string]int // matches by host, see backtestHosts
	Days    map[string]int // by day, UTC
	Cut     string         // why it ended before the end of the archive: events, time; empty: it did not
	Silent  []string       // what no sensor gives, and the rule asks for
}

// Bounds of a back-test: what a person waits for, and memory beside the live judge.
const (
	backtestEvents  = 5_000_000
	backtestTime    = time.Minute
	backtestLongest = 10 * time.Minute
	backtestGraph   = 64 << 20
	backtestTell    = 500 * time.Millisecond
	backtestHosts   = 1000 // counted by name; the rest under "…"
)

// Backtest tries a rule on what the archive holds, in the order in which it was judged.
// told hears of every match, and of progress about twice a second; it must not block for
// long, and its error ends the test. One runs at a time, the next waits.
func (b *Brain) Backtest(ctx context.Context, tenant string, q BacktestQuery, match func(BacktestMatch) error, progress func(BacktestState) error) (st BacktestState, err error) {
	w := b.workers[tenant]
	if w == nil {
		return st, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	if err := soundRule(q.Text); err != nil {
		return st, err
	}
	set, report, err := sigma.CompileText("rule", []byte(q.Text), sigma.Options{Sensors: sigma.Sensors()})
	if err != nil {
		return st, err
	}
	for _, n := range report.NeverFires {
		st.Silent = append(st.Silent, n.Missing...)
	}
	if q.Events <= 0 || q.Events > backtestEvents {
		q.Events = backtestEvents
	}
	if q.Time <= 0 {
		q.Time = backtestTime
	}
	q.Time = min(q.Time, backtestLongest)
	if err := b.store.Flush(); err != nil {
		return st, err
	}
	for !b.testing.TryLock() {
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	defer b.testing.Unlock()
	cfg := b.cfg.Graph
	cfg.Bytes = backtestGraph
	test := behaviour.NewBacktest(graph.New(tenant, cfg), set)
	st.Hosts, st.Days = map[string]int{}, map[string]int{}
	begin := time.Now()
	next := begin.Add(backtestTell)
	for ev, err := range b.store.Scan(ctx, tenant, archive.Range{Host: q.Host, From: q.Since, To: q.Until, Order: archive.ByArrival}) {
		if err != nil {
			return st, err
		}
		if ev.Host == judgeHost {
			continue
		}
		for _, s := range test.See(ev) {
			st.count(ev.Host, ev.Wall())
			if err := match(BacktestMatch{Time: ev.Wall().UTC(), Host: ev.Host, Rule: s.Rule.ID, Title: s.Rule.Title, What: s.What, Event: ev.ID().Text(), Count: s.Count}); err != nil {
				return st, err
			}
		}
		st.Events, st.Reached = st.Events+1, ev.Wall().UTC()
		if st.Events%1024 == 0 {
			now := time.Now()
			st.Elapsed = now.Sub(begin)
			if st.Elapsed > q.Time {
				st.Cut = "time"
				break
			}
			if now.After(next) {
				next = now.Add(backtestTell)
				if err := progress(st); err != nil {
					return st, err
				}
			}
		}
		if st.Events >= q.Events {
			st.Cut = "events"
			break
		}
	}
	st.Elapsed = time.Since(begin)
	return st, ctx.Err()
}

func (st *BacktestState) count(host string, at time.Time) {
	st.Matches++
	if _, known := st.Hosts[host]; !known && len(st.Hosts) >= backtestHosts {
		host = "…"
	}
	st.Hosts[host]++
	st.Days[at.UTC().Format(time.DateOnly)]++
}
