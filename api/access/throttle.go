// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are how often what may be tried: a burst, then one each so often.
type Limits struct {
	Address   Limit // log-in steps from one address (of IPv6, one /64); default 30, then one each 3 s
	Account   Limit // wrong proofs for one account; default 10, then one each 3 min
	Principal Limit // requests of one session or token; default 600, then 300/s
}

// Limit is a token bucket.
type Limit struct {
	Burst int
	Each  time.Duration
}

func (l *Limits) setDefaults() {
	set := func(l *Limit, burst int, each time.Duration) {
		l.Burst, l.Each = cmp.Or(l.Burst, burst), cmp.Or(l.Each, each)
	}
	set(&l.Address, 30, 3*time.Second)
	set(&l.Account, 10, 3*time.Minute)
	set(&l.Principal, 600, time.Second/300)
}

func (l Limit) bucket() *rate.Limiter { return rate.NewLimiter(rate.Every(l.Each), l.Burst) }

// sieve is a fixed number of buckets; keys fall into them by a hash that a stranger does
// not know. So it never grows, and nobody's bucket can be flushed out by naming others.
type sieve struct {
	seed    maphash.Seed
	buckets []*rate.Limiter
}

func newSieve(n int, l Limit) *sieve {
	s := &sieve{seed: maphash.MakeSeed(), buckets: make([]*rate.Limiter, n)}
	for i := range s.buckets {
		s.buckets[i] = l.bucket()
	}
	return s
}

func (s *sieve) at(key string) *rate.Limiter {
	return s.buckets[maphash.String(s.seed, key)%uint64(len(s.buckets))]
}

// take uses one of a bucket; the function given back returns it.
func take(l *rate.Limiter, now time.Time) (giveBack func(), err error) {
	r := l.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return nil, &Throttled{RetryAfter: wait}
	}
	return func() { r.CancelAt(now) }, nil
}

type limits struct {
	address, account, device *sieve
	cfg                      Limits

	mu         sync.Mutex // guards principals
	principals map[string]*heard
}

type heard struct {
	bucket *rate.Limiter
	last   time.Time
}

func newLimits(cfg Limits) *limits {
	// 8192 buckets of 88 bytes: two of a hundred accounts share one in about half of all
	// installations, and sharing costs only those under attack.
	const n = 8192
	return &limits{address: newSieve(n, cfg.Address), account: newSieve(n, cfg.Account), device: newSieve(n, cfg.Account), cfg: cfg, principals: map[string]*heard{}}
}

// fromAddress lets one log-in step of an address through.
func (l *limits) fromAddress(a netip.Addr, now time.Time) (giveBack func(), err error) {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return take(l.address.at(p.String()), now)
}

// attempt is one try to prove who somebody is.
type attempt struct{ address, account func() }

// right gives back what a try cost, when it was right.
func (a attempt) right() { a.address(); a.account() }

// try lets one proof for an account through, or says how long to wait. Wrong proofs of a
// stranger slow the account down, but not for a browser that its user has signed in
// with before (device, from its own cookie): nobody can lock another out of there, nor
// out of passkeys, single sign-on and the host's own recovery, which do not ask here.
func (l *limits) try(a netip.Addr, tenant, name, device string, now time.Time) (attempt, error) {
	address, err := l.fromAddress(a, now)
	if err != nil {
		return attempt{}, err
	}
	bucket := l.account.at(tenant + "\x00" + name)
	if device != "" {
		bucket = l.device.at(device)
	}
	account, err := take(bucket, now)
	if err != nil {
		address()
		return attempt{}, err
	}
	return attempt{address, account}, nil
}

// request lets one request of a principal through.
func (l *limits) request(id string, now time.Time) error {
	l.mu.Lock()
	h := l.principals[id]
	if h == nil {
		h = &heard{bucket: l.cfg.Principal.bucket()}
		l.principals[id] = h
	}
	h.last = now
	l.mu.Unlock()
	_, err := take(h.bucket, now)
	return err
}

// forget drops the buckets that are full again anyway.
func (l *limits) forget(now time.Time) {
	full := time.Duration(l.cfg.Principal.Burst) * l.cfg.Principal.Each
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, h := range l.principals {
		if now.Sub(h.last) > full {
			delete(l.principals, id)
		}
	}
}
