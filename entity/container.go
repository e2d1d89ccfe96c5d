// SPDX-License-Identifier: Apache-2.0

package entity

import (
	"regexp"
	"strings"
)

// Names that runtimes give to a container's cgroup: docker-ID.scope, cri-containerd-ID.scope,
// crio-ID.scope, libpod-ID.scope or ID below docker, kubepods and the like;
// machine-NAME.scope (systemd-nspawn, libvirt); lxc.payload.NAME.
var (
	containerID   = regexp.MustCompile(`^(?:([a-z-]+)-)?([0-9a-f]{64})(?:\.scope)?$`)
	containerName = regexp.MustCompile(`^(?:machine-(.+)\.scope|lxc\.payload\.(.+))$`)
)

// Container reads the path of a cgroup: the name of the outermost container that it lies
// in and the runtime's. What a runtime keeps beside a container to watch it (conmon) is
// none.
func Container(cgroup string) (name, runtime string, ok bool) {
	before := ""
	for part := range strings.SplitSeq(cgroup, "/") {
		if m := containerID.FindStringSubmatch(part); m != nil && !strings.HasSuffix(m[1], "conmon") {
			if m[1] == "" {
				return m[2], before, true
			}
			return m[2], m[1], true
		}
		if m := containerName.FindStringSubmatch(part); m != nil {
			if m[1] != "" {
				return m[1], "machine", true
			}
			return m[2], "lxc", true
		}
		before = part
	}
	return "", "", false
}
