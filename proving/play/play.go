// SPDX-License-Identifier: Apache-2.0

// Package play is the people of the range: the intruder who makes the steps of a scenario, and
// those who do ordinary work beside it.
//
// In: a lab, a scenario and a step or the name of a benign play. Out: when it began and ended, and
// whether it truly had its effect. Real programs do the work (nmap, curl, ncat, ssh, tar, dpkg,
// nginx); each runs inside the host of the person whose work it is, with no helper in between.
//
// It believes only effects: a step worked when its output or its file is there, a request of an
// ordinary client when the body is the one expected.
//
// Worst trap: whatever is done inside a watched host to *check* an effect is itself seen by the
// sensors there. Checks therefore read from outside.
package play

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/scenario"
)

// World is what all players share: the running lab and what the seed decided about it. It is
// safe for many goroutines.
type World struct {
	Lab      *lab.Lab
	Scenario *scenario.Scenario
	Site     lab.Site
	SSH      lab.SSH
}

// Build brings up the scenario's hosts and their services. Close the lab when done.
func Build(ctx context.Context, s *scenario.Scenario, cfg lab.Config) (_ *World, err error) {
	for _, m := range s.Machines {
		cfg.Hosts = append(cfg.Hosts, lab.HostSpec{Role: m.Role, Name: m.Name, Addr: m.Addr})
	}
	l, err := lab.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	w := &World{Lab: l, Scenario: s}
	if err := w.describe(); err != nil {
		return nil, err
	}
	if data := w.with("redis"); data != nil {
		if err := data.StartRedis(ctx, w.Site.DataPort, w.Site.Password); err != nil {
			return nil, fmt.Errorf("start Redis: %w", err)
		}
	}
	if web := w.with("upload-app"); web != nil {
		if err := web.StartWeb(ctx, w.Site); err != nil {
			return nil, fmt.Errorf("start the site: %w", err)
		}
	}
	if len(w.SSH.Roles) > 0 {
		if err := l.StartSSH(ctx, w.SSH); err != nil {
			return nil, fmt.Errorf("start SSH: %w", err)
		}
	}
	return w, w.prepare(ctx)
}

// describe takes the services' settings from the scenario's names.
func (w *World) describe() error {
	names := w.Scenario.Names
	ports := map[string]int{}
	for _, name := range []string{"web_port", "redis_port", "ssh_port"} {
		port, err := strconv.Atoi(names[name])
		if err != nil || port < 1 || port > 65535 {
			return fmt.Errorf("%s: variable %s is %q, not a port", w.Scenario.File, name, names[name])
		}
		ports[name] = port
	}
	w.Site = lab.Site{
		Title: names["site"], Port: ports["web_port"], Root: names["site_root"],
		NotesPage: names["notes_page"], UploadPage: names["upload_page"], UploadDir: names["upload_dir"],
		StatusPage: names["status_page"], Admin: w.admin(), ConfigPath: names["config_path"],
		DataHost: names["data.name"], DataPort: ports["redis_port"], Password: names["redis_password"],
		Seed: w.Scenario.Seed,
	}
	w.SSH = lab.SSH{Port: ports["ssh_port"], OpsPassword: names["ops_password"]}
	for _, h := range w.Lab.Hosts() {
		if w.has(h.Role, "sshd") {
			w.SSH.Roles = append(w.SSH.Roles, h.Role)
		}
	}
	if w.has("web", "sshd") && w.has("data", "sshd") {
		w.SSH.BackupFrom, w.SSH.BackupTo = "web", "data"
	}
	return nil
}

// admin is the address of the administrator's workstation.
func (w *World) admin() string {
	if client := w.Lab.Host("client1"); client != nil {
		return client.Addr.String()
	}
	return "127.0.0.1"
}

func (w *World) has(role, service string) bool {
	for _, s := range w.Scenario.Machines[role].Services {
		if s == service {
			return true
		}
	}
	return false
}

// with finds the host that has a service, or nil.
func (w *World) with(service string) *lab.Host {
	for _, h := range w.Lab.Hosts() {
		if w.has(h.Role, service) {
			return h
		}
	}
	return nil
}

// url of a path on a host's site, by the host's name as people write it.
func (w *World) url(role, path string) string {
	host := w.Scenario.Machines[role].Name
	if w.Site.Port != 80 {
		host = fmt.Sprintf("%s:%d", host, w.Site.Port)
	}
	return "http://" + host + path
}

// globalPID finds the machine's number of a process that a host numbers pid. Only living
// processes have one.
func globalPID(h *lab.Host, pid int) (int, error) {
	procs, err := os.ReadFile(h.Cgroup + "/cgroup.procs")
	if err != nil {
		return 0, fmt.Errorf("list the processes of host %s: %w", h.Name, err)
	}
	for _, global := range strings.Fields(string(procs)) {
		status, err := os.ReadFile("/proc/" + global + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			numbers := strings.Fields(line)
			if len(numbers) > 1 && numbers[0] == "NSpid:" && numbers[len(numbers)-1] == strconv.Itoa(pid) {
				return strconv.Atoi(global)
			}
		}
	}
	return 0, fmt.Errorf("process %d of host %s is gone", pid, h.Name)
}
