// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
)

// recorder keeps what a sensor emits.
type recorder struct {
	mu     sync.Mutex
	events []*event.Event
	drop   atomic.Bool
}

func (r *recorder) emit(e *event.Event) {
	if r.drop.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []*event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*event.Event(nil), r.events...)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// find gives the first event that fits, waiting for it up to half a minute.
func (r *recorder) find(t *testing.T, what string, fits func(*event.Event) bool) *event.Event {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		for _, e := range r.all() {
			if fits(e) {
				return e
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no event: %s (of %d)", what, r.count())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// none fails when an event fits.
func (r *recorder) none(t *testing.T, what string, fits func(*event.Event) bool) {
	t.Helper()
	for _, e := range r.all() {
		if fits(e) {
			t.Fatalf("unexpected event: %s: %v", what, e)
		}
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads eBPF programs")
	}
}

// start runs a sensor until the test ends.
func start(t testing.TB, change func(*Config)) (*Sensor, *recorder) {
	t.Helper()
	needRoot(t)
	cfg := Defaults()
	if change != nil {
		change(&cfg)
	}
	rec := &recorder{}
	s, err := New(cfg, Options{Board: health.NewBoard(), Emit: rec.emit, Redact: event.NewRedactor([]byte("0123456789abcdef"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(time.Minute); s.opt.Board.Components()[0].State == "off"; {
		if time.Now().After(end) {
			t.Fatal("the sensor did not start: ", s.opt.Board.Components()[0].Reason)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return s, rec
}

// needHook skips where the kernel can serve none of these programs. One that it refuses
// fails.
func needHook(t *testing.T, s *Sensor, programs ...string) {
	t.Helper()
	var why []string
	for _, c := range s.Probe() {
		for _, p := range programs {
			switch {
			case !strings.HasSuffix(c.Name, "/"+p):
			case c.On:
				return
			case c.Refused():
				t.Fatal(c)
			default:
				why = append(why, c.Reason)
			}
		}
	}
	t.Skip(strings.Join(why, "; "))
}

// tempCgroup makes a cgroup v2 folder for the test.
func tempCgroup(t testing.TB) string {
	t.Helper()
	root := cgroupRoot()
	if root == "" {
		t.Skip("no cgroup v2 is mounted here")
	}
	dir, err := os.MkdirTemp(root, "ringwall-test-")
	if err != nil {
		t.Skip("cannot make a cgroup: ", err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		for range 50 {
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	return dir
}
