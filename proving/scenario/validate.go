// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"slices"
	"strconv"
	"strings"
)

// Services that a host may have.
var Services = []string{"nginx", "php-fpm", "upload-app", "redis", "sshd"}

var kinds = []string{"request", "file", "process", "connection", "login"}

// validate checks every reference and that every entity can be recognised.
func (p *parser) validate(s *Scenario) error {
	if s.ID == "" {
		return p.errorf(p.line("id"), "id is missing")
	}
	for role, services := range s.Hosts {
		for _, service := range services {
			if !slices.Contains(Services, service) {
				return p.errorf(p.line("hosts", role), "service %q of host %q is not known; known are %s", service, role, strings.Join(Services, ", "))
			}
		}
	}
	for i, b := range s.Background {
		if b.Play == "" || b.AtLeast < 0 {
			return p.errorf(p.line("background", i), "a background play is a name, or {play: backup, at_least: 10}")
		}
	}
	if s.Minutes < 0 || s.Minutes > 24*60 {
		return p.errorf(p.line("minutes"), "minutes lie between 0 and 1440")
	}
	if err := p.readFiles(s); err != nil {
		return err
	}
	steps := map[string]*Step{}
	entities := map[string]string{}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.ID == "" || steps[step.ID] != nil {
			return p.errorf(step.Line, "step %d needs an id of its own (%q)", i+1, step.ID)
		}
		if err := p.checkStep(s, i, steps, entities); err != nil {
			return err
		}
		steps[step.ID] = step
	}
	return p.checkExpect(s, entities)
}

func (p *parser) checkStep(s *Scenario, i int, before map[string]*Step, entities map[string]string) error {
	step := &s.Steps[i]
	if _, ok := s.Machines[step.On]; !ok {
		return p.errorf(p.line("steps", i, "on"), "step %q is on host %q, which is not in hosts", step.ID, step.On)
	}
	for n, need := range step.Needs {
		for id, other := range before {
			if slices.ContainsFunc(other.Truth, func(e Entity) bool { return e.As == need }) && before[need] == nil {
				step.Needs[n] = id
			}
		}
		if before[step.Needs[n]] == nil {
			return p.errorf(p.line("steps", i, "needs"), "step %q needs %q, which is no earlier step and no entity of one", step.ID, need)
		}
	}
	if err := p.checkAction(s, i, before); err != nil {
		return err
	}
	if step.Works.File != "" {
		if _, ok := s.Machines[step.Works.Host]; !ok {
			return p.errorf(p.line("steps", i, "works"), "step %q: works.host %q is not in hosts", step.ID, step.Works.Host)
		}
	}
	for j := range step.Truth {
		if err := p.checkEntity(s, i, j, entities); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) checkAction(s *Scenario, i int, before map[string]*Step) error {
	step, line := &s.Steps[i], p.line("steps", i, "do")
	do := step.Do
	count, to := 0, ""
	if do.Scan != nil {
		count, to = count+1, do.Scan.To
	}
	if do.Discover != nil {
		count, to = count+1, do.Discover.To
	}
	if do.HTTP != nil {
		count, to = count+1, do.HTTP.To
	}
	if do.Shell != nil {
		count, to = count+1, do.Shell.At()
		if err := p.checkShell(step, line); err != nil {
			return err
		}
	}
	if do.Type != nil {
		count++
		to = step.On
		if shell := before[do.Type.Into]; shell == nil || shell.Do.Shell == nil {
			return p.errorf(line, "step %q types into %q, which is no earlier shell step", step.ID, do.Type.Into)
		}
		if strings.ContainsAny(do.Type.Line, "\n\r") {
			return p.errorf(line, "step %q types more than one line", step.ID)
		}
	}
	if do.Run != nil {
		count, to = count+1, step.On
	}
	if count != 1 {
		return p.errorf(line, "step %q does %d things; it must do one of scan, discover, http, shell, type, run", step.ID, count)
	}
	if _, ok := s.Machines[to]; !ok {
		return p.errorf(line, "step %q goes to host %q, which is not in hosts", step.ID, to)
	}
	return nil
}

func (p *parser) checkShell(step *Step, line int) error {
	shell := step.Do.Shell
	switch {
	case (shell.By == nil) == (shell.Run == nil):
		return p.errorf(line, "step %q: a shell comes by exactly one of by (a request) and run (a script)", step.ID)
	case shell.By != nil && shell.Listen == 0:
		return p.errorf(line, "step %q: a shell that a request brings needs listen: PORT", step.ID)
	case shell.Listen < 0 || shell.Listen > 65535:
		return p.errorf(line, "step %q listens on port %d", step.ID, shell.Listen)
	}
	return nil
}

func (p *parser) checkEntity(s *Scenario, i, j int, entities map[string]string) error {
	e, line := &s.Steps[i].Truth[j], p.line("steps", i, "truth", j)
	if !slices.Contains(kinds, e.Kind) {
		return p.errorf(line, "entity %q is of kind %q; known are %s", e.As, e.Kind, strings.Join(kinds, ", "))
	}
	if e.As == "" || entities[e.As] != "" {
		return p.errorf(line, "an entity needs a short name of its own: as: f1 (%q)", e.As)
	}
	for _, cause := range []string{e.By, e.Runs} {
		if cause != "" && entities[cause] == "" {
			return p.errorf(line, "entity %q rests on %q, which is no earlier entity", e.As, cause)
		}
	}
	if e.Host != "" {
		if _, ok := s.Machines[e.Host]; !ok {
			return p.errorf(line, "entity %q is on host %q, which is not in hosts", e.As, e.Host)
		}
	}
	for _, end := range []string{e.Client, e.To} {
		role, _, ok := cutLast(end)
		if _, known := s.Machines[role]; end != "" && (!ok || !known) {
			return p.errorf(line, "entity %q: %q is not role:port of a host", e.As, end)
		}
	}
	if e.Path == "" && e.Client == "" && e.To == "" && e.Argv == "" && e.Argv0 == "" && len(e.Marks) == 0 {
		return p.errorf(line, "entity %q cannot be recognised: give it path, client, to, argv or marks", e.As)
	}
	entities[e.As] = e.Kind
	return nil
}

func (p *parser) checkExpect(s *Scenario, entities map[string]string) error {
	names := append([]string(nil), s.Expect.Members.Must...)
	if s.Expect.Entry != "" {
		names = append(names, s.Expect.Entry)
	}
	for _, name := range names {
		if entities[name] == "" {
			return p.errorf(p.line("expect"), "expect names %q, which is no entity of any step", name)
		}
	}
	if len(s.Steps) > 0 && s.Expect.Entry == "" {
		return p.errorf(p.line("expect"), "expect.entry is missing: the entity to which every trace must lead")
	}
	return nil
}

// cutLast splits role:port.
func cutLast(text string) (role string, port uint16, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, 0, false
	}
	n, err := strconv.ParseUint(text[i+1:], 10, 16)
	return text[:i], uint16(n), err == nil
}
