// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// KeyID names a signing key: the first 8 bytes of the SHA-256 of its public half, in
// hex. It chooses a key; it proves nothing.
type KeyID string

// PublicKey is the half that agents hold. Its text form is unpadded base64url.
type PublicKey [ed25519.PublicKeySize]byte

// ID is the key's name.
func (p PublicKey) ID() KeyID {
	sum := sha256.Sum256(p[:])
	return KeyID(hex.EncodeToString(sum[:8]))
}

// MarshalText makes the text form.
func (p PublicKey) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, p[:]), nil
}

// UnmarshalText reads the text form.
func (p *PublicKey) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(p) {
		return fmt.Errorf("%.60q is not a signing key: want %d bytes in base64url", text, len(p))
	}
	copy(p[:], b)
	return nil
}

// SigningKey signs orders and bundles. Safe for many goroutines.
type SigningKey struct {
	private ed25519.PrivateKey
	public  PublicKey
}

// NewSigningKey makes a key from the system's randomness.
func NewSigningKey() (*SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return signingKey(private), nil
}

func signingKey(private ed25519.PrivateKey) *SigningKey {
	k := &SigningKey{private: private}
	copy(k.public[:], private.Public().(ed25519.PublicKey))
	return k
}

// OpenSigningKey reads the key dir/name (0600, in a folder 0700), or makes it.
func OpenSigningKey(dir, name string) (*SigningKey, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	text, err := loadOrMake(path, func() ([]byte, error) {
		k, err := NewSigningKey()
		if err != nil {
			return nil, err
		}
		return base64.RawURLEncoding.AppendEncode(nil, k.private.Seed()), nil
	})
	if err != nil {
		return nil, err
	}
	seed, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("read signing key %s: not %d bytes in base64url; restore it from a backup", path, ed25519.SeedSize)
	}
	return signingKey(ed25519.NewKeyFromSeed(seed)), nil
}

// Public is the half to hand to agents.
func (k *SigningKey) Public() PublicKey { return k.public }

// Keyring is the set of keys that an agent believes. It does not change once made;
// a rotation is a new ring that holds the old and the new key for a while.
type Keyring map[KeyID]PublicKey

// NewKeyring makes a ring of keys.
func NewKeyring(keys ...PublicKey) Keyring {
	ring := make(Keyring, len(keys))
	for _, k := range keys {
		ring[k.ID()] = k
	}
	return ring
}
