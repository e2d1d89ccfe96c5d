// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostName is the part of the health board that says what runs here.
const hostName = "host"

// about names kernel, system and version in one line: "Linux 6.1.0 x86_64, Debian
// GNU/Linux 12 (bookworm), ringwall v1.0.0".
func about(root, version string) string {
	parts := make([]string, 0, 3)
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		parts = append(parts, unix.ByteSliceToString(u.Sysname[:])+" "+unix.ByteSliceToString(u.Release[:])+" "+unix.ByteSliceToString(u.Machine[:]))
	}
	if name := systemName(filepath.Join("/", root, "etc/os-release")); name != "" {
		parts = append(parts, name)
	}
	return strings.Join(append(parts, fmt.Sprintf("ringwall %s", version)), ", ")
}

// systemName is PRETTY_NAME of os-release(5); empty where there is none.
func systemName(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME=")
		if !ok {
			continue
		}
		if plain, err := strconv.Unquote(value); err == nil {
			value = plain
		}
		return value[:min(len(value), 100)]
	}
	return ""
}
