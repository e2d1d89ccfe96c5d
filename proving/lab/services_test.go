// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestSyslogLine(t *testing.T) {
	got := syslogLine("<38>Nov 24 07:51:29 sshd[9]: Accepted password for ops\n", "web")
	if want := "Nov 24 07:51:29 web sshd[9]: Accepted password for ops\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, odd := range []string{"", "<", "<38>", "\x00", "<38>no stamp"} {
		if !strings.HasSuffix(syslogLine(odd, "web"), "\n") {
			t.Errorf("%q: no line end", odd)
		}
	}
}

func testSite(l *Lab) Site {
	return Site{Title: "Board", Port: 8080, Root: "/var/www/board", NotesPage: "notes.php", UploadPage: "upload.php",
		UploadDir: "uploads", StatusPage: "status.php", Admin: l.Host("client1").Addr.String(), ConfigPath: "/etc/board.ini",
		DataHost: l.Host("data").Name, DataPort: 6380, Password: "fake-7", Seed: 7}
}

func TestServicesAnswer(t *testing.T) {
	l := testLab(t, "web", "data", "client1", "client2")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	web, data, client := l.Host("web"), l.Host("data"), l.Host("client1")
	if err := data.StartRedis(ctx, 6380, "fake-7"); err != nil {
		t.Fatal(err)
	}
	if err := web.StartWeb(ctx, testSite(l)); err != nil {
		t.Fatal(err)
	}
	if err := l.StartSSH(ctx, SSH{Port: 22, OpsPassword: "fake-ops", Roles: []string{"web", "data"}, BackupFrom: "web", BackupTo: "data"}); err != nil {
		t.Fatal(err)
	}
	status := mustRun(t, client, "curl -s http://web-7:8080/status.php")
	if !strings.Contains(status, "Filesystem") || !strings.Contains(status, "keys :3") {
		t.Errorf("status page: %s", status)
	}
	if code := mustRun(t, l.Host("client2"), "curl -s -o /dev/null -w '%{http_code}' http://web-7:8080/status.php"); code != "403" {
		t.Errorf("status page for a stranger: %s", code)
	}
	stored := mustRun(t, client, "echo hi > /tmp/n.txt; curl -s -F note=@/tmp/n.txt http://web-7:8080/upload.php; curl -s http://web-7:8080/uploads/n.txt")
	if !strings.Contains(stored, "stored n.txt 3 bytes") || !strings.HasSuffix(stored, "hi") {
		t.Errorf("upload: %s", stored)
	}
	if who := mustRun(t, client, "sshpass -p fake-ops ssh ops@web-7 'id -un; hostname'"); who != "ops\nweb-7" {
		t.Errorf("login: %s", who)
	}
	wrong, err := client.Run(ctx, Shell("", "sshpass -p wrong ssh ops@web-7 true"))
	if err != nil || wrong.Code == 0 {
		t.Errorf("a wrong password: code %d, %v", wrong.Code, err)
	}
	mustRun(t, web, "tar -C / -cf - etc/hostname | ssh archive@data-7 'cat > web.tar'")
	if list := mustRun(t, data, "tar -tf /home/archive/web.tar"); list != "etc/hostname" {
		t.Errorf("archive holds %q", list)
	}
	log := mustRun(t, web, "cat /var/log/auth.log")
	for _, want := range []string{"web-7 sshd[", "Accepted password for ops from 10.77.1.12 port", "Failed password for ops"} {
		if !strings.Contains(log, want) {
			t.Errorf("auth.log lacks %q:\n%s", want, log)
		}
	}
}
