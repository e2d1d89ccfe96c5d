// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/process"
)

// refuse is the last guard rail: why an order must not be carried out, "" if it may. It
// looks at the host as it is now. What it cannot learn is a reason too.
func (e *Enforcer) refuse(_ context.Context, o *action.Order) string {
	if e.opt.Host != "" && o.Host != e.opt.Host {
		return fmt.Sprintf("it is for host %q, and this is %q", o.Host, e.opt.Host)
	}
	switch o.Kind {
	case action.BlockAddress, action.CutConnection:
		return e.refusePeer(o.Subject)
	case action.KillTree:
		return e.refuseProcess(o.Subject)
	case action.QuarantineFile:
		return e.refuseFile(o.Subject)
	}
	return ""
}

// refusePeer guards addresses: of an order for a conversation, the ends that are not ours.
func (e *Enforcer) refusePeer(s *entity.Sighting) string {
	p, err := e.host.peers()
	if err != nil {
		return "own addresses and the operator's sessions could not be learned: " + err.Error()
	}
	if f := s.GetFlow(); f != nil && s.Kind == entity.Kind_FLOW {
		for _, a := range []netip.Addr{f.Src().Addr(), f.Dst().Addr()} {
			if !a.IsValid() {
				return "the flow has no two ends"
			}
			if p.own[a] {
				continue
			}
			if why := p.refuse(netip.PrefixFrom(a, a.BitLen())); why != "" {
				return why
			}
		}
		if p.own[f.Src().Addr()] && p.own[f.Dst().Addr()] {
			return "both ends are this host"
		}
		return ""
	}
	prefix, err := prefixOf(s)
	if err != nil {
		return err.Error()
	}
	if widest := map[bool]int{true: e.cfg.Widest4, false: e.cfg.Widest6}[prefix.Addr().Is4()]; prefix.Bits() < widest {
		return fmt.Sprintf("%s is wider than /%d", prefix, widest)
	}
	return p.refuse(prefix)
}

// refuseProcess guards the root of a tree; each member is guarded by host.spare.
func (e *Enforcer) refuseProcess(s *entity.Sighting) string {
	p := s.GetProcess()
	switch {
	case s.GetKind() != entity.Kind_PROCESS || p == nil:
		return s.Label() + " is no process"
	case s.Role == "worker":
		return s.Label() + " serves others"
	case p.Pid == 0 || p.Pid > 1<<22: // PID_MAX_LIMIT
		return fmt.Sprintf("pid %d cannot be", p.Pid)
	case p.StartNs == 0:
		return fmt.Sprintf("pid %d without its start time may be another process by now", p.Pid)
	}
	pid := int(p.Pid)
	st, err := process.Read(pid)
	if err != nil || st.Dead() || st.Start != process.Ticks(p.StartNs) {
		return "" // gone: nothing of it can be hit
	}
	if pid == 1 || st.Kernel || innermost(pid) == 1 {
		return st.Comm + " is init or the kernel"
	}
	if e.host.netns() != process.Link(pid, "ns/net") && e.ns != nil {
		return fmt.Sprintf("pid %d is not of this host", pid)
	}
	exe := program(pid)
	if e.service(exe) {
		return exe + " is a service that others use"
	}
	spare, err := e.host.spare()
	if err != nil {
		return "the operator's sessions could not be learned: " + err.Error()
	}
	if why := spare(st); why != "" {
		return why
	}
	serves, err := e.host.listens(pid)
	if err != nil {
		return "listening sockets could not be listed: " + err.Error()
	}
	if serves {
		return fmt.Sprintf("%s (pid %d) listens: it serves others", exe, pid)
	}
	return ""
}

// service tells whether a program is named as one that others use.
func (e *Enforcer) service(program string) bool {
	return slices.ContainsFunc(e.cfg.Services, func(pattern string) bool {
		ok, _ := path.Match(pattern, program)
		return ok
	})
}

// refuseFile guards files that a host cannot live without.
func (e *Enforcer) refuseFile(s *entity.Sighting) string {
	file := s.GetFile().GetPath()
	if s.GetKind() != entity.Kind_FILE || !path.IsAbs(file) || path.Clean(file) != file {
		return fmt.Sprintf("%q is no clean absolute path of a file", file)
	}
	for _, special := range []string{"/proc/", "/sys/", "/dev/", path.Clean(e.cfg.Folder) + "/"} {
		if strings.HasPrefix(file, special) && !strings.HasPrefix(file, "/dev/shm/") {
			return file + " lies in " + special
		}
	}
	real := filepath.Join("/", e.opt.Root, file)
	if data, err := filepath.Abs(e.opt.Data); err == nil && strings.HasPrefix(real, data+"/") {
		return file + " is Ringwall's own"
	}
	if self, err := os.Stat("/proc/self/exe"); err == nil {
		if st, err := os.Lstat(real); err == nil && os.SameFile(self, st) {
			return file + " is Ringwall's own"
		}
	}
	for _, pattern := range e.cfg.Keep {
		if ok, _ := path.Match(pattern, file); ok {
			return file + " is kept (respond.keep: " + pattern + ")"
		}
	}
	inside := slices.ContainsFunc(e.cfg.WebRoots, func(r string) bool { return strings.HasPrefix(file, strings.TrimSuffix(r, "/")+"/") })
	if inside || e.cfg.Owned {
		return ""
	}
	owner := e.opt.Owner
	if owner == nil {
		owner = e.host.owner
	}
	if name := owner(file); name != "" {
		return fmt.Sprintf("%s belongs to package %s (respond.owned is off)", file, name)
	}
	return ""
}

// overReach holds the caps. Targets that were touched before count once.
func (e *Enforcer) overReach(x *entry) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	group := func(k action.Kind) (string, int) {
		switch k {
		case action.BlockAddress, action.CutConnection:
			return "peers", e.cfg.Caps.Peers
		case action.KillTree:
			return "process trees", e.cfg.Caps.Processes
		case action.QuarantineFile:
			return "files", e.cfg.Caps.Files
		}
		return "isolations", 1
	}
	name, most := group(x.Record.Kind)
	touched := map[string]bool{}
	minute, now := 0, e.now()
	for _, y := range e.entries {
		r := &y.Record
		if r.Stage != x.Record.Stage || r.State == action.Refused || r.State == action.Failed {
			continue
		}
		if r.Updated.After(now.Add(-time.Minute)) {
			minute++
		}
		if g, _ := group(r.Kind); g == name && r.Incident == x.Record.Incident && (r.State.Live() || r.State == action.Shadowed) {
			touched[y.Target] = true
		}
	}
	switch {
	case most > 0 && !touched[x.Target] && len(touched) >= most:
		return fmt.Sprintf("incident %s touches %d %s here already, and no more than %d may be", x.Record.Incident, len(touched), name, most)
	case e.cfg.Caps.PerMinute > 0 && minute >= e.cfg.Caps.PerMinute:
		return fmt.Sprintf("%d actions within a minute, and no more than %d may be", minute, e.cfg.Caps.PerMinute)
	}
	return ""
}

// spareSockets is the guard of single sockets, after everything else.
func (h *host) spareSockets(found []connection.Socket) string {
	p, err := h.peers()
	if err != nil {
		return err.Error()
	}
	for _, s := range found {
		if a := s.Remote.Addr(); !p.own[a] {
			if why := p.refuse(netip.PrefixFrom(a, a.BitLen())); why != "" {
				return why
			}
		} else {
			return s.String() + " is this host with itself"
		}
	}
	return ""
}

// listens tells whether a process holds a listening socket, inherited ones too.
func (h *host) listens(pid int) (bool, error) {
	tcp, err := h.diag.List(connection.Listening, nil, unix.IPPROTO_TCP)
	if err != nil {
		return false, err
	}
	open := map[string]bool{}
	for _, s := range tcp {
		open[fmt.Sprintf("socket:[%d]", s.Inode)] = true
	}
	for _, u := range unixSockets(pid) {
		if u.listening {
			open[u.inode] = true
		}
	}
	return slices.ContainsFunc(process.Inodes(pid, process.Any), func(i string) bool { return open[i] }), nil
}
