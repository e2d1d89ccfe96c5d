// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// wakeRest is the least time between two reads that a write asks for: a program that
// writes a thousand lines a second is read two hundred times.
const wakeRest = 5 * time.Millisecond

// waker says when a followed file was written to (inotify(7)), so that a login's line is
// read while its connection still stands. It is a help only: where inotify refuses or
// does not see (network file systems, overlay copies), polling finds the same.
type waker struct {
	f  *os.File // nil: no inotify here
	fd int      // of f; f.Fd would make it block
	c  chan struct{}
}

func newWaker() *waker {
	w := &waker{c: make(chan struct{}, 1)}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return w
	}
	w.f, w.fd = os.NewFile(uintptr(fd), "inotify"), fd
	return w
}

// run ends when close is called.
func (w *waker) run() {
	if w.f == nil {
		return
	}
	b := make([]byte, 16<<10)
	for {
		if _, err := w.f.Read(b); err != nil {
			return
		}
		select {
		case w.c <- struct{}{}:
		default:
		}
		time.Sleep(wakeRest)
	}
}

func (w *waker) close() {
	if w.f != nil {
		w.f.Close()
	}
}

// add asks to be woken for an open file; drop takes that back. -1 is no watch.
func (w *waker) add(f *os.File) int {
	if w.f == nil {
		return -1
	}
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.IN_MODIFY)
	if err != nil {
		return -1
	}
	return wd
}

func (w *waker) drop(wd int) {
	if w.f != nil && wd >= 0 {
		_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // gone with its inode already
	}
}
