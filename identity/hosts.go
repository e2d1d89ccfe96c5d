// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Enrolment is one host that may use the bus.
type Enrolment struct {
	Tenant   Tenant    `json:"tenant"`
	Host     Host      `json:"host"`
	Group    Group     `json:"group"`
	User     string    `json:"user"` // public nkey; the private half never leaves the host
	Enrolled time.Time `json:"enrolled"`
	Revoked  time.Time `json:"revoked,omitzero"`
}

func (a *Authority) hostFile(t Tenant, h Host) string {
	return filepath.Join(a.dir, "hosts", string(t), string(h)+".json")
}

// Enrolment tells who is enrolled under a name; ErrNotFound where nobody is.
func (a *Authority) Enrolment(t Tenant, h Host) (Enrolment, error) {
	var e Enrolment
	b, err := readPrivate(a.hostFile(t, h))
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("host %s/%s: %w", t, h, ErrNotFound)
	}
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("read enrolment of %s/%s: %w", t, h, err)
	}
	return e, nil
}

// Enrolments lists the hosts of a tenant, the revoked ones too, in order of name.
func (a *Authority) Enrolments(t Tenant) ([]Enrolment, error) {
	entries, err := os.ReadDir(filepath.Join(a.dir, "hosts", string(t)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list hosts of %s: %w", t, err)
	}
	var list []Enrolment
	for _, f := range entries {
		name, is := strings.CutSuffix(f.Name(), ".json")
		if !is {
			continue
		}
		e, err := a.Enrolment(t, Host(name))
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Enrol signs a host's public nkey and returns its token. A name that is enrolled and
// not revoked is given again only to the same key, or if replace says that the name
// was meant; then the older key is revoked, and the tenant's account must be pushed.
func (a *Authority) Enrol(t Tenant, h Host, g Group, public string, replace bool, now time.Time) (token string, err error) {
	if err := (Target{Tenant: t, Host: h}).validate(); err != nil {
		return "", err
	}
	if _, err := ParseGroup(string(g)); err != nil {
		return "", err
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return "", fmt.Errorf("enrol %s/%s: %.60q is not a public user key", t, h, public)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old, err := a.Enrolment(t, h)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err == nil && old.Revoked.IsZero() && old.User != public {
		if !replace {
			return "", fmt.Errorf("enrol %s/%s: %w; revoke it, or make a join token for this very host", t, h, ErrEnrolled)
		}
		if err := a.revokeKey(t, old.User, now); err != nil {
			return "", err
		}
	}
	key, err := a.tenantKey(t)
	if err != nil {
		return "", err
	}
	if token, err = userToken(key, public, string(h), agentPermissions(t, h, g), time.Time{}); err != nil {
		return "", err
	}
	return token, a.writeEnrolment(Enrolment{Tenant: t, Host: h, Group: g, User: public, Enrolled: now.UTC()})
}

func (a *Authority) tenantKey(t Tenant) (nkeys.KeyPair, error) {
	seed, err := readPrivate(a.tenantFile(t, "nk"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tenant %s: %w; make it first", t, ErrNoTenant)
	}
	if err != nil {
		return nil, err
	}
	return nkeys.FromSeed(seed)
}

func (a *Authority) writeEnrolment(e Enrolment) error {
	path := a.hostFile(e.Tenant, e.Host)
	if err := privateDir(filepath.Dir(path)); err != nil {
		return err
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return writePrivate(path, b)
}

// Revoke ends a host's right to the bus: its key goes on the tenant's list of the
// revoked. The broker cuts the host off when AccountJWT is pushed.
func (a *Authority) Revoke(t Tenant, h Host, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.Enrolment(t, h)
	if err != nil {
		return err
	}
	if err := a.revokeKey(t, e.User, now); err != nil {
		return err
	}
	e.Revoked = now.UTC()
	return a.writeEnrolment(e)
}

// revokeKey adds a user key to the tenant's account and signs it anew. A revoked key
// stays revoked: a host that comes back makes a new one.
func (a *Authority) revokeKey(t Tenant, public string, now time.Time) error {
	token, err := a.AccountJWT(t)
	if err != nil {
		return err
	}
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return fmt.Errorf("read account of tenant %s: %w", t, err)
	}
	// JWTs carry whole seconds: one issued in this very second must fall too.
	claims.RevokeAt(public, now.Add(time.Second))
	return a.signAccount(t, claims)
}
