// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/identity"
)

// TestMain doubles as the process that is killed: it appends and syncs for ever, and
// says which event was acknowledged.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_VICTIM"); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

func victim(dir string) {
	s, err := Open(Config{Dir: dir, SegmentBytes: 64 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go s.Run(context.Background())
	for i := 0; ; i += 10 {
		for j := range 10 {
			for _, class := range identity.Classes {
				if _, _, err := s.Append(class, event(i+j)); err != nil {
					os.Exit(1)
				}
			}
		}
		if s.Sync(context.Background()) == nil {
			fmt.Println(i + 9)
		}
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	begin := [2]int{}
	epoch := uint64(0)
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SPOOL_VICTIM="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := -1
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
				t.Fatalf("victim says %q", lines.Text())
			}
			if acknowledged > 300*(round+1) {
				cmd.Process.Kill()
				break
			}
		}
		cmd.Wait()
		s, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if s.counter <= epoch {
			t.Fatalf("epoch %d after a kill, %d before", s.counter, epoch)
		}
		epoch = s.counter
		for _, class := range identity.Classes {
			r := s.Reader(class)
			last := identity.Position{}
			got := 0
			for got < begin[class]+acknowledged+1 {
				at, _, events, err := r.Next(within(t), 500, 1<<20)
				if err != nil {
					t.Fatalf("round %d, %s: %d events of %d: %v", round, class, got, begin[class]+acknowledged+1, err)
				}
				if at.Less(last) {
					t.Fatalf("%v after %v", at, last)
				}
				last = at
				got += len(events)
			}
			r.Close()
			begin[class] = 0
			for _, seg := range s.queues[class].segments {
				begin[class] += int(seg.count)
			}
		}
		s.lock.Close() // as if killed again: not a clean end
	}
}

func TestTornTailIsCutAndCounted(t *testing.T) {
	for _, tail := range []struct {
		name string
		tear func(b []byte) []byte
		lost uint64
	}{
		{"half a record", func(b []byte) []byte { return b[:len(b)-3] }, 1},
		{"half a length", func(b []byte) []byte { return append(b, 5, 0) }, 1},
		{"zeros", func(b []byte) []byte { return append(b, make([]byte, 4096)...) }, 1},
		{"flipped bit", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 1},
		{"impossible length", func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, 1<<31) }, 1},
		{"two records after a hole", func(b []byte) []byte { b[len(b)-20] ^= 1; return b }, 2},
	} {
		t.Run(tail.name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := running(t, Config{Dir: dir})
			add(t, s, identity.Precious, 0, 10)
			stop()
			seg, _ := filepath.Glob(filepath.Join(dir, "precious", "*.seg"))
			b, err := os.ReadFile(seg[0])
			if err != nil {
				t.Fatal(err)
			}
			whole := len(b)
			b = tail.tear(b)
			left := 10
			if len(b) <= whole {
				left -= int(tail.lost)
			}
			os.WriteFile(seg[0], b, 0o600)
			os.Remove(filepath.Join(dir, "state"))
			s, _ = running(t, Config{Dir: dir})
			losses := s.Losses()
			if len(losses) != 1 || losses[0].Count != tail.lost || losses[0].Reason != LossTorn {
				t.Fatalf("losses %+v", losses)
			}
			r := s.Reader(identity.Precious)
			defer r.Close()
			expect(t, r, 0, left)
			if at := add(t, s, identity.Precious, left, left+5); at.Seq != 1 {
				t.Errorf("new epoch begins at %v", at)
			}
			expect(t, r, left, left+5)
		})
	}
}

func TestDamageInTheMiddleIsSkippedAndCounted(t *testing.T) {
	dir := t.TempDir()
	s, _ := running(t, Config{Dir: dir, SegmentBytes: 200})
	for i := range 10 {
		add(t, s, identity.Precious, i*10, i*10+10)
		if err := s.Sync(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	segs, _ := filepath.Glob(filepath.Join(dir, "precious", "*.seg"))
	slices.Sort(segs)
	if len(segs) < 4 {
		t.Fatalf("%d segments", len(segs))
	}
	second := s.queues[identity.Precious].segments[1]
	b, _ := os.ReadFile(segs[1])
	b[headerBytes+recordHead+20] ^= 1 // in its second record
	os.WriteFile(segs[1], b, 0o600)
	r := s.Reader(identity.Precious)
	defer r.Close()
	end, n := int(second.end()), int(second.count)
	expect(t, r, 0, int(second.first))
	at, skipped, events, err := r.Next(within(t), 1, 1)
	if err != nil || at.Seq != uint64(end) || skipped != uint64(n-1) || string(events[0]) != string(event(end-1)) {
		t.Fatalf("behind the damage: %v, skipped %d, %q, %v", at, skipped, events, err)
	}
	if l := s.Losses(); len(l) != 1 || l[0].Reason != LossCorrupt || l[0].Count != uint64(n-1) {
		t.Fatalf("losses %+v", l)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, stop := running(t, Config{Dir: dir})
	add(t, s, identity.Bulk, 0, 1)
	stop()
	seg, _ := filepath.Glob(filepath.Join(dir, "bulk", "*.seg"))
	b, _ := os.ReadFile(seg[0])
	b[8] = formatVersion + 1
	os.WriteFile(seg[0], b, 0o600)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrFormat) {
		t.Fatalf("open: %v", err)
	}
}

// TestFullDisk fills a real file system of 2 MiB.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mount is not supported here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s, _ := running(t, Config{Dir: filepath.Join(dir, "spool"), MaxBytes: 64 << 20, MaxPending: 1 << 20})
	big := make([]byte, 8<<10)
	var kept int
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, n, err := s.Append(identity.Precious, big)
		if err != nil {
			t.Fatal(err)
		}
		kept += n
		if n == 0 && errors.Is(s.Stats(identity.Precious).DiskError, unix.ENOSPC) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("never full: %+v", s.Stats(identity.Precious))
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Sync(within(t)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("sync on a full disk: %v", err)
	}
	var told bool
	for range 100 {
		s.Append(identity.Precious, big)
		for _, l := range s.Losses() {
			told = told || l.Reason == LossDiskFull
		}
	}
	if !told {
		t.Error("loss on a full disk is not told")
	}
	// All that was kept can be read, also what waits for the disk.
	r := s.Reader(identity.Precious)
	defer r.Close()
	got := 0
	var last identity.Position
	for got < kept {
		at, _, events, err := r.Next(within(t), 100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got += len(events)
		last = identity.Position{Epoch: at.Epoch, Seq: at.Seq + uint64(len(events)) - 1}
	}
	// The archive stores it all: space comes back, and with it the disk.
	if err := s.Trim(last); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(within(t)); err != nil {
		t.Fatalf("after room was made: %v", err)
	}
	if _, n, _ := s.Append(identity.Precious, event(1)); n != 1 {
		t.Fatal("not taken after recovery")
	}
	if err := s.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(identity.Precious); st.DiskError != nil {
		t.Errorf("still failing: %v", st.DiskError)
	}
}
