// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
)

// Host is one host of a tenant: who it is by its enrolment, and how it is by its own word.
type Host struct {
	Name       string
	State      string // on, degraded, silent, revoked; see stateOf
	Group      string
	Key        string    // its public key on the bus
	Enrolled   time.Time // zero: never, it is known by what it once sent
	Revoked    time.Time
	Last       time.Time // heard of
	Components []health.Component
	Lost       map[string]uint64 // per "sensor/class", told since this brain's start
	About      string            // kernel, system, version
	Bundle     string            // what it works from
	Newest     string            // what its group should work from
	Incidents  int               // that wait for people
}

// silentAfter is how long a host may say nothing and still count as there. Its agent tells
// of itself at least as often as its inventory is looked at, at most every hour by
// configuration, and by default every few seconds when anything happens at all.
const silentAfter = 10 * time.Minute

// Hosts lists all that are or were enrolled, or of which the archive knows, by name.
func (b *Brain) Hosts(ctx context.Context, tenant string) ([]Host, error) {
	if b.workers[tenant] == nil {
		return nil, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	enrolled, err := b.auth.Enrolments(identity.Tenant(tenant))
	if err != nil {
		return nil, err
	}
	by := map[string]*Host{}
	for _, e := range enrolled {
		by[string(e.Host)] = &Host{Name: string(e.Host), Group: string(e.Group), Key: e.User, Enrolled: e.Enrolled, Revoked: e.Revoked}
	}
	for _, name := range b.store.Hosts(tenant) {
		if by[name] == nil && name != judgeHost {
			by[name] = &Host{Name: name}
		}
	}
	open, err := look(ctx, b, func(tx *ledger.Tx) (map[string]int, error) { return tx.OpenByHost(tenant) })
	if err != nil {
		return nil, err
	}
	if err := b.lastHeard(ctx, tenant, slices.Collect(maps.Keys(by))); err != nil {
		b.opt.Log.Warn("when hosts were heard last is not known", "tenant", tenant, "error", err)
	}
	refs, now := b.bundles.refs(tenant), time.Now()
	out := make([]Host, 0, len(by))
	for _, h := range by {
		h.Components, h.Lost, h.Last = b.hosts.about(tenant, h.Name)
		h.Incidents, h.Newest = open[h.Name], refs[identity.Group(h.Group)]
		for _, c := range h.Components {
			switch c.Name {
			case "host":
				h.About = c.Reason
			case "bundle":
				h.Bundle = c.Reason
			}
		}
		h.State = stateOf(h, now)
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Host gives one.
func (b *Brain) Host(ctx context.Context, tenant, name string) (Host, error) {
	list, err := b.Hosts(ctx, tenant)
	if err != nil {
		return Host{}, err
	}
	for _, h := range list {
		if h.Name == name {
			return h, nil
		}
	}
	return Host{}, fmt.Errorf("host %q: %w; `ringwall hosts` lists them", name, ErrNotFound)
}

// stateOf says how a host is in one word: revoked, silent (not heard of for long, or ever),
// degraded (it says so of a part), or on. What was switched off is no illness.
func stateOf(h *Host, now time.Time) string {
	switch {
	case !h.Revoked.IsZero():
		return "revoked"
	case now.Sub(h.Last) > silentAfter:
		return "silent"
	case slices.ContainsFunc(h.Components, func(c health.Component) bool { return c.State == health.Degraded.String() }):
		return "degraded"
	}
	return "on"
}

// lastHeard asks the archive for hosts that this life of the brain has not heard of.
func (b *Brain) lastHeard(ctx context.Context, tenant string, names []string) error {
	var unknown []string
	for _, n := range names {
		if _, _, last := b.hosts.about(tenant, n); last.IsZero() {
			unknown = append(unknown, quoted(n))
		}
	}
	if len(unknown) == 0 || b.opt.Hunter == nil {
		return nil
	}
	_, err := b.ask(ctx, tenant, "SELECT host, max(time_ns) FROM events WHERE host IN ("+strings.Join(unknown, ", ")+") GROUP BY host", func(row []any) error {
		b.hosts.heard(tenant, textOf(row[0]), wallOf(numberOf(row[1])))
		return nil
	})
	return err
}

// Revoke ends a host's right to the bus, and tells the audit chain who wanted it.
func (b *Brain) Revoke(ctx context.Context, tenant, host, who string) error {
	err := b.hub.Revoke(ctx, identity.Tenant(tenant), identity.Host(host), time.Now())
	if errors.Is(err, identity.ErrNotFound) {
		return fmt.Errorf("host %q: %w; it is not enrolled", host, ErrNotFound)
	}
	return errors.Join(err, b.audit(ctx, tenant, who, "revoke host", host, ""))
}

// Joins lists the join secrets that have not expired, without the secrets.
func (b *Brain) Joins(_ context.Context, tenant string) ([]identity.OpenJoin, error) {
	return b.auth.Joins(identity.Tenant(tenant), time.Now())
}

// DropJoin ends one before its time.
func (b *Brain) DropJoin(ctx context.Context, tenant, id, who string) error {
	j, err := b.auth.DropJoin(identity.Tenant(tenant), id, time.Now())
	if errors.Is(err, identity.ErrNoJoin) {
		return fmt.Errorf("join token %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return err
	}
	return b.audit(ctx, tenant, who, "end join token", id, fmt.Sprintf("group %s, made by %s", j.Group, cmp.Or(j.By, "unknown")))
}

// Joined puts into the audit chain that a host was let in.
func (b *Brain) Joined(ctx context.Context, tenant, host, group, join string) error {
	b.bundles.soon()
	return b.audit(ctx, tenant, "enrolment", "enrol host", host, fmt.Sprintf("group %s, by join token %s", group, join))
}

// audit appends one entry by itself.
func (b *Brain) audit(ctx context.Context, tenant, who, verb, object, detail string) error {
	return b.update(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Audit(tenant, ledger.Entry{At: time.Now(), Actor: who, Verb: verb, Object: object, Detail: detail})
		return err
	})
}
