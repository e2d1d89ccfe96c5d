// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Authority is the brain's keeper of identities: the operator's and the accounts'
// keys, who is enrolled, which join secrets are open, the signing key and the
// certificate. All of it lies in one folder (0700, files 0600), made on first use.
// Safe for many goroutines; one process at a time may own the folder.
//
//	operator.nk  system.nk  brain.nk   keys of operator, system and brain account
//	tenants/T.nk tenants/T.jwt         key and signed claims (with revocations) of a tenant
//	hosts/T/H.json                     who is enrolled
//	joins.json                         hashes of open one-time secrets
//	sign.key  tls.crt  tls.key
type Authority struct {
	dir      string
	operator nkeys.KeyPair
	system   nkeys.KeyPair
	brain    nkeys.KeyPair
	signer   *SigningKey
	cert     tls.Certificate
	pin      Pin

	mu sync.Mutex // guards the files below tenants/ and hosts/, and joins.json
}

// Errors of enrolment. Test with errors.Is.
var (
	ErrNoTenant   = errors.New("no such tenant")
	ErrEnrolled   = errors.New("a host of that name is already enrolled")
	ErrNotFound   = errors.New("no such host is enrolled")
	ErrNoJoin     = errors.New("no such join secret")
	ErrJoinSecret = errors.New("join secret is unknown, used or expired")
)

// OpenAuthority opens the folder, or makes operator, accounts, signing key and
// certificate on the first start.
func OpenAuthority(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	for _, d := range []string{dir, filepath.Join(dir, "tenants"), filepath.Join(dir, "hosts")} {
		if err := privateDir(d); err != nil {
			return nil, err
		}
	}
	var err error
	if a.operator, err = openNKey(filepath.Join(dir, "operator.nk"), nkeys.CreateOperator); err != nil {
		return nil, err
	}
	if a.system, err = openNKey(filepath.Join(dir, "system.nk"), nkeys.CreateAccount); err != nil {
		return nil, err
	}
	if a.brain, err = openNKey(filepath.Join(dir, "brain.nk"), nkeys.CreateAccount); err != nil {
		return nil, err
	}
	if a.signer, err = OpenSigningKey(dir, "sign.key"); err != nil {
		return nil, err
	}
	if a.cert, a.pin, err = openCertificate(dir); err != nil {
		return nil, err
	}
	return a, nil
}

func openNKey(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	seed, err := loadOrMake(path, func() ([]byte, error) {
		k, err := create()
		if err != nil {
			return nil, err
		}
		return k.Seed()
	})
	if err != nil {
		return nil, err
	}
	k, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w; restore it from a backup", path, err)
	}
	return k, nil
}

// Signer signs orders and bundles.
func (a *Authority) Signer() *SigningKey { return a.signer }

// Keys is the ring that agents get.
func (a *Authority) Keys() Keyring { return NewKeyring(a.signer.Public()) }

// Certificate is the brain's TLS certificate, for bus, enrolment and API.
func (a *Authority) Certificate() tls.Certificate { return a.cert }

// Pin is the hash by which agents know the certificate.
func (a *Authority) Pin() Pin { return a.pin }

// AddTenant makes a tenant's account; one that exists is left as it is. The account
// reaches the broker when AccountJWT is pushed.
func (a *Authority) AddTenant(t Tenant) error {
	if _, err := ParseTenant(string(t)); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := os.Stat(a.tenantFile(t, "jwt")); err == nil {
		return nil
	}
	key, err := openNKey(a.tenantFile(t, "nk"), nkeys.CreateAccount)
	if err != nil {
		return err
	}
	public, err := key.PublicKey()
	if err != nil {
		return err
	}
	return a.signAccount(t, jwt.NewAccountClaims(public))
}

func (a *Authority) tenantFile(t Tenant, ext string) string {
	return filepath.Join(a.dir, "tenants", string(t)+"."+ext)
}

// Tenants lists all tenants in order of name.
func (a *Authority) Tenants() ([]Tenant, error) {
	entries, err := os.ReadDir(filepath.Join(a.dir, "tenants"))
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	var list []Tenant
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), ".jwt"); is {
			list = append(list, Tenant(name))
		}
	}
	return list, nil
}

// AccountJWT is a tenant's signed account, revocations included.
func (a *Authority) AccountJWT(t Tenant) (string, error) {
	b, err := readPrivate(a.tenantFile(t, "jwt"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("tenant %s: %w", t, ErrNoTenant)
	}
	return string(b), err
}

// Accounts are the signed accounts of the brain and of all tenants: what a broker
// must know. They are pushed at every start.
func (a *Authority) Accounts() ([]string, error) {
	brain, err := a.brainAccount()
	if err != nil {
		return nil, err
	}
	list := []string{brain}
	tenants, err := a.Tenants()
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		j, err := a.AccountJWT(t)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

// Operator is what a broker needs to start with: the operator's JWT, and the system
// account's id and JWT. An external cluster is configured with these three.
func (a *Authority) Operator() (operator, systemID, system string, err error) {
	id, err := a.operator.PublicKey()
	if err != nil {
		return "", "", "", err
	}
	if systemID, err = a.system.PublicKey(); err != nil {
		return "", "", "", err
	}
	claims := jwt.NewOperatorClaims(id)
	claims.Name, claims.SystemAccount = "ringwall", systemID
	if operator, err = claims.Encode(a.operator); err != nil {
		return "", "", "", fmt.Errorf("sign operator: %w", err)
	}
	sys := jwt.NewAccountClaims(systemID)
	sys.Name = "system"
	if system, err = sys.Encode(a.operator); err != nil {
		return "", "", "", fmt.Errorf("sign system account: %w", err)
	}
	return operator, systemID, system, nil
}

// BrainUser and SystemUser make fresh credentials that live as long as the process.
func (a *Authority) BrainUser() (Credentials, error) {
	return newUser(a.brain, "brain", jwt.Permissions{}, time.Time{})
}

// SystemUser may push accounts to the broker.
func (a *Authority) SystemUser() (Credentials, error) {
	return newUser(a.system, "pusher", jwt.Permissions{}, time.Time{})
}
