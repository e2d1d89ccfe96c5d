// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testLab(t *testing.T, roles ...string) *Lab {
	t.Helper()
	if err := Need(); err != nil {
		t.Skipf("the lab cannot be built here: %v", err)
	}
	var cfg Config
	for i, role := range roles {
		cfg.Hosts = append(cfg.Hosts, HostSpec{Role: role, Name: role + "-7", Addr: netip.AddrFrom4([4]byte{10, 77, 1, byte(10 + i)})})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustRun(t *testing.T, h *Host, script string) string {
	t.Helper()
	result, err := h.Must(t.Context(), Shell("", script))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(result.Stdout)
}

func TestHostsReachEachOtherAndNothingElse(t *testing.T) {
	l := testLab(t, "web", "client1")
	web, client := l.Host("web"), l.Host("client1")
	for script, want := range map[string]string{
		"hostname":          "web-7",
		"cat /etc/hostname": "web-7",
		"ls -A /root /home/ops /tmp /work 2>/dev/null | grep -v : | tr -d '\\n'": "",
		"ls /usr/local/bin":                   "",
		"id -un":                              "root",
		"ps -e -o pid= | head -1 | tr -d ' '": "1",
		"test -e /etc/apt && echo seen; true": "",
		"cut -d: -f2 /etc/shadow | sort -u":   "*",
		"env | grep -vE '^(PATH|HOME|USER|LOGNAME|LANG|PWD|SHLVL|_|OLDPWD)=' ; true": "",
		"ip -o route": "10.77.1.0/24 dev eth0 proto kernel scope link src 10.77.1.10",
		"echo 1 > /proc/sys/kernel/core_uses_pid 2>/dev/null || echo refused": "refused",
		"mount -t tmpfs x /mnt 2>/dev/null || echo refused":                   "refused",
	} {
		if got := mustRun(t, web, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	server, err := web.Start(t.Context(), Command{Argv: []string{"ncat", "-lk", "10.77.1.10", "8000", "-c", "echo hello"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Kill()
	got := mustRun(t, client, "for i in 1 2 3 4 5 6 7 8 9 10; do ncat --recv-only web-7 8000 && break; sleep 0.2; done 2>/dev/null")
	if got != "hello" {
		t.Errorf("client got %q from web", got)
	}
	out, err := client.Run(t.Context(), Shell("", "ncat -w 1 192.0.2.2 22"))
	if err != nil || out.Code == 0 || !strings.Contains(out.Stderr, "unreachable") {
		t.Errorf("a packet out of the lab: code %d %q %v", out.Code, out.Stderr, err)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	l := testLab(t, "web")
	web := l.Host("web")
	mustRun(t, web, "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 &) ; done; sleep 0.3")
	if got := mustRun(t, web, "ps -e -o stat= | grep -c Z; true"); got != "0" {
		t.Errorf("%s zombies are left", got)
	}
}

// TestNothingIsLeft builds two labs at once, with the same addresses, and compares the machine before
// and after.
func TestNothingIsLeft(t *testing.T) {
	if err := Need(); err != nil {
		t.Skipf("the lab cannot be built here: %v", err)
	}
	hosts := []HostSpec{{"web", "w", netip.MustParseAddr("10.77.2.1")}, {"data", "d", netip.MustParseAddr("10.77.2.2")}}
	var labs []*Lab
	for range 2 {
		l, err := New(t.Context(), Config{Hosts: hosts})
		if err != nil {
			t.Fatal(err)
		}
		labs = append(labs, l)
	}
	var spaces []string
	for _, l := range labs {
		for _, h := range l.Hosts() {
			if _, err := h.Start(t.Context(), Shell("", "sleep 1000 & sleep 1000")); err != nil {
				t.Fatal(err)
			}
			link, _ := os.Readlink(h.NetPath())
			spaces = append(spaces, link)
		}
	}
	for _, l := range labs {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if left := Leftovers(l.Run); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	for _, space := range spaces {
		used, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
		for _, path := range used {
			if link, _ := os.Readlink(path); link == space {
				t.Errorf("namespace %s is still held by %s", space, path)
			}
		}
	}
	if len(spaces) != 4 {
		t.Errorf("%d namespaces were seen, not 4", len(spaces))
	}
}

func TestTwoHostsOfOneRoleAreRefused(t *testing.T) {
	if err := Need(); err != nil {
		t.Skipf("the lab cannot be built here: %v", err)
	}
	_, err := New(t.Context(), Config{Hosts: []HostSpec{
		{"web", "a", netip.MustParseAddr("10.77.3.1")}, {"web", "b", netip.MustParseAddr("10.77.3.2")}}})
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Fatalf("got %v", err)
	}
}
