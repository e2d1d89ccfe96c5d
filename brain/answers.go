// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/verdict"
)

// The methods below are what the doors ask; they are safe for many goroutines.

// errNotHere is what a door gets for an ability this build lacks.
var errNotHere = fmt.Errorf("%w: this build cannot do that yet", ErrInput)

// Tenants lists who is served.
func (b *Brain) Tenants() []string { return b.cfg.Tenants }

// Findings lists what was found since start or, further back, what the archive holds.
func (b *Brain) Findings(ctx context.Context, q FindingQuery) ([]*verdict.Finding, error) {
	keep := func(f *verdict.Finding) bool {
		return (q.Grey || f.Black()) && (q.Host == "" || f.Host == q.Host) && f.WallNs >= q.Since.UnixNano()
	}
	if q.Since.IsZero() {
		q.Since = time.Unix(0, 0)
	}
	var out []*verdict.Finding
	seen := map[string]bool{}
	for ev, err := range b.store.Scan(ctx, q.Tenant, archive.Range{From: q.Since, Kinds: []string{"finding"}}) {
		if err != nil {
			return nil, err
		}
		if f := ev.GetFinding(); keep(f) && !seen[f.Id] {
			seen[f.Id] = true
			out = append(out, f)
		}
	}
	b.mu.Lock()
	for _, f := range b.findings[q.Tenant] {
		if keep(f) && !seen[f.Id] {
			seen[f.Id] = true
			out = append(out, f)
		}
	}
	b.mu.Unlock()
	slices.SortStableFunc(out, func(a, c *verdict.Finding) int { return cmp.Compare(a.WallNs, c.WallNs) })
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[len(out)-q.Limit:]
	}
	return out, nil
}

// Follow streams updates until ctx ends.
func (b *Brain) Follow(ctx context.Context, tenant string) <-chan Update {
	return b.news.follow(ctx, tenant)
}

// Incidents lists the live ones, oldest first.
func (b *Brain) Incidents(_ context.Context, tenant string) ([]*verdict.Incident, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*verdict.Incident
	for _, inc := range b.incidents {
		if inc.Tenant == tenant {
			out = append(out, inc)
		}
	}
	slices.SortFunc(out, func(a, c *verdict.Incident) int {
		return cmp.Or(cmp.Compare(a.OpenedNs, c.OpenedNs), cmp.Compare(a.Id, c.Id))
	})
	return out, nil
}

// Incident finds one by its id or by that of an incident merged into it.
func (b *Brain) Incident(ctx context.Context, tenant, id string) (*verdict.Incident, error) {
	list, err := b.Incidents(ctx, tenant)
	for _, inc := range list {
		if inc.Id == id || slices.Contains(inc.Aliases, id) {
			return inc, nil
		}
	}
	return nil, errors.Join(err, fmt.Errorf("incident %q: %w; `ringwall incidents` lists them", id, ErrNotFound))
}

// Trace tells the story of a finding or incident.
func (b *Brain) Trace(ctx context.Context, tenant, id string) (*Story, error) {
	w := b.workers[tenant]
	if w == nil {
		return nil, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	inc, err := b.Incident(ctx, tenant, id)
	findings, ferr := b.Findings(ctx, FindingQuery{Tenant: tenant, Grey: true})
	if ferr != nil {
		return nil, ferr
	}
	want := id
	if err == nil && len(inc.Findings) > 0 {
		want = inc.Findings[len(inc.Findings)-1]
	}
	i := slices.IndexFunc(findings, func(f *verdict.Finding) bool { return f.Id == want })
	if i < 0 {
		return nil, fmt.Errorf("finding or incident %q: %w", id, ErrNotFound)
	}
	f := findings[i]
	var st *Story
	err = w.do(ctx, func() {
		g := w.judge.Graph()
		var subject graph.NodeID
		for _, s := range f.Subjects {
			if subject = g.Resolve(s, f.Host, f.WallNs); subject != 0 {
				break
			}
		}
		st = story(g, id, subject, 0, inc)
	})
	return st, err
}

// Actions lists what was ordered, oldest first.
func (b *Brain) Actions(_ context.Context, tenant string) ([]action.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []action.Record{}
	for _, a := range b.actions {
		if a.Tenant == tenant {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, c action.Record) int {
		return cmp.Or(a.Ordered.Compare(c.Ordered), cmp.Compare(a.ID, c.ID))
	})
	return out, nil
}

// Undo and Off need the enforcer.
func (b *Brain) Undo(context.Context, string, string, string) error { return errNotHere }

// Off ends every action; with no enforcer there is none to end.
func (b *Brain) Off(context.Context, string, string) error { return nil }

// Intel asks the intelligence library.
func (b *Brain) Intel(context.Context, string, string) (any, error) { return nil, errNotHere }

// Hunt asks the archive in SQL.
func (b *Brain) Hunt(ctx context.Context, tenant, sql string, limit HuntLimit, row func([]any) error) (HuntEnd, error) {
	if b.opt.Hunter == nil {
		return HuntEnd{}, errNotHere
	}
	if err := b.store.Flush(); err != nil {
		return HuntEnd{}, err
	}
	a, err := b.opt.Hunter.Hunt(ctx, tenant, sql, archive.Limits{Rows: limit.Rows, Time: limit.Time}, row)
	if err != nil {
		return HuntEnd{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return HuntEnd{Columns: a.Columns, Rows: a.Rows, Truncated: a.Truncated, Elapsed: a.Elapsed}, nil
}

// Enroll makes a one-time token.
func (b *Brain) Enroll(_ context.Context, tenant, host, group string, life time.Duration) (string, error) {
	if b.cfg.Listen == "" {
		return "", fmt.Errorf("%w: this brain listens to no agents; set brain.listen", ErrInput)
	}
	j := identity.Join{Tenant: identity.Tenant(tenant), Group: identity.Group(group), Host: identity.Host(host)}
	door, err := EnrolAddress(b.cfg.Listen)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInput, err)
	}
	token, err := b.auth.NewJoin(j, door, life, time.Now())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInput, err)
	}
	return token.String(), nil
}

// Status is the whole on one page.
func (b *Brain) Status(context.Context) Status {
	st := Status{Role: "brain", Started: b.start, Components: b.opt.Board.Components(), Lost: b.opt.Board.LossTotals(), Counts: map[string]uint64{}}
	for t, w := range b.workers {
		st.Counts["events"] += w.counts.events.Load()
		st.Counts["findings.black"] += w.counts.black.Load()
		st.Counts["findings.grey"] += w.counts.grey.Load()
		_, rows, bytes := b.store.Size(t)
		st.Counts["archive.rows"] += uint64(rows)
		st.Counts["archive.bytes"] += uint64(bytes)
	}
	return st
}
