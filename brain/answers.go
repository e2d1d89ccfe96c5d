// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/intel/risk"
	"github.com/ringwall/ringwall/ledger"
)

// The methods below are what the doors ask; they are safe for many goroutines.

// errNotHere is what a door gets for an ability this build lacks.
var errNotHere = fmt.Errorf("%w: this build cannot do that yet", ErrInput)

// Tenants lists who is served.
func (b *Brain) Tenants() []string { return b.cfg.Tenants }

// Stages counts, per tenant, what each stage that judges here has done.
func (b *Brain) Stages() map[string][]funnel.StageCounts {
	out := map[string][]funnel.StageCounts{}
	for t, w := range b.workers {
		out[t] = w.stages()
	}
	return out
}

// Follow streams updates until ctx ends.
func (b *Brain) Follow(ctx context.Context, tenant string) <-chan Update {
	return b.news.follow(ctx, tenant)
}

// Trace tells the story of a finding or incident.
func (b *Brain) Trace(ctx context.Context, tenant, id string) (*Story, error) {
	w := b.workers[tenant]
	if w == nil {
		return nil, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	inc, err := b.Incident(ctx, tenant, id)
	want := id
	if err == nil && len(inc.Findings) > 0 {
		want = inc.Findings[len(inc.Findings)-1]
	}
	f, err := b.Finding(ctx, tenant, want)
	if err != nil {
		return nil, fmt.Errorf("finding or incident %q: %w", id, err)
	}
	var st *Story
	err = w.do(ctx, func() {
		st = story(w.judge.Graph(), id, w.judge.Trace(f.Finding), inc.Incident)
	})
	return st, err
}

// commandLife is how long a person's command stays good for a host that is away.
const commandLife = 10 * time.Minute

// Undo asks the host to take an action back.
func (b *Brain) Undo(ctx context.Context, tenant, id, who string) error {
	var rec *action.Record
	err := b.ledger.Update(ctx, func(tx *ledger.Tx) (err error) {
		if rec, err = tx.Action(tenant, id); err != nil {
			return err
		}
		_, err = tx.Audit(tenant, ledger.Entry{At: time.Now(), Actor: who, Verb: "undo", Object: id})
		return err
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return fmt.Errorf("action %q: %w; `ringwall actions` lists them", id, ErrNotFound)
	}
	if err != nil {
		return err
	}
	if !rec.State.Live() {
		return fmt.Errorf("%w: action %s is %s, there is nothing to undo", ErrInput, id, rec.State)
	}
	b.send(ctx, tenant, rec.Host, action.Command{Undo: id, Who: who}, commandLife)
	return nil
}

// Off asks every host of the tenant to take everything back.
func (b *Brain) Off(ctx context.Context, tenant, who string) error {
	hosts, err := b.auth.Enrolments(identity.Tenant(tenant))
	if err != nil {
		return err
	}
	for _, h := range hosts {
		b.send(ctx, tenant, string(h.Host), action.Command{Off: true, Who: who}, commandLife)
	}
	return b.ledger.Update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Audit(tenant, ledger.Entry{At: time.Now(), Actor: who, Verb: "off", Object: "all hosts"})
		return err
	})
}

// IntelAnswer is what is known of a value.
type IntelAnswer struct {
	Kind  string            `json:"kind"`
	Value string            `json:"value"`
	Lists reputation.Answer `json:"lists"`
	Own   *risk.Sighting    `json:"own,omitempty"`
}

// Intel asks the lists and our own incidents.
func (b *Brain) Intel(_ context.Context, tenant, value string) (IntelAnswer, error) {
	kind, canonical, _, err := feed.Guess(value)
	if err != nil {
		return IntelAnswer{}, fmt.Errorf("%w: %q: %w", ErrInput, value, err)
	}
	now := time.Now()
	out := IntelAnswer{Kind: string(kind), Value: canonical}
	b.mu.Lock()
	lists := b.lists
	b.mu.Unlock()
	out.Lists, _ = lists.Lookup(string(kind), canonical, now)
	w := b.workers[tenant]
	if w == nil {
		return out, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	if a, err := netip.ParseAddr(canonical); err == nil {
		if s, ok := w.own.Lookup(tenant, a, now); ok {
			out.Own = &s
		}
	}
	return out, nil
}

// Hunt asks the archive in SQL. A hunt that shows events whole needs limit.Raw, and stands
// in the audit chain before its first row.
func (b *Brain) Hunt(ctx context.Context, tenant, who, sql string, limit HuntLimit, row func([]any) error) (HuntEnd, error) {
	if b.opt.Hunter == nil {
		return HuntEnd{}, errNotHere
	}
	if err := b.store.Flush(); err != nil {
		return HuntEnd{}, err
	}
	bounds := archive.Limits{Rows: limit.Rows, Time: limit.Time}
	a, err := b.opt.Hunter.Hunt(ctx, tenant, sql, bounds, row)
	if limit.Raw && errors.Is(err, archive.ErrRaw) {
		if err := b.audit(ctx, tenant, who, "read raw", "hunt", sql[:min(len(sql), 1000)]); err != nil {
			return HuntEnd{}, err
		}
		bounds.Raw = true
		a, err = b.opt.Hunter.Hunt(ctx, tenant, sql, bounds, row)
	}
	if err != nil {
		return HuntEnd{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return HuntEnd{Columns: a.Columns, Rows: a.Rows, Truncated: a.Truncated, Elapsed: a.Elapsed}, nil
}

// Enroll makes a one-time token.
func (b *Brain) Enroll(ctx context.Context, tenant, who, host, group string, life time.Duration) (string, error) {
	if b.cfg.Listen == "" {
		return "", fmt.Errorf("%w: this brain listens to no agents; set brain.listen", ErrInput)
	}
	j := identity.Join{Tenant: identity.Tenant(tenant), Group: identity.Group(group), Host: identity.Host(host), By: who}
	door, err := EnrolAddress(b.cfg.Listen)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInput, err)
	}
	token, err := b.auth.NewJoin(j, advertised(door), life, time.Now())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInput, err)
	}
	detail := fmt.Sprintf("group %s, any host, for %v", group, life)
	if host != "" {
		detail = fmt.Sprintf("group %s, host %s, for %v", group, host, life)
	}
	if err := b.audit(ctx, tenant, who, "make join token", token.Secret.ID(), detail); err != nil {
		_, gone := b.auth.DropJoin(j.Tenant, token.Secret.ID(), time.Now()) // nobody was told it
		return "", errors.Join(err, gone)
	}
	b.bundles.want(crew{j.Tenant, j.Group})
	return token.String(), nil
}

// Status is the whole on one page.
func (b *Brain) Status(context.Context) Status {
	st := Status{Role: "brain", Started: b.start, Components: b.opt.Board.Components(), Lost: b.opt.Board.LossTotals(), Hosts: b.hosts.status(), Counts: map[string]uint64{}}
	st.Counts["refused.messages"], st.Counts["refused.undecodable"] = b.refused.Load(), b.undecoded.Load()
	st.Counts["findings.unlisted"] = b.index.passed.Load()
	st.Counts["archive.doubles"] = b.store.Stats.Doubles.Load()
	for t, w := range b.workers {
		st.Counts["events"] += w.counts.events.Load()
		st.Counts["findings.black"] += w.counts.black.Load()
		st.Counts["findings.grey"] += w.counts.grey.Load()
		st.Counts["findings.excepted"] += w.counts.excepted.Load()
		st.Counts["refused.foreign"] += w.counts.foreign.Load()
		_, rows, bytes := b.store.Size(t)
		st.Counts["archive.rows"] += uint64(rows)
		st.Counts["archive.bytes"] += uint64(bytes)
	}
	return st
}
