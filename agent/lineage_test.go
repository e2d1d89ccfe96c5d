// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/respond/process"
)

// watching is an agent of this machine whose kernel sensor runs and whose enforcer obeys.
// Nobody counts as an operator, or whoever runs this test from a shell would be spared.
func watching(t *testing.T) *Agent {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads eBPF programs and kills")
	}
	cfg := DefaultConfig()
	cfg.Scope.Root = t.TempDir()
	cfg.Respond.Operators = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	board := health.NewBoard()
	a, err := New(cfg, Options{Data: t.TempDir(), Self: &identity.Agent{Tenant: "t", Host: "h"}, Secret: []byte("0123456789abcdef"), Board: board, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if a.enforce == nil {
		t.Fatal("no enforcer: ", board.Components())
	}
	t.Cleanup(func() { a.enforce.Close(); a.nonces.Close() })
	s, err := a.kernelSensor()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the kernel sensor did not start", func() bool {
		for _, c := range board.Components() {
			if c.Name == "sensor.kernel" {
				return c.State != health.Off.String()
			}
		}
		return false
	})
	return a
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// shed starts a program that forks twice and lets a process in a session of its own,
// without descriptors, run on as init's child. It gives both.
func shed(t *testing.T, seconds int) (root, orphan process.Stat) {
	t.Helper()
	mark := strconv.Itoa(seconds)
	cmd := exec.Command("/bin/sh", "-c", "( ( setsid sleep "+mark+" 0<&- 1>&- 2>&- & ) & ) ; exec sleep "+mark+"0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "no orphan", func() bool {
		for _, pid := range process.All() {
			if s, err := process.Read(pid); err == nil && process.Title(pid) == "sleep "+mark && s.SID == pid && !s.Dead() {
				orphan = s
			}
		}
		above := process.Ancestors(orphan.PID)
		return orphan.PID != 0 && len(above) > 0 && above[0].Comm != "sh"
	})
	t.Cleanup(func() {
		if h, err := process.Open(orphan.PID, orphan.Start); err == nil {
			_ = h.Signal(9)
			h.Close()
		}
	})
	eventually(t, "the root did not settle", func() bool {
		s, err := process.Read(cmd.Process.Pid)
		root = s
		return err == nil && s.Comm == "sleep"
	})
	for _, a := range process.Ancestors(orphan.PID) {
		if a.PID == root.PID {
			t.Fatalf("%d is no orphan", orphan.PID)
		}
	}
	return root, orphan
}

func alive(s process.Stat) bool {
	now, err := process.Read(s.PID)
	return err == nil && now.Start == s.Start && !now.Dead()
}

// TestOrphanDiesWithItsTree: what shed its parents, session, group and descriptors dies
// with the tree that it was born in, also when the root has ended before; another's
// orphan of the same kind lives on.
func TestOrphanDiesWithItsTree(t *testing.T) {
	a := watching(t)
	mark := 700000 + os.Getpid()*10
	_, bystander := shed(t, mark)
	for i, name := range []string{"the root lives", "the root has ended"} {
		t.Run(name, func(t *testing.T) {
			root, orphan := shed(t, mark+1+i)
			if found, err := process.Find(root.PID, root.Start, process.Options{}); err != nil || len(found) != 1 {
				t.Fatalf("by /proc alone: %v, %v; want the root", found, err)
			}
			eventually(t, "its birth was not seen", func() bool {
				return len(a.lineage(&entity.Process{Pid: uint32(root.PID), StartNs: root.Start * uint64(process.Tick)})) == 1
			})
			want, saw := "2 processes killed", "the kernel sensor saw it end"
			if i == 1 {
				want, saw = "1 processes killed", ""
				h, err := process.Open(root.PID, root.Start)
				if err != nil {
					t.Fatal(err)
				}
				defer h.Close()
				if err := h.Signal(9); err != nil || !h.Ended(10*time.Second) {
					t.Fatal("the root lives on: ", err)
				}
			}
			now := time.Now()
			rec := a.enforce.Do(context.Background(), action.Order{
				ID: "a-" + strconv.Itoa(i), Tenant: "t", Host: "h", Kind: action.KillTree, Incident: "i-1", Reason: "test", Stage: action.Enforce,
				Ordered: now, Deadline: now.Add(time.Hour),
				Subject: &entity.Sighting{Kind: entity.Kind_PROCESS, Role: "actor", Process: &entity.Process{Pid: uint32(root.PID), StartNs: root.Start * uint64(process.Tick), Comm: root.Comm}},
			})
			eventually(t, "not verified by the sensor", func() bool {
				rec, _ = a.enforce.Record(rec.ID)
				return rec.State == action.Verified
			})
			if !strings.Contains(rec.Result, want) || !strings.Contains(rec.Result, saw) {
				t.Errorf("%q, want %q and %q", rec.Result, want, saw)
			}
			if alive(orphan) || alive(root) {
				t.Errorf("alive: root %v, orphan %v", alive(root), alive(orphan))
			}
		})
	}
	if !alive(bystander) {
		t.Error("another's orphan was killed")
	}
}
