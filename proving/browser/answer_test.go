// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// page is what the intruder leaves: a page of our own that runs what it is asked.
const page = "<?php system($_REQUEST['q']); ?>\n"

// TestAnswer: on a live host, in a network namespace and a cgroup of its own, a person
// quarantines a file and kills a process from the page of the incident, sees both
// verified, takes the first back, and finds it all in the audit chain.
func TestAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: sensors and enforcer")
	}
	if doc, err := os.ReadFile("../../docs/openapi.yaml"); err != nil || !strings.Contains(string(doc), "operationId: orderAction") {
		t.Skip("the API takes no orders of people")
	}
	chromium := need(t)
	h := newLiveHost(t)
	env := []string{"RINGWALL_URL=" + h.url, "RINGWALL_LINK=" + h.link, "RINGWALL_CHROMIUM=" + chromium, "RINGWALL_SITE=" + h.site, "RINGWALL_SHOTS=" + os.Getenv("RINGWALL_SHOTS")}
	script(t, h.brain, append(h.within, "node", "answer.mjs"), env, map[string]func(*testing.T){"intrude": h.intrude})
}

// liveHost is a brain and an agent on this machine, kept to a namespace and a cgroup.
type liveHost struct {
	*brain
	within []string // argv that leads into the namespace; `ip netns exec` would take the cgroups out of sight
	cgroup string
	site   string
}

func newLiveHost(t *testing.T) *liveHost {
	t.Helper()
	name := fmt.Sprintf("rwbrowser%d", os.Getpid())
	h := &liveHost{within: []string{"nsenter", "--net=/run/netns/" + name}, cgroup: filepath.Join(cgroupRoot(t), "ringwall-browser-"+strconv.Itoa(os.Getpid()))}
	run := func(argv ...string) {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", strings.Join(argv, " "), err, out)
		}
	}
	run("ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	run("ip", "-n", name, "link", "set", "lo", "up")
	if err := os.Mkdir(h.cgroup, 0o755); err != nil {
		t.Skipf("a cgroup to keep the agent to: %v", err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(h.cgroup, "cgroup.kill"), []byte("1"), 0o644)
		for range 100 { // until the kernel has buried them
			if os.Remove(h.cgroup) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	h.site = t.TempDir()
	h.brain = startBrain(t, h.within, "up", fmt.Sprintf(`agent:
  host: web1
  scope: {cgroup: %s, netns: /run/netns/%s}
  sensors: {packet: off, logs: off, inventory: off}
  files: {roots: [%s]}
  respond: {folder: %s}
`, h.cgroup, name, h.site, filepath.Join(t.TempDir(), "quarantine")))
	eventually(t, "the sensors", func() bool { return strings.Contains(h.said(), "watching this host") })
	return h
}

// intrude writes the page and leaves a process behind, within the cgroup.
func (h *liveHost) intrude(t *testing.T) {
	t.Helper()
	dir, err := os.Open(h.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(h.within[0], append(h.within[1:], "sh", "-c", `printf '%s' "$0" > "$1"; sleep 600; true`, page, filepath.Join(h.site, "run.php"))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // buries it as soon as it is killed
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
}

// cgroupRoot finds where cgroup v2 is mounted; it is not always /sys/fs/cgroup.
func cgroupRoot(t *testing.T) string {
	t.Helper()
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		left, right, _ := strings.Cut(line, " - ")
		if f := strings.Fields(left); strings.HasPrefix(right, "cgroup2 ") && len(f) > 4 {
			return f[4]
		}
	}
	t.Skip("no cgroup v2 is mounted")
	return ""
}
