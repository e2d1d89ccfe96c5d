// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"
	"strconv"

	"github.com/ringwall/ringwall/entity"
)

// file resolves a file sighting. The name of the moment comes first, because on
// overlayfs the kernel and stat tell different device numbers for one file; an inode
// of the same file system that contradicts the name means that the name now points
// to another file. Without a name the inode decides.
func (g *Graph) file(h uint32, f *entity.File, t int64) NodeID {
	if f.GetPath() == "" && f.GetInode() == 0 {
		return 0
	}
	hs := g.hosts[h]
	in := inode{f.Fs, f.Inode}
	if id := hs.paths[f.Path]; f.Path != "" && id != 0 {
		if n := g.Node(id); n != nil && !contradicts(n.File.Ref, f) {
			g.fillFile(hs, id, n, f)
			g.touch(id, t)
			return id
		}
	}
	if id := hs.inodes[in]; f.Inode != 0 && id != 0 {
		if n := g.Node(id); n != nil && !n.File.gone && (f.BirthNs == 0 || n.File.Ref.BirthNs == 0 || f.BirthNs == n.File.Ref.BirthNs) {
			if f.Path != "" && f.Path != n.File.Path() {
				g.named(hs, id, n, f.Path) // a name we did not see it take (hard link, missed rename)
			}
			g.fillFile(hs, id, n, f)
			g.touch(id, t)
			return id
		}
	}
	ref := &entity.File{Path: f.Path, Fs: f.Fs, Inode: f.Inode, BirthNs: f.BirthNs, Size: f.Size, Mode: f.Mode, Nlink: f.Nlink, Uid: f.Uid, Sha256: f.Sha256}
	birth := f.BirthNs
	if birth == 0 {
		birth = t // the first sighting stands in for a birth time nobody told
	}
	key := entity.KeyOf(entity.Kind_FILE, g.scope(h), strconv.FormatUint(f.Fs, 10), strconv.FormatUint(f.Inode, 10), strconv.FormatInt(birth, 10), f.Path)
	id, ok := g.byKey[key]
	if !ok {
		id = g.add(Node{Key: key, Kind: entity.Kind_FILE, Host: h, First: t, Last: t, File: &File{Ref: ref, Paths: []string{f.Path}}}, fileBytes+2*len(f.Path))
	}
	if f.Path != "" {
		hs.paths[f.Path] = id
	}
	g.index(hs, id, g.Node(id), in)
	return id
}

// index lets the file be found by an inode number.
func (g *Graph) index(hs *host, id NodeID, n *Node, in inode) {
	if in.ino == 0 {
		return
	}
	hs.inodes[in] = id
	if !slices.Contains(n.File.inodes, in) {
		if n.File.inodes = append(n.File.inodes, in); len(n.File.inodes) > 4 {
			if hs.inodes[n.File.inodes[0]] == id {
				delete(hs.inodes, n.File.inodes[0])
			}
			n.File.inodes = slices.Delete(n.File.inodes, 0, 1)
		}
	}
}

// fileBytes: the File, its sighting and its entries in the indexes.
const fileBytes = 400

// contradicts: same file system, both inodes known, and they differ.
func contradicts(known, seen *entity.File) bool {
	return known.Inode != 0 && seen.Inode != 0 && known.Fs == seen.Fs && known.Inode != seen.Inode
}

func (g *Graph) fillFile(hs *host, id NodeID, n *Node, f *entity.File) {
	r := n.File.Ref
	if r.Inode == 0 && f.Inode != 0 {
		r.Fs, r.Inode = f.Fs, f.Inode
	}
	g.index(hs, id, n, inode{f.Fs, f.Inode})
	if r.BirthNs == 0 {
		r.BirthNs = f.BirthNs
	}
	if f.Sha256 != "" {
		r.Sha256, r.Size = f.Sha256, f.Size
	}
	if f.Mode != 0 {
		r.Mode = f.Mode
	}
}

// named gives the file another current name.
func (g *Graph) named(hs *host, id NodeID, n *Node, path string) {
	if hs.paths[n.File.Path()] == id {
		delete(hs.paths, n.File.Path())
	}
	n.File.Ref.Path = path
	hs.paths[path] = id
	if !slices.Contains(n.File.Paths, path) && len(n.File.Paths) < 16 {
		n.File.Paths = append(n.File.Paths, path)
		g.grew(n, 16+len(path))
	}
	if n.File.Writer != 0 {
		g.written(n.Host, id, n)
	}
}

// rename moves a file; what had the new name before is gone.
func (g *Graph) rename(h uint32, f *entity.File, to string, t int64) NodeID {
	hs := g.hosts[h]
	id := g.file(h, f, t)
	n := g.Node(id)
	if n == nil || to == "" {
		return id
	}
	if old := hs.paths[to]; old != 0 && old != id {
		if o := g.Node(old); o != nil {
			o.File.gone = true
		}
	}
	g.named(hs, id, n, to)
	return id
}

// unlink takes the name away. The inode may live on under another name or open.
func (g *Graph) unlink(h uint32, f *entity.File, t int64) NodeID {
	hs := g.hosts[h]
	id := hs.paths[f.GetPath()]
	n := g.Node(id)
	if n == nil {
		return 0
	}
	delete(hs.paths, f.GetPath())
	if f.GetNlink() == 0 {
		n.File.gone = true
		for _, in := range n.File.inodes {
			if hs.inodes[in] == id {
				delete(hs.inodes, in)
			}
		}
	}
	g.touch(id, t)
	return id
}
