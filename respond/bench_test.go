// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"os/exec"
	"testing"

	"github.com/ringwall/ringwall/action"
)

// BenchmarkBlock is a whole order: guard rails, journal (3 fsyncs), kernel, verification.
func BenchmarkBlock(b *testing.B) {
	h := newBench(b, func(c *Config) { c.Caps = Caps{} })
	for b.Loop() {
		rec := h.want(order(action.BlockAddress, addr("192.0.2.1")), action.Verified, "")
		b.StopTimer()
		h.undo(rec.ID)
		b.StartTimer()
	}
}

// BenchmarkKill is a whole order against a process that sleeps.
func BenchmarkKill(b *testing.B) {
	h := newBench(b, func(c *Config) { c.Caps = Caps{} })
	for b.Loop() {
		b.StopTimer()
		cmd := exec.Command("sleep", "600")
		must(b, h.host.Do(cmd.Start))
		b.StartTimer()
		h.Do(context.Background(), order(action.KillTree, proc(cmd.Process.Pid)))
		b.StopTimer()
		_ = cmd.Wait()
		b.StartTimer()
	}
}
