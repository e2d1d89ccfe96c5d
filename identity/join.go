// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Secret is a one-time right to enrol one host: 128 random bits.
type Secret [16]byte

// JoinToken is what a person carries from the brain to a host: TOKEN@HOST:PORT. TOKEN
// is base64url of version, secret, pin of the brain's certificate and a checksum
// that tells a slip of the copying hand from a wrong secret.
type JoinToken struct {
	Secret  Secret
	Pin     Pin
	Address string // host:port of the enrolment door
}

const joinVersion = 1

func (j JoinToken) String() string {
	b := append([]byte{joinVersion}, j.Secret[:]...)
	b = append(b, j.Pin[:]...)
	sum := crc32.Checksum(b, castagnoli)
	b = append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	return base64.RawURLEncoding.EncodeToString(b) + "@" + j.Address
}

// ParseJoinToken reads TOKEN@HOST:PORT. Errors never show the secret.
func ParseJoinToken(s string) (JoinToken, error) {
	var j JoinToken
	text, address, found := strings.Cut(strings.TrimSpace(s), "@")
	if !found {
		return j, errors.New("join token: no '@'; want TOKEN@HOST:PORT as the brain printed it")
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return j, fmt.Errorf("join token: %.100q is not HOST:PORT", address)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 1+len(j.Secret)+len(j.Pin)+4 || b[0] != joinVersion {
		return j, errors.New("join token: damaged, cut short, or of another version; copy it whole")
	}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if c := crc32.Checksum(body, castagnoli); c != uint32(sum[0])<<24|uint32(sum[1])<<16|uint32(sum[2])<<8|uint32(sum[3]) {
		return j, errors.New("join token: a character is wrong; copy it whole")
	}
	copy(j.Secret[:], body[1:])
	copy(j.Pin[:], body[1+len(j.Secret):])
	j.Address = address
	return j, nil
}

// Join is what a secret entitles to.
type Join struct {
	Tenant  Tenant    `json:"tenant"`
	Group   Group     `json:"group"`
	Host    Host      `json:"host,omitempty"` // set: only this name, and it may replace an enrolled key
	Made    time.Time `json:"made,omitzero"`
	By      string    `json:"by,omitempty"` // who made it, as the audit chain names them
	Expires time.Time `json:"expires"`
	User    string    `json:"user,omitempty"` // the key that used it; only that key may ask again
	As      Host      `json:"as,omitempty"`   // and only under the name it took
}

// NewJoin opens a one-time secret that is good until now+life, for hosts that reach
// the brain at address (host:port). Only its hash is kept.
func (a *Authority) NewJoin(j Join, address string, life time.Duration, now time.Time) (JoinToken, error) {
	token := JoinToken{Pin: a.pin, Address: address}
	if _, err := a.tenantKey(j.Tenant); err != nil {
		return token, err
	}
	if _, err := ParseGroup(string(j.Group)); err != nil {
		return token, err
	}
	if j.Host != "" {
		if _, err := ParseHost(string(j.Host)); err != nil {
			return token, err
		}
	}
	if _, err := rand.Read(token.Secret[:]); err != nil {
		return token, err
	}
	j.Made, j.Expires, j.User, j.As = now.UTC(), now.Add(life).UTC(), "", ""
	a.mu.Lock()
	defer a.mu.Unlock()
	joins, err := a.readJoins(now)
	if err != nil {
		return token, err
	}
	joins[token.Secret.hash()] = j
	return token, a.writeJoins(joins)
}

// ID names the secret without giving it away: the beginning of its hash.
func (s Secret) ID() string { return joinID(s.hash()) }

func joinID(hash string) string { return hash[:min(len(hash), 16)] }

// OpenJoin is a join secret that has not expired, used or not.
type OpenJoin struct {
	ID string
	Join
}

// Joins lists a tenant's secrets that have not expired, those that end first before.
func (a *Authority) Joins(t Tenant, now time.Time) ([]OpenJoin, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	joins, err := a.readJoins(now)
	if err != nil {
		return nil, err
	}
	var out []OpenJoin
	for hash, j := range joins {
		if j.Tenant == t {
			out = append(out, OpenJoin{joinID(hash), j})
		}
	}
	slices.SortFunc(out, func(a, b OpenJoin) int { return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// DropJoin ends a secret before its time; ErrNoJoin where the tenant has none of that
// ID. A host that joined by it stays in: Revoke ends that.
func (a *Authority) DropJoin(t Tenant, id string, now time.Time) (Join, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	joins, err := a.readJoins(now)
	if err != nil {
		return Join{}, err
	}
	for hash, j := range joins {
		if j.Tenant == t && joinID(hash) == id {
			delete(joins, hash)
			return j, a.writeJoins(joins)
		}
	}
	return Join{}, fmt.Errorf("join secret %q of tenant %s: %w", id, t, ErrNoJoin)
}

func (s Secret) hash() string {
	sum := sha256.Sum256(s[:])
	return hex.EncodeToString(sum[:])
}

// readJoins reads the open secrets that have not expired.
func (a *Authority) readJoins(now time.Time) (map[string]Join, error) {
	joins := map[string]Join{}
	b, err := readPrivate(filepath.Join(a.dir, "joins.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return joins, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &joins)
	}
	if err != nil {
		return nil, fmt.Errorf("read open join secrets: %w", err)
	}
	for h, j := range joins {
		if !now.Before(j.Expires) {
			delete(joins, h)
		}
	}
	return joins, nil
}

func (a *Authority) writeJoins(joins map[string]Join) error {
	b, err := json.Marshal(joins)
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(a.dir, "joins.json"), b)
}

// useJoin spends a secret for one key. The same key may ask again until the secret
// expires, because the first answer may have been lost on its way.
func (a *Authority) useJoin(s Secret, h Host, public string, now time.Time) (Join, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	joins, err := a.readJoins(now)
	if err != nil {
		return Join{}, err
	}
	j, open := joins[s.hash()]
	if !open || j.User != "" && (j.User != public || j.As != h) || j.Host != "" && j.Host != h {
		return Join{}, ErrJoinSecret
	}
	j.User, j.As = public, h
	joins[s.hash()] = j
	return j, a.writeJoins(joins)
}

// freeJoin gives a secret back whose enrolment was refused for its name.
func (a *Authority) freeJoin(s Secret, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	joins, err := a.readJoins(now)
	if err != nil {
		return err
	}
	if j, open := joins[s.hash()]; open {
		j.User, j.As = "", ""
		joins[s.hash()] = j
	}
	return a.writeJoins(joins)
}
