// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	touch(t, "mkdir "+dir+"/skip; echo a > "+dir+"/skip/x; echo hello > "+dir+"/a; sleep 1; mv "+dir+"/a "+dir+"/b; cat "+dir+"/b")
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
