// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/ringwall/ringwall/ledger"
)

// Provider is one OpenID Connect server that may vouch for users of a tenant. Who it
// vouches for and as what is its word alone, anew at each log-in: its users' names begin
// with its own and a colon, and they have no other way in here.
type Provider struct {
	Name         string   `yaml:"name"`          // short and unchanging: part of user names
	Label        string   `yaml:"label"`         // what the log-in page calls it; default Name
	Tenant       string   `yaml:"tenant"`        // default "default"
	Issuer       string   `yaml:"issuer"`        // https URL, as the provider spells it
	ClientID     string   `yaml:"client_id"`     //
	ClientSecret string   `yaml:"client_secret"` // "" for a public client
	Scopes       []string `yaml:"scopes"`        // default openid profile email
	NameClaim    string   `yaml:"name_claim"`    // default preferred_username
	RoleClaim    string   `yaml:"role_claim"`    // default groups; dots go inside (realm_access.roles)
	// Roles maps values of RoleClaim to roles; of several the highest counts, and without
	// any nobody gets in.
	Roles    map[string]Role `yaml:"roles"`
	RawRoles []string        `yaml:"raw_roles"` // values of RoleClaim that give Raw
}

func (p *Provider) setDefaults() {
	p.Label, p.Tenant = cmp.Or(p.Label, p.Name), cmp.Or(p.Tenant, DefaultTenant)
	p.NameClaim, p.RoleClaim = cmp.Or(p.NameClaim, "preferred_username"), cmp.Or(p.RoleClaim, "groups")
	if len(p.Scopes) == 0 {
		p.Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	}
}

var providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

func (p *Provider) validate() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case !providerName.MatchString(p.Name):
		return errors.New("name: want a to z, 0 to 9 and -, a letter first")
	case err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Host))):
		return fmt.Errorf("issuer %q: want an https URL", p.Issuer)
	case p.ClientID == "":
		return errors.New("client_id is empty")
	case len(p.Roles) == 0:
		return errors.New("roles is empty: nobody could log in; map values of the role claim to roles")
	case !slices.Contains(p.Scopes, oidc.ScopeOpenID):
		return errors.New("scopes: openid is missing")
	}
	for v, r := range p.Roles {
		if r.rank() == 0 {
			return fmt.Errorf("roles: %q is mapped to %q, which is no role", v, r)
		}
	}
	return nil
}

// provider is one in use; it is asked for its addresses and keys at the first log-in.
type provider struct {
	Provider
	client *http.Client

	mu     sync.Mutex // guards what follows
	ready  *oidc.Provider
	failed time.Time // the last try, and what came of it
	err    error
}

// again is how soon a provider that gave no answer is asked anew; those who wait
// meanwhile do not wait for a time-out each.
const again = 5 * time.Second

func (p *provider) connect(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready != nil {
		return p.ready, nil
	}
	if p.err != nil && now.Sub(p.failed) < again {
		return nil, p.err
	}
	// Not with the caller's end of patience: its answer is for all.
	ready, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.Issuer)
	if err != nil {
		p.failed, p.err = now, because(ErrUnavailable, "single sign-on %q: %v", p.Name, err)
		return nil, p.err
	}
	p.ready, p.err = ready, nil
	return ready, nil
}

// limited is a client that reads no more than 1 MiB of an answer.
func limited(c *http.Client) *http.Client {
	out := *c
	next := out.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	out.Transport = limitedTransport{next}
	return &out
}

type limitedTransport struct{ next http.RoundTripper }

func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, 1<<20), resp.Body}
	}
	return resp, err
}

// roles gives what a provider's claims make of a user; the zero Role is nothing.
func (p *provider) roles(claims map[string]any) (role Role, raw bool) {
	for _, v := range claimed(claims, p.RoleClaim) {
		if r := p.Roles[v]; r.rank() > role.rank() {
			role = r
		}
		raw = raw || slices.Contains(p.RawRoles, v)
	}
	return role, raw && role != ""
}

// claimed gives the texts of a claim, which may be one or a list, and lie inside others.
func claimed(claims map[string]any, path string) (out []string) {
	var at any = claims
	if v, there := claims[path]; there { // names with dots are URLs in some products
		at = v
	} else {
		for part := range strings.SplitSeq(path, ".") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
	}
	switch v := at.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// userName makes the name of a new user from its claim. Names may change owners there,
// subjects do not: a name that is taken gets a piece of the subject's hash.
func (p *provider) userName(tx *ledger.Tx, subject string, claims map[string]any) (string, error) {
	sum := sha256.Sum256([]byte(subject))
	id := hex.EncodeToString(sum[:8])
	name := id
	if v := claimed(claims, p.NameClaim); len(v) == 1 && validName(strings.ToLower(v[0])) == nil {
		name = strings.ToLower(v[0])
	}
	full := p.Name + ":" + name
	_, err := tx.User(p.Tenant, full)
	if errors.Is(err, ledger.ErrNotFound) {
		return full, nil
	}
	if err != nil {
		return "", err
	}
	full += "~" + id
	if _, err := tx.User(p.Tenant, full); !errors.Is(err, ledger.ErrNotFound) {
		return "", errors.Join(err, because(ErrConflict, "the name %s is taken", full))
	}
	return full, nil
}
