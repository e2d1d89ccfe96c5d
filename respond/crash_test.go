// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
)

// TestMain lets the test program be an enforcer that is killed in the middle.
func TestMain(m *testing.M) {
	if os.Getenv("RINGWALL_TEST_DIE") != "" {
		die()
	}
	os.Exit(m.Run())
}

// fatal carries an action out, or not, and is killed (-9) before it can say so.
type fatal struct {
	actuator
	after bool
}

func (f fatal) act(ctx context.Context, o *action.Order, inv *inverse) (json.RawMessage, string, error) {
	if f.after {
		if _, _, err := f.actuator.act(ctx, o, inv); err != nil {
			panic(err)
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type dying struct {
	Data, Root, Netns string
	Config            Config
	Order             action.Order
	After             bool
}

func die() {
	var d dying
	if err := json.Unmarshal([]byte(os.Getenv("RINGWALL_TEST_DIE")), &d); err != nil {
		panic(err)
	}
	e, err := New(d.Config, Options{Data: d.Data, Root: d.Root, Netns: d.Netns, Host: "web"})
	if err != nil {
		panic(err)
	}
	e.acts[d.Order.Kind] = fatal{e.acts[d.Order.Kind], d.After}
	rec := e.Do(context.Background(), d.Order)
	panic(rec.Result)
}

// TestKilledInTheMiddle: for each kind, a kill -9 before and after the deed but before it
// was said to be done. The next life finishes it, and it can be undone.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	before := b.state()
	b.Close()
	self, err := os.Executable()
	must(t, err)
	for _, after := range []bool{false, true} {
		for _, kind := range action.Sequence {
			v := b.victim()
			subject := map[action.Kind]*entity.Sighting{
				action.BlockAddress: addr(b.peer.Addr.String()), action.CutConnection: addr(b.peer.Addr.String()),
				action.KillTree: proc(v.Process.Pid), action.QuarantineFile: file(page),
			}[kind]
			o := order(kind, subject)
			d, err := json.Marshal(dying{b.data, b.root, b.host.Path(), b.cfg, o, after})
			must(t, err)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), "RINGWALL_TEST_DIE="+string(d))
			out, err := cmd.CombinedOutput()
			if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
				t.Fatalf("%s: the child was not killed: %v: %s", kind, err, out)
			}
			b.start()
			if rec, _ := b.Record(o.ID); rec.State != action.Ordered {
				t.Errorf("%s: found as %s", kind, rec.State)
			}
			rec := b.want(o, action.Verified, "")
			b.undo(rec.ID)
			_ = v.Process.Kill()
			eventually(t, string(kind)+": not as before", func() bool { return b.state() == before })
			b.Close()

			// The same with the panic switch instead of a new life.
			o = order(kind, subject)
			d, err = json.Marshal(dying{b.data, b.root, b.host.Path(), b.cfg, o, after})
			must(t, err)
			cmd = exec.Command(self)
			cmd.Env = append(os.Environ(), "RINGWALL_TEST_DIE="+string(d))
			_ = cmd.Run()
			must(t, Off(context.Background(), b.data, b.cfg))
			b.same(before)
		}
	}
}

// TestTornJournal: a line cut off in the middle is dropped, those before it stand, and
// what is written later can be read.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	rec := b.want(order(action.BlockAddress, addr("192.0.2.1")), action.Verified, "")
	b.Close()
	name := filepath.Join(b.data, journalName)
	whole, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, append(whole, `{"record":{"id":"a-torn","sta`...), 0o600))
	b.start()
	if got, _ := b.Record(rec.ID); got.State != action.Verified {
		t.Errorf("%+v", got)
	}
	if _, ok := b.Record("a-torn"); ok {
		t.Error("half a line was believed")
	}
	b.undo(rec.ID)
	b.Close()
	b.start()
	if got, _ := b.Record(rec.ID); got.State != action.Undone {
		t.Errorf("%+v", got)
	}
}

// TestCompaction keeps what is live and what may be ordered again.
func TestCompaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	rec := b.want(order(action.BlockAddress, addr("192.0.2.1")), action.Verified, "")
	b.Enforcer.mu.Lock()
	b.journal.size = compactAt
	b.Enforcer.mu.Unlock()
	late := b.want(order(action.BlockAddress, addr("192.0.2.2")), action.Verified, "")
	b.Close()
	b.start()
	for _, id := range []string{rec.ID, late.ID} {
		if got, ok := b.Record(id); !ok || got.State != action.Verified {
			t.Errorf("%s: %v %s", id, ok, got.State)
		}
	}
	b.undo(rec.ID)
	b.undo(late.ID)
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("{\"record\":{\"id\":\"a\"}}\n{\"place\":{}}\n{"))
	f.Add([]byte(strings.Repeat("x", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, good, err := readJournal(bytes.NewReader(b))
		if err != nil || good > int64(len(b)) {
			t.Errorf("%d entries, %d of %d bytes, %v", len(entries), good, len(b), err)
		}
	})
}
