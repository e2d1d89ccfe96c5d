// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/process"
)

// host answers what is so on this host now. It belongs to the turn. Who is logged in is
// looked up once per action.
type host struct {
	cfg  *Config
	opt  *Options
	ns   *os.File
	diag *connection.Cutter

	looked bool
	people []session
}

// look begins an action: what was known before is forgotten.
func (h *host) look() { h.looked, h.people = false, nil }

func (h *host) close() { h.diag.Close() }

// netns is the link text of the host's network namespace, as /proc/PID/ns/net gives it.
func (h *host) netns() string {
	if h.ns == nil {
		return process.Link(os.Getpid(), "ns/net")
	}
	var st unix.Stat_t
	if unix.Fstat(int(h.ns.Fd()), &st) != nil {
		return ""
	}
	return fmt.Sprintf("net:[%d]", st.Ino)
}

// peers are the addresses that must not be touched, each with the reason.
type peers struct {
	own  map[netip.Addr]bool
	kept []kept
}

type kept struct {
	prefix netip.Prefix
	why    string
}

func (p *peers) keep(prefix netip.Prefix, why string) {
	if prefix.IsValid() {
		p.kept = append(p.kept, kept{prefix, why})
	}
}

func (p *peers) keepAddr(a netip.Addr, why string) {
	if a.IsValid() && !a.IsUnspecified() {
		a = a.Unmap().WithZone("")
		p.keep(netip.PrefixFrom(a, a.BitLen()), why)
	}
}

// never are addresses that are no single peer.
var never = []kept{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"}, {netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("0.0.0.0/8"), "no peer"}, {netip.MustParsePrefix("::/128"), "no peer"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"}, {netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "broadcast or reserved"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"}, {netip.MustParsePrefix("fe80::/10"), "link-local"},
}

// refuse tells why a prefix must be left alone; one that only overlaps must be too.
func (p *peers) refuse(x netip.Prefix) string {
	for _, list := range [][]kept{never, p.kept} {
		for _, k := range list {
			if k.prefix.Overlaps(x) {
				return fmt.Sprintf("%s is %s", shown(x), k.why)
			}
		}
	}
	return ""
}

// peers learns them: own addresses, gateways, resolvers, the brain, declared peers, the
// operator's open sessions.
func (h *host) peers() (*peers, error) {
	p := &peers{own: map[netip.Addr]bool{}}
	var err error
	link := &netlink.Handle{}
	if h.ns != nil {
		link, err = netlink.NewHandleAt(netns.NsHandle(h.ns.Fd()), unix.NETLINK_ROUTE)
	} else {
		link, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	if err != nil {
		return nil, err
	}
	defer link.Close()
	addrs, err := link.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			p.own[ip.Unmap()] = true
			p.keepAddr(ip, "this host's own address")
		}
		if ip, ok := netip.AddrFromSlice(a.Broadcast); ok {
			p.keepAddr(ip, "a broadcast address")
		}
	}
	routes, err := link.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if ip, ok := netip.AddrFromSlice(r.Gw); ok {
			p.keepAddr(ip, "this host's gateway")
		}
	}
	for _, a := range h.resolvers() {
		p.keepAddr(a, "this host's resolver")
	}
	for _, a := range h.cfg.Brain {
		p.keepAddr(a, "the brain")
	}
	for _, c := range h.cfg.Critical {
		p.keep(c, "a declared peer (respond.critical)")
	}
	for _, c := range h.cfg.Operators {
		p.keep(c, "where operators log in from (respond.operators)")
	}
	sessions, err := h.sessions()
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		p.keepAddr(s.remote.Addr(), "where an operator is logged in from ("+s.title+")")
	}
	return p, nil
}

func (h *host) resolvers() (out []netip.Addr) {
	b, _ := os.ReadFile(filepath.Join("/", h.opt.Root, "etc/resolv.conf"))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// owner reads dpkg's lists of files; the last resort when nobody handed a better one.
func (h *host) owner(file string) (pkg string) {
	dir := filepath.Join("/", h.opt.Root, "var/lib/dpkg/info")
	want := []byte("\n" + file + "\n")
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".list" {
			return nil
		}
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(append([]byte("\n"), b...), want) {
			pkg = strings.TrimSuffix(path.Base(name), ".list")
			return fs.SkipAll
		}
		return nil
	})
	return pkg
}

// program is the base name of what a process runs, also after an upgrade replaced it.
func program(pid int) string {
	return path.Base(strings.TrimSuffix(process.Link(pid, "exe"), " (deleted)"))
}

// innermost is the pid that a process has in its own pid namespace, 0 where unknown.
func innermost(pid int) int {
	f := strings.Fields(status(pid, "NSpid"))
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

// status gives one line of /proc/PID/status.
func status(pid int, name string) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// uid is the real user of a process, -1 where unknown.
func uid(pid int) int {
	f := strings.Fields(status(pid, "Uid"))
	if len(f) == 0 {
		return -1
	}
	n, err := strconv.Atoi(f[0])
	if err != nil {
		return -1
	}
	return n
}

// unixSocket is one line of /proc/net/unix.
type unixSocket struct {
	inode     string // "socket:[7]"
	path      string
	listening bool
}

func unixSockets(pid int) (out []unixSocket) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/net/unix")
	if err != nil {
		return nil
	}
	defer f.Close()
	const accepting = 0x10000 // __SO_ACCEPTCON
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text()) // Num RefCount Protocol Flags Type St Inode Path
		if len(w) < 7 {
			continue
		}
		flags, err := strconv.ParseUint(w[3], 16, 32)
		if err != nil {
			continue
		}
		u := unixSocket{inode: "socket:[" + w[6] + "]", listening: flags&accepting != 0}
		if len(w) > 7 {
			u.path = strings.Join(w[7:], " ")
		}
		out = append(out, u)
	}
	return out
}

// errNoProc says that /proc gave nothing at all: then nothing is known.
var errNoProc = errors.New("/proc shows no process; it must be mounted, without hidepid for root")

func sysOf(st os.FileInfo) (*syscall.Stat_t, bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return sys, ok
}
