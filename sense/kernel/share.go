// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// sharedMaps are pinned for the agents; the rest lives with the programs.
var sharedMaps = []string{"precious", "bulk", "slots", "dynamic", "scope_cgroups", "scope_netns", "scope_cache", "counters", "sensitive", "listeners", "muted"}

// An agent that has not beaten for this long is gone and its slot free.
const staleAfter = 15 * time.Second

// pinOf names the pin of a shared map. That of the ring of precious records bears their
// version, so that an agent and a set whose records differ never meet, whichever of the
// two is older: each looks for a pin that is not there. Sets of version 1 had it bare.
func pinOf(name string) string {
	if name == "precious" {
		return fmt.Sprintf("map_precious_v%d", recordVersion)
	}
	return "map_" + name
}

const bpfMagic = 0xcafe4a11 // BPF_FS_MAGIC, include/uapi/linux/magic.h

// Share loads one program set, attaches it and pins it in dir, where every agent of this
// kernel with Config.Shared = dir takes its own rings. It stays until Unshare. dir is
// made, and a bpf file system mounted on it, where needed.
func Share(dir string, cfg Config) error {
	cfg.Shared = dir
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := mountBpf(dir); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "map_slots")); err == nil {
		return fmt.Errorf("share kernel sensor in %s: already shared there; unshare it first", dir)
	}
	coll, on, _, err := load(&cfg)
	if err != nil {
		return err
	}
	defer coll.Close()
	links, err := attach(coll, on)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range links {
			_ = l.Close() // the pin keeps it
		}
	}()
	for _, name := range sharedMaps {
		if err := coll.Maps[name].Pin(filepath.Join(dir, pinOf(name))); err != nil {
			return errors.Join(fmt.Errorf("pin eBPF map %s in %s: %w", name, dir, err), Unshare(dir))
		}
	}
	for i, l := range links {
		if err := l.Pin(filepath.Join(dir, "link_"+on[i].program)); err != nil {
			return errors.Join(fmt.Errorf("pin eBPF link %s in %s: %w", on[i].program, dir, err), Unshare(dir))
		}
	}
	return nil
}

// Unshare removes the pins, and with them the programs as soon as no agent holds a ring.
// The bpf file system stays mounted.
func Unshare(dir string) error {
	var errs []error
	for _, pattern := range []string{"link_*", "map_*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well formed
		for _, n := range names {
			errs = append(errs, os.Remove(n))
		}
	}
	return errors.Join(errs...)
}

func mountBpf(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if uint32(st.Type) == bpfMagic {
		return nil
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a bpf file system on %s: %w", dir, err)
	}
	return nil
}

// openShared opens the pinned maps of a set whose records are those that we read.
func openShared(dir string) (map[string]*ebpf.Map, error) {
	want := filepath.Join(dir, pinOf("precious"))
	there, _ := filepath.Glob(filepath.Join(dir, "map_precious*")) // the pattern is well formed
	if len(there) > 0 && !slices.Contains(there, want) {
		return nil, fmt.Errorf("open the shared kernel sensor in %s: its records are of another version (%s, we read %s); end it and share it anew by this version",
			dir, filepath.Base(there[0]), filepath.Base(want))
	}
	maps := map[string]*ebpf.Map{}
	for _, name := range sharedMaps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinOf(name)), nil)
		if err != nil {
			closeMaps(maps)
			return nil, fmt.Errorf("open the shared kernel sensor in %s: %w (start it with Share)", dir, err)
		}
		maps[name] = m
	}
	return maps, nil
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		_ = m.Close() // nothing can be lost by a close
	}
}

// slotRecord is struct slot_rec.
type slotRecord struct {
	PidNS, Self, Active, Version uint32
	Beat                         uint64
}

// lockDir serialises agents that change scopes; bpf file systems hold no lock files, but
// a folder can be locked itself. No folder (an own set): nothing to lock.
func lockDir(dir string) (unlock func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock shared kernel sensor: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock shared kernel sensor %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// claimSlot takes a free slot, cleaning those whose agent is gone.
func claimSlot(maps map[string]*ebpf.Map, rec slotRecord) (uint32, error) {
	now := event.BootNow()
	for i := range uint32(noSlot) {
		var s slotRecord
		if err := maps["slots"].Lookup(i, &s); err != nil {
			return 0, fmt.Errorf("read slot %d: %w", i, err)
		}
		if s.Active != 0 && now-s.Beat < uint64(staleAfter) {
			continue
		}
		if s.Active != 0 {
			releaseSlot(maps, i)
		}
		rec.Active, rec.Version, rec.Beat = 1, recordVersion, now
		if err := maps["slots"].Put(i, rec); err != nil {
			return 0, fmt.Errorf("claim slot %d: %w", i, err)
		}
		return i, nil
	}
	return 0, fmt.Errorf("shared kernel sensor: all %d slots are taken", noSlot)
}

// releaseSlot takes a slot's scopes and rings out of the kernel.
func releaseSlot(maps map[string]*ebpf.Map, slot uint32) {
	var id uint64
	var ns, s uint32
	var cgroups []uint64
	for it := maps["scope_cgroups"].Iterate(); it.Next(&id, &s); {
		if s == slot {
			cgroups = append(cgroups, id)
		}
	}
	for _, id := range cgroups {
		_ = maps["scope_cgroups"].Delete(id) // gone already is as good
	}
	var spaces []uint32
	for it := maps["scope_netns"].Iterate(); it.Next(&ns, &s); {
		if s == slot {
			spaces = append(spaces, ns)
		}
	}
	for _, ns := range spaces {
		_ = maps["scope_netns"].Delete(ns)
	}
	var d dynamicRecord
	if maps["dynamic"].Lookup(uint32(0), &d) == nil && d.DefaultSlot == slot+1 {
		d.DefaultSlot = 0
		_ = maps["dynamic"].Put(uint32(0), d)
	}
	_ = maps["precious"].Delete(slot)
	_ = maps["bulk"].Delete(slot)
	_ = maps["slots"].Put(slot, slotRecord{})
	_ = bumpScopes(maps)
}

type dynamicRecord struct{ Gen, DefaultSlot uint32 }

// bumpScopes makes the kernel forget which cgroups it found in scope.
func bumpScopes(maps map[string]*ebpf.Map) error {
	var d dynamicRecord
	if err := maps["dynamic"].Lookup(uint32(0), &d); err != nil {
		return fmt.Errorf("read scope generation: %w", err)
	}
	d.Gen++
	if err := maps["dynamic"].Put(uint32(0), d); err != nil {
		return fmt.Errorf("raise scope generation: %w", err)
	}
	return nil
}

// putScope registers the configured cgroup and network namespace for a slot.
func putScope(cfg *Config, maps map[string]*ebpf.Map, slot uint32) error {
	if cfg.Cgroup != "" {
		id, err := cgroupID(cfg.Cgroup)
		if err != nil {
			return err
		}
		if err := maps["scope_cgroups"].Put(id, slot); err != nil {
			return fmt.Errorf("register cgroup %s: %w", cfg.Cgroup, err)
		}
	}
	if cfg.Netns != "" {
		ns, err := inodeOf(cfg.Netns)
		if err != nil {
			return err
		}
		if err := maps["scope_netns"].Put(uint32(ns), slot); err != nil {
			return fmt.Errorf("register network namespace %s: %w", cfg.Netns, err)
		}
	}
	if cfg.Shared != "" && cfg.Cgroup == "" && cfg.Netns == "" {
		if err := maps["dynamic"].Put(uint32(0), dynamicRecord{DefaultSlot: slot + 1}); err != nil {
			return fmt.Errorf("register for the rest of the machine: %w", err)
		}
	}
	return bumpScopes(maps)
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("namespace %s: %w", path, err)
	}
	return st.Ino, nil
}

// cgroupID is the kernfs id of a cgroup v2 folder, which is also its inode.
func cgroupID(path string) (uint64, error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", path, err)
	}
	if b := h.Bytes(); len(b) >= 8 {
		return binary.LittleEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("cgroup %s: not a cgroup v2 folder", path)
}
