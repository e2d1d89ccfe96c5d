// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Flags of a walked path's length (bpf/path.h).
const (
	pathDetached = 0x8000
	pathCut      = 0x4000
	pathLen      = 0x3fff
)

// path turns a walked path (names from the leaf up, each with its NUL) round. A path
// without a root (memfd, pipe) has no leading slash; one cut by depth begins with "…/".
func (c *cursor) path(lenFlags uint16) string {
	b := bytes.TrimSuffix(c.take(int(lenFlags&pathLen)), []byte{0})
	var p strings.Builder
	p.Grow(len(b) + len("…/"))
	switch {
	case lenFlags&pathDetached != 0:
	case lenFlags&pathCut != 0:
		p.WriteString("…/")
	default:
		p.WriteByte('/')
	}
	for {
		i := bytes.LastIndexByte(b, 0)
		p.Write(b[i+1:])
		if i < 0 {
			return p.String()
		}
		p.WriteByte('/')
		b = b[:i]
	}
}

// named reads a string that a program gave and, if it was relative, the folder it starts from.
func (c *cursor) named(n, base uint16) string {
	s := c.text(int(n))
	if base == 0 {
		if strings.HasPrefix(s, "/") {
			return path.Clean(s)
		}
		return s
	}
	return path.Join(c.path(base), s)
}

// sensitiveKey gives what the kernel looks up for a pattern: its last name; "*.ini" of one
// that ends in "*.ini"; or "/" and the folder's name. 31 bytes, as the map's key.
func sensitiveKey(pattern string) (key [32]byte, err error) {
	elems := strings.Split(pattern, "/")
	last := elems[len(elems)-1]
	literal := func(s string) bool { return s != "" && !strings.ContainsAny(s, `*?[\`) }
	dot := strings.LastIndexByte(last, '.')
	var k string
	switch {
	case !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "**/"):
		return key, fmt.Errorf(`kernel sensor: sensitive path %q: begin it with "/" or "**/"`, pattern)
	case literal(last):
		k = last
	case dot > 0 && literal(last[dot:]) && len(last)-dot <= 15:
		k = "*" + last[dot:]
	case len(elems) > 1 && literal(elems[len(elems)-2]):
		k = "/" + elems[len(elems)-2]
	default:
		return key, fmt.Errorf("kernel sensor: sensitive path %q: the last name, its ending or the folder's name must be without *", pattern)
	}
	copy(key[:31], k)
	return key, nil
}

// globMatch: * matches within a name, ** over any number of folders.
func globMatch(pattern, name string) bool {
	return matchElems(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchElems(p, n []string) bool {
	for len(p) > 0 {
		if p[0] == "**" {
			for i := range len(n) + 1 {
				if matchElems(p[1:], n[i:]) {
					return true
				}
			}
			return false
		}
		if len(n) == 0 {
			return false
		}
		if ok, err := path.Match(p[0], n[0]); !ok || err != nil {
			return false
		}
		p, n = p[1:], n[1:]
	}
	return len(n) == 0
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return globMatch(p, name) })
}
