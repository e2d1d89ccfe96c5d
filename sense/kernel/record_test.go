// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

func testDecoder(emit func(*event.Event)) *decoder {
	cfg := Defaults()
	cfg.MaxProcesses, cfg.MaxConnections = 64, 64
	d := newDecoder(&cfg, &Options{Board: health.NewBoard(), Emit: emit, Redact: event.NewRedactor([]byte("0123456789abcdef")), Clock: event.NewClock()})
	d.procs.proc = "/nonexistent" // records name pids that are not ours
	return d
}

func rawHeader(typ, op uint16, pid uint32) []byte {
	b := make([]byte, 72)
	binary.LittleEndian.PutUint16(b, typ)
	binary.LittleEndian.PutUint16(b[2:], op)
	binary.LittleEndian.PutUint64(b[8:], 1e9)
	binary.LittleEndian.PutUint64(b[16:], 123456789)
	binary.LittleEndian.PutUint32(b[40:], pid)
	binary.LittleEndian.PutUint32(b[44:], pid)
	copy(b[56:], "worker")
	return b
}

func rawTuple(cookie uint64) []byte {
	b := make([]byte, 56)
	binary.LittleEndian.PutUint16(b, 2)
	binary.LittleEndian.PutUint16(b[2:], 6)
	binary.LittleEndian.PutUint16(b[4:], 80)
	binary.LittleEndian.PutUint16(b[6:], 40000)
	binary.LittleEndian.PutUint64(b[16:], cookie)
	copy(b[24:], []byte{192, 0, 2, 1})
	copy(b[40:], []byte{192, 0, 2, 2})
	return b
}

// rawData is a data record; total may exceed the bytes.
func rawData(op uint16, cookie uint64, proto uint16, start bool, bytes string, total int) []byte {
	b := append(rawHeader(recData, op, 42), rawTuple(cookie)...)
	t := make([]byte, 40)
	binary.LittleEndian.PutUint32(t[16:], uint32(total))
	binary.LittleEndian.PutUint32(t[20:], uint32(len(bytes)))
	binary.LittleEndian.PutUint16(t[24:], proto)
	if start {
		t[26] = 1
	}
	t[32] = 1
	return append(append(b, t...), bytes...)
}

func httpEvents(t *testing.T, records ...[]byte) []*event.HttpActivity {
	t.Helper()
	var out []*event.HttpActivity
	d := testDecoder(func(e *event.Event) {
		if h := e.GetHttp(); h != nil {
			out = append(out, h)
		}
	})
	for _, r := range records {
		if err := d.record(r); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func data(op uint16, start bool, s string) []byte {
	return rawData(op, 7, protoHTTP, start, s, len(s))
}

func TestSplitHead(t *testing.T) {
	got := httpEvents(t, data(dataRequest, true, "GE"), data(dataRequest, true, "T /a HTTP/1.1\r\nHost: x\r\n"), data(dataRequest, false, "\r\n"),
		data(dataAnswer, true, "HTTP/1.1 404 Not Found\r\n"))
	if len(got) != 2 || got[0].Request.Uri != "/a" || got[1].Op != event.HttpActivity_RESPONSE || got[1].Status != 404 {
		t.Errorf("%v", got)
	}
}

func TestPipelined(t *testing.T) {
	got := httpEvents(t, data(dataRequest, true, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"),
		data(dataAnswer, true, "HTTP/1.1 200 OK\r\n"), data(dataAnswer, true, "HTTP/1.1 500 No\r\n"),
		data(dataRequest, true, "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"))
	if len(got) != 5 || got[2].Request.Uri != "/1" || got[3].Request.Uri != "/2" || got[3].Status != 500 || got[4].Ordinal != 2 {
		t.Errorf("%v", got)
	}
}

func TestInterimAnswerAndBody(t *testing.T) {
	got := httpEvents(t, data(dataRequest, true, "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\n"),
		data(dataAnswer, true, "HTTP/1.1 100 Continue\r\n\r\n"), data(dataRequest, false, "cmd=nslookup+x"), data(dataAnswer, true, "HTTP/1.1 200 OK\r\n"))
	if len(got) != 3 || got[1].Op != event.HttpActivity_REQUEST || len(got[1].Params) != 1 || got[1].Tokens[0] != "nslookup" || got[2].Status != 200 {
		t.Errorf("%v", got)
	}
	if len(got[0].Params) != 0 {
		t.Error("an emitted event was changed afterwards")
	}
}

func TestOtherProtocolIsNoRequest(t *testing.T) {
	if got := httpEvents(t, data(dataRequest, true, "EHLO mail.example\r\n"), data(dataRequest, true, "MAIL FROM:<a@b.example>\r\n"),
		data(dataAnswer, false, "250 fine\r\n")); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	d := testDecoder(func(*event.Event) {})
	for i := range uint64(1000) {
		s := "GET / HTTP/1.1\r\n\r\n"
		if err := d.record(rawData(dataRequest, i, protoHTTP, true, s, len(s))); err != nil {
			t.Fatal(err)
		}
		fork := append(rawHeader(recFork, 0, uint32(i)+1), make([]byte, 48)...)
		binary.LittleEndian.PutUint32(fork[80:], uint32(i)+2)
		if err := d.record(fork); err != nil {
			t.Fatal(err)
		}
	}
	if n, evicted := d.procs.known(); n > 64 || evicted == 0 || len(d.conns.byID) > 64 || d.conns.evicted == 0 {
		t.Errorf("%d processes, %d connections", n, len(d.conns.byID))
	}
}

func TestStat(t *testing.T) {
	s, err := parseStat("42 (a) b (c) S 7 42 42 34816 42 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0")
	if err != nil || s.comm != "a) b (c" || s.ppid != 7 || s.start != 12345*userTick || s.tty != 34816 {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", ")("} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSensitivePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/etc/shadow", "/etc/shadow", true}, {"/etc/shadow", "/mnt/etc/shadow", false}, {"**/.ssh/*", "/root/.ssh/id_rsa", true},
		{"**/.ssh/*", "/root/.ssh", false}, {"**/.ssh/*", "/root/.ssh/a/b", false}, {"**/id_rsa", "/id_rsa", true},
		{"/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_rsa_key", true}, {"/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_rsa_key.pub", false},
	} {
		if got := globMatch(c.pattern, c.path); got != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.path, got)
		}
	}
	if k, err := sensitiveKey("/etc/ssh/ssh_host_*_key"); err != nil || string(k[:4]) != "/ssh" {
		t.Errorf("key %q %v", k, err)
	}
	if k, err := sensitiveKey("/etc/*.ini"); err != nil || string(k[:6]) != "*.ini\x00" {
		t.Errorf("key %q %v", k, err)
	}
	for _, bad := range []string{"shadow", "/etc/*/*", "/*"} {
		if _, err := sensitiveKey(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range [][]byte{
		data(dataRequest, true, "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"), data(dataAnswer, true, "HTTP/1.1 200 OK\r\n"),
		rawData(dataRequest, 9, protoFCGI, true, "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00", 24),
		append(rawHeader(recExec, 0, 5), make([]byte, 400)...), append(rawHeader(recFork, 0, 5), make([]byte, 48)...),
		append(rawHeader(recNet, 4, 5), make([]byte, 88)...), append(rawHeader(recPair, 0, 5), make([]byte, 136)...),
		append(rawHeader(recFile, 3, 5), make([]byte, 64)...), append(rawHeader(recSyscall, 0, 5), make([]byte, 56)...),
		append(rawHeader(recDNS, 0, 5), make([]byte, 64)...), append(rawHeader(recExit, 0, 5), make([]byte, 8)...),
	} {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := testDecoder(func(e *event.Event) {
			if _, err := proto.Marshal(e); err != nil {
				t.Errorf("event does not marshal: %v", err)
			}
		})
		defer d.procs.cgroups.close()
		_ = d.record(b) // any error is fine, a panic is not
		_ = d.record(b)
	})
}

func BenchmarkDecode(b *testing.B) {
	d := testDecoder(func(*event.Event) {})
	exec := append(rawHeader(recExec, 0, 5), make([]byte, 400)...)
	path := "ls\x00bin\x00usr\x00"
	argv := "ls\x00-l\x00/var/www\x00"
	binary.LittleEndian.PutUint16(exec[148:], uint16(len(path)))
	binary.LittleEndian.PutUint16(exec[156:], uint16(len(argv)))
	exec = append(append(exec[:408], path...), argv...)
	req := data(dataRequest, true, "GET /index.php?page=reports HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n")
	for name, recs := range map[string][][]byte{
		"exec":    {exec},
		"fork":    {append(rawHeader(recFork, 0, 5), make([]byte, 48)...)},
		"net":     {append(append(rawHeader(recNet, 4, 5), rawTuple(3)...), make([]byte, 32)...)},
		"request": {req, data(dataAnswer, true, "HTTP/1.1 200 OK\r\n")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, r := range recs {
					if err := d.record(r); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// What an intruder reads first, and what leads a job back to its writer.
func TestListedByDefault(t *testing.T) {
	list := Defaults().Sensitive
	for _, p := range []string{"/etc/shadow", "/root/.ssh/id_ed25519", "/home/bob/.ssh/authorized_keys", "/etc/ssh/ssh_host_rsa_key", "/etc/ssl/private/site.key",
		"/var/www/html/wp-config.php", "/srv/app/.env", "/var/www/drupal/sites/default/settings.php", "/srv/app/config/database.yml", "/var/www/.htpasswd",
		"/root/.aws/credentials", "/home/bob/.kube/config", "/etc/crontab", "/etc/cron.d/backup", "/var/spool/cron/crontabs/root", "/var/spool/cron/root"} {
		if !matchAny(list, p) {
			t.Errorf("%s is not listed", p)
		}
	}
	for _, p := range []string{"/etc/passwd", "/etc/hostname", "/etc/cron.daily/logrotate", "/var/www/html/index.php", "/etc/ssl/certs/ca-certificates.crt"} {
		if matchAny(list, p) {
			t.Errorf("%s is listed", p)
		}
	}
}
