// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/ed25519"
	"fmt"
	"time"
)

// skew is how far the signer's clock may be ahead of ours: NTP keeps hosts within a
// second; a minute forgives a host that has just booted.
const skew = time.Minute

// Verifier decides for one host which envelopes to believe. Safe for many
// goroutines as long as its fields are not changed.
type Verifier struct {
	Tenant Tenant
	Host   Host
	Group  Group
	Keys   Keyring
	// Nonces remembers orders. A Verifier without one refuses every order; bundles need
	// none, because their version only rises.
	Nonces *Nonces
}

// Verify reads an envelope of the wanted kind and returns it if it is signed by a key
// of the ring, meant for this host, valid at now and, for orders, not seen before.
// The returned error wraps exactly one of the Err values of this package, or tells
// that the nonce could not be kept, in which case the order must not be carried out.
func (v *Verifier) Verify(kind Kind, raw []byte, now time.Time) (Signed, error) {
	s, err := v.check(kind, raw, now)
	if err != nil {
		return Signed{}, fmt.Errorf("refuse %s: %w", kind, err)
	}
	return s, nil
}

func (v *Verifier) check(kind Kind, raw []byte, now time.Time) (Signed, error) {
	s, signed, signature, err := decodeSigned(raw)
	if err != nil {
		return s, err
	}
	key, known := v.Keys[s.Key]
	if !known {
		return s, fmt.Errorf("%w %.20q", ErrUnknownKey, s.Key)
	}
	message := append([]byte(signDomain), signed...)
	if !ed25519.Verify(key[:], message, signature) {
		return s, fmt.Errorf("%w (key %s)", ErrSignature, s.Key)
	}
	if s.Kind != kind {
		return s, fmt.Errorf("%w: %s", ErrWrongKind, s.Kind)
	}
	mine := s.Target.Tenant == v.Tenant && (s.Target.Host != "" && s.Target.Host == v.Host || s.Target.Group != "" && s.Target.Group == v.Group)
	if !mine {
		return s, fmt.Errorf("%w: %s, and this is %s/%s of group %s", ErrWrongTarget, s.Target, v.Tenant, v.Host, v.Group)
	}
	if !now.Before(s.Expires) {
		return s, fmt.Errorf("%w at %s", ErrExpired, s.Expires.UTC().Format(time.RFC3339))
	}
	if s.Issued.After(now.Add(skew)) {
		return s, fmt.Errorf("%w, at %s; check this host's clock", ErrNotYet, s.Issued.UTC().Format(time.RFC3339))
	}
	if kind == KindOrder {
		return s, v.Nonces.use(s.Nonce, s.Expires)
	}
	return s, nil
}
