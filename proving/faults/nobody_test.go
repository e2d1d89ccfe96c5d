// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ringwall/ringwall/brain"
)

// TestNobody: without root everything starts in one process, says what is off and why,
// and does the rest: what users may read is seen, stored, hunted and judged.
func TestNobody(t *testing.T) {
	data := filepath.Join(shortDir(t), "d")
	logs := filepath.Join(filepath.Dir(data), "access.log")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, logs, "")
	write(t, filepath.Join(data, "ringwall.yaml"), "metrics: off\nagent:\n  logs: {journal: false, files: [{path: "+logs+", kind: access, unit: nginx}]}\n")
	drop := func(*exec.Cmd) {}
	if os.Geteuid() == 0 {
		const nobody = 65534
		for _, p := range []string{filepath.Dir(data), data, logs, filepath.Join(data, "ringwall.yaml")} {
			if err := os.Chown(p, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		drop = func(c *exec.Cmd) { c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody} }
	}
	p := start(t, drop, binaries.ringwall, "up", "--data", data)
	p.await(t, "watching this host")
	states := map[string]string{}
	for _, c := range document[brain.Status](t, data, "status").Components {
		states[c.Name] = c.State
		if c.State == "off" && c.Reason == "" {
			t.Errorf("%s is off and does not say why", c.Name)
		}
		if c.State == "off" && !strings.Contains(p.said(), c.Name) {
			t.Errorf("the start does not tell that %s is off", c.Name)
		}
	}
	for name, want := range map[string]string{
		"sensor.kernel": "off", "sensor.packet": "off", "respond.block_address": "off", "respond": "degraded",
		"sensor.inventory": "on", "sensor.logs": "on", "archive": "on", "ledger": "on", "bus": "on", "behaviour.sigma": "on", "network.application": "on",
	} {
		if states[name] != want {
			t.Errorf("%s is %q, want %q", name, states[name], want)
		}
	}
	f, err := os.OpenFile(logs, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	eventually(t, "a line of a log in the archive", func() bool {
		_, _ = f.WriteString("203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"GET /as-nobody HTTP/1.1\" 200 5 \"-\" \"curl/7.88\"\n")
		return number(t, data, "default", "select count(*) from events where kind like 'http.%'") > 0
	})
	eventually(t, "an inventory in the archive", func() bool {
		return number(t, data, "default", "select count(*) from events where kind = 'inventory'") > 0
	})
	p.stop(t)
}
