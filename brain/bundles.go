// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
)

const (
	bundleName = "bundles" // on the health board; an agent's own is "bundle"
	// bundleLife is how long a bundle may be taken: so long a hostile broker can give a host
	// that has none an old one. At half of it the same content is signed anew.
	bundleLife = 30 * 24 * time.Hour
	// bundleRetry is how soon what failed is tried again.
	bundleRetry = 10 * time.Second
)

// crew is the hosts that share a bundle.
type crew struct {
	tenant identity.Tenant
	group  identity.Group
}

// bundles makes, keeps and publishes what agents work from. Safe for many goroutines.
type bundles struct {
	mu     sync.Mutex // one version is made at a time; guards what follows
	from   *material
	made   map[crew]*made
	wanted map[crew]bool // of tokens that are not used yet

	kick  chan struct{}
	hosts sync.Map // "tenant/host" to groupAt
}

// made is the newest bundle of a crew.
type made struct {
	ref       string
	version   uint64
	published bool
}

func newBundles() *bundles {
	return &bundles{made: map[crew]*made{}, wanted: map[crew]bool{}, kick: make(chan struct{}, 1)}
}

// want asks for a bundle before the first host of a group is there.
func (s *bundles) want(c crew) {
	s.mu.Lock()
	s.wanted[c] = true
	s.mu.Unlock()
	s.soon()
}

// soon asks for a look at once.
func (s *bundles) soon() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// bundleFile is where the newest bundle of a crew lies, beside the broker's copy.
func (b *Brain) bundleFile(c crew) string {
	return filepath.Join(b.opt.Data, "bundles", string(c.tenant), string(c.group)+".rwb")
}

// crews lists who needs a bundle: groups of enrolled hosts, those of tokens, named ones,
// and the default.
func (b *Brain) crews(cfg *Config) (out []crew, err error) {
	for _, t := range cfg.Tenants {
		tenant := identity.Tenant(t)
		groups := map[identity.Group]bool{identity.DefaultGroup: true}
		for g := range cfg.Bundles.Groups {
			groups[identity.Group(g)] = true
		}
		for c := range b.bundles.wanted {
			groups[c.group] = groups[c.group] || c.tenant == tenant
		}
		hosts, err := b.auth.Enrolments(tenant)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			groups[h.Group] = groups[h.Group] || h.Revoked.IsZero()
		}
		for g, wanted := range groups {
			if wanted {
				out = append(out, crew{tenant, g})
			}
		}
	}
	slices.SortFunc(out, func(a, c crew) int {
		return strings.Compare(string(a.tenant)+"/"+string(a.group), string(c.tenant)+"/"+string(c.group))
	})
	return out, nil
}

// makeBundles gives every crew a bundle of what is configured now; nil: what was. A version
// is on disk and in the ledger before anyone hears of it.
func (b *Brain) makeBundles(ctx context.Context, from *material) error {
	s := b.bundles
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != nil {
		s.from = from
	}
	crews, err := b.crews(&s.from.cfg)
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(crews))
	var notes []string
	for _, c := range crews {
		left, err := b.makeBundle(ctx, c, time.Now())
		if err != nil {
			delete(s.made, c) // what is judged by now is in no bundle: findings name none
		}
		notes = append(notes, left...)
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	switch {
	case err != nil:
		b.opt.Board.Set(bundleName, health.Degraded, err.Error()+"; agents work from what they have, and it is tried again")
	case len(notes) > 0:
		b.opt.Board.Set(bundleName, health.Degraded, strings.Join(slices.Compact(slices.Sorted(slices.Values(notes))), "; "))
	default:
		b.opt.Board.Set(bundleName, health.On, fmt.Sprintf("%d groups", len(crews)))
	}
	return err
}

// makeBundle makes a new version for a crew where there is something new to say.
func (b *Brain) makeBundle(ctx context.Context, c crew, now time.Time) (notes []string, err error) {
	fail := func(err error) ([]string, error) {
		return notes, fmt.Errorf("bundle of %s/%s: %w", c.tenant, c.group, err)
	}
	secret, err := b.Secret(string(c.tenant))
	if err != nil {
		return fail(err)
	}
	from := b.bundles.from
	files, notes, err := from.files(string(c.tenant), string(c.group), event.NewRedactor(secret).KeyID())
	if err != nil {
		return fail(err)
	}
	minAgent := from.cfg.Bundles.of(string(c.group)).MinAgent
	content := bundle.ContentOf(minAgent, files)
	old, err := b.ownBundle(c)
	if err != nil {
		return fail(err)
	}
	if old != nil && old.Content() == content && now.Sub(old.Created) < bundleLife/2 && old.Created.Sub(now) < bundleLife/2 {
		if b.bundles.made[c] == nil { // of an earlier life, perhaps killed before the ledger had it
			if err := b.noteBundle(ctx, c, old); err != nil {
				return fail(err)
			}
			b.bundles.made[c] = &made{ref: old.Ref(), version: old.Version}
		}
		return notes, nil
	}
	version, err := b.nextVersion(ctx, c, old)
	if err != nil {
		return fail(err)
	}
	note := "what is configured changed"
	switch {
	case old == nil:
		note = "the first on record"
	case old.Content() == content:
		note = "signed anew before it ends"
	}
	m := bundle.Manifest{Tenant: c.tenant, Group: c.group, Version: version, MinAgent: minAgent, Created: now, Note: note}
	raw, err := bundle.Build(m, files, b.auth.Signer(), bundleLife)
	if err != nil {
		return fail(err)
	}
	next, err := bundle.Open(raw, b.verifierOf(c), now)
	if err != nil {
		return fail(err)
	}
	path := b.bundleFile(c)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	if err := bundle.WriteFile(path, raw); err != nil {
		return fail(err)
	}
	if err := b.noteBundle(ctx, c, next); err != nil {
		return fail(err)
	}
	b.bundles.made[c] = &made{ref: next.Ref(), version: version}
	return notes, nil
}

func (b *Brain) verifierOf(c crew) *identity.Verifier {
	return &identity.Verifier{Tenant: c.tenant, Group: c.group, Keys: b.auth.Keys()}
}

// ownBundle reads the bundle that this brain made last; nil where there is none that it
// signed.
func (b *Brain) ownBundle(c crew) (*bundle.Bundle, error) {
	raw, err := bundle.ReadFile(b.bundleFile(c))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	old, _, err := bundle.Inspect(raw)
	if err != nil {
		return nil, nil // damaged: the ledger knows its version
	}
	if old, err = bundle.Open(raw, b.verifierOf(c), old.Created); err != nil {
		return nil, nil
	}
	return old, nil
}

// nextVersion is above all that were ever given out, as far as ledger, disk and broker
// know: a ledger restored from a copy must not make agents refuse what follows. The
// broker's word counts only as far as this brain signed it.
func (b *Brain) nextVersion(ctx context.Context, c crew, old *bundle.Bundle) (uint64, error) {
	var last uint64
	err := b.ledger.View(ctx, func(tx *ledger.Tx) error {
		list, err := tx.Bundles(string(c.tenant), string(c.group), 1)
		if len(list) > 0 {
			last = list[0].Version
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if old != nil {
		last = max(last, old.Version)
	}
	version, err := b.hub.BundleVersion(ctx, c.tenant, c.group)
	if err != nil && old == nil {
		return 0, err // the broker alone may know: a version too low would be refused for good
	}
	if err == nil && version > last {
		raw, err := b.hub.Bundle(ctx, c.tenant, c.group)
		if err != nil {
			return 0, err
		}
		if seen, _, err := bundle.Inspect(raw); err == nil {
			if seen, err = bundle.Open(raw, b.verifierOf(c), seen.Created); err == nil {
				last = max(last, seen.Version)
			}
		}
	}
	return last + 1, nil
}

// noteBundle puts a version into the ledger, once.
func (b *Brain) noteBundle(ctx context.Context, c crew, x *bundle.Bundle) error {
	err := b.ledger.Update(ctx, func(tx *ledger.Tx) error {
		err := tx.AddBundle(string(c.tenant), ledger.Bundle{Group: string(c.group), Version: x.Version, ID: x.ID, Content: x.Content(), Note: x.Note, Created: x.Created})
		if err != nil {
			return err
		}
		_, err = tx.Audit(string(c.tenant), ledger.Entry{At: x.Created, Actor: "brain", Verb: "bundle", Object: x.Ref(), Detail: x.Note})
		return err
	})
	if errors.Is(err, ledger.ErrExists) {
		return nil
	}
	return err
}

// publishBundles hands the broker what it does not hold: it keeps the last one of each
// group for hosts that come later.
func (b *Brain) publishBundles(ctx context.Context) error {
	s := b.bundles
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for c, m := range s.made {
		if m.published {
			continue
		}
		raw, err := bundle.ReadFile(b.bundleFile(c))
		if err == nil {
			err = b.hub.PublishBundle(ctx, c.tenant, c.group, m.version, raw)
		}
		m.published = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// heldBundles looks whether the broker still holds what it was given.
func (b *Brain) heldBundles(ctx context.Context) {
	s := b.bundles
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, m := range s.made {
		if version, err := b.hub.BundleVersion(ctx, c.tenant, c.group); err == nil && version != m.version {
			m.published = false
		}
	}
}

// refs are the newest bundles of a tenant's groups.
func (s *bundles) refs(tenant string) map[identity.Group]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[identity.Group]string{}
	for c, m := range s.made {
		if string(c.tenant) == tenant {
			out[c.group] = m.ref
		}
	}
	return out
}

// tendBundles looks after all crews until ctx ends: at once when a group is new, again soon
// when something failed, and every so often for lists that changed and bundles that end.
func (b *Brain) tendBundles(ctx context.Context) {
	err := b.publishBundles(ctx)
	for {
		b.mu.Lock()
		wait := b.cfg.Intel.Reload
		b.mu.Unlock()
		if wait == 0 {
			wait = 5 * time.Minute // as the lists themselves
		}
		if err != nil {
			wait = bundleRetry
			if ctx.Err() == nil {
				b.opt.Log.Warn("bundles", "error", err)
				b.opt.Board.Set(bundleName, health.Degraded, err.Error()+"; agents work from what they have, and it is tried again")
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-b.bundles.kick:
		case <-timer.C:
			b.heldBundles(ctx)
		}
		timer.Stop()
		err = b.makeBundles(ctx, nil)
		for t, w := range b.workers {
			refs := b.bundles.refs(t)
			_ = w.do(ctx, func() { w.refs = refs }) // fails when we end
		}
		err = errors.Join(err, b.publishBundles(ctx))
	}
}

// groupAt is a host's group as it was read at a moment.
type groupAt struct {
	group identity.Group
	at    time.Time
}

// groupOf is the group of a host, at most a minute old.
func (b *Brain) groupOf(tenant, host string) identity.Group {
	key := tenant + "/" + host
	if g, ok := b.bundles.hosts.Load(key); ok && time.Since(g.(groupAt).at) < time.Minute {
		return g.(groupAt).group
	}
	group := identity.DefaultGroup
	if e, err := b.auth.Enrolment(identity.Tenant(tenant), identity.Host(host)); err == nil {
		group = e.Group
		b.bundles.hosts.Store(key, groupAt{group, time.Now()})
	}
	return group
}

// Bundle is the newest bundle of a group, for a host that no bus reaches.
func (b *Brain) Bundle(_ context.Context, tenant, group string) ([]byte, error) {
	t, err := identity.ParseTenant(tenant)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	g, err := identity.ParseGroup(group)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	raw, err := bundle.ReadFile(b.bundleFile(crew{t, g}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("group %q of tenant %q: %w; it has no hosts and no section in brain.bundle.groups", group, tenant, ErrNotFound)
	}
	return raw, err
}
