// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"github.com/nats-io/nkeys"
)

// EnrolPath is the one page of the enrolment door (HTTPS, POST, JSON).
const EnrolPath = "/v1/enrol"

// maxEnrol bounds a request and an answer: both are a few hundred bytes of names,
// keys and one JWT.
const maxEnrol = 64 << 10

type enrolRequest struct {
	Secret []byte `json:"secret"`
	Host   Host   `json:"host"`
	User   string `json:"user"`
}

type enrolAnswer struct {
	Tenant Tenant      `json:"tenant"`
	Host   Host        `json:"host"`
	Group  Group       `json:"group"`
	JWT    string      `json:"jwt"`
	Bus    string      `json:"bus"`
	Pins   []Pin       `json:"pins"`
	Keys   []PublicKey `json:"keys"`
	Redact []byte      `json:"redact,omitempty"`
}

// Agent is all that a host must keep to be itself. Save it 0600: it holds a key.
type Agent struct {
	Tenant      Tenant      `json:"tenant"`
	Host        Host        `json:"host"`
	Group       Group       `json:"group"`
	Bus         string      `json:"bus"`  // URL of the broker; empty in one process
	Pins        []Pin       `json:"pins"` // of the broker's certificate; empty: the system's authorities
	Credentials Credentials `json:"credentials"`
	Keys        []PublicKey `json:"keys"`             // that sign orders and bundles
	Redact      []byte      `json:"redact,omitempty"` // the tenant's key for hashing credentials: a secret
}

// Verifier believes what this agent may believe.
func (a *Agent) Verifier(nonces *Nonces) *Verifier {
	return &Verifier{Tenant: a.Tenant, Host: a.Host, Group: a.Group, Keys: NewKeyring(a.Keys...), Nonces: nonces}
}

// Save writes dir/agent.json (0600 in 0700).
func (a *Agent) Save(dir string) error {
	if err := privateDir(dir); err != nil {
		return err
	}
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(dir, "agent.json"), b)
}

// LoadAgent reads what Save wrote; the error wraps fs.ErrNotExist on a host that has
// not joined.
func LoadAgent(dir string) (*Agent, error) {
	path := filepath.Join(dir, "agent.json")
	b, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("read who this host is: %w", err)
	}
	a := new(Agent)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("read who this host is: %s: %w; join again", path, err)
	}
	if err := (Target{Tenant: a.Tenant, Host: a.Host}).validate(); err != nil {
		return nil, fmt.Errorf("read who this host is: %s: %w", path, err)
	}
	return a, nil
}

// NewAgent enrols a host from within the brain, without a secret: for both roles in
// one process. An older key of that name is replaced.
func (a *Authority) NewAgent(t Tenant, h Host, g Group, now time.Time) (*Agent, error) {
	public, seed, err := newUserKey()
	if err != nil {
		return nil, err
	}
	token, err := a.Enrol(t, h, g, public, true, now)
	if err != nil {
		return nil, err
	}
	return &Agent{Tenant: t, Host: h, Group: g, Pins: []Pin{a.pin}, Credentials: Credentials{token, seed}, Keys: []PublicKey{a.signer.Public()}}, nil
}

func newUserKey() (public string, seed []byte, err error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return "", nil, err
	}
	if public, err = key.PublicKey(); err != nil {
		return "", nil, err
	}
	seed, err = key.Seed()
	return public, seed, err
}

// Door answers enrolments. Bus is the broker's URL that hosts are told, Pins are of
// its certificate. Pushed is called when a tenant's account changed, because an older
// key was replaced; it may be nil.
type Door struct {
	Authority *Authority
	Bus       string
	Pins      []Pin
	Pushed    func(context.Context, Tenant) error
	Redact    func(Tenant) ([]byte, error) // the tenant's key for hashing credentials; may be nil
	// Enrolled is told of every host that was let in, and by which secret; an error keeps
	// the answer back, and the host asks again. May be nil.
	Enrolled func(ctx context.Context, t Tenant, h Host, g Group, join string) error
	Log       *slog.Logger
}

// ServeHTTP answers POST EnrolPath. Why a secret was refused is logged, not told.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != EnrolPath || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	var q enrolRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEnrol)).Decode(&q); err != nil || len(q.Secret) != len(Secret{}) {
		http.Error(w, "not an enrolment", http.StatusBadRequest)
		return
	}
	answer, err := d.enrol(r.Context(), q, time.Now())
	switch {
	case errors.Is(err, ErrJoinSecret):
		http.Error(w, ErrJoinSecret.Error(), http.StatusForbidden)
	case errors.Is(err, ErrEnrolled):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, "enrolment failed; the brain's log says why", http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer) // a client that left has nothing to be told
	}
	if d.Log != nil {
		d.Log.Info("enrolment", "host", string(q.Host), "tenant", string(answer.Tenant), "from", r.RemoteAddr, "error", err)
	}
}

func (d *Door) enrol(ctx context.Context, q enrolRequest, now time.Time) (enrolAnswer, error) {
	if _, err := ParseHost(string(q.Host)); err != nil {
		return enrolAnswer{}, err
	}
	if !nkeys.IsValidPublicUserKey(q.User) {
		return enrolAnswer{}, fmt.Errorf("%.60q is not a public user key", q.User)
	}
	j, err := d.Authority.useJoin(Secret(q.Secret), q.Host, q.User, now)
	if err != nil {
		return enrolAnswer{}, err
	}
	token, err := d.Authority.Enrol(j.Tenant, q.Host, j.Group, q.User, j.Host != "", now)
	if errors.Is(err, ErrEnrolled) {
		err = errors.Join(err, d.Authority.freeJoin(Secret(q.Secret), now))
	}
	if err != nil {
		return enrolAnswer{}, err
	}
	if j.Host != "" && d.Pushed != nil {
		if err := d.Pushed(ctx, j.Tenant); err != nil {
			return enrolAnswer{}, err
		}
	}
	if d.Enrolled != nil {
		if err := d.Enrolled(ctx, j.Tenant, q.Host, j.Group, Secret(q.Secret).ID()); err != nil {
			return enrolAnswer{}, err
		}
	}
	answer := enrolAnswer{j.Tenant, q.Host, j.Group, token, d.Bus, d.Pins, []PublicKey{d.Authority.signer.Public()}, nil}
	if d.Redact != nil {
		if answer.Redact, err = d.Redact(j.Tenant); err != nil {
			return enrolAnswer{}, err
		}
	}
	return answer, nil
}

// JoinBrain enrols this host at the brain that the token names and returns who it now
// is. The private key is made here and stays here.
func JoinBrain(ctx context.Context, token JoinToken, h Host) (*Agent, error) {
	public, seed, err := newUserKey()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(enrolRequest{token.Secret[:], h, public})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: PinnedTLS(token.Pin)}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 30 * time.Second}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+token.Address+EnrolPath, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", token.Address, err)
	}
	r, err := client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", token.Address, err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, maxEnrol))
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", token.Address, err)
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("join %s as %s: the brain says: %.200s (%s)", token.Address, h, bytes.TrimSpace(text), r.Status)
	}
	var w enrolAnswer
	if err := json.Unmarshal(text, &w); err != nil || w.Host != h || len(w.Keys) == 0 || w.JWT == "" {
		return nil, fmt.Errorf("join %s: the answer is not an enrolment of %s", token.Address, h)
	}
	return &Agent{w.Tenant, w.Host, w.Group, reachable(w.Bus, token.Address), w.Pins, Credentials{w.JWT, seed}, w.Keys, w.Redact}, nil
}

// reachable is the URL of a broker as this host must call it: one that listens on every
// address (0.0.0.0) does so where the enrolment door was found.
func reachable(bus, door string) string {
	u, err := url.Parse(bus)
	if err != nil {
		return bus // several, of an external cluster
	}
	addr, err := netip.ParseAddr(u.Hostname())
	host, _, herr := net.SplitHostPort(door)
	if err != nil || herr != nil || !addr.IsUnspecified() {
		return bus
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}
