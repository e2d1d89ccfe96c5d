// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// User is an account of the lab's hosts. The same accounts exist on every host.
type User struct {
	Name  string
	ID    int // user and group
	Home  string
	Shell string
}

// Accounts of people and of jobs. Ops administers, archive receives backups, monitor polls.
var (
	Ops     = User{Name: "ops", ID: 1001, Home: "/home/ops", Shell: "/bin/bash"}
	Archive = User{Name: "archive", ID: 1002, Home: "/home/archive", Shell: "/bin/sh"}
	Monitor = User{Name: "monitor", ID: 1003, Home: "/home/monitor", Shell: "/bin/sh"}
	people  = []User{Ops, Archive, Monitor}
)

// writeIdentity writes who and where the host is: name, neighbours and accounts. System accounts
// come from the machine (the packages' files belong to them); people and passwords do not.
func writeIdentity(upper string, spec HostSpec, hosts []HostSpec) error {
	var table strings.Builder
	table.WriteString("127.0.0.1 localhost\n")
	for _, host := range hosts {
		fmt.Fprintf(&table, "%s %s", host.Addr, host.Name)
		if host.Role != host.Name {
			table.WriteString(" " + host.Role) // a scenario may write roles in commands
		}
		table.WriteString("\n")
	}
	passwd, shadow, err := accounts("/etc/passwd")
	if err != nil {
		return err
	}
	group, _, err := accounts("/etc/group")
	if err != nil {
		return err
	}
	for _, user := range people {
		passwd += fmt.Sprintf("%s:x:%d:%d:%s:%s:%s\n", user.Name, user.ID, user.ID, user.Name, user.Home, user.Shell)
		group += fmt.Sprintf("%s:x:%d:\n", user.Name, user.ID)
		shadow += user.Name + ":*:20000:0:99999:7:::\n"
		home := filepath.Join(upper, user.Home)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		if err := os.Chown(home, user.ID, user.ID); err != nil {
			return err
		}
	}
	files := []struct {
		path, text string
		mode       os.FileMode
	}{
		{"etc/hostname", spec.Name + "\n", 0o644},
		{"etc/hosts", table.String(), 0o644},
		{"etc/resolv.conf", "# no name server: the lab has no way out\n", 0o644},
		{"etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644},
		{"etc/passwd", passwd, 0o644},
		{"etc/group", group, 0o644},
		{"etc/shadow", shadow, 0o640},
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(upper, file.path), []byte(file.text), file.mode); err != nil {
			return err
		}
	}
	return os.Chown(filepath.Join(upper, "etc/shadow"), 0, 42) // 42: Debian's group shadow, base-passwd
}

// accounts reads the system accounts of a passwd or group file, and a shadow file that locks
// them all.
func accounts(path string) (text, shadow string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 4 {
			continue
		}
		id, err := strconv.Atoi(fields[2])
		if err != nil || id >= 1000 && id < 65000 {
			continue
		}
		if strings.HasSuffix(path, "group") {
			fields[3] = "" // members are people of the machine
		}
		text += strings.Join(fields, ":") + "\n"
		shadow += fields[0] + ":*:20000:0:99999:7:::\n"
	}
	return text, shadow, nil
}

// lookUser finds the ids of an account inside the calling thread's root.
func lookUser(name string) (uid, gid uint32, err error) {
	data, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 || fields[0] != name {
			continue
		}
		u, err1 := strconv.ParseUint(fields[2], 10, 32)
		g, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 == nil && err2 == nil {
			return uint32(u), uint32(g), nil
		}
	}
	return 0, 0, fmt.Errorf("account %q is not known to the host", name)
}
