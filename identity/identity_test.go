// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "web-1": true, strings.Repeat("x", 63): true, "0": true,
		"": false, "A": false, "web.1": false, "*": false, ">": false, "a b": false, "a/b": false, "..": false,
		"tenant_1": false, "ä": false, strings.Repeat("x", 64): false, "a\n": false,
	} {
		_, t1 := ParseTenant(name)
		_, h1 := ParseHost(name)
		_, g1 := ParseGroup(name)
		for _, err := range []error{t1, h1, g1} {
			if (err == nil) != good || err != nil && !errors.Is(err, ErrName) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	for in, want := range map[string]Host{"Web01.Example.org": "web01-example-org", "": "unnamed", strings.Repeat("y", 80): Host(strings.Repeat("y", 63))} {
		if got := HostFromHostname(in); got != want {
			t.Errorf("%q: %q", in, got)
		} else if _, err := ParseHost(string(got)); err != nil {
			t.Error(err)
		}
	}
}

func TestEventsSubject(t *testing.T) {
	for _, c := range Classes {
		for _, s := range []string{EventsSubject("t", c, "h"), "events.7." + strings.TrimPrefix(EventsSubject("t", c, "h"), "events.")} {
			if tenant, class, host, err := ParseEventsSubject(s); err != nil || tenant != "t" || class != c || host != "h" {
				t.Errorf("%s: %s %s %s %v", s, tenant, class, host, err)
			}
		}
	}
	for _, s := range []string{"", "events", "events.t.bulk", "orders.t.bulk.h", "events.t.other.h", "events.t.bulk.*", "events.T.bulk.h", "events.1.2.t.bulk.h"} {
		if _, _, _, err := ParseEventsSubject(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestSecretsAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "id")
	a, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.AddTenant("t"); err != nil {
		t.Fatal(err)
	}
	agent, err := a.NewAgent("t", "h", "g", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Save(filepath.Join(dir, "agent")); err != nil {
		t.Fatal(err)
	}
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[info.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	os.Chmod(filepath.Join(dir, "sign.key"), 0o640)
	if _, err := OpenAuthority(dir); !errors.Is(err, ErrExposed) {
		t.Errorf("a key that others can read: %v", err)
	}
}

func TestAuthorityIsTheSameAfterRestart(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	a.AddTenant("t")
	b, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Pin() != b.Pin() || a.Signer().Public() != b.Signer().Public() {
		t.Error("keys differ after a restart")
	}
	_, aid, _, _ := a.Operator()
	_, bid, _, _ := b.Operator()
	if aid != bid {
		t.Error("system account differs after a restart")
	}
	if list, err := b.Tenants(); err != nil || len(list) != 1 || list[0] != "t" {
		t.Errorf("tenants %v, %v", list, err)
	}
	if err := b.AddTenant("../x"); !errors.Is(err, ErrName) {
		t.Errorf("tenant ../x: %v", err)
	}
}
