// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const units = "../deploy/systemd/"

// installed copies a unit to a folder where its program exists, with drop-ins.
func installed(t *testing.T, unit string, dropIns ...string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze here: install systemd")
	}
	raw, err := os.ReadFile(units + unit)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^ExecStart=/\S+`).ReplaceAllString(string(raw), "ExecStart=/bin/true")
	dir := t.TempDir()
	at := filepath.Join(dir, unit)
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range dropIns {
		raw, err := os.ReadFile(units + d)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(at+".d", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at+".d", d), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// The units have no fault, and leave no more open than what the sensors use.
func TestUnits(t *testing.T) {
	for _, unit := range []string{"ringwall.service", "ringwall-agent.service"} {
		at := installed(t, unit)
		if out, err := exec.Command("systemd-analyze", "verify", at).CombinedOutput(); err != nil || len(out) != 0 {
			t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, out)
		}
		if got := exposure(t, at); got > 2.5 {
			t.Errorf("%s: exposure %.1f, want at most 2.5", unit, got)
		}
	}
}

// With the answers allowed a unit opens more, but no more than this.
func TestEnforce(t *testing.T) {
	at := installed(t, "ringwall.service", "enforce.conf")
	if out, err := exec.Command("systemd-analyze", "verify", at).CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("systemd-analyze verify with enforce.conf: %v\n%s", err, out)
	}
	if got := exposure(t, at); got > 3.3 {
		t.Errorf("enforce: exposure %.1f, want at most 3.3", got)
	}
}

func exposure(t *testing.T, unit string) float64 {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", unit).CombinedOutput()
	m := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		if strings.Contains(string(out), "unrecognized option") {
			t.Skip("systemd-analyze here is older than 250")
		}
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
