// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// device turns a kernel dev_t (12 bits major, 20 bits minor) into what stat(2) says.
func device(dev uint64) uint64 { return unix.Mkdev(uint32(dev>>20), uint32(dev&(1<<20-1))) }

func (d *decoder) descriptor(fd *descriptor) *event.Descriptor {
	out := &event.Descriptor{Inode: fd.inode}
	switch fd.mode & unix.S_IFMT {
	case unix.S_IFIFO:
		out.Type = event.Descriptor_PIPE
	case unix.S_IFREG:
		out.Type = event.Descriptor_FILE
	case unix.S_IFSOCK:
		out.Type = event.Descriptor_UNIX
		if fd.tuple.family != unix.AF_UNIX {
			out.Type = event.Descriptor_SOCKET
			out.Flow = d.flow(&fd.tuple, d.wasAccepted(&fd.tuple))
		}
	case unix.S_IFCHR:
		major, minor := fd.rdev>>20, fd.rdev&(1<<20-1)
		switch { // Documentation/admin-guide/devices.txt
		case major == 1 && minor == 3:
			out.Type = event.Descriptor_NULL
		case major == 4 || major == 5 || major >= 136 && major <= 143:
			out.Type = event.Descriptor_TTY
		}
	}
	return out
}

// wasAccepted: known from the connection's own event, else guessed by the port (Linux
// gives openers ports from 32768 up).
func (d *decoder) wasAccepted(t *tuple) bool {
	if in, known := d.inbound[t.cookie]; known {
		return in
	}
	return t.lport < 32768 && t.rport >= 32768
}

// flow names the conversation with its opener first. Unix sockets have none.
func (d *decoder) flow(t *tuple, inbound bool) *entity.Flow {
	var l, r []byte
	switch t.family {
	case unix.AF_INET:
		l, r = t.laddr[:4], t.raddr[:4]
	case unix.AF_INET6:
		l, r = unmap(t.laddr[:]), unmap(t.raddr[:])
	default:
		return nil
	}
	f := &entity.Flow{Proto: uint32(t.proto), Netns: uint64(t.netns), Cookie: t.cookie}
	if inbound {
		f.SrcIp, f.SrcPort, f.DstIp, f.DstPort = slices.Clone(r), uint32(t.rport), slices.Clone(l), uint32(t.lport)
	} else {
		f.SrcIp, f.SrcPort, f.DstIp, f.DstPort = slices.Clone(l), uint32(t.lport), slices.Clone(r), uint32(t.rport)
	}
	return f
}

// unmap takes the IPv4 address out of ::ffff:a.b.c.d.
func unmap(ip []byte) []byte {
	for i, b := range ip[:12] {
		if want := byte(0xff); i >= 10 && b != want || i < 10 && b != 0 {
			return ip
		}
	}
	return ip[12:]
}
