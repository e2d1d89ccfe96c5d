// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"slices"
	"sort"
	"strings"
)

// Sensor says what one kind of event carries: its log source and the Sigma fields it may fill.
type Sensor struct {
	LogSource
	Fields   []string
	Keywords bool // Fields.Keywords gives the raw line
}

// Sensors is what Ringwall's own sensors fill, in the words of the package documentation. Pass it as
// Options.Sensors, with more appended where an operator's adapter gives more.
func Sensors() []Sensor {
	linux := func(category string, fields ...string) Sensor {
		return Sensor{LogSource: LogSource{Category: category, Product: "linux"}, Fields: fields}
	}
	web := []string{"cs-method", "c-uri", "cs-uri", "cs-uri-stem", "cs-uri-query", "c-uri-query", "c-uri-extension", "sc-status",
		"c-useragent", "cs-user-agent", "cs-host", "cs-referer", "cs-cookie", "cs-username", "c-ip", "src_ip", "cs-version", "sc-bytes"}
	sensors := []Sensor{
		linux("process_creation", "Image", "CommandLine", "ParentImage", "ParentCommandLine", "User", "ParentUser", "CurrentDirectory", "LogonId",
			"ProcessId", "ParentProcessId", "StdinKind", "StdoutKind", "ImageUnlinked", "Ancestors", "Convicted"),
		linux("file_event", "TargetFilename", "Image", "CommandLine", "User", "ProcessId", "ParentImage", "Ancestors", "Convicted"),
		linux("file_access", "TargetFilename", "Image", "CommandLine", "User", "ProcessId", "ParentImage", "Ancestors", "Convicted"),
		linux("file_delete", "TargetFilename", "Image", "CommandLine", "User", "ProcessId"),
		linux("process_access", "SourceImage", "SourceUser", "TargetImage", "TargetUser", "GrantedAccess", "SourceProcessId", "TargetProcessId"),
		linux("network_connection", "Image", "CommandLine", "User", "ProcessId", "DestinationIp", "DestinationPort", "DestinationHostname", "Ancestors", "Convicted",
			"SourceIp", "SourcePort", "Initiated", "Protocol"),
		{LogSource: LogSource{Product: "linux", Service: "auditd"}, Keywords: true, Fields: []string{"type", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
			"exe", "comm", "name", "nametype", "SYSCALL", "key", "uid", "euid", "auid", "unit", "acct"}},
		{LogSource: LogSource{Category: "webserver"}, Fields: web, Keywords: true},
		{LogSource: LogSource{Category: "proxy"}, Fields: web, Keywords: true},
		{LogSource: LogSource{Category: "dns"}, Fields: []string{"query", "record_type", "answer", "src_ip"}},
		{LogSource: LogSource{Category: "firewall"}, Fields: []string{"action", "src_ip", "src_port", "dst_ip", "dst_port", "blocked"}},
	}
	for _, service := range []string{"apache", "nginx"} {
		sensors = append(sensors, Sensor{LogSource: LogSource{Category: "webserver", Service: service}, Fields: web, Keywords: true})
	}
	for _, service := range []string{"syslog", "sshd", "auth", "sudo", "cron", "vsftpd", "clamav", "guacamole"} {
		sensors = append(sensors, Sensor{LogSource: LogSource{Product: "linux", Service: service}, Keywords: true, Fields: []string{"USER"}})
	}
	return sensors
}

// prune splits off the rules that no sensor can satisfy, reports them, and gives the others.
func (l *loader) prune() []*Rule {
	never := map[*Rule][]string{}
	var run []*Rule
	var judge func(r *Rule) []string
	judge = func(r *Rule) []string {
		if m, ok := never[r]; ok {
			return m
		}
		var m []string
		if r.related != nil {
			m = r.related.missing(judge)
		} else {
			m = missing(r, l.opt.Sensors)
		}
		never[r] = m
		return m
	}
	for _, r := range l.rules {
		if m := judge(r); len(m) > 0 {
			l.report.NeverFires = append(l.report.NeverFires, NeverFires{ID: r.ID, Title: r.Title, File: r.Path, Missing: m})
		} else {
			run = append(run, r)
		}
	}
	return run
}

// missing says what keeps the rule from ever firing; empty: some sensor can satisfy it.
func missing(r *Rule, sensors []Sensor) []string {
	var best []string
	for i := range sensors {
		if !r.LogSource.covers(sensors[i].LogSource) {
			continue
		}
		lack := map[string]bool{}
		canHold, _ := sensors[i].can(r.expr, lack)
		if canHold {
			return nil
		}
		var names []string
		for n := range lack {
			names = append(names, n)
		}
		if best == nil || len(names) < len(best) {
			best = names
		}
	}
	if best == nil {
		return []string{"log source " + r.LogSource.String()}
	}
	sort.Strings(best)
	return best
}

// can says whether the expression can be true and whether it can be false on events of the sensor, and collects
// the fields that stand in the way. On a field that is never filled `null` is neither: it says nothing about the
// world.
func (s *Sensor) can(e *expr, lack map[string]bool) (hold, fail bool) {
	switch e.op {
	case opNot:
		fail, hold = s.can(e.kids[0], lack)
		return hold, fail
	case opTest:
		ok := true
		names := []string{e.test.field}
		if e.test.kind == testFieldRef {
			names = append(names, e.test.glob[0].lit)
		}
		for _, n := range names {
			if n == "" && !s.Keywords {
				lack["keywords"] = true
				ok = false
			} else if n != "" && !slices.Contains(s.Fields, n) {
				lack[n] = true
				ok = false
			}
		}
		blind := !ok && (e.test.kind == testNull || e.test.kind == testExists && !e.test.want)
		return ok, !blind
	case opAnd:
		hold = true
		for _, k := range e.kids {
			mine := map[string]bool{}
			h, f := s.can(k, mine)
			if !h {
				for n := range mine {
					lack[n] = true
				}
			}
			hold, fail = hold && h, fail || f
		}
		return hold, fail
	}
	fail = true
	for _, k := range e.kids {
		h, f := s.can(k, lack)
		hold, fail = hold || h, fail && f
	}
	return hold, fail
}

func (c *correlation) missing(judge func(*Rule) []string) []string {
	var lack []string
	alive := 0
	for _, r := range c.rules {
		if m := judge(r); len(m) > 0 {
			lack = append(lack, "rule "+r.ID+" ("+strings.Join(m, ", ")+")")
		} else {
			alive++
		}
	}
	if alive == 0 || c.ordered() && alive < len(c.rules) || c.kind == "temporal" && alive < len(c.rules) && c.cond.whole {
		return lack
	}
	return nil
}
