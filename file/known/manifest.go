// SPDX-License-Identifier: Apache-2.0

package known

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
)

// Bounds on dpkg's records, far above a full desktop (2,500 packages, 400,000
// files), so that a planted record cannot exhaust memory.
const (
	maxPackages = 50_000
	maxFiles    = 4_000_000
	maxLine     = 8192
)

// record is one packaged file. Paths are kept as a hash: a path that collides
// with another must still have that one's content to become white. 95,218
// records are 3 MB.
type record struct {
	path uint64
	md5  [16]byte
	pkg  uint32 // index of the name, confBit set for a configuration file
}

const confBit = 1 << 31

func (r record) conffile() bool { return r.pkg&confBit != 0 }

// manifest is what dpkg installed, sorted by path. It does not change.
type manifest struct {
	records  []record
	packages []string
	merged   map[string]bool // top folders that are links into usr
	skipped  int             // lines that could not be read
	stamp    string          // of the files it was read from
}

// find gives the records of a path; several packages may own one.
func (m *manifest) find(name string) []record {
	h := xxh3.HashString(m.canonical(name))
	i, _ := slices.BinarySearchFunc(m.records, h, func(r record, h uint64) int { return cmp.Compare(r.path, h) })
	j := i
	for j < len(m.records) && m.records[j].path == h {
		j++
	}
	return m.records[i:j]
}

func (m *manifest) name(r record) string { return m.packages[r.pkg&^confBit] }

// canonical gives the path without leading slash and with /usr merged: dpkg
// may list bin/cat where the file lies in usr/bin/cat.
func (m *manifest) canonical(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if top, _, ok := strings.Cut(name, "/"); ok && m.merged[top] {
		return "usr/" + name
	}
	return name
}

// diversion says that from, of any package but owner, was installed as to.
type diversion struct{ to, owner string }

// readManifest reads dpkg's records below root. A host without dpkg has an
// empty manifest and no error.
func readManifest(root string) (*manifest, error) {
	m := &manifest{merged: mergedTops(root), stamp: stampOf(root)}
	dir := filepath.Join(root, "var/lib/dpkg")
	diverted, err := readDiversions(filepath.Join(dir, "diversions"))
	if err != nil {
		return nil, err
	}
	lists, err := filepath.Glob(filepath.Join(globEscape(dir), "info", "*.md5sums"))
	if err != nil {
		return nil, fmt.Errorf("list package manifests in %q: %w", dir, err)
	}
	if len(lists) > maxPackages {
		return nil, fmt.Errorf("read package manifests in %q: %d of them, more than %d", dir, len(lists), maxPackages)
	}
	for _, list := range lists {
		if err := m.readList(list, diverted); err != nil {
			return nil, err
		}
	}
	if err := m.readConffiles(filepath.Join(dir, "status")); err != nil {
		return nil, err
	}
	slices.SortFunc(m.records, func(a, b record) int { return cmp.Compare(a.path, b.path) })
	m.records = slices.Clip(m.records)
	return m, nil
}

// globEscape keeps a root with * or [ in its name from being a pattern.
func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// mergedTops finds which of /bin, /lib and the like are links into /usr.
func mergedTops(root string) map[string]bool {
	merged := map[string]bool{}
	for _, top := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		to, err := os.Readlink(filepath.Join(root, top))
		if err == nil && strings.TrimPrefix(to, "/") == "usr/"+top {
			merged[top] = true
		}
	}
	return merged
}

// lines calls f for each line of a file; a file that is not there has none.
func lines(name string, f func(string) error) error {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read package records: %w", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			// Too long to be a path; skip the rest of it.
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			line = nil
		}
		if len(line) > 0 {
			if ferr := f(strings.TrimSuffix(string(line), "\n")); ferr != nil {
				return fmt.Errorf("read %q: %w", name, ferr)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", name, err)
		}
	}
}

// readDiversions reads triples of lines: from, to, package. The package is
// ":" for a diversion made by the operator.
func readDiversions(name string) (map[string]diversion, error) {
	out := map[string]diversion{}
	var got []string
	err := lines(name, func(line string) error {
		if got = append(got, line); len(got) == 3 {
			out[strings.TrimPrefix(got[0], "/")] = diversion{to: got[1], owner: got[2]}
			got = got[:0]
		}
		if len(out) > maxFiles {
			return fmt.Errorf("more than %d diversions", maxFiles)
		}
		return nil
	})
	return out, err
}

func (m *manifest) add(name, sum string, pkg uint32) error {
	r := record{path: xxh3.HashString(m.canonical(name)), pkg: pkg}
	if len(sum) != 32 {
		m.skipped++
		return nil
	}
	if _, err := hex.Decode(r.md5[:], []byte(sum)); err != nil {
		m.skipped++
		return nil
	}
	if len(m.records) >= maxFiles {
		return fmt.Errorf("more than %d packaged files", maxFiles)
	}
	m.records = append(m.records, r)
	return nil
}

// readList reads info/PACKAGE[:ARCH].md5sums: "MD5  path" lines.
func (m *manifest) readList(list string, diverted map[string]diversion) error {
	pkg, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".md5sums"), ":")
	m.packages = append(m.packages, pkg)
	index := uint32(len(m.packages) - 1)
	return lines(list, func(line string) error {
		sum, name, ok := strings.Cut(line, "  ")
		if !ok {
			m.skipped++
			return nil
		}
		if d, ok := diverted[name]; ok && d.owner != pkg {
			name = d.to
		}
		return m.add(name, sum, index)
	})
}

// readConffiles reads the Conffiles fields of the status file: what a package
// installed as configuration, which its users are expected to change.
func (m *manifest) readConffiles(status string) error {
	index := map[string]uint32{}
	for i, p := range m.packages {
		index[p] = uint32(i)
	}
	pkg, inField := "", false
	return lines(status, func(line string) error {
		if name, ok := strings.CutPrefix(line, "Package: "); ok {
			pkg = name
		}
		if !strings.HasPrefix(line, " ") {
			inField = line == "Conffiles:"
			return nil
		}
		if !inField {
			return nil
		}
		// " /path md5 [obsolete]"; a path may hold spaces, so cut from behind.
		line = strings.TrimSuffix(strings.TrimSuffix(line[1:], " obsolete"), " remove-on-upgrade")
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			m.skipped++
			return nil
		}
		i, ok := index[pkg]
		if !ok {
			m.packages = append(m.packages, pkg)
			i = uint32(len(m.packages) - 1)
			index[pkg] = i
		}
		return m.add(line[:at], line[at+1:], i|confBit)
	})
}

// stampOf changes whenever dpkg has changed its records.
func stampOf(root string) string {
	var b strings.Builder
	for _, name := range []string{"status", "info", "diversions"} {
		if st, err := os.Stat(filepath.Join(root, "var/lib/dpkg", name)); err == nil {
			fmt.Fprintf(&b, "%s %d %d;", name, st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String()
}
