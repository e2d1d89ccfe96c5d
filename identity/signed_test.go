// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var now = time.UnixMilli(1_790_000_000_000)

func signer(t testing.TB) *SigningKey {
	k, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func nonces(t testing.TB, path string) *Nonces {
	n, err := OpenNonces(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func must(t testing.TB, k *SigningKey, kind Kind, to Target, life time.Duration) []byte {
	raw, err := k.Sign(kind, to, now, life, []byte("block 192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerifier(t *testing.T) {
	k, other := signer(t), signer(t)
	me := Target{Tenant: "t", Host: "h"}
	good := must(t, k, KindOrder, me, time.Minute)
	flip := func(i int) []byte {
		b := bytes.Clone(good)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
	foreign := must(t, other, KindOrder, me, time.Minute)
	for _, c := range []struct {
		name string
		raw  []byte
		at   time.Time
		want error
	}{
		{"good", good, now, nil},
		{"last moment", good, now.Add(time.Minute - time.Millisecond), nil},
		{"to the group", must(t, k, KindOrder, Target{Tenant: "t", Group: "g"}, time.Minute), now, nil},
		{"clock a little behind", good, now.Add(-30 * time.Second), nil},
		{"unsigned", good[:len(good)-64], now, ErrUnsigned},
		{"half a signature", good[:len(good)-32], now, ErrMalformed},
		{"another payload", flip(-70), now, ErrSignature},
		{"another signature", flip(-1), now, ErrSignature},
		{"another nonce", flip(4 + 1 + 17 + 2 + 2 + 1 + 3), now, ErrSignature},
		{"unknown key", foreign, now, ErrUnknownKey},
		{"own key under a known name", bytes.Replace(foreign, []byte(other.Public().ID()), []byte(k.Public().ID()), 1), now, ErrSignature},
		{"a bundle", must(t, k, KindBundle, me, time.Minute), now, ErrWrongKind},
		{"another host", must(t, k, KindOrder, Target{Tenant: "t", Host: "i"}, time.Minute), now, ErrWrongTarget},
		{"another tenant", must(t, k, KindOrder, Target{Tenant: "u", Host: "h"}, time.Minute), now, ErrWrongTarget},
		{"another group", must(t, k, KindOrder, Target{Tenant: "t", Group: "h"}, time.Minute), now, ErrWrongTarget},
		{"expired", good, now.Add(time.Minute), ErrExpired},
		{"from the future", good, now.Add(-time.Hour), ErrNotYet},
		{"nothing", nil, now, ErrMalformed},
		{"longer", append(bytes.Clone(good), 0), now, ErrMalformed},
	} {
		v := Verifier{Tenant: "t", Host: "h", Group: "g", Keys: NewKeyring(k.Public()), Nonces: nonces(t, filepath.Join(t.TempDir(), "n"))}
		s, err := v.Verify(KindOrder, c.raw, c.at)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && string(s.Payload) != "block 192.0.2.1" || err != nil && s.Payload != nil {
			t.Errorf("%s: payload %q", c.name, s.Payload)
		}
	}
}

func TestOrdersAreTakenOnce(t *testing.T) {
	k := signer(t)
	path := filepath.Join(t.TempDir(), "nonces")
	open := func() *Verifier {
		return &Verifier{Tenant: "t", Host: "h", Keys: NewKeyring(k.Public()), Nonces: nonces(t, path)}
	}
	v := open()
	me := Target{Tenant: "t", Host: "h"}
	first, second := must(t, k, KindOrder, me, time.Minute), must(t, k, KindOrder, me, time.Minute)
	verify := func(raw []byte, at time.Time, want error) {
		t.Helper()
		if _, err := v.Verify(KindOrder, raw, at); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v, want %v", err, want)
		}
	}
	verify(first, now, nil)
	verify(first, now, ErrReplayed)
	v = open() // after a restart
	verify(first, now, ErrReplayed)
	verify(second, now, nil)

	// The bound: the nonces that expire first are forgotten, and their orders stay refused.
	for range maxNonces {
		verify(must(t, k, KindOrder, me, 2*time.Hour), now, nil)
	}
	verify(first, now, ErrReplayed)
	v = open()
	verify(first, now, ErrReplayed)
	verify(second, now.Add(-time.Minute), ErrReplayed) // a clock that jumped back
	verify(must(t, k, KindOrder, me, 3*time.Hour), now, nil)

	// A torn record is an order that was not carried out.
	raw := must(t, k, KindOrder, me, 4*time.Hour)
	verify(raw, now, nil)
	b, _ := os.ReadFile(path)
	os.WriteFile(path, b[:len(b)-5], 0o600)
	v = open()
	verify(raw, now, nil)
	verify(raw, now, ErrReplayed)

	if _, err := (&Verifier{Tenant: "t", Host: "h", Keys: NewKeyring(k.Public())}).Verify(KindOrder, second, now); !errors.Is(err, ErrReplayed) {
		t.Errorf("without a memory: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	k := signer(t)
	for _, to := range []Target{{}, {Tenant: "t"}, {Host: "h"}, {Tenant: "t", Host: "h", Group: "g"}, {Tenant: "t", Host: "*"}} {
		if _, err := k.Sign(KindOrder, to, now, time.Minute, nil); err == nil {
			t.Errorf("signs for %v", to)
		}
	}
	if _, err := k.Sign(KindOrder, Target{Tenant: "t", Host: "h"}, now, 0, nil); err == nil {
		t.Error("signs what never is valid")
	}
	if _, err := k.Sign(KindOrder, Target{Tenant: "t", Host: "h"}, now, time.Hour, make([]byte, MaxPayload+1)); err == nil {
		t.Error("signs too much")
	}
}

func FuzzVerify(f *testing.F) {
	k := signer(f)
	v := Verifier{Tenant: "t", Host: "h", Keys: NewKeyring(k.Public())}
	good := must(f, k, KindBundle, Target{Tenant: "t", Host: "h"}, time.Minute)
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := v.Verify(KindBundle, raw, now); err == nil && !bytes.Equal(raw, good) {
			t.Fatalf("believes %q", raw)
		}
	})
}
