// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/spool"
)

// kernelOnly confines a real agent to a cgroup and to the kernel sensor; more is YAML of
// the agent's own file.
func kernelOnly(host, cgroup string, more ...string) string {
	return "host: " + host + "\nscope: {cgroup: " + cgroup + "}\nsensors: {packet: off, files: off, inventory: off, logs: off}\n" + strings.Join(more, "\n") + "\n"
}

// realAgent is a ringwall-agent that can be killed and started again on its data.
type realAgent struct {
	*proc
	data, join string
}

func newAgent(t *testing.T, b *brainProc, tenant, host, config string) *realAgent {
	t.Helper()
	a := asideAgent(t, b, tenant, host, config)
	a.start(t)
	return a
}

// asideAgent has token and configuration, and is not started.
func asideAgent(t *testing.T, b *brainProc, tenant, host, config string) *realAgent {
	t.Helper()
	a := &realAgent{data: filepath.Join(shortDir(t), host), join: b.token(t, tenant, host)}
	if err := os.MkdirAll(a.data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a.data, "agent.yaml"), config)
	return a
}

// run starts it, whatever it senses.
func (a *realAgent) run(t *testing.T) {
	t.Helper()
	a.proc = start(t, nil, binaries.agent, "run", "--data", a.data, "--join", a.join)
	a.await(t, "watching ")
}

func (a *realAgent) start(t *testing.T) {
	t.Helper()
	a.run(t)
	if !strings.Contains(a.said(), "sensor.kernel") || strings.Contains(a.said(), "sensor.kernel      off") {
		t.Skipf("no kernel sensor here: %s", a.said())
	}
}

// readSpool calls f with everything that an agent, dead by now, had fsynced.
func readSpool(t *testing.T, data string, f func(identity.Position, []byte)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	if out, err := exec.Command("cp", "-r", filepath.Join(data, "spool"), dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the spool: %v: %s", err, out)
	}
	sp, err := spool.Open(spool.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	for _, class := range identity.Classes {
		r := sp.Reader(class)
		for {
			at, _, events, err := r.Next(t.Context(), 500, 1<<20)
			if errors.Is(err, spool.ErrClosed) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, raw := range events {
				f(identity.Position{Epoch: at.Epoch, Seq: at.Seq + uint64(i)}, raw)
			}
		}
		r.Close()
	}
}

// acknowledged gives the ids of it.
func acknowledged(t *testing.T, data, tenant, host string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	readSpool(t, data, func(at identity.Position, _ []byte) {
		ids[(&event.Event{Tenant: tenant, Host: host, Epoch: at.Epoch, Seq: at.Seq}).ID().Text()] = true
	})
	return ids
}

// TestKills: kill -9 of the brain, twice, and of the agent, all under load.
func TestKills(t *testing.T) {
	b := newBrain(t)
	s := newSynth(t, b.join(t, "default", "count"), t.TempDir(), 0)
	a, load := (*realAgent)(nil), func() int { return 0 }
	if canKernel() {
		dir := cgroup(t)
		a = newAgent(t, b, "default", "real", kernelOnly("real", dir))
		in, files := within(t, dir), t.TempDir()
		load = repeat(func(i int) {
			cmd := exec.Command("/bin/sh", "-c", "echo x > "+filepath.Join(files, nonce("file", i)), nonce("exec", i))
			in(cmd)
			_ = cmd.Run()
		})
	}
	count := repeat(func(i int) {
		for j := range 20 {
			s.emit(ran(uint32(20*i+j+2), time.Now().UnixNano(), "/bin/x", nonce("synth", 20*i+j)))
			s.emit(wrote(uint32(20*i+j+2), time.Now().UnixNano(), "/tmp/"+nonce("bulk", 20*i+j)))
		}
		time.Sleep(4 * time.Millisecond)
	})
	for range 2 {
		time.Sleep(1500 * time.Millisecond)
		b.kill()
		time.Sleep(300 * time.Millisecond)
		b.start(t)
	}
	var acked map[string]bool
	if a != nil {
		time.Sleep(500 * time.Millisecond)
		a.kill()
		acked = acknowledged(t, a.data, "default", "real")
		a.start(t)
		time.Sleep(time.Second)
	} else {
		t.Log("not root: only the synthetic agent")
	}
	b.kill() // in the middle of what the agent sends again
	b.start(t)
	synthetic, execs := 20*count(), load()
	s.settled()
	if a != nil {
		eventually(t, "the last exec in the archive", func() bool {
			return number(t, b.data, "default", "select count(*) from processes where kind='process.exec' and argv like '%"+nonce("exec", execs-1)+"%'") > 0
		})
		a.stop(t)
	}
	status := document[brain.Status](t, b.data, "status")
	b.stop(t)

	by := once(t, archived(t, b.data, "default"))
	got := map[string]int{}
	for _, ev := range by {
		if f := ev.GetFile(); f != nil && f.Op == event.FileActivity_OPEN_WRITE {
			got[filepath.Base(f.File.Path)]++
		}
		if p := ev.GetProcess(); p != nil && p.Op == event.ProcessActivity_EXEC && len(p.Argv) > 0 {
			got[p.Argv[len(p.Argv)-1]]++
		}
	}
	for i := range synthetic {
		for _, n := range []string{nonce("synth", i), nonce("bulk", i)} {
			if got[n] != 1 {
				t.Fatalf("%s is %d times in the archive, want once", n, got[n])
			}
		}
	}
	missing := 0
	for id := range acked {
		if by[id] == nil {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d events that the killed agent had fsynced are not in the archive", missing, len(acked))
	}
	seen := 0
	for i := range execs {
		if n := got[nonce("exec", i)]; n > 1 {
			t.Errorf("%s is %d times in the archive", nonce("exec", i), n)
		} else {
			seen += n
		}
	}
	if a != nil && (len(acked) == 0 || seen < execs/2) {
		t.Errorf("the load was not seen: %d of %d execs, %d acknowledged", seen, execs, len(acked))
	}
	t.Logf("%d synthetic events, %d of %d real execs (the rest while no agent ran), %d of %d waited in the killed agent's spool; %d doubles dropped", 2*synthetic, seen, execs, len(acked), len(by), status.Counts["archive.doubles"])
}
