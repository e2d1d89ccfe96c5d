// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func journal(context.Context, *Config) []Check {
	c := Check{Name: "host.journal", State: OK, Mend: "install systemd-journald, or rsyslog and name its files in logs.files", Costs: "outcomes of logins on hosts without /var/log/auth.log or secure"}
	if _, err := exec.LookPath("journalctl"); err != nil {
		c.State, c.Reason = Missing, "no journalctl"
		return []Check{c}
	}
	for _, dir := range []string{"/run/log/journal", "/var/log/journal"} {
		if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
			c.Reason = "at " + dir
			return []Check{c}
		}
	}
	c.State, c.Reason = Missing, "journald writes no journal here"
	return []Check{c}
}

// clockSync: events of several hosts are ordered by wall time.
func clockSync(context.Context, *Config) []Check {
	c := Check{Name: "host.clock", State: OK, Mend: "run chrony, systemd-timesyncd or ntpd", Costs: "events of several hosts are put in a wrong order"}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	const unsynced, timeError = 0x40, 5 // STA_UNSYNC, TIME_ERROR, include/uapi/linux/timex.h
	switch {
	case err != nil:
		c.State, c.Reason = Degraded, "cannot be read: "+err.Error()
	case state == timeError || t.Status&unsynced != 0:
		c.State, c.Reason = Degraded, "the kernel says that nobody keeps it"
	default:
		c.Reason = fmt.Sprintf("error below %v", time.Duration(t.Maxerror)*time.Microsecond)
	}
	return []Check{c}
}

// servers that are known to be tied to their requests, by the name of the process.
var servers = []string{"nginx", "apache2", "httpd", "php-fpm", "gunicorn", "node", "java"}

// webServers says which web servers run here.
func webServers(context.Context, *Config) []Check {
	c := Check{Name: "host.web", State: OK, Costs: "no request can be tied to a process: there is none"}
	counts := map[string]int{}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		c.State, c.Reason, c.Mend = Missing, err.Error(), "mount /proc"
		return []Check{c}
	}
	for _, d := range dirs {
		if d.Name()[0] < '0' || d.Name()[0] > '9' {
			continue
		}
		raw, err := os.ReadFile("/proc/" + d.Name() + "/comm")
		if err != nil {
			continue
		}
		for _, s := range servers {
			if strings.HasPrefix(string(raw), s) {
				counts[s]++
			}
		}
	}
	if len(counts) == 0 {
		c.State, c.Reason, c.Mend = Missing, "no web server that we know runs", "none needed where the host serves nothing"
		return []Check{c}
	}
	var words []string
	for s, n := range counts {
		words = append(words, fmt.Sprintf("%s (%d)", s, n))
	}
	slices.Sort(words)
	c.Reason = strings.Join(words, ", ")
	return []Check{c}
}

// dataFolder: whoever reads it reads what was sensed, whoever writes it rules the agent.
func dataFolder(_ context.Context, cfg *Config) []Check {
	if cfg.Data == "" {
		return nil
	}
	c := Check{Name: "data.folder", State: OK, Reason: cfg.Data, Costs: "others could read what was sensed or change what is ordered"}
	var st unix.Stat_t
	if err := unix.Stat(cfg.Data, &st); err != nil {
		c.State, c.Reason, c.Mend = Missing, cfg.Data+": "+err.Error(), "the first start makes it"
		return []Check{c}
	}
	var wrong []string
	if st.Mode&0o077 != 0 {
		wrong = append(wrong, fmt.Sprintf("%s has mode %04o, want 0700", cfg.Data, st.Mode&0o7777))
	}
	if int(st.Uid) != os.Geteuid() {
		wrong = append(wrong, fmt.Sprintf("%s belongs to uid %d, we are %d", cfg.Data, st.Uid, os.Geteuid()))
	}
	wrong = append(wrong, openKeys(cfg.Data)...)
	if len(wrong) > 0 {
		c.State, c.Reason, c.Mend = Degraded, strings.Join(wrong, "; "), "chmod 0700 the folder and 0600 the files, chown them to the user of the service"
	}
	return []Check{c}
}

// openKeys finds keys and sockets that others may use, at most three.
func openKeys(data string) (wrong []string) {
	for _, pattern := range []string{"*.sock", "*.key", "identity/*.key", "identity/*.seed", "agent/*.key", "*token*"} {
		found, _ := filepath.Glob(filepath.Join(data, pattern))
		for _, p := range found {
			info, err := os.Lstat(p)
			if err == nil && info.Mode().Perm()&0o077 != 0 && len(wrong) < 3 {
				wrong = append(wrong, fmt.Sprintf("%s has mode %04o, want 0600", p, info.Mode().Perm()))
			}
		}
	}
	return wrong
}

func configFile(_ context.Context, cfg *Config) []Check {
	if cfg.ConfigFile == "" {
		return nil
	}
	c := Check{Name: "config.file", State: OK, Reason: cfg.ConfigFile, Costs: "the roles do not start"}
	info, err := os.Stat(cfg.ConfigFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Reason = cfg.ConfigFile + " is absent: defaults hold"
	case err != nil:
		c.State, c.Reason, c.Mend = Missing, err.Error(), "let the user of the service read it"
	case info.Mode().Perm()&0o022 != 0:
		c.State, c.Reason, c.Mend = Degraded, fmt.Sprintf("%s has mode %04o: others may change it", cfg.ConfigFile, info.Mode().Perm()), "chmod go-w "+cfg.ConfigFile
	}
	if c.State == OK && cfg.CheckConfig != nil {
		if err := cfg.CheckConfig(); err != nil {
			c.State, c.Reason, c.Mend = Missing, err.Error(), "correct the named line"
		}
	}
	return []Check{c}
}

// sockets knocks at the doors of agent and brain.
func sockets(ctx context.Context, cfg *Config) (out []Check) {
	for _, s := range cfg.Sockets {
		c := Check{Name: "socket." + s.Name, State: OK, Reason: s.Path, Costs: "commands that ask it"}
		ctx, stop := context.WithTimeout(ctx, time.Second)
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Path)
		stop()
		switch {
		case err == nil:
			conn.Close()
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
			c.State, c.Reason, c.Mend = Missing, "nothing listens at "+s.Path, "start it: ringwall up, or systemctl start ringwall"
		default:
			c.State, c.Reason, c.Mend = Missing, err.Error(), "run as the user of the service"
		}
		out = append(out, c)
	}
	return out
}

// components shows the health board of a running process.
func components(_ context.Context, cfg *Config) (out []Check) {
	for _, k := range cfg.Components {
		c := Check{Name: "running." + k.Name, Reason: k.Reason}
		switch k.State {
		case "on":
			c.State = OK
		case "degraded":
			c.State = Degraded
		}
		out = append(out, c)
	}
	return out
}
