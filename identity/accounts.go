// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// The account scheme. The streams live in the brain's account. A tenant's account has
// no JetStream of its own: it imports just its own subjects, so that even a stolen
// account key reaches no other tenant; within it a user's token names the host.

// brainAccount is the account that owns the streams and exports to the tenants. The
// exports are open to every account that this operator signed; what a tenant may
// import is in its account, which only this Authority signs.
func (a *Authority) brainAccount() (string, error) {
	id, err := a.brain.PublicKey()
	if err != nil {
		return "", err
	}
	c := jwt.NewAccountClaims(id)
	c.Name = "brain"
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	for _, subject := range []string{"orders.*.*", "stored.*.*", "bundle.*.*"} {
		c.Exports.Add(&jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Stream})
	}
	for _, subject := range []string{"events.*.*.*", directGet + "orders.*.*", directGet + "stored.*.*", directGet + "bundle.*.*", directGet + "bundle.*.*.*.*"} {
		c.Exports.Add(&jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Service})
	}
	return encodeAccount(c, a.operator)
}

// signAccount writes a tenant's account with the imports of its own name.
func (a *Authority) signAccount(t Tenant, c *jwt.AccountClaims) error {
	brain, err := a.brain.PublicKey()
	if err != nil {
		return err
	}
	c.Name = string(t)
	c.Imports = nil
	name := string(t)
	for _, subject := range []string{"orders." + name + ".*", "stored." + name + ".*", "bundle." + name + ".*"} {
		c.Imports.Add(&jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: brain, Type: jwt.Stream})
	}
	for _, subject := range []string{"events." + name + ".*.*", directGet + "orders." + name + ".*", directGet + "stored." + name + ".*",
		directGet + "bundle." + name + ".*", directGet + "bundle." + name + ".*.*.*"} {
		c.Imports.Add(&jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: brain, Type: jwt.Service})
	}
	token, err := encodeAccount(c, a.operator)
	if err != nil {
		return fmt.Errorf("sign account of tenant %s: %w", t, err)
	}
	return writePrivate(a.tenantFile(t, "jwt"), []byte(token))
}

func encodeAccount(c *jwt.AccountClaims, operator nkeys.KeyPair) (string, error) {
	var check jwt.ValidationResults
	c.Validate(&check)
	if errs := check.Errors(); len(errs) > 0 {
		return "", errs[0]
	}
	return c.Encode(operator)
}

// agentPermissions is all that a host may do on the bus.
func agentPermissions(t Tenant, h Host, g Group) jwt.Permissions {
	orders, stored, bundle := OrdersSubject(t, h), StoredSubject(t, h), BundleSubject(t, g)
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{
			EventsSubject(t, Precious, h), EventsSubject(t, Bulk, h),
			LastSubject(orders), LastSubject(stored), LastSubject(bundle), LastSubject(bundle + ".*.*"),
		}},
		Sub: jwt.Permission{Allow: jwt.StringList{orders, stored, bundle, InboxPrefix(h) + ".>"}},
	}
}

// InboxPrefix is where answers to a host arrive. Each host has its own, so that none
// hears the answers to another.
func InboxPrefix(h Host) string { return "_INBOX." + string(h) }

// Credentials let one user on to the bus.
type Credentials struct {
	JWT  string `json:"jwt"`
	Seed []byte `json:"seed"` // the user's nkey seed: a secret
}

// Sign answers the broker's challenge.
func (c Credentials) Sign(challenge []byte) ([]byte, error) {
	k, err := nkeys.FromSeed(c.Seed)
	if err != nil {
		return nil, fmt.Errorf("read bus key: %w", err)
	}
	defer k.Wipe()
	return k.Sign(challenge)
}

// newUser makes a key and a token for it; a zero expiry is none.
func newUser(account nkeys.KeyPair, name string, p jwt.Permissions, expires time.Time) (Credentials, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return Credentials{}, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return Credentials{}, err
	}
	seed, err := key.Seed()
	if err != nil {
		return Credentials{}, err
	}
	token, err := userToken(account, public, name, p, expires)
	return Credentials{JWT: token, Seed: seed}, err
}

func userToken(account nkeys.KeyPair, public, name string, p jwt.Permissions, expires time.Time) (string, error) {
	c := jwt.NewUserClaims(public)
	c.Name, c.Permissions = name, p
	if !expires.IsZero() {
		c.Expires = expires.Unix()
	}
	token, err := c.Encode(account)
	if err != nil {
		return "", fmt.Errorf("sign user %s: %w", name, err)
	}
	return token, nil
}
