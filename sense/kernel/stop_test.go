// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
)

// A sensor that is stopped in the middle of a storm ends, and leaves nothing attached.
func TestStopUnderLoad(t *testing.T) {
	needRoot(t)
	storm := exec.Command("/bin/bash", "-c", `while :; do : > /dev/shm/ringwall-stop; /bin/true; done`)
	storm.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, storm.Start())
	defer func() { _ = storm.Process.Kill(); _ = storm.Wait() }()
	for range 3 {
		s, err := New(Defaults(), Options{Emit: func(*event.Event) {}, Redact: event.NewRedactor([]byte("0123456789abcdef"))})
		must(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(2 * time.Minute):
			t.Fatal("Run did not return")
		}
		cancel()
	}
}
