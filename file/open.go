// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/file/known"
)

var (
	// ErrNotRegular: a folder, link, device, socket or pipe; nothing to judge.
	ErrNotRegular = errors.New("not a regular file")
	// ErrChanged: the file was written to at each of three reads. Whoever
	// writes will close it, and then it is looked at again.
	ErrChanged = errors.New("file changes while it is read")
)

// handle is an open file and what fstat said of it.
type handle struct {
	*os.File
	id   known.ID
	mode uint32
	uid  uint32
}

// open opens path as the host under root sees it: no link is followed in the
// last element and none out of the root, no device is touched, nothing blocks.
func open(root, path string) (*handle, error) {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	// O_NOATIME leaves no mark of the look; the kernel grants it to owner and root.
	fd, err := openIn(root, path, flags|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		fd, err = openIn(root, path, flags)
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("open %q: %w: a symbolic link", path, ErrNotRegular)
	}
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("open %q: %w: a socket or device", path, ErrNotRegular)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	h := &handle{File: os.NewFile(uintptr(fd), path)}
	if err := h.stat(); err != nil {
		h.Close()
		return nil, fmt.Errorf("stat %q: %w", path, err)
	}
	if h.mode&unix.S_IFMT != unix.S_IFREG {
		h.Close()
		return nil, fmt.Errorf("open %q: %w", path, ErrNotRegular)
	}
	return h, nil
}

// openIn resolves path inside root with openat2(2). A kernel before 5.6 has
// none; there only the root / can be served.
func openIn(root, path string, flags int) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("root %q: %w", root, err)
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(dir, path, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename raced with us
			continue
		case errors.Is(err, unix.ENOSYS) && root == "/":
			return unix.Open(path, flags, 0)
		}
		return fd, err
	}
}

func (h *handle) stat() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return err
	}
	h.id = known.ID{Dev: st.Dev, Inode: st.Ino, Size: st.Size, MtimeNS: st.Mtim.Nano(), CtimeNS: st.Ctim.Nano()}
	h.mode, h.uid = st.Mode, st.Uid
	return nil
}

// content is what was read of a file.
type content struct {
	data    []byte // at most the bound
	sha256  [32]byte
	partial string // why not all was read or hashed
}

// buffers are reused: a scan of many small files would else allocate what it
// reads. One that grew beyond 1 MiB is left to the collector.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// read reads up to maxScan bytes for the scan and hashes up to maxHash. A
// file that changes meanwhile is read again, three times at most.
func (h *handle) read(ctx context.Context, buf []byte, maxScan, maxHash int64) (content, error) {
	for range 3 {
		before := h.id
		c, err := h.readOnce(ctx, buf, maxScan, maxHash)
		if err != nil {
			return c, err
		}
		if err := h.stat(); err != nil {
			return c, fmt.Errorf("stat %q: %w", h.Name(), err)
		}
		// Reading sets atime alone, so these are equal unless someone wrote.
		if h.id == before {
			return c, nil
		}
		buf = c.data[:0]
	}
	return content{}, fmt.Errorf("read %q: %w", h.Name(), ErrChanged)
}

func (h *handle) readOnce(ctx context.Context, buf []byte, maxScan, maxHash int64) (content, error) {
	if _, err := h.Seek(0, io.SeekStart); err != nil {
		return content{}, fmt.Errorf("seek %q: %w", h.Name(), err)
	}
	// The size is the kernel's word, not the file's; still it bounds nothing
	// on /proc and the like, so the reader is bounded too.
	if want := min(h.id.Size, maxScan) + 1; int64(cap(buf)) < want {
		buf = make([]byte, 0, want)
	}
	sum := sha256.New()
	c := content{data: buf[:0]}
	for int64(len(c.data)) < maxScan {
		if len(c.data) == cap(c.data) {
			c.data = append(c.data, 0)[:len(c.data)]
		}
		n, err := h.Read(c.data[len(c.data):min(int64(cap(c.data)), maxScan)])
		c.data = c.data[:len(c.data)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("read %q: %w", h.Name(), err)
		}
	}
	sum.Write(c.data)
	if int64(len(c.data)) < maxScan || h.id.Size == maxScan {
		sum.Sum(c.sha256[:0])
		return c, nil
	}
	c.partial = fmt.Sprintf("only the first %d of %d bytes were scanned", maxScan, h.id.Size)
	if h.id.Size > maxHash {
		return c, nil
	}
	if err := copyBounded(ctx, sum, h, maxHash); err != nil {
		return c, fmt.Errorf("hash %q: %w", h.Name(), err)
	}
	sum.Sum(c.sha256[:0])
	return c, nil
}

// copyBounded copies to the end, or fails beyond limit.
func copyBounded(ctx context.Context, w io.Writer, r io.Reader, limit int64) error {
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(w, r, 4<<20)
		total += n
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if total > limit {
			return ErrChanged
		}
	}
}

// md5 is needed once per packaged file.
func (h *handle) md5(ctx context.Context, maxHash int64) (out [16]byte, err error) {
	if _, err := h.Seek(0, io.SeekStart); err != nil {
		return out, err
	}
	sum := md5.New()
	if err := copyBounded(ctx, sum, h, maxHash); err != nil {
		return out, err
	}
	before := h.id
	if err := h.stat(); err != nil {
		return out, err
	}
	if h.id != before {
		return out, ErrChanged
	}
	sum.Sum(out[:0])
	return out, nil
}

// owners remembers user names, which rules may ask for.
var owners = struct {
	sync.Mutex
	names map[uint32]string
}{names: map[uint32]string{}}

const maxOwners = 4096 // user namespaces can make up uids without end

func ownerName(uid uint32) string {
	owners.Lock()
	name, ok := owners.names[uid]
	owners.Unlock()
	if ok {
		return name
	}
	name = strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	owners.Lock()
	if len(owners.names) < maxOwners {
		owners.names[uid] = name
	}
	owners.Unlock()
	return name
}

func extension(path string) string { return strings.ToLower(filepath.Ext(path)) }
