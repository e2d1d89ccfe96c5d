// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ringwall/ringwall/event"
)

// Names that runtimes give to a container's cgroup: docker-ID.scope, cri-containerd-ID.scope,
// crio-ID.scope, libpod-ID.scope or ID below docker, kubepods and the like;
// machine-NAME.scope (systemd-nspawn, libvirt); lxc.payload.NAME.
var (
	byID   = regexp.MustCompile(`^(?:([a-z-]+)-)?([0-9a-f]{64})(?:\.scope)?$`)
	byName = regexp.MustCompile(`^(?:machine-(.+)\.scope|lxc\.payload\.(.+))$`)
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
		if name, runtime, ok := container(path); ok {
			if w.found[name].inv == nil {
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

// container reads the name of a cgroup folder.
func container(path string) (name, runtime string, ok bool) {
	base := filepath.Base(path)
	if m := byID.FindStringSubmatch(base); m != nil {
		if runtime = m[1]; runtime == "" {
			runtime = filepath.Base(filepath.Dir(path))
		}
		return m[2], clean(runtime), true
	}
	if m := byName.FindStringSubmatch(base); m != nil {
		if m[1] != "" {
			return clean(m[1]), "machine", true
		}
		return clean(m[2]), "lxc", true
	}
	return "", "", false
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
