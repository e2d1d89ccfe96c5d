// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// A fresh line is tied to the process that wrote it, and to the connection where the
// kernel knows it; a stale one to no process, for its number may be another's by now.
func TestErrorsAndAuditNameTheirProcess(t *testing.T) {
	local := netip.MustParseAddrPort("10.0.0.2:80")
	s, h := newTestSensor(t, Config{}, Options{Local: func(c netip.AddrPort) (netip.AddrPort, uint64, bool) {
		return local, 7, c == netip.MustParseAddrPort("10.0.0.9:41002")
	}})
	now := time.Now()
	pid := os.Getpid()
	apache := func(at time.Time) string {
		return fmt.Sprintf("[%s] [php:error] [pid %d:tid 9] [client 10.0.0.9:41002] PHP Warning: x", at.Format("Mon Jan 02 15:04:05.000000 2006"), pid)
	}
	nginx := fmt.Sprintf("%s [error] %d#%d: *5 open() failed, client: 10.0.0.9, server: _", now.Format("2006/01/02 15:04:05"), pid, pid)
	stamp := fmt.Sprintf("msg=audit(%d.%03d:77):", now.Unix(), now.UnixMilli()%1000)
	for _, c := range []struct {
		kind, unit, line, want string
	}{
		{"plain", "apache", apache(now), fmt.Sprintf("from=10.0.0.9:41002 to=10.0.0.2:80 pid=%d", pid)},
		{"plain", "apache", apache(now.Add(-time.Hour)), "from=10.0.0.9:41002 to=10.0.0.2:80"},
		{"plain", "nginx", nginx, fmt.Sprintf("from=10.0.0.9:0 pid=%d", pid)},
		{"audit", "", "type=SYSCALL " + stamp + fmt.Sprintf(" arch=c000003e syscall=59 ppid=1 pid=%d uid=33", pid), fmt.Sprintf("pid=%d", pid)},
		{"audit", "", "type=EXECVE " + stamp + ` argc=1 a0="id"`, fmt.Sprintf("pid=%d", pid)},
		{"audit", "", "type=EXECVE " + strings.Replace(stamp, ":77)", ":78)", 1) + ` argc=1 a0="id"`, ""},
		{"audit", "", "type=USER_CMD " + strings.Replace(stamp, ":77)", ":79)", 1) + fmt.Sprintf(" pid=%d uid=0 msg='cwd=\"/\" pid=1'", pid), fmt.Sprintf("pid=%d", pid)},
	} {
		s.line(Source{Kind: c.kind, Unit: c.unit}, "/log", c.line)
		got := h.take()
		if len(got) != 1 {
			t.Fatalf("%s: %d events", c.line, len(got))
		}
		if words := show(got[0]); !strings.HasSuffix(words, c.want) || c.want == "" && got[0].Actor != nil || !strings.Contains(c.want, "pid=") && got[0].Actor != nil {
			t.Errorf("%s\n  %s\n  want %s", c.line, words, c.want)
		}
		if got[0].GetLog().GetFlow().GetNetns() == 0 && strings.Contains(c.want, " to=") {
			t.Errorf("%s: no namespace", c.line)
		}
	}
}

func FuzzWebError(f *testing.F) {
	f.Add("nginx", `2026/11/24 10:00:00 [error] 812#812: *45 x, client: 10.0.0.9, server: _`)
	f.Add("apache", `[Tue Nov 24 10:00:00.123456 2026] [php:error] [pid 812:tid 1] [client [::1]:2] x`)
	f.Fuzz(func(t *testing.T, unit, line string) {
		w := parseWebError(unit, line, time.UTC)
		if w.Client.IsValid() && !w.Client.Addr().IsValid() || w.Client.Addr().Zone() != "" {
			t.Errorf("%q: client %v", line, w.Client)
		}
		auditProcess(line)
	})
}
