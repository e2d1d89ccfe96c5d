// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

const (
	maxDepth  = 12     // kubelet's deepest is 6
	maxFolder = 20_000 // cgroups looked at
)

// readContainers looks through the cgroup tree.
func (s *Sensor) readContainers() (map[event.Inventory_Kind]map[string]item, error) {
	top := s.opt.Cgroup
	if top == "" {
		if top = cgroupRoot(); top == "" {
			return nil, nil
		}
	}
	w := &walk{found: map[string]item{}, top: top}
	if err := w.folder(top, 0); err != nil {
		return nil, fmt.Errorf("look through cgroups: %w", err)
	}
	return map[event.Inventory_Kind]map[string]item{event.Inventory_CONTAINER: w.found}, nil
}

type walk struct {
	found map[string]item
	top   string
	seen  int
}

func (w *walk) folder(dir string, depth int) error {
	if w.seen++; w.seen > maxFolder || depth > maxDepth {
		return nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		if depth > 0 { // ended meanwhile
			return nil
		}
		return err
	}
	for _, d := range list {
		if !d.IsDir() {
			continue
		}
		path := filepath.Join(dir, d.Name())
		if name, runtime, ok := entity.Container(strings.TrimPrefix(path, w.top)); ok {
			if name, runtime = clean(name), clean(runtime); w.found[name].inv == nil {
				w.found[name] = item{inv: &event.Inventory{Kind: event.Inventory_CONTAINER, Name: name, Detail: clean(runtime + " " + strings.TrimPrefix(path, w.top))}}
			}
			continue // what is below belongs to it
		}
		if err := w.folder(path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// cgroupRoot finds where cgroup v2 is mounted; it is not always /sys/fs/cgroup.
func cgroupRoot() string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		if fields := strings.Fields(left); ok && strings.HasPrefix(right, "cgroup2 ") && len(fields) > 4 {
			return fields[4]
		}
	}
	return ""
}
