// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program in journalctl's place shows that the cursor is kept and handed over. journald
// itself needs systemd as the first process.
func TestJournalGoesOnBehindItsCursor(t *testing.T) {
	bin := t.TempDir()
	asked := filepath.Join(bin, "asked")
	script := `#!/bin/sh
echo "$@" >> ` + asked + `
echo '{"__CURSOR":"s=7","MESSAGE":"hello","SYSLOG_IDENTIFIER":"app"}'
`
	if err := os.WriteFile(filepath.Join(bin, "journalctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	state := filepath.Join(bin, "state")
	for range 2 {
		s, h := newTestSensor(t, Config{}, Options{State: state})
		if err := s.journal(context.Background()); err == nil || !strings.Contains(err.Error(), "journalctl ended") {
			t.Errorf("the end is told: %v", err)
		}
		if got := h.take(); len(got) != 1 || got[0].GetLog().Line != "hello" || got[0].GetLog().Source != "journal" {
			t.Errorf("got %v", got)
		}
		if err := s.st.save(); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	calls := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(calls) != 2 || !strings.Contains(calls[0], "--lines=0") || !strings.Contains(calls[1], "--after-cursor=s=7") {
		t.Errorf("asked %q", calls)
	}
}

// The kernel tells what is sent to its audit to whoever listens.
func TestAuditMulticast(t *testing.T) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Skip("this kernel has no audit:", err)
	}
	defer unix.Close(fd)
	s, h := newTestSensor(t, Config{}, Options{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.auditMulticast(ctx) }()
	const text = "op=ringwall-test password=s3cret"
	b := make([]byte, unix.NLMSG_HDRLEN, 64)
	b = append(b, text+"\x00"...)
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], 1107) // AUDIT_USER_AVC is told even where audit is not enabled
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			t.Fatal(err)
		}
		for _, e := range h.take() {
			if l := e.GetLog(); strings.Contains(l.GetLine(), "op=ringwall-test") {
				if l.Unit != "auditd" || !strings.HasPrefix(l.Line, "type=USER_AVC msg=audit(") || strings.Contains(l.Line, "s3cret") {
					t.Errorf("%v", l)
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				return
			}
		}
	}
	stop()
	if err := <-done; errors.Is(err, unix.EPERM) || errors.Is(err, unix.ECONNREFUSED) {
		t.Skip("audit is refused here:", err)
	}
	t.Skip("the kernel told nothing within 3 s: audit is off here (audit=0), or user messages need CAP_AUDIT_WRITE")
}
