// SPDX-License-Identifier: Apache-2.0

package entity

import (
	"strings"
	"testing"
)

func TestContainer(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for path, want := range map[string][2]string{
		"/system.slice/docker-" + id + ".scope":            {id, "docker"},
		"/system.slice/docker-" + id + ".scope/init.scope": {id, "docker"},
		"/docker/" + id: {id, "docker"},
		"/machine.slice/libpod-" + id + ".scope/container":                                                          {id, "libpod"},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope":                          {id, "libpod"},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2.slice/cri-containerd-" + id + ".scope": {id, "cri-containerd"},
		"/kubepods.slice/kubepods-pod1f.slice/crio-" + id + ".scope":                                                {id, "crio"},
		"/kubepods/besteffort/pod7e1/" + id:                                                                         {id, "pod7e1"},
		"/docker/" + id + "/kubelet/" + strings.Repeat("1b", 32):                                                    {id, "docker"},
		"/machine.slice/machine-web.scope/payload":                                                                  {"web", "machine"},
		"/lxc.payload.web/system.slice":                                                                             {"web", "lxc"},
		"/machine.slice/libpod-conmon-" + id + ".scope":                                                             {},
		"/kubepods.slice/crio-conmon-" + id + ".scope":                                                              {},
		"/system.slice/nginx.service":                                                                               {},
		"/build-" + id[:40]:                                                                                         {},
		"/sum-" + id + "-kept":                                                                                      {},
		"":                                                                                                          {},
	} {
		name, runtime, ok := Container(path)
		if name != want[0] || runtime != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q of %q, %v; want %q of %q", path, name, runtime, ok, want[0], want[1])
		}
	}
}
