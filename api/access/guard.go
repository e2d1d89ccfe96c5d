// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/ledger"
)

// DefaultTenant is where a log-in goes that names no tenant.
const DefaultTenant = "default"

// Config of the guard.
type Config struct {
	// Origins are the addresses that browsers know this server by, as scheme://host[:port];
	// one-time links begin with the first. Plain http is taken for loopback only, and
	// loopback on any port is ours without being listed.
	Origins []string
	// Proxies may tell the caller's address and scheme by X-Forwarded-For and -Proto.
	Proxies []netip.Prefix
	// Key, 32 bytes (KeyFile), seals what browsers keep for us and the TOTP secrets. Without
	// it open log-ins and all TOTP secrets are lost; recovery codes too.
	Key []byte

	Idle  time.Duration // a session ends unused after this; default 2 h
	Life  time.Duration // and in any case after this; default 12 h
	Proof time.Duration // how long a log-in proves enough to change one's own ways in; default 10 min

	Argon  Argon
	Limits Limits
	OIDC   []Provider

	Now    func() time.Time // default time.Now
	Client *http.Client     // towards OIDC providers; default one with a time-out of 10 s
}

func (c *Config) setDefaults() {
	c.Idle, c.Life, c.Proof = cmp.Or(c.Idle, 2*time.Hour), cmp.Or(c.Life, 12*time.Hour), cmp.Or(c.Proof, 10*time.Minute)
	c.Argon.setDefaults()
	c.Limits.setDefaults()
	for i := range c.OIDC {
		c.OIDC[i].setDefaults()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second}
	}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Key) != 32 {
		errs = append(errs, fmt.Errorf("access.key has %d bytes, want 32", len(c.Key)))
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		switch {
		case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
			errs = append(errs, fmt.Errorf("access.origins: %q: want https://HOST or https://HOST:PORT and nothing after it", o))
		case u.Scheme == "http" && !loopbackHost(u.Host):
			errs = append(errs, fmt.Errorf("access.origins: %q: plain http would show passwords to the network; use https", o))
		}
	}
	names := map[string]bool{}
	for i := range c.OIDC {
		if err := c.OIDC[i].validate(); err != nil {
			errs = append(errs, fmt.Errorf("access.oidc %q: %w", c.OIDC[i].Name, err))
		}
		if names[c.OIDC[i].Name] {
			errs = append(errs, fmt.Errorf("access.oidc: %q stands there twice", c.OIDC[i].Name))
		}
		names[c.OIDC[i].Name] = true
	}
	return errors.Join(append(errs, c.Argon.validate())...)
}

// Guard is the door keeper. Safe for many goroutines.
type Guard struct {
	ledger    *ledger.Ledger
	cfg       Config
	origins   map[string]bool
	box       box
	hash      *hasher
	limits    *limits
	providers map[string]*provider

	mu      sync.Mutex           // guards what follows
	seen    map[seenKey]*seen    // last uses, not all of them written down yet
	spent   map[string]time.Time // sealed steps that may not be used again, until they expire
	refused map[refusedKey]*refusal
	trouble error // of the last flush
}

// New builds a guard over the ledger.
func New(l *ledger.Ledger, cfg Config) (*Guard, error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Guard{
		ledger: l, cfg: cfg, origins: map[string]bool{}, box: newBox(cfg.Key), hash: newHasher(cfg.Argon), limits: newLimits(cfg.Limits), providers: map[string]*provider{},
		seen: map[seenKey]*seen{}, spent: map[string]time.Time{}, refused: map[refusedKey]*refusal{},
	}
	for _, o := range cfg.Origins {
		g.origins[plainOrigin(o)] = true
	}
	for _, p := range cfg.OIDC {
		g.providers[p.Name] = &provider{Provider: p, client: limited(cfg.Client)}
	}
	return g, nil
}

func (g *Guard) now() time.Time { return g.cfg.Now().UTC() }

// Run writes down last uses and refused log-ins, and forgets what has long ended, until
// ctx ends. What the ledger does not take stays for the next time; Healthy tells. Without
// Run sessions end Idle after their log-in when the process is started anew.
func (g *Guard) Run(ctx context.Context) error {
	flush, forget := time.NewTicker(15*time.Second), time.NewTicker(time.Hour)
	defer flush.Stop()
	defer forget.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return g.flush(last)
		case <-flush.C:
			err = g.flush(ctx)
		case <-forget.C:
			err = g.ledger.Update(ctx, func(tx *ledger.Tx) error { return tx.ForgetAccess(g.now().Add(-24 * time.Hour)) })
		}
		g.mu.Lock()
		g.trouble = err
		g.mu.Unlock()
	}
}

// Healthy gives what Run could not write down the last time.
func (g *Guard) Healthy() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble
}

type seenKey struct{ via, tenant, id string }

type seen struct {
	at      time.Time
	written time.Time
}

// touch notes a use.
func (g *Guard) touch(k seenKey, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.seen[k]; s != nil {
		s.at = now
		return
	}
	g.seen[k] = &seen{at: now}
}

func (g *Guard) lastSeen(k seenKey) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.seen[k]; s != nil {
		return s.at
	}
	return time.Time{}
}

type refusedKey struct{ tenant, name string }

type refusal struct {
	times   int
	address netip.Addr
}

// refuse counts a failed log-in for the audit chain. It is written later and in one
// entry, so that guessing neither fills the chain nor tells by its pace who exists. A
// name that nobody has is not kept: people type passwords there.
func (g *Guard) refuse(tenant, name string, known bool, from netip.Addr) {
	k := refusedKey{tenant, name}
	if !known {
		k = refusedKey{DefaultTenant, "(nobody)"}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.refused[k]
	if r == nil {
		r = &refusal{}
		g.refused[k] = r
	}
	r.times, r.address = r.times+1, from
}

// flush writes what touch and refuse noted. What could not be written stays for the next time.
func (g *Guard) flush(ctx context.Context) error {
	now := g.now()
	g.mu.Lock()
	uses := map[seenKey]time.Time{}
	for k, s := range g.seen {
		if s.at.Sub(s.written) >= time.Minute {
			uses[k], s.written = s.at, s.at
		}
		if now.Sub(s.at) > g.cfg.Idle {
			delete(g.seen, k)
		}
	}
	refused := g.refused
	g.refused = map[refusedKey]*refusal{}
	g.mu.Unlock()
	g.limits.forget(now)
	if len(uses) == 0 && len(refused) == 0 {
		return nil
	}
	err := g.ledger.Update(ctx, func(tx *ledger.Tx) error {
		for k, at := range uses {
			write := tx.TouchSession
			if k.via == ViaToken {
				write = tx.UseToken
			}
			if err := write(k.tenant, k.id, at); err != nil {
				return err
			}
		}
		for k, r := range refused {
			detail := fmt.Sprintf("%d times, last from %s", r.times, r.address)
			if _, err := tx.Audit(k.tenant, ledger.Entry{At: now, Actor: "access", Verb: "log-in refused", Object: k.name, Detail: detail}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.mu.Lock()
		for k, r := range refused {
			if have := g.refused[k]; have != nil {
				have.times += r.times
			} else {
				g.refused[k] = r
			}
		}
		for k := range uses {
			if s := g.seen[k]; s != nil {
				s.written = time.Time{}
			}
		}
		g.mu.Unlock()
		return fmt.Errorf("write down uses and refused log-ins: %w", err)
	}
	return nil
}

// audit appends an entry for what p did.
func audit(tx *ledger.Tx, tenant, actor, verb, object, detail string, now time.Time) error {
	_, err := tx.Audit(tenant, ledger.Entry{At: now, Actor: actor, Verb: verb, Object: object, Detail: detail})
	return err
}

// missing turns the ledger's "not there" into the door's.
func missing(err error) error {
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrSpent) {
		return ErrNotFound
	}
	return err
}

func plainOrigin(o string) string {
	o = strings.ToLower(o)
	if strings.HasPrefix(o, "https://") {
		return strings.TrimSuffix(o, ":443")
	}
	return strings.TrimSuffix(o, ":80")
}
