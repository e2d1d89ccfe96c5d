// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/process"
)

// session is a person who is logged in.
type session struct {
	pid           int
	local, remote netip.AddrPort // zero for a console
	title         string         // "sshd: ops@pts/0"
}

// sessions gives the operator's live sessions: authenticated SSH connections, by the
// title that sshd gives itself, and logins that utmp names. A connection that has not
// authenticated yet is nobody's, so that guessing passwords protects no one. Where
// Config.Operators is set, remote sessions from elsewhere do not count.
func (h *host) sessions() ([]session, error) {
	if h.looked {
		return h.people, nil
	}
	people, err := h.findSessions()
	if err == nil {
		h.looked, h.people = true, people
	}
	return people, err
}

func (h *host) findSessions() ([]session, error) {
	pids := process.All()
	if len(pids) == 0 {
		return nil, errNoProc
	}
	sockets, err := h.diag.List(connection.Alive|connection.Listening, nil, unix.IPPROTO_TCP)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	byInode, listening := map[string]connection.Socket{}, map[uint16]bool{}
	for _, s := range sockets {
		if s.State == connection.Listen {
			listening[s.Local.Port()] = true
		} else if s.Inode != 0 {
			byInode[fmt.Sprintf("socket:[%d]", s.Inode)] = s
		}
	}
	ns := h.netns()
	var out []session
	for _, pid := range pids {
		if name := program(pid); name != "sshd" && name != "sshd-session" {
			continue
		}
		title := process.Title(pid)
		if !authenticated(title) || process.Link(pid, "ns/net") != ns || !trusted(pid) {
			continue
		}
		var held []connection.Socket
		for _, i := range process.Inodes(pid, process.Any) {
			if s, ok := byInode[i]; ok {
				held = append(held, s)
			}
		}
		for _, s := range clientOf(held, listening) {
			if h.operates(s.Remote.Addr()) {
				out = append(out, session{pid, s.Local, s.Remote, title})
			}
		}
		if len(held) == 0 { // its socket was not found: protect what is known
			out = append(out, session{pid: pid, title: title})
		}
	}
	return append(out, h.logins(pids, ns)...), nil
}

// clientOf picks the connections that a session came over. Its process also holds those
// that it forwards; the former end at a port that somebody listens on. When none does (a
// restart is under way) all count: in doubt it is the operator's.
func clientOf(held []connection.Socket, listening map[uint16]bool) []connection.Socket {
	var out []connection.Socket
	for _, s := range held {
		if listening[s.Local.Port()] {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return held
	}
	return out
}

// authenticated reads the title that sshd gives a session when a person is in:
// "sshd: ops@pts/0", since OpenSSH 9.8 "sshd-session: ops@notty".
func authenticated(title string) bool {
	_, who, ok := strings.Cut(title, ": ")
	return ok && strings.HasPrefix(title, "sshd") && strings.Contains(who, "@")
}

func (h *host) operates(a netip.Addr) bool {
	return len(h.cfg.Operators) == 0 || slices.ContainsFunc(h.cfg.Operators, func(p netip.Prefix) bool { return p.Contains(a) })
}

// trusted: the program belongs to root and runs as root, or its parent does. Anybody can
// give a process of his own the name sshd.
func trusted(pid int) bool {
	st, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	if sys, ok := sysOf(st); !ok || sys.Uid != 0 || sys.Mode&0o022 != 0 {
		return false
	}
	if uid(pid) == 0 {
		return true
	}
	s, err := process.Read(pid)
	return err == nil && uid(s.PPID) == 0 && program(s.PPID) == program(pid)
}

// utmp is the layout of a record (glibc bits/utmp.h): arm64 has wider times.
func utmpLayout() (size, addr int) {
	if runtime.GOARCH == "arm64" {
		return 400, 360
	}
	return 384, 348
}

const userProcess = 7

// logins reads utmp: consoles, and sessions of other daemons.
func (h *host) logins(pids []int, ns string) (out []session) {
	b, err := os.ReadFile(filepath.Join("/", h.opt.Root, "run/utmp"))
	if err != nil {
		return nil
	}
	size, at := utmpLayout()
	wanted := map[int]session{}
	for ; len(b) >= size; b = b[size:] {
		if binary.NativeEndian.Uint16(b) != userProcess {
			continue
		}
		s := session{title: "login of " + text(b[44:76]) + " on " + text(b[8:40])}
		if a := utmpAddr(b[at : at+16]); a.IsValid() {
			s.remote = netip.AddrPortFrom(a, 0)
			if !h.operates(a) {
				continue
			}
		}
		wanted[int(binary.NativeEndian.Uint32(b[4:]))] = s
	}
	if len(wanted) == 0 {
		return nil
	}
	// utmp's numbers are those of the host's own pid namespace.
	for _, pid := range pids {
		s, ok := wanted[innermost(pid)]
		if ok && process.Link(pid, "ns/net") == ns && trusted(pid) {
			s.pid = pid
			out = append(out, s)
		}
	}
	return out
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// utmpAddr: four words in network order; IPv4 has the first only.
func utmpAddr(b []byte) netip.Addr {
	rest := [12]byte(b[4:16])
	if rest == [12]byte{} {
		if a := netip.AddrFrom4([4]byte(b[:4])); !a.IsUnspecified() {
			return a
		}
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// spare gives the guard of every single process that a kill would hit: the operator's
// sessions, all that came of them and all they hang on, and the same of this program.
func (h *host) spare() (func(process.Stat) string, error) {
	sessions, err := h.sessions()
	if err != nil {
		return nil, err
	}
	why := map[int]string{os.Getpid(): "it is this program", 1: "it is init"}
	for _, a := range process.Ancestors(os.Getpid()) {
		why[a.PID] = "this program runs below it"
	}
	for _, s := range sessions {
		reason := "it belongs to an operator's session (" + s.title + ")"
		for _, a := range process.Ancestors(s.pid) {
			if why[a.PID] == "" {
				why[a.PID] = "an operator's session hangs on it (" + s.title + ")"
			}
		}
		below := []int{s.pid}
		for i := 0; i < len(below) && i < 1<<16; i++ {
			if why[below[i]] == "" || below[i] == s.pid {
				why[below[i]] = reason
			}
			below = append(below, process.Children(below[i])...)
		}
	}
	ns := h.netns()
	return func(p process.Stat) string {
		if w := why[p.PID]; w != "" {
			return w
		}
		if program(p.PID) == "sshd" && trusted(p.PID) && process.Link(p.PID, "ns/net") == ns {
			if yes, err := h.listens(p.PID); yes || err != nil {
				return "it is the listener of sshd"
			}
		}
		return ""
	}, nil
}
