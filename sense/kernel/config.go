// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Config of the kernel sensor. The zero value is not valid; start from Defaults.
type Config struct {
	// Cgroup and Netns confine the sensor: processes below this cgroup folder, sockets of
	// this network namespace (a file such as /run/netns/web or /proc/1/ns/net). Both
	// empty: the whole machine. With Cgroup alone, resets to closed ports are not seen.
	Cgroup, Netns string
	// PidNamespace (a file such as /proc/self/ns/pid) says in whose numbers pids are
	// told. Empty: the sensor's own.
	PidNamespace string
	// Shared is a folder on a bpf file system where Share pinned one program set for all
	// agents of this kernel. Empty: an own set.
	Shared string

	Syscalls bool // set B: files by name, privilege calls; about 100 ns per syscall of the machine
	Legacy   bool // use the hooks of kernels before 6.3 even where better ones exist

	ArgvBytes    int // of argv kept per exec, at most 8191
	EnvBytes     int // of the environment looked at per exec, at most 8191; only Env leaves the sensor
	ReadBytes    int // of one read of a request, at most 8191
	MessageBytes int // of one request over all its reads
	PreciousRing int // bytes, a power of two
	BulkRing     int // bytes, a power of two
	BulkPerSec   int // bulk records per process, class and second

	Sensitive []string // patterns of paths whose reads are told; * within a name, ** over folders
	Env       []string // names of environment variables told with an exec

	MaxProcesses   int // in the process table
	MaxConnections int // with a request being put together
}

// Defaults: sized so that maps and rings stay under 40 MB.
func Defaults() Config {
	return Config{
		Syscalls: true, ArgvBytes: 4095, EnvBytes: 4095,
		ReadBytes: 4095, MessageBytes: 8192, // an nginx head buffer is 1 KiB, FastCGI parameters with long queries 2-4 KiB (range.md §2)
		PreciousRing: 8 << 20, BulkRing: 8 << 20, BulkPerSec: 2000,
		Sensitive: []string{
			"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/ssh_host_*_key", "/etc/security/opasswd",
			"**/.ssh/*", "**/.gnupg/*", "**/.aws/*", "**/.kube/*", "**/.docker/config.json", "**/.git-credentials",
			"**/.netrc", "**/.pgpass", "**/.my.cnf", "**/.env", "**/wp-config.php", "**/.bash_history",
			"**/config.ini", "**/credentials.ini", "**/database.ini", "**/settings.ini", "**/app.ini", "/etc/*.ini", "**/db.ini", "**/id_rsa", "**/id_ed25519",
			"/etc/ssl/private/*", "/etc/krb5.keytab", "/etc/mysql/debian.cnf", "**/.htpasswd",
			"**/configuration.php", "**/settings.php", "**/database.yml", "**/parameters.yml", // Joomla, Drupal, Rails, Symfony
			// No secrets: a job is led back to whoever wrote its table by that cron read it.
			"/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/*", "/var/spool/cron/crontabs/*",
		},
		Env:          []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "SSH_CONNECTION", "SSH_CLIENT", "HISTFILE", "BASH_ENV", "PROMPT_COMMAND", "SUDO_USER", "SUDO_COMMAND"},
		MaxProcesses: 32768, MaxConnections: 16384,
	}
}

// Validate says which setting is out of bounds and what would do.
func (c *Config) Validate() error {
	bytes := func(name string, v, most int) error {
		if v < 0 || v > most {
			return fmt.Errorf("kernel sensor: %s = %d: want 0 to %d", name, v, most)
		}
		return nil
	}
	ring := func(name string, v int) error {
		if v < os.Getpagesize() || v&(v-1) != 0 || v > 1<<30 {
			return fmt.Errorf("kernel sensor: %s = %d: want a power of two from %d to 1 GiB", name, v, os.Getpagesize())
		}
		return nil
	}
	least := func(name string, v int) error {
		if v < 64 {
			return fmt.Errorf("kernel sensor: %s = %d: want at least 64", name, v)
		}
		return nil
	}
	errs := []error{
		bytes("argv_bytes", c.ArgvBytes, 8191), bytes("env_bytes", c.EnvBytes, 8191),
		bytes("read_bytes", c.ReadBytes, 8191), bytes("message_bytes", c.MessageBytes, 65535),
		ring("precious_ring", c.PreciousRing), ring("bulk_ring", c.BulkRing),
		least("bulk_per_sec", c.BulkPerSec), least("max_processes", c.MaxProcesses), least("max_connections", c.MaxConnections),
	}
	for _, p := range c.Sensitive {
		if _, err := sensitiveKey(p); err != nil {
			errs = append(errs, err)
		}
	}
	if i := slices.Index(c.Env, ""); i >= 0 {
		errs = append(errs, errors.New("kernel sensor: env: an empty name"))
	}
	return errors.Join(errs...)
}
