// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// auditing is an auditd of ours: Debian's configuration but for the place of its log, which is kept
// whole, and rules for the wanted facts of the workers' user alone.
type auditing struct {
	dir    string
	daemon *process
	kernel int // pid of kauditd, which hands records to the daemon
	lost   int // records lost before
}

// keep remembers the machine's audit rules and status; restore brings them back. An auditd that
// runs already is never disturbed.
func keepAudit() (restore func(), err error) {
	status, err := auditStatus()
	if err != nil {
		return nil, err
	}
	if status["pid"] != 0 {
		return nil, fmt.Errorf("an auditd runs here already (pid %d)", status["pid"])
	}
	rules, err := auditctl("-l")
	if err != nil {
		return nil, err
	}
	return func() {
		_, _ = auditctl("-D")
		for rule := range strings.Lines(rules) {
			if strings.HasPrefix(rule, "-") {
				_, _ = auditctl(strings.Fields(rule)...)
			}
		}
		for flag, name := range map[string]string{"-b": "backlog_limit", "--backlog_wait_time": "backlog_wait_time", "-e": "enabled"} {
			_, _ = auditctl(flag, strconv.Itoa(status[name]))
		}
	}, nil
}

// quietAudit makes new processes free of audit contexts, as on a machine where no auditd ever ran:
// once it did, the kernel gives each process one until the next boot (kernel/auditsc.c, audit_alloc).
func quietAudit() error {
	for _, args := range [][]string{{"-D"}, {"-a", "task,never"}, {"-e", "0"}} {
		if out, err := auditctl(args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// startAudit starts auditd; wait is the longest that a process may be kept waiting for a full
// backlog, in ticks (Debian's rules say 60000; 0 does not wait and loses).
func startAudit(ctx context.Context, dir string, where *place, wait int, all bool) (*auditing, error) {
	a := &auditing{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "plugins.d"), 0o750); err != nil {
		return nil, err
	}
	config, err := os.ReadFile("/etc/audit/auditd.conf")
	if err != nil {
		return nil, err
	}
	changes := map[string]string{"log_file": a.log(), "plugin_dir": filepath.Join(dir, "plugins.d"), "max_log_file_action": "ignore"}
	var b strings.Builder
	for line := range strings.Lines(string(config)) {
		name, _, _ := strings.Cut(line, " =")
		if v, ok := changes[name]; ok {
			line = name + " = " + v + "\n"
		}
		b.WriteString(line)
	}
	if err := os.WriteFile(filepath.Join(dir, "auditd.conf"), []byte(b.String()), 0o640); err != nil {
		return nil, err
	}
	cmd := &process{cmd: exec.Command("auditd", "-n", "-s", "nochange", "-c", dir), done: make(chan struct{})}
	cmd.cmd.Stdout, cmd.cmd.Stderr = cmd, cmd
	if err := cmd.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.cmd.Wait(); close(cmd.done) }()
	a.daemon = cmd
	if err := a.begin(ctx, where, wait, all); err != nil {
		cmd.end()
		return nil, fmt.Errorf("auditd: %w; it said: %s", err, cmd.words())
	}
	return a, nil
}

func (a *auditing) log() string { return filepath.Join(a.dir, "audit.log") }

func (a *auditing) begin(ctx context.Context, where *place, wait int, all bool) error {
	for end := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		if s, err := auditStatus(); err == nil && s["pid"] == a.daemon.cmd.Process.Pid {
			a.lost = s["lost"]
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("the kernel does not know it after %s", startLimit)
		}
	}
	for _, rule := range auditRules(where, wait, all) {
		if out, err := auditctl(rule...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	comms, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range comms {
		if raw, _ := os.ReadFile(path); string(raw) == "kauditd\n" {
			a.kernel, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	if a.kernel == 0 {
		return fmt.Errorf("no kernel thread kauditd")
	}
	return nil
}

// auditRules are the wanted facts and nothing else.
func auditRules(where *place, wait int, all bool) [][]string {
	rule := func(text string) []string {
		return strings.Fields(fmt.Sprintf("-a always,exit -F arch=b64 %s -F uid=%d", text, where.uid))
	}
	rules := [][]string{
		{"-D"}, {"-b", "8192"}, {"--backlog_wait_time", strconv.Itoa(wait)},
		rule("-S execve -S execveat -k judge-exec"),
		rule("-S open -F a1&3 -k judge-write"), rule("-S openat -F a2&3 -k judge-write"), rule("-S creat -k judge-write"),
		rule("-S connect -k judge-connect"),
		rule("-F path=" + where.dir + "/" + secretFile + " -F perm=r -k judge-read"),
	}
	if all {
		rules = append(rules, rule("-F dir="+where.dir+"/"+anyFolder+" -F perm=r -k judge-any"))
	}
	return append(rules, []string{"-e", "1"})
}

// facts counts what the log holds of each kind, and says how many records the kernel says it lost.
func (a *auditing) facts() (map[string]int, int, error) {
	f, err := os.Open(a.log())
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	s, err := auditStatus()
	return countFacts(f), s["lost"] - a.lost, err
}

// countFacts counts records of calls that succeeded by the kind in their key. A call that a signal
// interrupted and the kernel restarted is written twice, the first time as failed. The programs run
// at a steady pace have a name of their own.
func countFacts(log io.Reader) map[string]int {
	out := map[string]int{}
	lines := bufio.NewReaderSize(log, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if bytes.HasPrefix(line, []byte("type=SYSCALL")) && bytes.Contains(line, []byte(" success=yes ")) {
			_, rest, _ := bytes.Cut(line, []byte(` key="judge-`))
			kind, _, found := bytes.Cut(rest, []byte(`"`))
			switch name := string(kind); {
			case !found:
			case name != "exec", bytes.Contains(line, []byte(` comm="`+nothing+`"`)):
				out[name]++
			case bytes.Contains(line, []byte(` comm="`+steadily+`"`)):
				out["steady"]++
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			return out
		}
	}
}

func (a *auditing) cpu() time.Duration { return cpu(a.daemon.cmd.Process.Pid) + cpu(a.kernel) }

func (a *auditing) end() {
	_ = quietAudit()
	a.daemon.end()
	_ = os.Remove(a.log())
}

func auditctl(args ...string) (string, error) {
	out, err := exec.Command("auditctl", args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("auditctl %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// auditStatus reads `auditctl -s`: a name and a number a line.
func auditStatus() (map[string]int, error) {
	out, err := auditctl("-s")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(out))
	}
	status := map[string]int{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 2 {
			status[f[0]], _ = strconv.Atoi(f[1])
		}
	}
	return status, nil
}
