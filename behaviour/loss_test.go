// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/kernel"
	"github.com/ringwall/ringwall/verdict"
)

// From the counter in the kernel to the finding: a process writes more files than its
// share and then runs a program from memory. The finding of that moment says that file
// events are missing, although the second is not over yet.
func TestFindingTellsWhatTheKernelCapped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads eBPF programs")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	h := newHeart(t, ownRules(t), graph.Config{}, nil)
	var mu sync.Mutex // guards h
	cfg := kernel.Defaults()
	cfg.BulkPerSec = 64
	board := health.NewBoard()
	s, err := kernel.New(cfg, kernel.Options{Board: board, Redact: event.NewRedactor([]byte("0123456789abcdef")), Emit: func(ev *event.Event) {
		ev.Host = "web"
		mu.Lock()
		defer mu.Unlock()
		h.see(ev)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	for end := time.Now().Add(20 * time.Second); board.Components()[0].State == "off"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sensor did not start: ", board.Components()[0].Reason)
		}
	}
	find := func(marker string) *verdict.Finding {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			for _, f := range h.findings {
				for _, e := range f.Evidence {
					if strings.Contains(e.Where, marker) {
						mu.Unlock()
						return f
					}
				}
			}
			mu.Unlock()
		}
		t.Fatal("no finding on ", marker)
		return nil
	}
	run := func(marker, before string) {
		t.Helper()
		script := before + `
import os, time
time.sleep(0.05)
fd = os.memfd_create("x")
with open("/bin/true", "rb") as f: os.write(fd, f.read())
os.execv("/proc/self/fd/%d" % fd, ["` + marker + `"])`
		cmd := exec.Command("python3", "-c", script)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run("loss-marker", `for i in range(500): open("f", "w").close()`)
	f := find("loss-marker")
	missing := func(l *verdict.LossWindow) bool {
		return l.Sensor == "kernel" && l.Class == "file" && l.Count > 0 && l.FromNs <= f.WallNs && l.ToNs > l.FromNs
	}
	for _, l := range f.GetCompleteness().GetLosses() {
		if missing(l) {
			return
		}
	}
	t.Errorf("completeness %v of a finding at %d", f.Completeness, f.WallNs)
}
