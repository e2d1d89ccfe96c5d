// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// runIn runs true with an argument inside a cgroup.
func runIn(t testing.TB, cgroup, marker string) {
	t.Helper()
	fd, err := unix.Open(cgroup, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	cmd := exec.Command("/bin/true", marker)
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	must(t, cmd.Run())
}

func execOf(marker string) func(*event.Event) bool {
	return func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_EXEC && slices.Contains(e.GetProcess().Argv, marker)
	}
}

func TestScope(t *testing.T) {
	cg := tempCgroup(t)
	child := filepath.Join(cg, "child")
	must(t, os.Mkdir(child, 0o755))
	t.Cleanup(func() { _ = os.Remove(child) })
	s, rec := start(t, func(c *Config) { c.Cgroup = cg })
	runIn(t, child, "inside-child")
	runIn(t, cgroupRoot(), "outside")
	runIn(t, cg, "inside")
	rec.find(t, "exec in the scope's child", execOf("inside-child"))
	rec.find(t, "exec in the scope", execOf("inside"))
	rec.none(t, "exec outside", execOf("outside"))
	if st := s.Stats()["process"]; st.Seen == 0 || st.Filtered == 0 || st.Lost != 0 {
		t.Errorf("process counters %+v", st)
	}
	for end := time.Now().Add(10 * time.Second); s.Count()["process"].Filtered == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("counted %+v", s.Count())
		}
	}
}

func TestShared(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	must(t, Share(dir, Defaults()))
	t.Cleanup(func() {
		if err := Unshare(dir); err != nil {
			t.Error(err)
		}
		must(t, unix.Unmount(dir, 0))
	})
	one, two := tempCgroup(t), tempCgroup(t)
	_, recOne := start(t, func(c *Config) { c.Cgroup, c.Shared = one, dir })
	sTwo, recTwo := start(t, func(c *Config) { c.Cgroup, c.Shared = two, dir })
	runIn(t, one, "in-one")
	runIn(t, two, "in-two")
	recOne.find(t, "exec in one", execOf("in-one"))
	recTwo.find(t, "exec in two", execOf("in-two"))
	recOne.none(t, "another scope's exec", execOf("in-two"))
	recTwo.none(t, "another scope's exec", execOf("in-one"))

	// An agent that died leaves its slot; the next one takes it.
	var rec slotRecord
	must(t, sTwo.maps["slots"].Lookup(sTwo.slot.Load(), &rec))
	if rec.Active != 1 {
		t.Errorf("slot %+v", rec)
	}
	t.Run("third comes and goes", func(t *testing.T) {
		three := tempCgroup(t)
		s, recThree := start(t, func(c *Config) { c.Cgroup, c.Shared = three, dir })
		runIn(t, three, "in-three")
		recThree.find(t, "exec in three", execOf("in-three"))
		if s.slot.Load() == sTwo.slot.Load() {
			t.Error("two agents in one slot")
		}
	})
	var id uint64
	var slot uint32
	n := 0
	for it := sTwo.maps["scope_cgroups"].Iterate(); it.Next(&id, &slot); {
		n++
	}
	if n != 2 {
		t.Errorf("%d scopes registered after the third left, want 2", n)
	}
}

// A set that an older or a newer version pinned speaks other records: no agent of ours
// reads them, and none of ours is pinned over it.
func TestSetOfAnotherVersion(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	must(t, Share(dir, Defaults()))
	t.Cleanup(func() { must(t, Unshare(dir)); must(t, unix.Unmount(dir, 0)) })
	cfg := Defaults()
	cfg.Cgroup, cfg.Shared = tempCgroup(t), dir
	opt := Options{Emit: func(*event.Event) {}, Redact: event.NewRedactor([]byte("0123456789abcdef"))}
	ours := filepath.Join(dir, pinOf("precious"))
	for _, theirs := range []string{"map_precious", "map_precious_v1000"} {
		must(t, os.Rename(ours, filepath.Join(dir, theirs)))
		if s, err := New(cfg, opt); err == nil {
			s.Close()
			t.Errorf("%s: an agent reads records of another version", theirs)
		} else if !strings.Contains(err.Error(), "another version ("+theirs+",") {
			t.Errorf("%s: %v", theirs, err)
		}
		if err := Share(dir, Defaults()); err == nil || !strings.Contains(err.Error(), "already shared") {
			t.Errorf("%s: shared over it: %v", theirs, err)
		}
		must(t, os.Rename(filepath.Join(dir, theirs), ours))
	}
	s, err := New(cfg, opt)
	must(t, err)
	s.Close()
}

func TestLostSlotIsReplaced(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	must(t, Share(dir, Defaults()))
	t.Cleanup(func() { must(t, Unshare(dir)); must(t, unix.Unmount(dir, 0)) })
	cg := tempCgroup(t)
	cfg := Defaults()
	cfg.Cgroup, cfg.Shared = cg, dir
	s, err := New(cfg, Options{Emit: func(*event.Event) {}, Redact: event.NewRedactor([]byte("0123456789abcdef"))})
	must(t, err)
	defer s.Close()
	s.beat()
	releaseSlot(s.maps, s.slot.Load())
	if _, err := claimSlot(s.maps, slotRecord{Self: 1}); err != nil { // another agent came
		t.Fatal(err)
	}
	before := s.slot.Load()
	s.beat()
	id, err := cgroupID(cg)
	must(t, err)
	var slot uint32
	must(t, s.maps["scope_cgroups"].Lookup(id, &slot))
	if s.slot.Load() == before || slot != s.slot.Load() {
		t.Errorf("slot %d before, %d now, scope leads to %d", before, s.slot.Load(), slot)
	}
	own := map[string]bool{} // hooks that this kernel serves a set of one's own
	for _, c := range Probe(Defaults()) {
		own[c.Name] = !c.Missed()
	}
	for _, c := range s.Probe() {
		if c.Set == "A" && c.Missed() && own[c.Name] {
			t.Errorf("%v", c)
		}
	}
}

// An agent inside a pid namespace must hear the numbers of its own /proc.
func TestPidNamespace(t *testing.T) {
	needRoot(t)
	host := exec.Command("unshare", "-pf", "--kill-child", "/bin/bash", "-c", `while read l; do /bin/sh -c 'echo $$; exit' "$l"; done`)
	in, err := host.StdinPipe()
	must(t, err)
	out, err := host.StdoutPipe()
	must(t, err)
	must(t, host.Start())
	t.Cleanup(func() { in.Close(); _ = host.Wait() })
	ask := func(marker string) uint32 {
		var pid uint32
		_, err := fmt.Fprintln(in, marker)
		must(t, err)
		_, err = fmt.Fscan(out, &pid)
		must(t, err)
		return pid
	}
	ask("is it up")
	_, rec := start(t, func(c *Config) { c.PidNamespace = fmt.Sprintf("/proc/%d/ns/pid_for_children", host.Process.Pid) })
	want := ask("inside")
	e := rec.find(t, "exec inside", execOf("inside"))
	if e.Actor.Pid != want || want > 100 {
		t.Errorf("pid %d, in its namespace it is %d", e.Actor.Pid, want)
	}
	if p := e.GetProcess().Parent; p.GetPid() != 1 {
		t.Errorf("parent %v, want pid 1", p)
	}
}

func TestStaleSlotIsTaken(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	must(t, Share(dir, Defaults()))
	t.Cleanup(func() { must(t, Unshare(dir)); must(t, unix.Unmount(dir, 0)) })
	maps, err := openShared(dir)
	must(t, err)
	defer closeMaps(maps)
	slot, err := claimSlot(maps, slotRecord{Self: 1})
	must(t, err)
	must(t, maps["scope_cgroups"].Put(uint64(4242), slot))
	must(t, maps["slots"].Put(slot, slotRecord{Active: 1, Beat: event.BootNow() - uint64(staleAfter) - uint64(time.Second)}))
	again, err := claimSlot(maps, slotRecord{Self: 2})
	must(t, err)
	var s uint32
	if err := maps["scope_cgroups"].Lookup(uint64(4242), &s); again != slot || err == nil {
		t.Errorf("slot %d again %d; the dead agent's scope is still there: %v", slot, again, err == nil)
	}
}

// A storm of files must not cost a precious event (range.md §7: it did).
func TestStorm(t *testing.T) {
	s, rec := start(t, func(c *Config) { c.BulkRing = 1 << 20 })
	dir := t.TempDir()
	storm := exec.Command("/bin/bash", "-c", `for i in $(seq 20000); do : > f$((i%50)); done`)
	storm.Dir = dir
	must(t, storm.Start())
	const n = 50
	for i := range n {
		must(t, exec.Command("/bin/true", "storm", string(rune('A'+i%26))+time.Now().String()).Run())
	}
	must(t, storm.Wait())
	time.Sleep(1500 * time.Millisecond) // the next look at the counters
	execs := 0
	var told uint64
	for _, e := range rec.all() {
		if p := e.GetProcess(); p.GetOp() == event.ProcessActivity_EXEC && len(p.Argv) == 3 && p.Argv[1] == "storm" {
			execs++
		}
		if l := e.GetLoss(); l.GetClass() == "file" {
			told += l.Count
		}
	}
	st := s.Stats()
	if execs != n || st["process"].Lost != 0 {
		t.Errorf("%d of %d execs, %d lost", execs, n, st["process"].Lost)
	}
	if f := st["file"]; f.Seen+f.Capped+f.Lost < 20000 || told != f.Capped+f.Lost {
		t.Errorf("files %+v, %d told as lost", f, told)
	} else {
		t.Logf("files %+v", f)
	}
}
