// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/identity"
)

// TestOff: the panic switch leaves nothing in kernel, firewall and files, whatever
// became of the agent and the brain before.
func TestOff(t *testing.T) {
	for _, c := range []struct {
		name  string
		up    bool // agent and brain in one process
		kill  bool // kill -9 before off
		unit  bool // with the user and the capabilities of deploy/systemd
		again bool // off a second time
	}{
		{name: "agent runs, its brain is gone"},
		{name: "agent was killed, its brain is gone", kill: true, again: true},
		{name: "up runs", up: true},
		{name: "up was killed", up: true, kill: true},
		{name: "agent of the enforcing unit", unit: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newOffHost(t)
			before := h.state()
			p := h.begin(c.up, c.unit)
			held := heldBy(t, p.cmd.Process.Pid)
			if len(held.programs) == 0 || len(held.links) == 0 || held.marks == 0 {
				t.Fatalf("the sensors hold %+v: what is not there cannot be taken away", held)
			}
			h.order(action.BlockAddress, &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Text: "203.0.113.9"})
			for _, f := range []string{"uploads/run.php", "uploads/stuck.php", "tool"} {
				h.order(action.QuarantineFile, &entity.Sighting{Kind: entity.Kind_FILE, Role: "object", File: &entity.File{Path: "/var/www/html/" + f}})
			}
			h.order(action.IsolateHost, nil)
			h.acted()
			h.gone() // off must need no brain
			if c.kill {
				p.kill()
				if h.state() == before {
					t.Fatal("a kill took everything back: it proves nothing")
				}
			}
			h.off(c.up, c.unit)
			select {
			case <-p.ended:
				if !c.kill && p.err != nil {
					t.Errorf("it ended with %v", p.err)
				}
			case <-time.After(patience):
				t.Fatal("the agent lives on after off")
			}
			if after := h.state(); after != before {
				t.Errorf("off did not take everything back:\n%s", difference(before, after))
			}
			eventually(t, "its programs, maps and links gone from the kernel", func() bool { return !held.there(t) })
			if c.again {
				h.off(c.up, c.unit)
				if after := h.state(); after != before {
					t.Errorf("a second off changed something:\n%s", difference(before, after))
				}
			}
		})
	}
}

// offHost is a host to act on: a namespace, a cgroup and a root folder with a site.
type offHost struct {
	t                         *testing.T
	name, netns, cgroup, root string
	data                      string
	auth                      *identity.Authority
	hub                       *bus.Hub
	url                       string
	tenant                    string
	sent                      [][]byte
}

func newOffHost(t *testing.T) *offHost {
	h := &offHost{t: t, data: filepath.Join(shortDir(t), "d"), tenant: "default"}
	h.name, h.netns = namespace(t)
	h.cgroup = cgroup(t)
	h.root = shortDir(t)
	_ = os.Chmod(filepath.Dir(h.data), 0o755)
	_ = os.Chmod(h.root, 0o755)
	site := filepath.Join(h.root, "var/www/html")
	if err := os.MkdirAll(filepath.Join(site, "uploads"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name string
		mode uint32
		uid  int
	}{{"index.php", 0o644, 0}, {"uploads/run.php", 0o640, 33}, {"uploads/stuck.php", 0o604, 33}, {"tool", 0o4755, 0}} {
		at := filepath.Join(site, f.name)
		write(t, at, "<?php echo '"+f.name+"';\n")
		old := time.Date(2021, 3, 4, 5, 6, 7, 123456789, time.UTC)
		_ = unix.Setxattr(at, "user.note", []byte("kept "+f.name), 0) // not every file system has them
		_ = unix.Setxattr(at, "trusted.note", []byte("kept"), 0)
		if err := errors.Join(os.Chown(at, f.uid, f.uid), unix.Chmod(at, f.mode), os.Chtimes(at, old.Add(time.Hour), old)); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := os.Open(filepath.Join(site, "uploads/stuck.php")); err == nil {
		const immutable = 0x10 // include/uapi/linux/fs.h; tmpfs has it from 6.6
		if unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable) == nil {
			t.Cleanup(func() {
				if f, err := os.Open(f.Name()); err == nil {
					_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
					f.Close()
				}
			})
		}
		f.Close()
	}
	return h
}

// sensing is the configuration of an agent on this host.
func (h *offHost) sensing(indent string) string {
	lines := []string{
		"host: victim", "sensors: {logs: off}",
		fmt.Sprintf("scope: {cgroup: %s, netns: %s, root: %s}", h.cgroup, h.netns, h.root),
		fmt.Sprintf("packet: {interfaces: [lo], loopback: true, netns: %s}", h.netns),
		"files: {roots: [/var/www]}", "respond: {owned: true}",
	}
	return indent + strings.Join(lines, "\n"+indent) + "\n"
}

// begin starts the agent, or agent and brain in one process, and waits until it takes orders.
func (h *offHost) begin(up, unit bool) *proc {
	t := h.t
	if err := os.MkdirAll(h.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if up {
		listen := ports(t)
		write(t, filepath.Join(h.data, "ringwall.yaml"), "metrics: off\nbrain: {listen: \""+listen+"\"}\nagent:\n"+h.sensing("  "))
		p := start(t, nil, binaries.ringwall, "up", "--data", h.data)
		p.await(t, "watching this host")
		auth, err := identity.OpenAuthority(filepath.Join(h.data, "identity"))
		if err != nil {
			t.Fatal(err)
		}
		h.auth, h.url = auth, "tls://"+listen
		return p
	}
	var err error
	if h.auth, err = identity.OpenAuthority(filepath.Join(t.TempDir(), "brain")); err != nil {
		t.Fatal(err)
	}
	if err := h.auth.AddTenant(identity.Tenant(h.tenant)); err != nil {
		t.Fatal(err)
	}
	h.hub, err = bus.OpenHub(t.Context(), bus.HubConfig{Server: bus.ServerConfig{Dir: filepath.Join(t.TempDir(), "bus"), Listen: "127.0.0.1:0", TLS: h.auth.ServerTLS()}, MaxBytes: 64 << 20}, h.auth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.hub.Close)
	self, err := h.auth.NewAgent(identity.Tenant(h.tenant), "victim", "default", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.url = h.hub.Server().URL()
	self.Bus = h.url
	if err := self.Save(filepath.Join(h.data, "self")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(h.data, "agent.yaml"), h.sensing(""))
	if unit {
		h.give(unitUser)
	}
	p := start(t, nil, h.as(unit, binaries.agent, "run", "--data", h.data)...)
	p.await(t, "watching victim")
	return p
}

// unitUser stands for the user of deploy/systemd.
const unitUser = 64998

// as puts the user and the capabilities of the enforcing unit before a command.
func (h *offHost) as(unit bool, argv ...string) []string {
	if !unit {
		return argv
	}
	var caps []string
	for _, name := range []string{"ringwall-agent.service", "enforce.conf"} {
		raw, err := os.ReadFile("../../deploy/systemd/" + name)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^AmbientCapabilities=(.*)`).FindAllStringSubmatch(string(raw), -1) {
			for c := range strings.FieldsSeq(m[1]) {
				caps = append(caps, "+"+strings.ToLower(strings.TrimPrefix(c, "CAP_")))
			}
		}
	}
	list := strings.Join(caps, ",")
	return append([]string{"setpriv", fmt.Sprintf("--reuid=%d", unitUser), fmt.Sprintf("--regid=%d", unitUser), "--clear-groups", "--no-new-privs",
		"--bounding-set=-all," + list, "--inh-caps=-all," + list, "--ambient-caps=-all," + list}, argv...)
}

// give hands the data folder to a user.
func (h *offHost) give(uid int) {
	err := filepath.WalkDir(h.data, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(p, uid, uid)) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// order signs as the brain does. A message holds all orders that live.
func (h *offHost) order(kind action.Kind, subject *entity.Sighting) {
	h.t.Helper()
	now := time.Now()
	o := action.Order{ID: fmt.Sprintf("a-off-%d-%d", now.UnixNano(), len(h.sent)), Tenant: h.tenant, Host: "victim", Kind: kind, Subject: subject, Incident: "i-1", Reason: "test",
		Stage: action.Enforce, Ordered: now, Deadline: now.Add(time.Hour)}
	raw, err := json.Marshal(action.Command{Orders: []action.Order{o}, Who: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	signed, err := h.auth.Signer().Sign(identity.KindOrder, identity.Target{Tenant: identity.Tenant(h.tenant), Host: "victim"}, now, time.Hour, raw)
	if err != nil {
		h.t.Fatal(err)
	}
	h.sent = append(h.sent, signed)
}

// acted plays the orders and waits until the host shows each.
func (h *offHost) acted() {
	t := h.t
	t.Helper()
	var m []byte
	for _, o := range h.sent {
		m = append(binary.BigEndian.AppendUint32(m, uint32(len(o))), o...)
	}
	if _, err := jet(t, h.auth, h.url).Publish(t.Context(), "orders."+h.tenant+".victim", m); err != nil {
		t.Fatal(err)
	}
	rules := func() string { return h.run("nft", "list", "ruleset") }
	eventually(t, "the address blocked", func() bool { return strings.Contains(rules(), "203.0.113.9") })
	for _, f := range []string{"uploads/run.php", "uploads/stuck.php", "tool"} {
		eventually(t, f+" in quarantine", func() bool {
			_, err := os.Lstat(filepath.Join(h.root, "var/www/html", f))
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	eventually(t, "the host isolated", func() bool { return strings.Contains(rules(), "drop") && strings.Count(rules(), "table") > 1 })
}

// gone ends the brain of an agent that runs apart.
func (h *offHost) gone() {
	if h.hub != nil {
		h.hub.Close()
	}
}

// off throws the switch.
func (h *offHost) off(up, unit bool) {
	h.t.Helper()
	argv := h.as(unit, binaries.agent, "off", "--data", h.data)
	if up {
		argv = []string{binaries.ringwall, "off", "--data", h.data}
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("nothing of Ringwall is left")) {
		h.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// run runs a program of the host's namespace; where it is missing there is nothing to compare.
func (h *offHost) run(argv ...string) string {
	h.t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		return ""
	}
	argv = inside(h.name, argv...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// state is all that Ringwall could have left: rule sets, traffic control and XDP, packet
// sockets, programs on the cgroup, pins, and every file with all that belongs to it.
func (h *offHost) state() string {
	h.t.Helper()
	var out strings.Builder
	for _, argv := range [][]string{{"nft", "list", "ruleset"}, {"iptables-save"}, {"ip6tables-save"}, {"tc", "qdisc", "show"}, {"tc", "filter", "show", "dev", "lo"}, {"ip", "-d", "link", "show"}, {"cat", "/proc/net/packet"}} {
		said := h.run(argv...)
		if argv[0] != "nft" && argv[0] != "ip" && argv[0] != "tc" {
			said = regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(said, "") // times of the saving
		}
		fmt.Fprintf(&out, "%s:\n%s\n", strings.Join(argv, " "), said)
	}
	if own, err := exec.Command("nft", "list", "tables").Output(); err == nil { // of the machine's own namespace
		for line := range strings.Lines(string(own)) {
			if strings.Contains(line, "ringwall") {
				out.WriteString("machine: " + line)
			}
		}
	}
	dir, err := os.Open(h.cgroup)
	if err != nil {
		h.t.Fatal(err)
	}
	defer dir.Close()
	for at := ebpf.AttachCGroupInetIngress; at <= ebpf.AttachCgroupUnixGetsockname; at++ {
		if got, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: at}); err == nil {
			for _, p := range got.Programs {
				fmt.Fprintf(&out, "cgroup program %v %d\n", at, p.ID)
			}
		}
	}
	pins, _ := filepath.Glob("/sys/fs/bpf/ringwall*")
	fmt.Fprintf(&out, "pins %v\n", pins)
	for _, line := range tree(h.t, h.root) {
		out.WriteString(line + "\n")
	}
	return out.String()
}

// tree lists a folder: bytes, owner, mode, times, flags and attributes. The times of
// folders above /var/www are not a file's own: the quarantine is made there and removed.
func tree(t *testing.T, root string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		line := fmt.Sprintf("%s inode %d mode %o owner %d:%d links %d", rel, st.Ino, st.Mode, st.Uid, st.Gid, st.Nlink)
		if strings.HasPrefix(rel, "var/www/html") {
			line += fmt.Sprintf(" mtime %d", st.Mtim.Nano())
		}
		if !d.IsDir() {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOATIME, 0)
			if err != nil {
				return err
			}
			f := os.NewFile(uintptr(fd), path)
			defer f.Close()
			var b bytes.Buffer
			if _, err := b.ReadFrom(f); err != nil {
				return err
			}
			flags, _ := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
			line += fmt.Sprintf(" size %d atime %d sha256 %x flags %x", st.Size, st.Atim.Nano(), sha256.Sum256(b.Bytes()), flags)
		}
		for _, name := range []string{"user.note", "trusted.note", "security.capability", "system.posix_acl_access"} {
			buf := make([]byte, 256)
			if n, err := unix.Lgetxattr(path, name, buf); err == nil {
				line += fmt.Sprintf(" %s=%q", name, buf[:n])
			}
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func difference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out strings.Builder
	for _, l := range a {
		if !slices.Contains(b, l) {
			out.WriteString("- " + l + "\n")
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out.WriteString("+ " + l + "\n")
		}
	}
	return out.String()
}

// held is what a process keeps in the kernel, by the numbers that the kernel gave.
type held struct {
	programs, maps, links []uint32
	marks                 int // of fanotify
}

// heldBy reads it from the process's descriptors.
func heldBy(t *testing.T, pid int) (h held) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, _ := os.ReadFile(f) // one that was closed meanwhile
		link := strings.Contains(string(raw), "\nlink_id:")
		for line := range strings.Lines(string(raw)) {
			key, value, _ := strings.Cut(line, ":")
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
			switch {
			case key == "prog_id" && !link:
				h.programs = append(h.programs, uint32(n))
			case key == "map_id":
				h.maps = append(h.maps, uint32(n))
			case key == "link_id":
				h.links = append(h.links, uint32(n))
			case strings.HasPrefix(line, "fanotify ") && strings.Contains(line, "mask:"):
				h.marks++
			}
		}
	}
	return h
}

// there tells whether any of it still is.
func (h held) there(t *testing.T) bool {
	for _, id := range h.programs {
		if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil {
			p.Close()
			return true
		}
	}
	for _, id := range h.maps {
		if m, err := ebpf.NewMapFromID(ebpf.MapID(id)); err == nil {
			m.Close()
			return true
		}
	}
	for _, id := range h.links {
		if l, err := link.NewFromID(link.ID(id)); err == nil {
			l.Close()
			return true
		}
	}
	return false
}
