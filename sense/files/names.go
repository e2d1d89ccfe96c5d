// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// Information records of include/uapi/linux/fanotify.h.
const (
	infoName    = 2  // FAN_EVENT_INFO_TYPE_DFID_NAME
	infoOldName = 10 // FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
	infoNewName = 12 // FAN_EVENT_INFO_TYPE_NEW_DFID_NAME
)

// renamed reads the two names of a FAN_RENAME event: each an information record of
// header (type, pad, length), file system id, handle (bytes, type, data) and the
// name with its zero.
func (s *Sensor) renamed(info []byte, pid int32) {
	var from, to string
	for len(info) >= 4 {
		n := int(binary.NativeEndian.Uint16(info[2:]))
		if n < 4 || n > len(info) {
			return
		}
		switch name, ok := s.named(info[4:n]); {
		case !ok:
		case info[0] == infoOldName:
			from = name
		case info[0] == infoNewName:
			to = name
		}
		info = info[n:]
	}
	if to == "" { // its folder is gone again
		s.lost.Add(1)
		return
	}
	if !s.watched(to) && !s.watched(from) {
		s.filtered.Add(1)
		return
	}
	f, ok := describe(unix.AT_FDCWD, s.root+to, 0)
	if !ok { // a folder, or gone again
		s.filtered.Add(1)
		return
	}
	f.Path = from
	if from == "" {
		f.Path, to = to, ""
		s.tell(event.FileActivity_CLOSE_WRITE, f, to, pid)
		return
	}
	s.tell(event.FileActivity_RENAME, f, to, pid)
}

// closedAs tells of one file that was closed after a write, by its folder and name.
func (s *Sensor) closedAs(info []byte, pid int32) {
	if len(info) < 4 {
		return
	}
	n := int(binary.NativeEndian.Uint16(info[2:]))
	if info[0] != infoName || n < 4 || n > len(info) {
		return
	}
	name, ok := s.named(info[4:n])
	if !ok { // its folder is gone again
		s.lost.Add(1)
		return
	}
	if !s.watched(name) {
		s.filtered.Add(1)
		return
	}
	f, ok := describe(unix.AT_FDCWD, s.root+name, 0)
	if !ok { // gone again, or moved: that is told by itself
		s.filtered.Add(1)
		return
	}
	f.Path = name
	s.tell(event.FileActivity_CLOSE_WRITE, f, "", pid)
}

// mountOf opens a place on the file system, once for the events of one read.
func (s *Sensor) mountOf(id [8]byte) (int, bool) {
	if fd, ok := s.opened[id]; ok {
		return fd, true
	}
	at, ok := s.mounts[id]
	if !ok {
		return 0, false
	}
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // open_by_handle_at takes no O_PATH
	if err != nil {
		return 0, false
	}
	s.opened[id] = fd
	return fd, true
}

// named turns a record's handle and name into a path.
func (s *Sensor) named(rec []byte) (string, bool) {
	if len(rec) < 16 {
		return "", false
	}
	mount, ok := s.mountOf([8]byte(rec[:8]))
	size, typ := int(binary.NativeEndian.Uint32(rec[8:])), int32(binary.NativeEndian.Uint32(rec[12:]))
	if !ok || size > len(rec)-16 {
		return "", false
	}
	fd, err := unix.OpenByHandleAt(mount, unix.NewFileHandle(typ, rec[16:16+size]), unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", false
	}
	name, _, _ := bytes.Cut(rec[16+size:], []byte{0})
	return path.Join(s.inHost(dir), string(name)), true
}
