// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Host is one agent that may join the bus.
type Host struct {
	Name     string    `json:"host"`
	Group    string    `json:"group"`
	Key      string    `json:"key"` // public; the private half never leaves the host
	Enrolled time.Time `json:"enrolled"`
	Revoked  time.Time `json:"revoked,omitzero"`
}

// digest is how secrets and tokens are kept: they are long and random, so a plain
// hash is enough and lets one be looked up.
func digest(secret []byte) []byte {
	h := sha256.Sum256(secret)
	return h[:]
}

// AddJoinSecret lets one host enrol once until expires. host "" lets it choose its name.
func (t *Tx) AddJoinSecret(tenant, host, group string, secret []byte, expires time.Time) error {
	if len(secret) < 16 || tenant == "" {
		return errors.New("add join secret: want a tenant and at least 16 random bytes")
	}
	_, err := t.exec("INSERT INTO join_secrets (hash, tenant, host, agent_group, expires_ns, used_ns, used_by) VALUES (?, ?, ?, ?, ?, 0, '')", digest(secret), tenant, host, group, ns(expires))
	if err != nil {
		return fmt.Errorf("add join secret: %w", err)
	}
	return nil
}

// Enrol spends a join secret and enrols the host with its public key, both or neither.
// ErrSpent when the secret is unknown, used, expired or for another host; ErrExists
// when the name is taken and the secret was not made for it.
func (t *Tx) Enrol(secret []byte, host, key string, now time.Time) (tenant, group string, err error) {
	var bound string
	err = t.row("SELECT tenant, host, agent_group FROM join_secrets WHERE hash = ? AND used_ns = 0 AND expires_ns > ?", []any{digest(secret), ns(now)}, &tenant, &bound, &group)
	if errors.Is(err, ErrNotFound) || (err == nil && bound != "" && bound != host) {
		return "", "", fmt.Errorf("enrol host %q: %w", host, ErrSpent)
	}
	if err == nil {
		_, err = t.exec("UPDATE join_secrets SET used_ns = ?, used_by = ? WHERE hash = ?", ns(now), host, digest(secret))
	}
	if err == nil {
		err = t.putHost(tenant, Host{Name: host, Group: group, Key: key, Enrolled: now}, bound != "")
	}
	if err != nil {
		return "", "", fmt.Errorf("enrol host %q: %w", host, err)
	}
	return tenant, group, nil
}

// EnrolLocal enrols the host of the brain itself, without a secret; an older key of that
// name is replaced.
func (t *Tx) EnrolLocal(tenant string, h Host) error {
	if err := t.putHost(tenant, h, true); err != nil {
		return fmt.Errorf("enrol host %q: %w", h.Name, err)
	}
	return nil
}

func (t *Tx) putHost(tenant string, h Host, replace bool) error {
	if h.Name == "" || h.Key == "" || tenant == "" {
		return errors.New("tenant, name and key are required")
	}
	if !replace {
		old, err := t.Host(tenant, h.Name)
		if err == nil && old.Revoked.IsZero() {
			return ErrExists
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	_, err := t.exec(`INSERT INTO hosts (tenant, host, agent_group, public_key, enrolled_ns, revoked_ns) VALUES (?, ?, ?, ?, ?, 0)
		ON CONFLICT (tenant, host) DO UPDATE SET agent_group = excluded.agent_group, public_key = excluded.public_key, enrolled_ns = excluded.enrolled_ns, revoked_ns = 0`,
		tenant, h.Name, h.Group, h.Key, ns(h.Enrolled))
	return err
}

// Revoke ends a host's right to the bus; it stays to be read.
func (t *Tx) Revoke(tenant, host string, now time.Time) error {
	return t.one("revoke host "+host, "UPDATE hosts SET revoked_ns = ? WHERE tenant = ? AND host = ? AND revoked_ns = 0", ns(now), tenant, host)
}

// Host gives one, revoked or not.
func (t *Tx) Host(tenant, host string) (Host, error) {
	out, err := t.hosts("WHERE tenant = ? AND host = ?", tenant, host)
	if err == nil && len(out) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Host{}, fmt.Errorf("host %s: %w", host, err)
	}
	return out[0], nil
}

// Hosts lists all of a tenant by name, revoked ones too.
func (t *Tx) Hosts(tenant string) ([]Host, error) {
	return t.hosts("WHERE tenant = ? ORDER BY host", tenant)
}

func (t *Tx) hosts(where string, args ...any) (out []Host, err error) {
	err = t.rows("SELECT host, agent_group, public_key, enrolled_ns, revoked_ns FROM hosts "+where, args, func(r *sql.Rows) error {
		var h Host
		var enrolled, revoked int64
		if err := r.Scan(&h.Name, &h.Group, &h.Key, &enrolled, &revoked); err != nil {
			return err
		}
		h.Enrolled, h.Revoked = at(enrolled), at(revoked)
		out = append(out, h)
		return nil
	})
	return out, err
}
