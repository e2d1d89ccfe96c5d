// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// prefix of the cgroups of all labs; the run's name follows.
const prefix = "ringwall-range-"

// killWait bounds how long Close waits for killed processes to be gone. Measured: below 0.1 s.
const killWait = 10 * time.Second

// cgroupRoot finds where cgroup v2 is mounted. On hybrid machines it is not /sys/fs/cgroup.
func cgroupRoot() (string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroup v2: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		// proc_pid_mountinfo(5): fields before " - " are positional, the type follows it.
		left, right, ok := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if ok && len(fields) >= 5 && strings.HasPrefix(right, "cgroup2 ") {
			return fields[4], nil
		}
	}
	return "", errors.New("a cgroup v2 mount; mend: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

// cgroups is the cgroup tree of one lab.
type cgroups struct {
	base string // folder of the whole lab
	mu   *sync.Mutex
}

func newCgroups(run string) (cgroups, error) {
	root, err := cgroupRoot()
	if err != nil {
		return cgroups{}, err
	}
	sweep(root)
	c := cgroups{base: filepath.Join(root, prefix+run), mu: new(sync.Mutex)}
	if err := os.Mkdir(c.base, 0o755); err != nil {
		return cgroups{}, fmt.Errorf("make the lab's cgroup: %w", err)
	}
	return c, nil
}

// sweep removes the empty cgroups that killed runners left. It never touches a living lab's.
func sweep(root string) {
	old, _ := filepath.Glob(filepath.Join(root, prefix+"*"))
	for _, dir := range old {
		pid, err := strconv.Atoi(dir[strings.LastIndexByte(dir, '-')+1:])
		if err != nil || unix.Kill(pid, 0) == nil {
			continue
		}
		removeTree(dir) // fails, rightly, while a process is inside
	}
}

func (c cgroups) add(name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := filepath.Join(c.base, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make cgroup %s: %w", name, err)
	}
	return dir, nil
}

// kill ends every process of the lab and waits until they are gone.
func (c cgroups) kill() error {
	if c.base == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(c.base, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill the lab's processes: %w", err)
	}
	for end := time.Now().Add(killWait); ; time.Sleep(5 * time.Millisecond) {
		events, err := os.ReadFile(filepath.Join(c.base, "cgroup.events"))
		if err != nil {
			return fmt.Errorf("watch the lab's processes end: %w", err)
		}
		if strings.Contains(string(events), "populated 0") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("kill the lab's processes: some of %s still live after %s", c.base, killWait)
		}
	}
}

func (c cgroups) remove() error {
	if c.base == "" {
		return nil
	}
	if err := removeTree(c.base); err != nil {
		return fmt.Errorf("remove the lab's cgroups: %w", err)
	}
	return nil
}

// removeTree removes a cgroup and those below it, deepest first: their files cannot be unlinked.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	// A cgroup stays busy for a moment after its last process.
	for range 200 {
		if err = unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}
