// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeyFile reads Config.Key from a file, or makes it (0600) when there is none.
func KeyFile(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("make access key: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("make access key: %w", err)
		}
		key = random(32)
		_, err = f.Write(key)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			os.Remove(path)
			return nil, fmt.Errorf("make access key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read access key: %w", err)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("access key %s has %d bytes, want 32; restore it from a copy, or move it away: then all TOTP secrets and recovery codes are lost", path, len(key))
	}
	return key, nil
}

// box seals what others keep for us: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose
// 24-byte nonces may be random however many a stranger makes us draw.
type box struct {
	aead cipher.AEAD
	mac  []byte
}

func newBox(key []byte) box {
	derive := func(label string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(label))
		return h.Sum(nil)
	}
	aead, err := chacha20poly1305.NewX(derive("ringwall seal"))
	if err != nil {
		panic(err) // only for a key of another length
	}
	return box{aead, derive("ringwall mac")}
}

// maxSealed bounds what a cookie may carry; browsers keep 4 KiB.
const maxSealed = 4096

type sealed struct {
	ID      string          `json:"i"`
	Expires int64           `json:"e"` // unix seconds, 0 never
	Value   json.RawMessage `json:"v"`
}

var errSeal = errors.New("not sealed here, for another purpose, or expired")

// seal closes v for a purpose; a life of 0 does not end.
func (b box) seal(purpose string, v any, now time.Time, life time.Duration) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	s := sealed{ID: newID("x"), Value: raw}
	if life > 0 {
		s.Expires = now.Add(life).Unix()
	}
	if raw, err = json.Marshal(s); err != nil {
		return "", err
	}
	nonce := random(b.aead.NonceSize())
	return base64.RawURLEncoding.EncodeToString(b.aead.Seal(nonce, nonce, raw, []byte(purpose))), nil
}

// open reads what seal closed for the same purpose, into v.
func (b box) open(purpose, text string, now time.Time, v any) (sealed, error) {
	var s sealed
	if len(text) > maxSealed {
		return s, errSeal
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < b.aead.NonceSize() {
		return s, errSeal
	}
	plain, err := b.aead.Open(nil, raw[:b.aead.NonceSize()], raw[b.aead.NonceSize():], []byte(purpose))
	if err != nil || json.Unmarshal(plain, &s) != nil || (s.Expires != 0 && now.Unix() >= s.Expires) || json.Unmarshal(s.Value, v) != nil {
		return s, errSeal
	}
	return s, nil
}

// sum is a keyed hash, for what is too short for a plain one.
func (b box) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, b.mac)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}

// spend lets a sealed step be used once. Only steps that succeeded come here, so a
// stranger cannot fill it.
func (g *Guard) spend(s sealed) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if len(g.spent) > 1024 {
		for id, end := range g.spent {
			if now.After(end) {
				delete(g.spent, id)
			}
		}
	}
	if _, used := g.spent[s.ID]; used {
		return because(ErrUnauthenticated, "this step was done already; begin again")
	}
	g.spent[s.ID] = time.Unix(s.Expires, 0)
	return nil
}

// random gives n bytes nobody can guess.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return b
}

// newSecret is 256 bits as text.
func newSecret() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

// newID names a thing; it opens nothing.
func newID(kind string) string { return kind + "-" + base64.RawURLEncoding.EncodeToString(random(12)) }
