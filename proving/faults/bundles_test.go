// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// marker is a file rule that only a bundle brings, and its word.
func marker(word string) string {
	return fmt.Sprintf("rule marked_%[1]s { meta: score = 95 description = \"the mark %[1]s\" strings: $a = \"ringwall mark %[1]s\" condition: $a }\n", word)
}

// watcher is a real agent that sees files below a folder of its own and nothing else.
type watcher struct {
	*realAgent
	root string
	n    int
}

func newWatcher(t *testing.T, b *brainProc, tenant, host string) *watcher {
	t.Helper()
	needRoot(t, "the sensor of files is fanotify")
	root := t.TempDir()
	config := fmt.Sprintf("host: %s\nsensors: {kernel: off, packet: off, files: on, inventory: off, logs: off}\nfiles: {roots: [%s]}\n", host, root)
	w := &watcher{realAgent: asideAgent(t, b, tenant, host, config), root: root}
	w.start(t)
	return w
}

func (w *watcher) start(t *testing.T) { t.Helper(); w.run(t) } // it needs no kernel sensor

// works tells whether a file with that word is found by the rule of that word, and gives
// the bundle that the finding rests on.
func (w *watcher) works(t *testing.T, b *brainProc, tenant, word string) (ref string) {
	t.Helper()
	w.n++
	path := filepath.Join(w.root, fmt.Sprintf("f%d-%s.txt", w.n, word))
	eventually(t, "a finding of the rule "+word, func() bool {
		write(t, path, "ringwall mark "+word+"\n") // again: the first may have come before the bundle
		for _, f := range findings(t, b, tenant) {
			if f.Rule == "light/marked_"+word && f.Subjects[0].File.Path == path {
				ref = f.Bundle
				if f.RuleVersion == "" {
					t.Error("the finding names no version of its rules")
				}
				return true
			}
		}
		return false
	})
	return ref
}

// inForce waits until an agent says that it works from a version of its group's bundle.
func inForce(t *testing.T, w *realAgent, version int) {
	t.Helper()
	eventually(t, fmt.Sprintf("bundle %d in force", version), func() bool {
		raw, err := bundle.ReadFile(filepath.Join(w.data, "bundle", "current.rwb"))
		if err != nil {
			return false
		}
		b, _, err := bundle.Inspect(raw)
		return err == nil && b.Version >= uint64(version) && strings.Contains(w.said(), "bundle="+b.Ref())
	})
}

// TestBundles: what the brain is configured with is what agents judge by, of a version
// that rises; with the brain away, after a kill, and over a restart, they judge by the
// last good one.
func TestBundles(t *testing.T) {
	rules := t.TempDir()
	write(t, filepath.Join(rules, "a.yar"), marker("one"))
	b := newBrain(t, "bundle: {file_rules: "+rules+"}")
	w := newWatcher(t, b, "default", "taker")
	inForce(t, w.realAgent, 1)
	if ref := w.works(t, b, "default", "one"); !strings.HasPrefix(ref, "default/1/") {
		t.Errorf("the finding rests on %q", ref)
	}

	// A new rule: a new version, without a restart of anything.
	write(t, filepath.Join(rules, "b.yar"), marker("two"))
	reloaded(t, b.proc)
	if ref := w.works(t, b, "default", "two"); !strings.HasPrefix(ref, "default/2/") {
		t.Errorf("the finding rests on %q", ref)
	}
	// The old rules again: a new version with old content.
	if err := os.Remove(filepath.Join(rules, "b.yar")); err != nil {
		t.Fatal(err)
	}
	reloaded(t, b.proc)
	inForce(t, w.realAgent, 3)

	// Killed both; the agent starts without a brain and judges by the last good one.
	b.kill()
	w.kill()
	if err := os.MkdirAll(filepath.Join(w.data, "bundle", "work-left-by-a-kill", "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	write(t, filepath.Join(w.root, "alone.txt"), "ringwall mark one\n")
	b.start(t) // the finding was made while there was none: the file is gone now
	eventually(t, "the finding made alone", func() bool {
		for _, f := range findings(t, b, "default") {
			if f.Rule == "light/marked_one" && strings.HasSuffix(f.Subjects[0].File.Path, "alone.txt") {
				if !strings.HasPrefix(f.Bundle, "default/3/") {
					t.Errorf("the finding rests on %q", f.Bundle)
				}
				return true
			}
		}
		return false
	})
	if _, err := os.Stat(filepath.Join(w.data, "bundle", "work-left-by-a-kill")); err == nil {
		t.Error("what a kill left is still there")
	}

	// The ledger comes from an old copy, and the bundles are lost: versions rise all the same,
	// because the broker remembers what this brain signed.
	b.kill()
	for _, gone := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm", "bundles"} {
		if err := os.RemoveAll(filepath.Join(b.data, gone)); err != nil {
			t.Fatal(err)
		}
	}
	b.start(t)
	inForce(t, w.realAgent, 4)

	// An exception holds on the host: the finding comes grey.
	b.configure(t, "bundle: {file_rules: "+rules+"}", "exceptions: [{id: ours, scope: {rule: light/marked_one}, reason: a test of ours, owner: me, expires: 2099-01-01T00:00:00Z}]")
	reloaded(t, b.proc)
	inForce(t, w.realAgent, 5)
	path := filepath.Join(w.root, "excepted.txt")
	write(t, path, "ringwall mark one\n")
	eventually(t, "the excepted finding archived as grey", func() bool {
		return number(t, b.data, "default", "select count(*) from events where kind = 'finding' and title like '%excepted.txt'") == 1
	})
	for _, f := range findings(t, b, "default") {
		if f.Colour == "black" && strings.HasSuffix(f.Subjects[0].File.Path, "excepted.txt") {
			t.Error("an excepted finding is black")
		}
	}
}

// reloaded tells a process to read its configuration again and waits until it has.
func reloaded(t *testing.T, p *proc) {
	t.Helper()
	before := strings.Count(p.said(), "configuration is taken")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configuration taken", func() bool { return strings.Count(p.said(), "configuration is taken") > before })
}

// TestBundleByHand: an agent that no bus reaches takes a bundle from a file, running or
// not, and refuses older, foreign and damaged ones.
func TestBundleByHand(t *testing.T) {
	rules := t.TempDir()
	b := newBrain(t, "tenants: [default, red]", "bundle: {file_rules: "+rules+"}")
	dir := t.TempDir()
	export := func(name string, more ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if _, err := command(b.data, append([]string{"bundle", "export", path}, more...)...); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, foreign := export("one.rwb"), export("foreign.rwb", "--tenant", "red")
	write(t, filepath.Join(rules, "a.yar"), marker("one"))
	reloaded(t, b.proc)
	two := export("two.rwb")
	write(t, filepath.Join(rules, "b.yar"), marker("two"))
	reloaded(t, b.proc)
	three := export("three.rwb")
	raw, err := os.ReadFile(three)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-2] ^= 1
	damaged := filepath.Join(dir, "damaged.rwb")
	write(t, damaged, string(raw))

	self := b.join(t, "default", "island")
	b.kill() // and never comes back
	data := filepath.Join(shortDir(t), "a")
	if err := self.Save(filepath.Join(data, "self")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), senseless)
	apply := func(path, want string) {
		t.Helper()
		out, err := agentCommand(data, "bundle", "apply", path)
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q; want %q", filepath.Base(path), got, want)
		}
	}
	apply(foreign, "meant for another")
	apply(damaged, "not what was signed")
	apply(two, "taken: default/2/")
	apply(two, "in force already")
	apply(one, "older than")
	p := start(t, nil, binaries.agent, "run", "--data", data)
	p.await(t, "watching island")
	if said := p.said(); !strings.Contains(said, "default/2/") {
		t.Errorf("it does not start from bundle 2:\n%s", said)
	}
	apply(one, "older than")
	apply(damaged, "not what was signed")
	apply(foreign, "meant for another")
	apply(three, "taken: default/3/")
	apply(two, "older than")
	p.kill()

	told := ""
	for _, ev := range spooled(t, data) {
		if s := ev.GetState(); s.GetComponent() == "bundle" && s.State == "degraded" {
			told = s.Reason
		}
	}
	if !strings.Contains(told, "4 bundles refused") || !strings.Contains(told, "default/3/") {
		t.Errorf("the refusals are told as %q", told)
	}
	out, err := agentCommand(data, "bundle", "show", three, "--json", "-")
	var shown struct {
		bundle.Manifest
		Signed string
	}
	if err != nil || json.Unmarshal(out, &shown) != nil || shown.Version != 3 || !strings.Contains(shown.Signed, "by the brain of this host") {
		t.Errorf("show: %v %s", err, out)
	}
	if out, _ := agentCommand(data, "bundle", "show", foreign); !strings.Contains(string(out), "would refuse it") {
		t.Errorf("show of a foreign one: %s", out)
	}
	for _, path := range []string{one, two, three, foreign} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, self.Redact) || bytes.Contains(raw, self.Credentials.Seed) {
			t.Errorf("%s holds a key", path)
		}
	}
}

// TestHostileBundles: the real agent on a broker that plays bundles: forged, of another
// brain, tenant and group, of a newer format, for a newer agent, replayed. It stays with
// the good one and says so.
func TestHostileBundles(t *testing.T) {
	auth, other := authority(t, "brain"), authority(t, "other")
	hub, self, data := victim(t, auth)
	p := start(t, nil, binaries.agent, "run", "--data", data)
	p.await(t, "watching victim")

	made := func(signer *identity.SigningKey, version uint64, change func(*bundle.Manifest), files map[string][]byte) []byte {
		t.Helper()
		m := bundle.Manifest{Tenant: "red", Group: "web", Version: version, Created: time.Now()}
		if change != nil {
			change(&m)
		}
		raw, err := bundle.Build(m, files, signer, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	n := uint64(0)
	play := func(raw []byte) {
		t.Helper()
		n++ // what the broker calls it proves nothing
		if err := hub.PublishBundle(t.Context(), "red", "web", n, raw); err != nil {
			t.Fatal(err)
		}
	}
	old, good := made(auth.Signer(), 6, nil, nil), made(auth.Signer(), 7, nil, map[string][]byte{"rules/file/a.yar": []byte(marker("one"))})
	play(good)
	eventually(t, "the good one", func() bool { return strings.Contains(p.said(), "bundle=web/7/") })
	forged := bytes.Clone(made(auth.Signer(), 8, nil, map[string][]byte{"rules/file/a.yar": []byte(marker("two"))}))
	forged[len(forged)-3] ^= 1
	for _, c := range []struct {
		what string
		raw  []byte
		why  string
	}{
		{"older", old, bundle.ErrOlder.Error()},
		{"the same version of another content", made(auth.Signer(), 7, nil, nil), bundle.ErrReused.Error()},
		{"forged", forged, bundle.ErrContent.Error()},
		{"another brain's", made(other.Signer(), 8, nil, nil), identity.ErrUnknownKey.Error()},
		{"another tenant's", made(auth.Signer(), 8, func(m *bundle.Manifest) { m.Tenant = "blue" }, nil), identity.ErrWrongTarget.Error()},
		{"another group's", made(auth.Signer(), 8, func(m *bundle.Manifest) { m.Group = "db" }, nil), identity.ErrWrongTarget.Error()},
		{"of a newer format", newer(t, auth.Signer()), bundle.ErrFormat.Error()},
		{"expired", made(auth.Signer(), 8, func(m *bundle.Manifest) { m.Created = time.Now().Add(-2 * time.Hour) }, nil), identity.ErrExpired.Error()},
		{"whose exceptions do not parse", made(auth.Signer(), 8, nil, map[string][]byte{bundle.ExceptionsFile: []byte("{")}), bundle.ExceptionsFile},
		{"junk", []byte("junk"), bundle.ErrMalformed.Error()},
	} {
		before := strings.Count(p.said(), c.why)
		play(c.raw)
		eventually(t, c.what+" is refused", func() bool { return strings.Count(p.said(), c.why) > before })
	}
	if said := p.said(); strings.Count(said, "bundle taken") != 1 {
		t.Error("it took another than the good one")
	}
	js := jet(t, auth, self.Bus) // a size that lies, and pieces that never come
	for _, lie := range []string{`{"version":9,"size":268435456,"sha256":"00"}`, `{"version":9,"size":-1}`, `{"version":9,"size":99999999999,"sha256":"00"}`, "junk"} {
		if _, err := js.Publish(t.Context(), "bundle.red.web", []byte(lie)); err != nil {
			t.Fatal(err)
		}
	}
	play(made(auth.Signer(), 8, nil, nil)) // and it listens still
	eventually(t, "the next good one", func() bool { return strings.Contains(p.said(), "bundle=web/8/") })
	p.stop(t)
	degraded := 0
	for _, ev := range spooled(t, data) {
		if s := ev.GetState(); s.GetComponent() == "bundle" && s.State == "degraded" && strings.Contains(s.Reason, "works from bundle web/7/") {
			degraded++
		}
	}
	if degraded == 0 {
		t.Error("that foreign bundles are played is not told as a state")
	}
}

// TestOneSecretOfATenant: hosts that join apart hash one secret alike within a tenant and
// otherwise in another, and the bundle tells a host that has another key.
func TestOneSecretOfATenant(t *testing.T) {
	b := newBrain(t, "tenants: [default, red, blue]")
	hash := func(a *identity.Agent) string { return event.NewRedactor(a.Redact).Hash("hunter2") }
	r1, r2, b1 := b.join(t, "red", "one"), b.join(t, "red", "two"), b.join(t, "blue", "one")
	if hash(r1) != hash(r2) {
		t.Error("two hosts of a tenant hash a secret differently")
	}
	if hash(r1) == hash(b1) {
		t.Error("two tenants hash a secret alike")
	}

	// One that joined before there was a key hashes with its own, is told so, and joins again.
	r1.Redact = nil
	data := filepath.Join(shortDir(t), "a")
	if err := r1.Save(filepath.Join(data, "self")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), senseless+"host: one\n")
	p := start(t, nil, binaries.agent, "run", "--data", data)
	becomes(t, b.data, "one", "redaction", "degraded", "not its tenant's")
	p.stop(t)
	p = start(t, nil, binaries.agent, "run", "--data", data, "--join", b.token(t, "red", "one"))
	becomes(t, b.data, "one", "redaction", "on", "")
	p.stop(t)
	again, err := identity.LoadAgent(filepath.Join(data, "self"))
	if err != nil || hash(again) != hash(r2) {
		t.Errorf("after it joined again it hashes otherwise than its neighbour; %v", err)
	}
}

func authority(t *testing.T, name string) *identity.Authority {
	t.Helper()
	a, err := identity.OpenAuthority(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []identity.Tenant{"red", "blue"} {
		if err := a.AddTenant(tenant); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// victim is an enrolled agent without sensors, in its folder, and the broker of its brain for
// a test to play on.
func victim(t *testing.T, auth *identity.Authority) (hub *bus.Hub, self *identity.Agent, data string) {
	t.Helper()
	hub, err := bus.OpenHub(t.Context(), bus.HubConfig{Server: bus.ServerConfig{Dir: filepath.Join(t.TempDir(), "bus"), Listen: "127.0.0.1:0", TLS: auth.ServerTLS()}, MaxBytes: 64 << 20}, auth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	self, err = auth.NewAgent("red", "victim", "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	self.Bus = hub.Server().URL()
	data = filepath.Join(shortDir(t), "a")
	if err := self.Save(filepath.Join(data, "self")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), senseless)
	return hub, self, data
}

// jet is the brain's own hand on the broker, for what a Hub would not do.
func jet(t *testing.T, auth *identity.Authority, url string) jetstream.JetStream {
	t.Helper()
	creds, err := auth.BrainUser()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(url, nats.UserJWT(func() (string, error) { return creds.JWT, nil }, creds.Sign), nats.Secure(identity.PinnedTLS(auth.Pin())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// newer is a bundle of a format that no build knows yet, well signed.
func newer(t *testing.T, key *identity.SigningKey) []byte {
	t.Helper()
	text := fmt.Appendf(nil, `{"format":%d,"tenant":"red","group":"web","version":9}`, bundle.Format+1)
	signed, err := key.Sign(identity.KindBundle, identity.Target{Tenant: "red", Group: "web"}, time.Now(), time.Hour, text)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte("RWBUNDL1"), 0, 0, byte(len(signed)>>8), byte(len(signed))), signed...)
}

// agentCommand runs ringwall-agent on its data folder.
func agentCommand(data string, argv ...string) ([]byte, error) {
	cmd := exec.Command(binaries.agent, append(argv, "--data", data)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.Bytes())
	}
	return out.Bytes(), err
}

// TestKillWhileTaking: an agent that is killed at any moment of taking a bundle has a whole
// one afterwards, never an older one, and takes the newest when it is back.
func TestKillWhileTaking(t *testing.T) {
	auth := authority(t, "brain")
	hub, self, data := victim(t, auth)
	files := map[string][]byte{"hashes/many": bytes.Repeat([]byte(strings.Repeat("ab", 32)+" black filler\n"), 40_000)}
	const rounds = 5
	kept := uint64(0)
	for n := uint64(1); n <= rounds; n++ {
		p := start(t, nil, binaries.agent, "run", "--data", data)
		p.await(t, "watching victim")
		files["rules/file/a.yar"] = []byte(marker(fmt.Sprintf("n%d", n)))
		raw, err := bundle.Build(bundle.Manifest{Tenant: "red", Group: "web", Version: n, Created: time.Now()}, files, auth.Signer(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := hub.PublishBundle(t.Context(), "red", "web", n, raw); err != nil {
			t.Fatal(err)
		}
		if n < rounds {
			// The moments of taking, one after another: unpacking, written, marked, renamed.
			sign := [...]string{"work-", "current.rwb.new", "highest.json", "current.rwb"}[n-1]
			eventually(t, "the moment of "+sign, func() bool {
				found, _ := filepath.Glob(filepath.Join(data, "bundle", sign+"*"))
				return len(found) > 0 || strings.Contains(p.said(), fmt.Sprintf("bundle=web/%d/", n))
			})
		} else {
			p.await(t, fmt.Sprintf("bundle=web/%d/", n))
		}
		p.kill()
		store, err := bundle.OpenStore(filepath.Join(data, "bundle"), "dev", self.Verifier(nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := store.Current()
		if errors.Is(err, bundle.ErrNone) && kept == 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Version < kept || b.Version > n {
			t.Errorf("round %d: version %d after %d", n, b.Version, kept)
		}
		kept = b.Version
	}
	if kept != rounds {
		t.Errorf("it ends with version %d", kept)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "bundle", "work-*")); len(left) > 1 {
		t.Errorf("left of kills: %v", left)
	}
}
