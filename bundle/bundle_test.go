// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/identity"
)

var (
	now     = time.UnixMilli(1_790_000_000_000)
	content = map[string][]byte{
		"policy.yaml":           []byte("stage: observe\n"),
		"rules/web.yar":         []byte("rule a { condition: false }"),
		"rules/ssh.yml":         []byte("title: x"),
		"models/joint.bin":      bytes.Repeat([]byte{1, 2, 3}, 1000),
		"exceptions/empty.yaml": {},
	}
)

func key(t testing.TB) *identity.SigningKey {
	k, err := identity.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func verifier(k *identity.SigningKey) *identity.Verifier {
	return &identity.Verifier{Tenant: "t", Host: "h", Group: "g", Keys: identity.NewKeyring(k.Public())}
}

func build(t testing.TB, k *identity.SigningKey, version uint64, files map[string][]byte, change ...func(*Manifest)) []byte {
	t.Helper()
	m := Manifest{Tenant: "t", Group: "g", Version: version, Created: now}
	for _, c := range change {
		c(&m)
	}
	raw, err := Build(m, files, k, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestThereAndBack(t *testing.T) {
	k := key(t)
	raw := build(t, k, 7, content)
	b, err := Open(raw, verifier(k), now)
	if err != nil {
		t.Fatal(err)
	}
	if b.Version != 7 || b.Tenant != "t" || b.Group != "g" || len(b.ID) != 64 {
		t.Errorf("%+v", b.Manifest)
	}
	for name, want := range content {
		if got, ok := b.File(name); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, ok := b.File("rules"); ok {
		t.Error("a folder is a file")
	}
	if got := b.Under("rules/"); !slices.Equal(got, []string{"rules/ssh.yml", "rules/web.yar"}) {
		t.Errorf("rules: %v", got)
	}
	if again := build(t, k, 7, content); len(again) != len(raw) {
		t.Error("the same content builds another bundle")
	}
}

func TestRefusals(t *testing.T) {
	k := key(t)
	good := build(t, k, 7, content)
	flip := func(i int) []byte {
		b := bytes.Clone(good)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		raw  []byte
		at   time.Time
		want error
	}{
		{"nothing", nil, now, ErrMalformed},
		{"another file", []byte("PK\x03\x04 something else"), now, ErrMalformed},
		{"cut in the manifest", good[:200], now, ErrMalformed},
		{"a length that lies", append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 1), now, ErrMalformed},
		{"manifest changed", flip(150), now, identity.ErrSignature},
		{"content changed", flip(-1), now, ErrContent},
		{"content cut", good[:len(good)-1], now, ErrContent},
		{"content longer", append(bytes.Clone(good), 'x'), now, ErrContent},
		{"another key", build(t, key(t), 7, content), now, identity.ErrUnknownKey},
		{"another tenant", build(t, k, 7, content, func(m *Manifest) { m.Tenant = "u" }), now, identity.ErrWrongTarget},
		{"another group", build(t, k, 7, content, func(m *Manifest) { m.Group = "db" }), now, identity.ErrWrongTarget},
		{"expired", good, now.Add(25 * time.Hour), identity.ErrExpired},
		{"from the future", good, now.Add(-time.Hour), identity.ErrNotYet},
	} {
		if b, err := Open(c.raw, verifier(k), c.at); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// A signed manifest that is not for this version of the program, or impossible.
	for text, want := range map[string]error{
		`{"format":2,"tenant":"t","group":"g","version":1}`:                                               ErrFormat,
		`{"format":1,"tenant":"t","group":"g","version":0}`:                                               ErrMalformed,
		`{"format":1,"tenant":"u","group":"g","version":1}`:                                               ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"min_agent":"three"}`:                           ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"../x"}]}`:                     ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"b"},{"name":"a"}]}`:           ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"a"},{"name":"a"}]}`:           ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"a","size":-1}]}`:              ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"a","size":99999999999}]}`:     ErrMalformed,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"a","size":5,"sha256":"00"}]}`: ErrContent,
		`{"format":1,"tenant":"t","group":"g","version":1,"files":[{"name":"a"},{"name":"a/b"}]}`:         ErrMalformed,
		`[]`: ErrMalformed,
	} {
		signed, err := k.Sign(identity.KindBundle, identity.Target{Tenant: "t", Group: "g"}, now, time.Hour, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		raw := append(append([]byte(magic), 0, 0, byte(len(signed)>>8), byte(len(signed))), signed...)
		if _, err := Open(raw, verifier(k), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a b", "a\x00", "ü", `a\b`} {
		if _, err := Build(Manifest{Tenant: "t", Group: "g", Version: 1, Created: now}, map[string][]byte{name: nil}, k, time.Hour); !errors.Is(err, ErrMalformed) {
			t.Errorf("builds with a file %q: %v", name, err)
		}
	}
}

func openStore(t testing.TB, dir string, k *identity.SigningKey) *Store {
	t.Helper()
	s, err := OpenStore(dir, "v1.4.0", verifier(k))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	k, dir := key(t), t.TempDir()
	s := openStore(t, dir, k)
	if _, err := s.Current(); !errors.Is(err, ErrNone) {
		t.Fatalf("an empty store: %v", err)
	}
	apply := func(raw []byte, want error, changed bool) {
		t.Helper()
		b, did, err := s.Apply(raw, now, nil)
		if !errors.Is(err, want) || want == nil && err != nil || did != changed || (err == nil) != (b != nil) {
			t.Fatalf("changed %v, %v; want %v", did, err, want)
		}
	}
	version := func(want uint64) {
		t.Helper()
		if b, err := s.Current(); err != nil || b.Version != want {
			t.Fatalf("current: %v, want version %d", err, want)
		}
	}
	one, two, three := build(t, k, 1, content), build(t, k, 2, content), build(t, k, 3, content)
	apply(one, nil, true)
	apply(one, nil, false) // again: nothing changes
	apply(two, nil, true)
	apply(one, ErrOlder, false)
	apply(build(t, k, 2, map[string][]byte{"policy.yaml": []byte("stage: enforce")}), ErrReused, false)
	apply(build(t, k, 9, content, func(m *Manifest) { m.MinAgent = "v1.5.0" }), ErrAgentTooOld, false)
	version(2)

	// One that verifies but does not work changes nothing.
	broken := errors.New("rule does not compile")
	if _, did, err := s.Apply(three, now, func(*Bundle) error { return broken }); did || !errors.Is(err, broken) {
		t.Fatalf("changed %v, %v", did, err)
	}
	version(2)
	apply(build(t, k, 3, content, func(m *Manifest) { m.MinAgent = "v1.4.0" }), nil, true)

	// Going back: a new version with old content.
	old, err := Open(one, verifier(k), now)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Rebuild(old, 4, "back to 1", now, k, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	apply(back, nil, true)
	version(4)

	// After a restart, long after its expiry, it is still in use, and older ones still refused.
	s = openStore(t, dir, k)
	version(4)
	if b, _ := s.Current(); b.Note != "back to 1" {
		t.Errorf("%+v", b.Manifest)
	}
	apply(three, ErrOlder, false)

	// A damaged current file: the one before, and still nothing older gets in.
	current := filepath.Join(dir, "current.rwb")
	raw, _ := os.ReadFile(current)
	raw[len(raw)-1] ^= 1
	os.WriteFile(current, raw, 0o600)
	s = openStore(t, dir, k)
	version(3)
	apply(three, ErrOlder, false)
	apply(back, nil, true) // the very bundle that was damaged
	s = openStore(t, dir, k)
	version(4)
	if _, err := s.load("previous.rwb"); err != nil {
		t.Error(err)
	}
	os.Remove(current)
	s = openStore(t, dir, k)
	version(3)
}

func TestContentAndNames(t *testing.T) {
	k := key(t)
	open := func(version uint64, files map[string][]byte, change ...func(*Manifest)) *Bundle {
		b, err := Open(build(t, k, version, files, change...), verifier(k), now)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := open(1, content), open(2, content, func(m *Manifest) { m.Note = "again" })
	if a.Content() != b.Content() || a.Ref() == b.Ref() || a.Content() != ContentOf("", content) {
		t.Errorf("%s %s, %s %s", a.Ref(), a.Content(), b.Ref(), b.Content())
	}
	if c := open(3, content, func(m *Manifest) { m.MinAgent = "v1.0.0" }); c.Content() == a.Content() {
		t.Error("another least agent is the same content")
	}
	for in, want := range map[string]string{"a/b.yml": "a/b.yml", "/x//y": "x/y", ".git/ü x.yml": "_git/__x.yml", "..": "_."} {
		if got := CleanName(in); got != want || !validName(got) {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	seen, by, err := Inspect(a.Raw())
	if err != nil || seen.ID != a.ID || by != k.Public().ID() {
		t.Errorf("%v %s %v", seen, by, err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := a.Unpack(dir, "rules/"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "rules", "web.yar"))
	if err != nil || !bytes.Equal(got, content["rules/web.yar"]) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "policy.yaml")); err == nil {
		t.Error("more than what was asked for is unpacked")
	}
}

func TestFromAFile(t *testing.T) {
	k := key(t)
	path := filepath.Join(t.TempDir(), "b.rwb")
	os.WriteFile(path, build(t, k, 1, content), 0o644)
	raw, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, changed, err := openStore(t, t.TempDir(), k).Apply(raw, now, nil); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if _, err := ReadFile(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestCrashWhileKeeping leaves the folder as it is after each step of keep: there is
// always a good bundle, and the newer one can be taken.
func TestCrashWhileKeeping(t *testing.T) {
	k := key(t)
	one, two := build(t, k, 1, content), build(t, k, 2, content)
	b2, err := Open(two, verifier(k), now)
	if err != nil {
		t.Fatal(err)
	}
	steps := []func(dir string){
		func(dir string) { os.WriteFile(filepath.Join(dir, "current.rwb.new"), two[:len(two)/2], 0o600) },
		func(dir string) { os.WriteFile(filepath.Join(dir, "current.rwb.new"), two, 0o600) },
		func(dir string) {
			os.WriteFile(filepath.Join(dir, "highest.json"), fmt.Appendf(nil, `{"version":2,"id":"%s"}`, b2.ID), 0o600)
		},
		func(dir string) {
			os.Rename(filepath.Join(dir, "current.rwb"), filepath.Join(dir, "previous.rwb"))
		},
	}
	for n := range len(steps) + 1 {
		dir := t.TempDir()
		if _, _, err := openStore(t, dir, k).Apply(one, now, nil); err != nil {
			t.Fatal(err)
		}
		for _, step := range steps[:n] {
			step(dir)
		}
		s := openStore(t, dir, k)
		if b, err := s.Current(); err != nil || b.Version != 1 {
			t.Fatalf("after %d steps: %v", n, err)
		}
		if _, changed, err := s.Apply(two, now, nil); err != nil || !changed {
			t.Fatalf("after %d steps: changed %v, %v", n, changed, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f)
	good := build(f, k, 1, content)
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := Open(raw, verifier(k), now); err == nil && !bytes.Equal(raw, good) {
			t.Fatal("believes what was not signed")
		}
		if b, _, err := Inspect(raw); err == nil { // not signed, and still within bounds
			if err := b.Unpack(t.TempDir(), FileRules, Lists); err != nil {
				t.Fatal(err)
			}
		}
	})
}
