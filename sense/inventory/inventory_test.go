// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

// The test binary can listen inside another namespace for a test.
func TestMain(m *testing.M) {
	if os.Getenv("INVENTORY_LISTEN") != "" {
		l, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type bench struct {
	t    testing.TB
	s    *Sensor
	told []*event.Event
}

func newBench(t testing.TB, opt Options) *bench {
	t.Helper()
	b := &bench{t: t}
	opt.Clock, opt.Board, opt.Emit = event.NewClock(), health.NewBoard(), func(e *event.Event) { b.told = append(b.told, e) }
	s, err := New(DefaultConfig(), opt)
	if err != nil {
		t.Fatal(err)
	}
	b.s = s
	t.Cleanup(s.close)
	return b
}

// look gives what one look told of some kinds, as "+ name|version|detail".
func (b *bench) look(kinds ...event.Inventory_Kind) []string {
	b.t.Helper()
	b.told = nil
	b.s.look()
	if len(b.s.bad) != 0 {
		b.t.Error(b.s.bad)
	}
	var out []string
	for _, e := range b.told {
		i := e.GetInventory()
		if i == nil || !slices.Contains(kinds, i.Kind) {
			continue
		}
		sign := "+ "
		if i.Gone {
			sign = "- "
		}
		out = append(out, sign+i.Name+"|"+i.Version+"|"+i.Detail)
	}
	return out
}

func (b *bench) want(got []string, want ...string) {
	b.t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func with(list []string, part string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return !strings.Contains(s, part) })
}

func TestListenersAndConnections(t *testing.T) {
	b := newBench(t, Options{Owner: func(p string) string { return "of-" + filepath.Base(p) }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	ours := func() []string { return with(b.look(event.Inventory_LISTENER, event.Inventory_CONNECTION), at) }
	who := "|exe=" + exe + " package=of-" + filepath.Base(exe) + " uid=" + fmt.Sprint(os.Getuid())
	b.want(ours(), "+ tcp "+at+"|"+who)
	b.want(ours())
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	name := "tcp " + c.LocalAddr().String() + " → " + at
	b.want(ours()) // it may be a short one
	b.want(ours(), "+ "+name+"|"+who)
	client := netip.MustParseAddrPort(c.LocalAddr().String())
	if got, ns, ok := b.s.Local(client); !ok || got.String() != at || ns == 0 {
		t.Errorf("Local(%v) = %v %d %v, want %s", client, got, ns, ok, at)
	}
	if _, _, ok := b.s.Local(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), client.Port())); ok {
		t.Error("a client that is not connected was found")
	}
	c.Close()
	s.Close()
	b.want(ours(), "- "+name+"|"+who)
	l.Close()
	b.want(ours(), "- tcp "+at+"|"+who)
	if got := b.s.Stats(); got.Looks != 6 {
		t.Errorf("%+v", got)
	}
}

func TestShortConnectionsAreNotTold(t *testing.T) {
	b := newBench(t, Options{})
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback here:", err)
	}
	defer l.Close()
	b.look()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b.want(with(b.look(event.Inventory_CONNECTION), l.Addr().String()))
		c.Close()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	b.look()
	if b.s.Stats().Short < 3 {
		t.Errorf("short ones are counted: %+v", b.s.Stats())
	}
}

func TestOtherNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "INVENTORY_LISTEN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{Netns: fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid), Owner: func(string) string { return "" }})
	b.want(b.look(event.Inventory_LISTENER), "+ tcp 0.0.0.0:"+strings.TrimSpace(port)+"||exe="+exe+" uid=0")
	for _, e := range b.told {
		if i := e.GetInventory(); i != nil && i.Kind == event.Inventory_LISTENER && e.Actor.GetPid() != uint32(cmd.Process.Pid) {
			t.Errorf("actor %v, want pid %d", e.Actor, cmd.Process.Pid)
		}
	}
	own := newBench(t, Options{})
	if got := with(own.look(event.Inventory_LISTENER), ":"+strings.TrimSpace(port)+"|"); len(with(got, exe)) != 0 {
		t.Errorf("seen from outside too: %v", got)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const stanza = "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nDescription: x\n  more\n\n"

func TestPackagesAndUsers(t *testing.T) {
	root := t.TempDir()
	b := newBench(t, Options{Root: root, Cgroup: t.TempDir()})
	kinds := []event.Inventory_Kind{event.Inventory_PACKAGE, event.Inventory_USER}
	b.want(b.look(kinds...))
	write(t, root+statusOf, fmt.Sprintf(stanza, "nginx", "1.22")+fmt.Sprintf(stanza, "redis", "7.0")+"Package: old\nStatus: deinstall ok config-files\nVersion: 1\n")
	write(t, root+passwd, "root:x:0:0:root:/root:/bin/bash\nbob:secret:1000:1000::/home/bob:/bin/sh\nbad line\n")
	b.want(b.look(kinds...), "+ nginx|1.22|deb amd64", "+ redis|7.0|deb amd64",
		"+ bob||uid=1000 gid=1000 home=/home/bob shell=/bin/sh password in passwd", "+ root||uid=0 gid=0 home=/root shell=/bin/bash")
	b.want(b.look(kinds...))
	write(t, root+statusOf, fmt.Sprintf(stanza, "nginx", "1.24"))
	write(t, root+passwd, "root:x:0:0:root:/root:/bin/bash\neve::0:0::/root:/bin/bash\n")
	b.want(b.look(kinds...), "+ nginx|1.24|deb amd64", "- redis|7.0|deb amd64",
		"+ eve||uid=0 gid=0 home=/root shell=/bin/bash no password", "- bob||uid=1000 gid=1000 home=/home/bob shell=/bin/sh password in passwd")
	write(t, root+listsIn+"/nginx-light.list", "/.\n/usr\n/usr/sbin/nginx\n")
	write(t, root+listsIn+"/libc6:amd64.list", "/lib/x.so\n")
	clear(b.s.pkgs.ownerOf) // the machine's own programs were asked for
	for exe, want := range map[string]string{"/usr/sbin/nginx": "nginx-light", "/usr/lib/x.so": "libc6", "/sbin/nginx": "nginx-light", "/usr/sbin": "", "/opt/x": ""} {
		if got := b.s.owner(exe); got != want {
			t.Errorf("owner of %s: %q, want %q", exe, got, want)
		}
	}
}

// What cannot be read is not gone.
func TestUnreadableIsNotGone(t *testing.T) {
	root := t.TempDir()
	b := newBench(t, Options{Root: root, Cgroup: t.TempDir()})
	write(t, root+passwd, "root:x:0:0:root:/root:/bin/bash\n")
	b.look()
	if err := os.Remove(root + passwd); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+passwd, 0o755); err != nil {
		t.Fatal(err)
	}
	b.told = nil
	b.s.look()
	if len(b.told) != 0 || !strings.Contains(b.s.bad["users"], "not a regular file") {
		t.Errorf("told %v, trouble %v", b.told, b.s.bad)
	}
}

func TestContainers(t *testing.T) {
	top := t.TempDir()
	id := strings.Repeat("ab01", 16)
	dir := func(p string) string {
		p = filepath.Join(top, p)
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	b := newBench(t, Options{Root: t.TempDir(), Cgroup: top})
	docker := dir("system.slice/docker-" + id + ".scope/init")
	dir("system.slice/nginx.service")
	dir("docker/" + strings.Repeat("c", 63)) // near miss
	dir("kubepods/burstable/pod1/" + strings.Repeat("d", 64))
	dir("machine.slice/machine-web1.scope")
	b.want(b.look(event.Inventory_CONTAINER),
		"+ "+id+"||docker /system.slice/docker-"+id+".scope",
		"+ "+strings.Repeat("d", 64)+"||pod1 /kubepods/burstable/pod1/"+strings.Repeat("d", 64),
		"+ web1||machine /machine.slice/machine-web1.scope")
	if err := os.RemoveAll(filepath.Dir(docker)); err != nil {
		t.Fatal(err)
	}
	b.want(b.look(event.Inventory_CONTAINER), "- "+id+"||docker /system.slice/docker-"+id+".scope")
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		ok    bool
	}{{time.Second, true}, {time.Hour, true}, {time.Millisecond, false}, {2 * time.Hour, false}} {
		if err := (&Config{c.every}).Validate(); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.every, err)
		}
	}
}

// BenchmarkLook is the cost of a look at which nothing changed.
func BenchmarkLook(b *testing.B) {
	s := newBench(b, Options{})
	s.s.look()
	b.ResetTimer()
	for b.Loop() {
		s.s.look()
	}
}

func BenchmarkLocal(b *testing.B) {
	s := newBench(b, Options{})
	for b.Loop() {
		s.s.asked = 0
		s.s.Local(netip.MustParseAddrPort("192.0.2.1:4711"))
	}
}

func FuzzMessages(f *testing.F) {
	d, _, err := openDiag("")
	if err != nil {
		f.Fatal(err)
	}
	defer d.close()
	if err := d.dump(2, 6, ^uint32(0), 0, func(socket) bool { return true }); err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte(nil), d.buf[:512]...))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = messages(b, d.seq, func(m []byte) { parseSocket(m, 6) })
	})
}

func FuzzFiles(f *testing.F) {
	f.Add(fmt.Sprintf(stanza, "nginx", "1.22") + "root:x:0:0:root:/root:/bin/bash\nroot:x:0:0:root:/root:/bin/bash\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func() (map[string]item, error){
			func() (map[string]item, error) { m, _, err := parseStatus(strings.NewReader(text)); return m, err },
			func() (map[string]item, error) { return parsePasswd(strings.NewReader(text)) },
		} {
			found, err := parse()
			if err != nil {
				t.Fatal(err)
			}
			for k, it := range found {
				ev := &event.Event{Payload: &event.Event_Inventory{Inventory: it.inv}}
				if raw, err := ev.MarshalVT(); err != nil || (&event.Event{}).UnmarshalVT(raw) != nil {
					t.Fatalf("%q: %v", k, err)
				}
			}
		}
	})
}
