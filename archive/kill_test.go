// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/archive/synth"
	"github.com/ringwall/ringwall/event"
)

const killEnv = "RINGWALL_ARCHIVE_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := storeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const killHosts = 4

// storeUntilKilled appends events of several hosts, each continuing where the archive
// says it stands, resending some, and prints "host seq" for each acknowledged batch.
func storeUntilKilled(dir string) error {
	s, err := Open(Config{Dir: dir, FlushEvery: 3 * time.Millisecond, FanIn: 3, Grace: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	var out sync.Mutex
	for h := range killHosts {
		go func() {
			host := fmt.Sprintf("host-%d", h)
			seq := s.Watermark("acme", host, 1)
			for {
				first := max(1, seq-min(seq, 3)) // the last few again, as a broker redelivers
				last := seq + 20
				if err := s.Append(context.Background(), Batch{Tenant: "acme", Host: host, Epoch: 1, First: first, Last: last, Events: killEvents(host, first, last)}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				seq = last
				out.Lock()
				fmt.Println(host, seq)
				out.Unlock()
			}
		}()
	}
	return s.Run(context.Background())
}

func killEvents(host string, first, last uint64) (out []*event.Event) {
	for n := first; n <= last; n++ {
		out = append(out, &event.Event{Tenant: "acme", Host: host, Epoch: 1, Seq: n, WallNs: synth.Start + int64(n)})
	}
	return out
}

// A kill -9 at any moment loses no acknowledged event and doubles none.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]uint64{}
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(120+37*round)*time.Millisecond, func() { cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var host string
			var seq uint64
			if n, _ := fmt.Sscanf(lines.Text(), "%s %d", &host, &seq); n == 2 {
				acked[host] = max(acked[host], seq)
			}
		}
		cmd.Wait()
		checkKilled(t, dir, acked)
	}
	total := uint64(0)
	for _, n := range acked {
		total += n
	}
	if total == 0 {
		t.Fatal("nothing was acknowledged before the kills")
	}
	t.Logf("%d events acknowledged over 8 kills", total)
}

func checkKilled(t *testing.T, dir string, acked map[string]uint64) {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for host, seq := range acked {
		mark := s.Watermark("acme", host, 1)
		if mark < seq {
			t.Fatalf("%s: watermark %d, but %d was acknowledged", host, mark, seq)
		}
		events := collect(t, s, "acme", Range{Host: host, Order: BySeq})
		for i, e := range events {
			if e.Seq != uint64(i)+1 {
				t.Fatalf("%s: event %d has sequence %d", host, i, e.Seq)
			}
		}
		if uint64(len(events)) != mark {
			t.Fatalf("%s: %d events, watermark %d", host, len(events), mark)
		}
	}
}
