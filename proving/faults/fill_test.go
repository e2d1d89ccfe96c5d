// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/identity"
)

// TestFullSpool: with the brain away the spool fills. What was kept arrives once, what
// was dropped is counted, and the count is told when the brain is back.
func TestFullSpool(t *testing.T) {
	b := newBrain(t)
	s := newSynth(t, b.join(t, "default", "count"), t.TempDir(), 1<<20)
	a, load := (*realAgent)(nil), func(string) {}
	if canKernel() {
		dir := cgroup(t)
		in, long := within(t, dir), strings.Repeat("long argument ", 250) // 3.5 KB of them: 1 MiB is soon full
		a = newAgent(t, b, "default", "real", kernelOnly("real", dir, "spool: {max_bytes: 1048576}"))
		load = func(n string) {
			cmd := exec.Command("/bin/true", long, n)
			in(cmd)
			_ = cmd.Run()
		}
	}
	b.kill()
	kept, dropped := map[string]bool{}, 0
	for i := range 8000 {
		n := nonce("synth", i)
		if s.emit(ran(uint32(i+2), time.Now().UnixNano(), "/bin/x", strings.Repeat("y", 200), n)) {
			kept[n] = true
		} else {
			dropped++
		}
		if i%50 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	if dropped == 0 || len(kept) == 0 {
		t.Fatalf("%d kept, %d dropped: the spool did not fill", len(kept), dropped)
	}
	counted := uint64(0)
	for _, l := range s.spool.Losses() {
		counted += l.Count
	}
	if st := s.spool.Stats(identity.Precious); counted != uint64(dropped) || st.Dropped != counted {
		t.Errorf("%d were dropped, %d told, %d counted", dropped, counted, st.Dropped)
	}
	const execs = 700
	for i := range execs {
		load(nonce("real", i))
	}
	b.start(t)
	s.settled()
	if a != nil {
		// The agent goes on by itself: what comes now is kept.
		eventually(t, "an exec after the gap", func() bool {
			load(nonce("after", 0))
			return number(t, b.data, "default", "select count(*) from processes where argv like '%"+nonce("after", 0)+"%'") > 0
		})
		eventually(t, "the loss told", func() bool { return told(t, b) > 0 })
		a.stop(t)
	}
	status := document[brain.Status](t, b.data, "status")
	b.stop(t)
	got, real := map[string]int{}, 0
	for _, ev := range once(t, archived(t, b.data, "default")) {
		argv := ev.GetProcess().GetArgv()
		if len(argv) == 0 {
			continue
		}
		n := argv[len(argv)-1]
		if got[n]++; strings.HasPrefix(n, "nonce-real-") {
			real++
		}
	}
	for n := range kept {
		if got[n] != 1 {
			t.Fatalf("%s was kept and is %d times in the archive", n, got[n])
		}
	}
	if a == nil {
		t.Log("no kernel sensor here: only the synthetic agent")
		return
	}
	var lost uint64
	for _, h := range status.Hosts {
		if h.Host == "real" {
			lost = h.Lost["spool/precious"] + h.Lost["spool/bulk"]
		}
	}
	if real == 0 || real == execs || lost < uint64(execs-real) {
		t.Errorf("of %d execs %d are in the archive and %d events are told as lost", execs, real, lost)
	}
	t.Logf("synthetic: %d kept, %d dropped; real: %d of %d execs kept, %d events told as lost", len(kept), dropped, real, execs, lost)
}

// told sums what the archive knows of losses of the real agent's spool.
func told(t *testing.T, b *brainProc) int {
	return number(t, b.data, "default", "select coalesce(sum(lost), 0)::bigint from events where kind='loss' and host='real' and title='spool'")
}
