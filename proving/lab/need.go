// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// ErrMissing marks an error that says that this machine lacks something the lab needs.
var ErrMissing = errors.New("missing on this machine")

// packages names the Debian package of each program that the hosts run.
var packages = map[string]string{
	"nginx": "nginx-light", "php-fpm8.2": "php8.2-fpm", "redis-server": "redis-server",
	"redis-cli": "redis-tools", "sshd": "openssh-server", "ssh": "openssh-client",
	"sshpass": "sshpass", "nmap": "nmap", "ncat": "ncat", "curl": "curl", "ss": "iproute2",
	"ps": "procps", "dpkg-deb": "dpkg", "bash": "bash", "mount": "mount", "openssl": "openssl",
	"tar": "tar", "gzip": "gzip",
}

// Need says whether this machine can build a lab: root and the programs that the hosts run. The
// error wraps ErrMissing and names the packages to install.
func Need() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("build a lab: %w: root (run it with sudo)", ErrMissing)
	}
	var lacking []string
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if _, err := os.Stat("/usr/sbin/" + program); err == nil {
			continue
		}
		lacking = append(lacking, pkg)
	}
	if len(lacking) > 0 {
		sort.Strings(lacking)
		return fmt.Errorf("build a lab: %w: programs of packages %s; mend: apt-get install --no-install-recommends %s",
			ErrMissing, strings.Join(lacking, ", "), strings.Join(lacking, " "))
	}
	if _, err := cgroupRoot(); err != nil {
		return fmt.Errorf("build a lab: %w: %w", ErrMissing, err)
	}
	return nil
}
