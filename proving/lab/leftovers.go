// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Leftovers names what is still there of a lab: processes, cgroups and mounts that carry its
// name. After Close it is empty.
func Leftovers(run string) []string {
	var left []string
	if root, err := cgroupRoot(); err == nil {
		if base := filepath.Join(root, prefix+run); exists(base) {
			left = append(left, "cgroup "+base)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		if data, err := os.ReadFile(proc + "/cgroup"); err == nil && strings.Contains(string(data), prefix+run) {
			name, _ := os.ReadFile(proc + "/comm")
			left = append(left, fmt.Sprintf("process %s (%s)", filepath.Base(proc), strings.TrimSpace(string(name))))
		}
		if data, err := os.ReadFile(proc + "/mountinfo"); err == nil && strings.Contains(string(data), prefix+run) {
			left = append(left, "mounts seen by process "+filepath.Base(proc))
		}
	}
	return left
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
