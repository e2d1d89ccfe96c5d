// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/respond/process"
)

// Config is what this host permits. The zero value observes.
type Config struct {
	Most      action.Stage   `yaml:"most"`      // the furthest stage that this host permits, whatever is ordered
	Brain     []netip.Addr   `yaml:"brain"`     // never blocked, kept when the host is isolated
	Critical  []netip.Prefix `yaml:"critical"`  // declared peers: the same
	Operators []netip.Prefix `yaml:"operators"` // where operators log in from; empty: every SSH login is an operator's
	Services  []string       `yaml:"services"`  // programs that others use: never the root of a tree that is killed
	WebRoots  []string       `yaml:"web_roots"` // below these a packaged file may be quarantined
	Owned     bool           `yaml:"owned"`     // elsewhere too
	Keep      []string       `yaml:"keep"`      // patterns (path.Match) of files that are never quarantined
	Folder    string         `yaml:"folder"`    // of quarantined files, as the host sees it
	Lifetime  time.Duration  `yaml:"lifetime"`  // longest of any action
	Widest4   int            `yaml:"widest4"`   // shortest prefix that may be blocked
	Widest6   int            `yaml:"widest6"`
	Caps      Caps           `yaml:"caps"`
}

// Caps is the reach of one incident, and of one minute, on this host.
type Caps struct {
	Peers     int `yaml:"peers"`      // different addresses or prefixes per incident
	Processes int `yaml:"processes"`  // trees per incident
	Files     int `yaml:"files"`      // per incident
	Tree      int `yaml:"tree"`       // processes in one tree
	PerMinute int `yaml:"per_minute"` // actions of all incidents
}

// DefaultConfig permits everything that the guard rails permit.
func DefaultConfig() Config {
	return Config{
		Most: action.Enforce,
		Services: []string{
			"nginx", "apache2", "httpd", "php-fpm*", "haproxy", "caddy", "lighttpd", "redis-server", "mysqld", "mariadbd",
			"postgres", "mongod", "memcached", "sshd", "sshd-*", "dropbear", "systemd", "systemd-*", "init", "dbus-daemon",
			"dockerd", "containerd", "containerd-shim*", "kubelet", "crio", "cron", "crond", "rsyslogd", "auditd", "agetty", "login",
			"NetworkManager", "dhclient", "chronyd", "ntpd", "named", "unbound", "dnsmasq", "master", "exim4", "dovecot", "ringwall*",
		},
		WebRoots: []string{"/var/www", "/srv", "/usr/share/nginx/html"},
		Keep: []string{
			"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/fstab", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
			"/etc/nsswitch.conf", "/etc/sudoers", "/etc/sudoers.d/*", "/etc/ssh/*", "/etc/ssl/*", "/etc/pam.d/*", "/etc/security/*",
			"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/machine-id", "/etc/network/*", "/root/.ssh/*", "/home/*/.ssh/*", "/boot/*", "/boot/*/*",
		},
		Folder:   "/var/lib/ringwall/quarantine",
		Lifetime: 24 * time.Hour,
		Widest4:  24, Widest6: 48,
		Caps: Caps{Peers: 16, Processes: 64, Files: 64, Tree: 1024, PerMinute: 120},
	}
}

// Validate names what cannot be.
func (c *Config) Validate() error {
	var errs []error
	for _, p := range append(append([]string{}, c.Keep...), c.Services...) {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("respond: pattern %q: %w", p, err))
		}
	}
	if c.Folder != "" && !path.IsAbs(c.Folder) {
		errs = append(errs, fmt.Errorf("respond.folder: %q is not an absolute path", c.Folder))
	}
	if c.Widest4 < 0 || c.Widest4 > 32 || c.Widest6 < 0 || c.Widest6 > 128 || c.Lifetime < 0 {
		errs = append(errs, errors.New("respond: widest4 must be 0 to 32, widest6 0 to 128, lifetime not negative"))
	}
	return errors.Join(errs...)
}

// Options join the enforcer to its agent.
type Options struct {
	Data  string // folder of the journal, 0700
	Host  string // only orders for it are obeyed; "" obeys all
	Root  string // prefix under which this host's files lie; "" for this machine
	Netns string // file of the host's network namespace; "" is the own one
	Clock *event.Clock
	Board *health.Board
	Emit  func(*event.Event) // may be nil
	// Witness is told of an order that is about to be carried out. What it returns is
	// called once, when the action was verified by looking, and says what the sensors saw
	// of it; with a context that has ended when nothing was done. Either may be nil: no
	// sensor can tell.
	Witness func(*action.Order) func(context.Context) (saw string, err error)
	// Lineage gives processes known to descend from one by birth, whoever their parents
	// are by now: parents before their children, PPID the nearest of the lineage that
	// lives. It is asked from the enforcer's goroutines. May be nil.
	Lineage func(*entity.Process) []process.Stat
	// Owner names the package a file belongs to, "" for none; nil reads dpkg's lists.
	Owner func(file string) string
}
