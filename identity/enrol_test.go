// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

// door serves enrolments of a over TLS and returns its address.
func door(t *testing.T, a *Authority, change ...func(*Door)) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", a.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	d := &Door{Authority: a, Bus: "tls://brain:4222", Pins: []Pin{a.Pin()}}
	for _, f := range change {
		f(d)
	}
	srv := &http.Server{Handler: d}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().(*net.TCPAddr).String()
}

func authority(t *testing.T, tenants ...Tenant) *Authority {
	a, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tenants {
		if err := a.AddTenant(name); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestJoin(t *testing.T) {
	ctx := context.Background()
	a := authority(t, "t")
	address := door(t, a)
	token, err := a.NewJoin(Join{Tenant: "t", Group: "web"}, address, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseJoinToken(" " + token.String() + "\n")
	if err != nil || parsed != token {
		t.Fatalf("%v, %v", parsed, err)
	}
	agent, err := JoinBrain(ctx, parsed, "h1")
	if err != nil {
		t.Fatal(err)
	}
	if agent.Tenant != "t" || agent.Host != "h1" || agent.Group != "web" || agent.Bus != "tls://brain:4222" || agent.Keys[0] != a.Signer().Public() {
		t.Errorf("agent %+v", agent)
	}
	claims, err := jwt.DecodeUserClaims(agent.Credentials.JWT)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(append(jwt.StringList{}, claims.Pub.Allow...), claims.Sub.Allow...) {
		if !strings.Contains(s, "t.h1") && !strings.Contains(s, "t.web") && !strings.HasPrefix(s, "events.t.") && s != "_INBOX.h1.>" {
			t.Errorf("may use %s", s)
		}
	}
	if _, err := JoinBrain(ctx, token, "h2"); err == nil || !strings.Contains(err.Error(), ErrJoinSecret.Error()) {
		t.Errorf("a secret used twice: %v", err)
	}
	if _, err := JoinBrain(ctx, token, "h1"); err == nil {
		t.Error("a secret used twice for the same name")
	}
	dir := t.TempDir()
	if err := agent.Save(dir); err != nil {
		t.Fatal(err)
	}
	if back, err := LoadAgent(dir); err != nil || back.Credentials.JWT != agent.Credentials.JWT || back.Pins[0] != a.Pin() {
		t.Errorf("loaded %+v, %v", back, err)
	}
	if _, err := LoadAgent(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a host that has not joined: %v", err)
	}
}

func TestJoinRefusals(t *testing.T) {
	ctx := context.Background()
	a, b := authority(t, "t"), authority(t, "t")
	address := door(t, a)
	join := func(j Join, life time.Duration) JoinToken {
		token, err := a.NewJoin(j, address, life, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if _, err := a.NewJoin(Join{Tenant: "nobody", Group: "g"}, address, time.Hour, time.Now()); !errors.Is(err, ErrNoTenant) {
		t.Errorf("unknown tenant: %v", err)
	}
	expired := join(Join{Tenant: "t", Group: "g"}, -time.Second)
	if _, err := JoinBrain(ctx, expired, "h"); err == nil {
		t.Error("an expired secret")
	}
	foreign, err := b.NewJoin(Join{Tenant: "t", Group: "g"}, address, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := JoinBrain(ctx, foreign, "h"); !errors.Is(err, ErrPin) {
		t.Errorf("a brain with another certificate: %v", err)
	}
	named := join(Join{Tenant: "t", Group: "g", Host: "h"}, time.Hour)
	if _, err := JoinBrain(ctx, named, "other"); err == nil {
		t.Error("a secret for another host")
	}
	if _, err := JoinBrain(ctx, named, "h"); err != nil {
		t.Fatal(err)
	}
	open := join(Join{Tenant: "t", Group: "g"}, time.Hour)
	if _, err := JoinBrain(ctx, open, "h"); err == nil || !strings.Contains(err.Error(), ErrEnrolled.Error()) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := JoinBrain(ctx, open, "h2"); err != nil {
		t.Errorf("the same secret under a free name: %v", err)
	}
	first, _ := a.Enrolment("t", "h")
	if _, err := JoinBrain(ctx, join(Join{Tenant: "t", Group: "g", Host: "h"}, time.Hour), "h"); err != nil {
		t.Errorf("a host enrolled anew by name: %v", err)
	}
	account, _ := a.AccountJWT("t")
	claims, _ := jwt.DecodeAccountClaims(account)
	if !claims.IsClaimRevoked(&jwt.UserClaims{ClaimsData: jwt.ClaimsData{Subject: first.User, IssuedAt: time.Now().Unix()}}) {
		t.Error("the key before is not revoked")
	}
	if err := a.Revoke("t", "nobody", time.Now()); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke nobody: %v", err)
	}
	if list, err := a.Enrolments("t"); err != nil || len(list) != 2 {
		t.Errorf("enrolments %v, %v", list, err)
	}
}

func TestJoinTokenTypos(t *testing.T) {
	a := authority(t, "t")
	token, err := a.NewJoin(Join{Tenant: "t", Group: "g"}, "brain.example:8443", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := token.String()
	bad := []string{"", s[1:], s[:20], "@" + s, strings.TrimSuffix(s, ":8443"), s[:10] + "x" + s[10:], "a@b:1"}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := strings.IndexByte(s, '@') - 1
	for _, at := range []int{0, 5, end} { // the last character carries bits that belong to no byte
		for _, c := range alphabet {
			if byte(c) != s[at] {
				bad = append(bad, s[:at]+string(c)+s[at+1:])
			}
		}
	}
	for _, bad := range bad {
		if got, err := ParseJoinToken(bad); err == nil && got.Secret == token.Secret {
			t.Errorf("%q is taken", bad)
		} else if err == nil {
			t.Errorf("%q is taken for another", bad)
		} else if len(bad) > 20 && strings.Contains(err.Error(), s[:20]) {
			t.Errorf("error shows the secret: %v", err)
		}
	}
}

func FuzzJoinToken(f *testing.F) {
	f.Add("AQ@h:1")
	f.Fuzz(func(t *testing.T, s string) {
		if j, err := ParseJoinToken(s); err == nil {
			if again, err := ParseJoinToken(j.String()); err != nil || again != j {
				t.Fatalf("%q: %v", s, err)
			}
		}
	})
}

// TestJoinsAreListedAndEnded: a secret is seen by its ID until it is ended or expires.
func TestJoinsAreListedAndEnded(t *testing.T) {
	a := authority(t, "t", "red")
	var told []string
	address := door(t, a, func(d *Door) {
		d.Enrolled = func(_ context.Context, t Tenant, h Host, g Group, join string) error {
			told = append(told, string(t)+" "+string(h)+" "+string(g)+" "+join)
			return nil
		}
	})
	make := func(tenant Tenant, life time.Duration) JoinToken {
		token, err := a.NewJoin(Join{Tenant: tenant, Group: "g", By: "ann"}, address, life, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	long, short := make("t", 2*time.Hour), make("t", time.Hour)
	make("red", time.Hour)
	make("t", -time.Second)
	list, err := a.Joins("t", time.Now())
	if err != nil || len(list) != 2 || list[0].ID != short.Secret.ID() || list[1].ID != long.Secret.ID() || list[0].By != "ann" || list[0].Made.IsZero() {
		t.Fatalf("open joins %+v, %v", list, err)
	}
	if _, err := a.DropJoin("red", short.Secret.ID(), time.Now()); !errors.Is(err, ErrNoJoin) {
		t.Errorf("another tenant's secret ended: %v", err)
	}
	if _, err := a.DropJoin("t", short.Secret.ID(), time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := JoinBrain(t.Context(), short, "h"); err == nil || !strings.Contains(err.Error(), ErrJoinSecret.Error()) {
		t.Errorf("a secret that was ended: %v", err)
	}
	if _, err := JoinBrain(t.Context(), long, "h"); err != nil {
		t.Fatal(err)
	}
	if want := "t h g " + long.Secret.ID(); len(told) != 1 || told[0] != want {
		t.Errorf("told %q, want %q", told, want)
	}
	if list, _ := a.Joins("t", time.Now()); len(list) != 1 || list[0].As != "h" {
		t.Errorf("after its use: %+v", list)
	}
}
