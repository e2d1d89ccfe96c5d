// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

// watchIn starts a sensor over a folder and gives its events.
func watchIn(t *testing.T, dir, since string) chan *event.Event {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("fanotify filesystem marks need root")
	}
	state := filepath.Join(t.TempDir(), "state")
	if since != "" {
		if err := os.WriteFile(state, []byte(since), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := make(chan *event.Event, 1024)
	s, err := New(Config{Roots: []string{dir}, Exclude: []string{dir + "/skip"}, Sweep: since != ""}, Options{
		State: state, Clock: event.NewClock(), Board: health.NewBoard(), Emit: func(e *event.Event) { out <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return out
}

// touch writes files from another process, because the sensor passes over its own.
func touch(t *testing.T, script string) {
	t.Helper()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{Files: []*os.File{nil, os.Stderr, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(); err != nil || !st.Success() {
		t.Fatalf("sh -c %q: %v %v", script, st, err)
	}
}

func next(t *testing.T, out chan *event.Event) *event.FileActivity {
	t.Helper()
	select {
	case e := <-out:
		return e.GetFile()
	case <-time.After(5 * time.Second):
		t.Fatal("no event within 5 s")
		return nil
	}
}

func TestCloseAndRename(t *testing.T) {
	dir := t.TempDir()
	out := watchIn(t, dir, "")
	touch(t, "mkdir "+dir+"/skip; echo a > "+dir+"/skip/x; echo hello > "+dir+"/a; sleep 1; mv "+dir+"/a "+dir+"/b; cat "+dir+"/b > /dev/null")
	a := next(t, out)
	if a.Op != event.FileActivity_CLOSE_WRITE || a.File.Path != dir+"/a" || a.File.Inode == 0 {
		t.Errorf("want close of a, got %v", a)
	}
	b := next(t, out)
	if b.Op != event.FileActivity_RENAME || b.File.Path != dir+"/a" || b.NewPath != dir+"/b" || b.File.Inode != a.File.Inode {
		t.Errorf("want rename a → b, got %v", b)
	}
	select {
	case e := <-out:
		t.Errorf("reading and excluded folders are not told: %v", e)
	case <-time.After(300 * time.Millisecond):
	}
}

func TestSweepTellsWhatChangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/late", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := watchIn(t, dir, "1")
	if f := next(t, out); f.Op != event.FileActivity_SWEPT || f.File.Path != dir+"/late" {
		t.Errorf("want the file that came while off, got %v", f)
	}
}

// A file system below a root is watched whether it was there first or came later, what it
// brings is swept, and it can be taken away again.
func TestMountsBelowTheRoots(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts need root")
	}
	dir := t.TempDir()
	early, late := filepath.Join(dir, "early one"), filepath.Join(dir, "late")
	for _, d := range []string{early, late} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tmpfs := func(at string) {
		t.Helper()
		if err := unix.Mount("none", at, "tmpfs", 0, ""); err != nil {
			t.Skip("no tmpfs may be mounted here: ", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	tmpfs(early)
	out := watchIn(t, dir, "1")
	touch(t, "echo a > '"+early+"/x'")
	wantFile(t, out, event.FileActivity_CLOSE_WRITE, early+"/x")

	stage := t.TempDir()
	tmpfs(stage)
	touch(t, "echo b > "+stage+"/brought")
	if err := unix.Mount(stage, late, "", unix.MS_MOVE, ""); err != nil { // shared mounts cannot be moved
		if err := unix.Mount(stage, late, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(late, unix.MNT_DETACH) })
	}
	wantFile(t, out, event.FileActivity_SWEPT, late+"/brought")
	// The sweep of the start may have met the file before the new mount was marked.
	for end := time.Now().Add(10 * time.Second); ; {
		touch(t, "echo c > "+late+"/c; mv "+late+"/c "+late+"/d")
		if seenFile(out, event.FileActivity_RENAME, late+"/c", time.Second) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no rename on the file system that came")
		}
	}
	touch(t, "umount "+late)
}

func wantFile(t *testing.T, out chan *event.Event, op event.FileActivity_Op, path string) {
	t.Helper()
	if !seenFile(out, op, path, 10*time.Second) {
		t.Fatalf("no %v of %s", op, path)
	}
}

func seenFile(out chan *event.Event, op event.FileActivity_Op, path string, within time.Duration) bool {
	for end := time.After(within); ; {
		select {
		case e := <-out:
			if e.GetFile().GetOp() == op && e.GetFile().File.Path == path {
				return true
			}
		case <-end:
			return false
		}
	}
}

// What the queue lost is told as a loss, counted, and looked for.
func TestOverflowIsToldAndSwept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/missed", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out := make(chan *event.Event, 16)
	s := &Sensor{cfg: Config{Roots: []string{dir}}, opt: Options{Clock: event.NewClock(), Board: health.NewBoard(), Emit: func(e *event.Event) { out <- e }}}
	var b [metaLen]byte
	m := (*metadata)(unsafe.Pointer(&b[0]))
	m.Event_len, m.Mask, m.Fd = uint32(metaLen), unix.FAN_Q_OVERFLOW, -1
	s.decode(b[:], t.Context())
	if l := (<-out).GetLoss(); l.GetSensor() != "files" || l.GetCount() != 1 {
		t.Errorf("loss %v", l)
	}
	wantFile(t, out, event.FileActivity_SWEPT, dir+"/missed")
	if c := s.Count()["file"]; c.Lost != 1 {
		t.Errorf("counted %+v", c)
	}
}

// A clock that was set back while Ringwall was off hides no change from the sweep.
func TestSweepAfterAStepOfTheClock(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := &Sensor{opt: Options{State: state}}
	now, boot := time.Now().UnixNano(), event.BootNow()
	for _, c := range []struct {
		name, state string
		least, most int64
	}{
		{"as written", fmt.Sprint(now - 1e9), now - 1e9, now - 1e9},
		{"an hour ahead then, five seconds ago", fmt.Sprintf("%d %s %d", now+3595e9, bootID(), boot-5e9), now - 6e9, now - 4e9},
		{"ahead of now in another boot", fmt.Sprintf("%d other %d", now+3600e9, boot), 0, 0},
		{"nothing", "", 0, 0},
		{"nonsense", "x y z", 0, 0},
	} {
		if err := os.WriteFile(state, []byte(c.state), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.lastLook(); got < c.least || got > c.most && c.most-c.least < 1e9 {
			t.Errorf("%s: %d, want %d to %d", c.name, got, c.least, c.most)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(`36 35 98:0 / /srv/a\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue`)
	f.Add(`1 2 3 - `)
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMount(line); ok && m.at == "" {
			t.Errorf("%q: a mount without a place", line)
		}
	})
}

// A container writes into a volume that it has under another name: what is told is the
// host's path of it, and nothing of what it keeps in mounts that the host does not see.
func TestWritesThroughAnotherMount(t *testing.T) {
	dir := t.TempDir()
	out := watchIn(t, dir, "")
	touch(t, "mkdir "+dir+"/volume "+dir+"/seen; unshare -m sh -c 'mount --make-rprivate / && mount --bind "+dir+"/volume /mnt && mount -t tmpfs none "+dir+"/seen && echo x > "+dir+"/seen/hidden && echo x > /mnt/page.php' || touch "+dir+"/refused")
	if _, err := os.Stat(dir + "/refused"); err == nil {
		t.Skip("no mount namespace may be made here")
	}
	f := next(t, out)
	if f.Op != event.FileActivity_CLOSE_WRITE || f.File.Path != dir+"/volume/page.php" || f.File.Size != 2 {
		t.Errorf("want the close of the page under the host's name, got %v", f)
	}
}

// A file system that is mounted twice below the roots is still watched by name when the
// place by which it was marked goes.
func TestOneOfTwoPlacesGoes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts need root")
	}
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, d := range []string{first, second} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("none", first, "tmpfs", 0, ""); err != nil {
		t.Skip("no tmpfs may be mounted here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(first, unix.MNT_DETACH) })
	if err := unix.Mount(first, second, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(second, unix.MNT_DETACH) })
	out := watchIn(t, dir, "")
	touch(t, "echo a > "+first+"/a")
	wantFile(t, out, event.FileActivity_CLOSE_WRITE, first+"/a")
	if err := unix.Unmount(first, 0); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		touch(t, "echo b > "+second+"/b")
		if seenFile(out, event.FileActivity_CLOSE_WRITE, second+"/b", time.Second) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no close on the file system that stayed")
		}
	}
}
