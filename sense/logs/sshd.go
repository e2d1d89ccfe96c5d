// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/event"
)

// connection is what one sshd process said so far.
type connection struct {
	client, server netip.AddrPort
	failures       int
	accepted       bool
}

// logins remembers the connections of running sshd processes by pid, because only some
// lines name the client and only "Connection from" (LogLevel VERBOSE) names the server.
type logins struct {
	now, old map[uint32]connection
}

// maxLogins per generation, about 150 bytes each.
const maxLogins = 4096

func newLogins() logins { return logins{now: map[uint32]connection{}} }

func (l *logins) get(pid uint32) connection {
	if c, ok := l.now[pid]; ok {
		return c
	}
	return l.old[pid]
}

func (l *logins) put(pid uint32, c connection) {
	if pid == 0 {
		return
	}
	if len(l.now) >= maxLogins {
		l.old, l.now = l.now, map[uint32]connection{}
	}
	l.now[pid] = c
}

// sshd reads one message of OpenSSH (auth.c auth_log, sshd.c, packet.c; 7.x to 10.x).
// keep says whether the line is worth telling by itself.
func (l *logins) sshd(pid uint32, text string) (facts []login, keep bool) {
	c := l.get(pid)
	switch word, rest, _ := strings.Cut(text, " "); {
	case word == "Accepted" || word == "Failed":
		a, ok := outcome(word, rest)
		if !ok {
			return nil, true
		}
		return []login{l.attempt(pid, c, a)}, false
	case strings.HasPrefix(text, "Connection from "):
		l.begin(pid, strings.TrimPrefix(text, "Connection from "))
		return nil, true
	case strings.HasPrefix(text, "pam_unix(sshd:session): session "):
		if a, ok := session(text, "sshd"); ok {
			if c.client.IsValid() {
				a.Readings, a.Server = []reading{{Client: c.client, User: a.User}}, c.server
			}
			return []login{a}, false
		}
	case strings.HasPrefix(text, "Connection closed by "):
		return l.left(pid, c, strings.TrimPrefix(text, "Connection closed by "))
	case strings.HasPrefix(text, "Connection reset by "):
		return l.left(pid, c, strings.TrimPrefix(text, "Connection reset by "))
	}
	return nil, true
}

// attempt completes an outcome by what the process said before.
func (l *logins) attempt(pid uint32, c connection, a login) login {
	for _, r := range a.Readings {
		if r.Client == c.client {
			a.Readings = []reading{r}
			break
		}
	}
	if len(a.Readings) > 1 {
		return a
	}
	a.User = a.Readings[0].User
	if client := a.Readings[0].Client; c.client != client {
		c = connection{client: client} // the pid was used again
	}
	a.Server = c.server
	if a.Outcome == event.Authentication_SUCCESS {
		c.accepted = true
	} else {
		c.failures++
	}
	l.put(pid, c)
	return a
}

// begin reads `10.0.0.9 port 41002 on 10.0.0.2 port 22 rdomain ""`.
func (l *logins) begin(pid uint32, s string) {
	f := strings.Fields(s)
	if len(f) < 7 || f[1] != "port" || f[3] != "on" || f[5] != "port" {
		return
	}
	client, ok1 := addrPort(f[0], f[2])
	server, ok2 := addrPort(f[4], f[6])
	if ok1 && ok2 {
		l.put(pid, connection{client: client, server: server})
	}
}

// left reads `authenticating user root 10.0.0.9 port 41002 [preauth]`: a client that gave
// up. Where no failure was told for it (keys refused are not, at LogLevel INFO), this is
// the failure.
func (l *logins) left(pid uint32, c connection, s string) ([]login, bool) {
	s, ok := strings.CutSuffix(s, " [preauth]")
	if !ok {
		return nil, true
	}
	known := true
	name, ok := strings.CutPrefix(s, "authenticating user ")
	if !ok {
		known = false
		if name, ok = strings.CutPrefix(s, "invalid user "); !ok {
			return nil, true
		}
	}
	i := strings.LastIndex(name, " port ")
	if i < 0 {
		return nil, true
	}
	j := strings.LastIndexByte(name[:i], ' ')
	if j < 0 {
		return nil, true
	}
	client, ok := addrPort(name[j+1:i], name[i+len(" port "):])
	if !ok || c.client == client && (c.failures > 0 || c.accepted) {
		return nil, true
	}
	return []login{{Outcome: event.Authentication_FAILURE, User: name[:j], Known: known, Service: "sshd", Method: "preauth",
		Readings: []reading{{Client: client, User: name[:j]}}, Server: serverOf(c, client)}}, false
}

func serverOf(c connection, client netip.AddrPort) netip.AddrPort {
	if c.client == client {
		return c.server
	}
	return netip.AddrPort{}
}

// outcome reads `password for invalid user bob from 10.0.0.9 port 41002 ssh2: RSA SHA256:…`.
// The name is the client's choice and may itself read "x from 1.2.3.4 port 5 ssh2"; so
// may the identity of a refused certificate behind it. Every reading is given.
func outcome(word, rest string) (a login, ok bool) {
	a = login{Outcome: event.Authentication_FAILURE, Service: "sshd", Known: true}
	if word == "Accepted" {
		a.Outcome = event.Authentication_SUCCESS
	}
	method, rest, ok := strings.Cut(rest, " for ")
	if !ok || method == "" || strings.ContainsRune(method, ' ') {
		return a, false
	}
	a.Method, _, _ = strings.Cut(method, "/") // keyboard-interactive/pam
	if name, invalid := strings.CutPrefix(rest, "invalid user "); invalid {
		rest, a.Known = name, false
	}
	for at := 0; len(a.Readings) < 8; {
		i := strings.Index(rest[at:], " from ")
		if i < 0 {
			break
		}
		i += at
		at = i + 1
		if client, tail, ok := endpoint(rest[i+len(" from "):]); ok {
			a.Readings = append(a.Readings, reading{Client: client, User: rest[:i], Key: fingerprint(tail)})
		}
	}
	return a, len(a.Readings) > 0
}

// hideNames replaces the name of an unknown user in a line that is told as it is, unless
// it is an ordinary name: people type passwords there.
func hideNames(text string, hash func(string) string) string {
	const mark = "nvalid user "
	i := strings.Index(text, mark)
	if i < 0 {
		return text
	}
	head, rest := text[:i+len(mark)], text[i+len(mark):]
	end := strings.LastIndex(rest, " from ")
	if end < 0 {
		if end = strings.LastIndex(rest, " port "); end >= 0 {
			end = strings.LastIndexByte(rest[:end], ' ')
		}
	}
	if end < 0 {
		if end = strings.LastIndex(rest, " ["); end < 0 {
			end = len(rest)
		}
	}
	if plainName(rest[:end]) {
		return text
	}
	return head + hash(rest[:end]) + rest[end:]
}

// endpoint reads `10.0.0.9 port 41002 ssh2` and what follows.
func endpoint(s string) (netip.AddrPort, string, bool) {
	ip, rest, ok := strings.Cut(s, " port ")
	if !ok || len(ip) > 64 {
		return netip.AddrPort{}, "", false
	}
	port, tail, _ := strings.Cut(rest, " ")
	a, ok := addrPort(ip, port)
	if !ok || tail != "ssh2" && !strings.HasPrefix(tail, "ssh2:") && tail != "" {
		return netip.AddrPort{}, "", false
	}
	return a, tail, true
}

// fingerprint finds SHA256:… or MD5:… in `ssh2: ED25519 SHA256:…`.
func fingerprint(tail string) string {
	for w := range strings.FieldsSeq(strings.TrimPrefix(tail, "ssh2:")) {
		if len(w) <= 80 && (strings.HasPrefix(w, "SHA256:") || strings.HasPrefix(w, "MD5:")) {
			return w
		}
	}
	return ""
}

func addrPort(ip, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}
