// SPDX-License-Identifier: Apache-2.0

package score

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/scenario"
)

// strength of a match between a finding and an entity.
type strength int

const (
	none   strength = iota
	weak            // the attacker's address, nothing more
	strong          // a mark that only this entity has
)

// haystack is every text of a finding that may hold a mark.
type haystack struct {
	texts   []string
	pids    map[string][]int // host as printed to process numbers
	methods []string         // of HTTP

	programs []string // paths, names and first arguments of processes
}

func newHaystack(f Finding) haystack {
	h := haystack{texts: []string{f.Title}, pids: map[string][]int{}}
	h.texts = appendTexts(h.texts, f.Evidence, 0)
	for _, subject := range f.Subjects {
		host, _ := subject["host"].(string)
		if host == "" {
			host = f.Host
		}
		if method, ok := subject["method"].(string); ok {
			h.methods = append(h.methods, method)
		}
		for _, key := range []string{"exe", "comm", "argv0"} {
			if program, ok := subject[key].(string); ok {
				h.programs = append(h.programs, program)
			}
		}
		if argv, ok := subject["argv"].([]any); ok && len(argv) > 0 {
			if program, ok := argv[0].(string); ok {
				h.programs = append(h.programs, program)
			}
		}
		for key, value := range subject {
			if number, ok := value.(float64); ok && (key == "pid" || key == "ppid") {
				h.pids[host] = append(h.pids[host], int(number))
			}
		}
		h.texts = appendTexts(h.texts, subject, 0)
	}
	return h
}

// appendTexts collects strings of nested JSON; lists of strings (an argv) also joined by blanks.
func appendTexts(texts []string, value any, depth int) []string {
	if depth > 8 {
		return texts
	}
	switch v := value.(type) {
	case string:
		texts = append(texts, v)
	case []any:
		var words []string
		for _, item := range v {
			if s, ok := item.(string); ok {
				words = append(words, s)
			}
			texts = appendTexts(texts, item, depth+1)
		}
		texts = append(texts, strings.Join(words, " "))
	case map[string]any:
		for _, item := range v {
			texts = appendTexts(texts, item, depth+1)
		}
	}
	return texts
}

// holds says whether a text holds the mark as a whole word: 10.0.0.1 is not in 10.0.0.12, nor
// /a/run.php in /a/run.php5.
func (h haystack) holds(mark string) bool {
	if mark == "" {
		return false
	}
	for _, text := range h.texts {
		for from := 0; ; {
			at := strings.Index(text[from:], mark)
			if at < 0 {
				break
			}
			at += from
			end := at + len(mark)
			if (at == 0 || !wordByte(text[at-1])) && (end == len(text) || !wordByte(text[end])) {
				return true
			}
			from = at + 1
		}
	}
	return false
}

// runs says whether a subject is a process of that program: by its path, its argv or its name.
func (h haystack) runs(program string) bool {
	return slices.ContainsFunc(h.programs, func(p string) bool { return p == program || path.Base(p) == path.Base(program) })
}

// holdsPortOf says whether some text names an address with a port.
func (h haystack) holdsPortOf(addr netip.Addr) bool {
	mark := addr.String() + ":"
	return slices.ContainsFunc(h.texts, func(text string) bool {
		at := strings.Index(text, mark)
		return at >= 0 && at+len(mark) < len(text) && text[at+len(mark)] >= '0' && text[at+len(mark)] <= '9'
	})
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// matcher knows the scenario's names and what the steps printed.
type matcher struct {
	scenario *scenario.Scenario
	pids     map[string][]int // role to processes of the attack
	attacker []netip.Addr
}

func newMatcher(s *scenario.Scenario, outcomes []play.Outcome) matcher {
	m := matcher{scenario: s, pids: map[string][]int{}}
	for _, step := range s.Steps {
		if addr := s.Machines[step.On].Addr; !slices.Contains(m.attacker, addr) {
			m.attacker = append(m.attacker, addr)
		}
	}
	for _, out := range outcomes {
		for role, pids := range out.PIDs {
			m.pids[role] = append(m.pids[role], pids...)
		}
	}
	return m
}

// isHost says whether a printed host is the role's: by role, name or address.
func (m matcher) isHost(printed, role string) bool {
	machine := m.scenario.Machines[role]
	return printed == role || printed == machine.Name || printed == machine.Addr.String()
}

func (m matcher) entity(h haystack, e scenario.Entity) strength {
	switch {
	case m.endpoint(h, e.Client), m.endpoint(h, e.To), h.holds(e.Path), h.holds(e.Argv), m.request(h, e):
		return strong
	}
	best := none
	if e.Argv0 != "" && h.runs(e.Argv0) {
		best = weak // others may run it too
	}
	for _, mark := range e.Marks {
		if !h.holds(mark) {
			continue
		}
		if addr, err := netip.ParseAddr(mark); err == nil && slices.Contains(m.attacker, addr) {
			best = max(best, weak)
			continue
		}
		return strong
	}
	return best
}

// endpoint looks for address and port, whole or as neighbours in one subject's texts.
func (m matcher) endpoint(h haystack, end string) bool {
	if end == "" {
		return false
	}
	at := m.scenario.Endpoint(end)
	return at.Port() != 0 && h.holds(at.String())
}

// request looks for client address and URI together: logs do not know the client's port. A finding
// that states another method, or ports of that client but not this one, is about another request.
func (m matcher) request(h haystack, e scenario.Entity) bool {
	if e.Kind != "request" || e.URI == "" || e.Client == "" || !h.holds(e.URI) {
		return false
	}
	if len(h.methods) > 0 && e.Method != "" && !slices.Contains(h.methods, e.Method) {
		return false
	}
	client := m.scenario.Endpoint(e.Client)
	return h.holds(client.Addr().String()) && (client.Port() == 0 || h.holds(client.String()) || !h.holdsPortOf(client.Addr()))
}

// step says how surely a finding is about a step.
func (m matcher) step(h haystack, step scenario.Step, out play.Outcome) strength {
	best := none
	for _, e := range step.Truth {
		best = max(best, m.entity(h, e))
	}
	for role, pids := range out.PIDs {
		for host, printed := range h.pids {
			for _, pid := range pids {
				if m.isHost(host, role) && slices.Contains(printed, pid) {
					return strong
				}
			}
		}
	}
	return best
}

// ofAttacker says whether a finding names an address of the attack at all.
func (m matcher) ofAttacker(h haystack) bool {
	for _, addr := range m.attacker {
		if h.holds(addr.String()) {
			return true
		}
	}
	return false
}

// describe writes a request as root causes are compared: client, method, URI.
func (m matcher) describe(e scenario.Entity) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", m.scenario.Endpoint(e.Client), e.Method, e.URI))
}
