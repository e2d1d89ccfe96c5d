// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/brain"
)

// disk mounts a small file system of its own on a folder.
func disk(t *testing.T, dir string, mib int) {
	t.Helper()
	needRoot(t, "a small file system")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// fill leaves no room on the file system of dir, but for a few KiB; free gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); len(block) >= 512; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	f.Close()
	return func() { _ = os.Remove(f.Name()) }
}

// state of a component: of the brain, or of a host where one is named.
func state(t *testing.T, data, host, component string) (state, reason string) {
	t.Helper()
	st := document[brain.Status](t, data, "status")
	list := st.Components
	if host != "" {
		list = nil
		for _, h := range st.Hosts {
			if h.Host == host {
				list = h.Components
			}
		}
	}
	for _, c := range list {
		if c.Name == component {
			return c.State, c.Reason
		}
	}
	return "", ""
}

func becomes(t *testing.T, data, host, component, want, why string) {
	t.Helper()
	eventually(t, component+" is "+want, func() bool {
		s, reason := state(t, data, host, component)
		return s == want && strings.Contains(reason, why)
	})
}

// TestFullDiskOfTheArchive: nothing is lost and nothing judged twice, the state tells,
// and when there is room again all goes on by itself.
func TestFullDiskOfTheArchive(t *testing.T) {
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	b.configure(t)
	disk(t, filepath.Join(b.data, "archive"), 8)
	b.start(t)
	fullDisk(t, b, filepath.Join(b.data, "archive"), "archive")
}

// TestFullDiskOfTheBrain: the same with bus and ledger on it.
func TestFullDiskOfTheBrain(t *testing.T) {
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	disk(t, b.data, 64)
	b.configure(t)
	b.start(t)
	fullDisk(t, b, b.data, "archive")
}

func fullDisk(t *testing.T, b *brainProc, dir, component string) {
	s := newSynth(t, b.join(t, "default", "count"), t.TempDir(), 0)
	for i := range 500 {
		s.emit(ran(uint32(i+2), time.Now().UnixNano(), "/bin/x", nonce("before", i)))
	}
	s.settled()
	free := fill(t, dir)
	for i := range 4000 {
		s.emit(ran(uint32(i+2), time.Now().UnixNano(), "/bin/x", nonce("full", i), strings.Repeat(nonce("pad", i), 20)))
		if i%100 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	becomes(t, b.data, "", component, "degraded", "")
	time.Sleep(2 * time.Second) // some tries
	free()
	becomes(t, b.data, "", component, "on", "")
	for i := range 100 {
		s.emit(ran(uint32(i+2), time.Now().UnixNano(), "/bin/x", nonce("after", i)))
	}
	s.settled()
	if n := document[brain.Status](t, b.data, "status").Counts["events"]; n != 4600 {
		t.Errorf("%d events were judged, want 4600: each once", n)
	}
	b.stop(t)
	got := map[string]int{}
	for _, ev := range once(t, archived(t, b.data, "default")) {
		if argv := ev.GetProcess().GetArgv(); len(argv) > 1 {
			got[argv[1]]++
		}
	}
	if len(got) != 4600 {
		t.Errorf("%d of 4600 events are in the archive", len(got))
	}
}
