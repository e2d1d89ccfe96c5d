// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/respond/testnet"
)

const page = "/var/www/html/uploads/run.php"

func (b *bench) dial() net.Conn {
	b.t.Helper()
	c, err := b.peer.Dial(b.host.Addr, b.port)
	must(b.t, err)
	must(b.t, testnet.Echo(c))
	return c
}

// TestEachActionTwice: every kind is done, verified, undone and done again, and what was
// before is after.
func TestEachActionTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	before := b.state()
	for range 2 {
		rec := b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Verified, "dropped")
		if b.peer.Reaches(b.host.Addr, b.port) {
			t.Error("not blocked")
		}
		b.undo(rec.ID)
		b.same(before)

		conn := b.dial()
		rec = b.want(order(action.CutConnection, addr(b.peer.Addr.String())), action.Verified, "1 connections")
		if !testnet.Silent(conn) {
			t.Error("not cut")
		}
		b.undo(rec.ID)
		b.dial().Close()

		flow := entity.NewFlow(testAddrPort(b.dial()), testAddrPort2(b), 6)
		b.undo(b.want(order(action.CutConnection, &entity.Sighting{Kind: entity.Kind_FLOW, Flow: flow}), action.Verified, "1 connections").ID)

		v := b.victim()
		eventually(t, "no children", func() bool { return len(childrenOf(v.Process.Pid)) == 2 })
		rec = b.want(order(action.KillTree, proc(v.Process.Pid)), action.Verified, "3 processes killed")
		if running(v.Process.Pid) {
			t.Error("not killed")
		}
		b.undo(rec.ID)

		rec = b.want(order(action.QuarantineFile, file(page)), action.Verified, "moved to")
		if _, err := os.Stat(b.root + page); err == nil {
			t.Error("not moved")
		}
		b.want(order(action.QuarantineFile, file(page)), action.Refused, "already")
		b.undo(rec.ID)

		rec = b.want(order(action.IsolateHost, nil), action.Verified, "cut off")
		if b.peer.Reaches(b.host.Addr, b.port) {
			t.Error("not isolated")
		}
		b.undo(rec.ID)
		eventually(t, "sockets of the test are left", func() bool { return b.state() == before })
	}
	states := map[string]int{}
	for _, ev := range b.events {
		if ev.Sensor != event.Sensor_ENFORCER || ev.WallNs == 0 || ev.ClassUid != event.ClassAction {
			t.Errorf("%v", ev)
		}
		states[ev.GetAction().State]++
	}
	if states["ordered"] != 12 || states["verified"] != 12 || states["undone"] != 12 || states["refused"] != 2 {
		t.Errorf("events %v", states)
	}
}

// TestObserveAndShadowTouchNothing, whatever is ordered and however far the order would go.
func TestObserveAndShadowTouchNothing(t *testing.T) {
	t.Parallel()
	for _, most := range []action.Stage{action.Observe, action.Shadow, action.Enforce} {
		b := newBench(t, func(c *Config) { c.Most = most })
		conn := b.dial()
		v := b.victim()
		eventually(t, "no children", func() bool { return len(childrenOf(v.Process.Pid)) == 2 })
		before := b.state()
		for _, ordered := range []action.Stage{action.Observe, action.Shadow, action.Enforce} {
			if min(most, ordered) == action.Enforce {
				continue
			}
			for _, o := range []action.Order{
				order(action.BlockAddress, addr(b.peer.Addr.String())), order(action.CutConnection, addr(b.peer.Addr.String())),
				order(action.KillTree, proc(v.Process.Pid)), order(action.QuarantineFile, file(page)), order(action.IsolateHost, nil),
			} {
				o.Stage = ordered
				rec := b.want(o, action.Shadowed, map[action.Stage]string{action.Observe: "observe", action.Shadow: "would"}[min(most, ordered)])
				if rec.Stage != min(most, ordered) {
					t.Errorf("stage %v", rec.Stage)
				}
				if _, err := b.Undo(context.Background(), rec.ID, "test"); err == nil {
					t.Error("undid what was not done")
				}
			}
		}
		b.same(before)
		must(t, testnet.Echo(conn))
		if !running(v.Process.Pid) {
			t.Error("a process was touched")
		}
	}
}

// TestGuardRails: each refusal with its near miss, which is carried out.
func TestGuardRails(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) {
		c.Critical = append(c.Critical, prefix("192.0.2.0/28"))
		c.Brain = append(c.Brain, prefix("192.0.2.77/32").Addr())
		c.Services = append(c.Services, "perl")
	})
	before := b.state()
	for text, why := range map[string]string{
		"10.99.7.1": "own address", "fd99::1": "own address", "::ffff:10.99.7.1": "own address", "10.99.7.255": "broadcast", "10.99.7.0/24": "own address",
		"127.0.0.1": "loopback", "::1": "loopback", "0.0.0.0": "no peer", "224.0.0.1": "multicast", "169.254.1.1": "link-local", "fe80::1": "link-local",
		"192.0.2.3": "declared peer", "192.0.2.0/24": "", "192.0.2.77": "the brain", "10.0.0.0/8": "wider", "::/0": "wider", "::ffff:0.0.0.0/90": "IPv4", "nonsense": "neither",
	} {
		b.want(order(action.BlockAddress, addr(text)), action.Refused, why)
		b.want(order(action.CutConnection, addr(text)), action.Refused, why)
	}
	b.undo(b.want(order(action.BlockAddress, addr("192.0.2.16")), action.Verified, "").ID)
	b.undo(b.want(order(action.BlockAddress, addr("192.0.2.128/25")), action.Verified, "").ID)

	v := b.victim()
	worker, anonymous, another := proc(v.Process.Pid), proc(v.Process.Pid), proc(v.Process.Pid)
	worker.Role = "worker"
	anonymous.Process.StartNs = 0
	another.Process.StartNs -= 50e6
	b.want(order(action.KillTree, worker), action.Refused, "serves others")
	b.want(order(action.KillTree, anonymous), action.Refused, "start time")
	b.want(order(action.KillTree, another), action.Verified, "ended already")
	for _, pid := range []int{1, 2, os.Getpid(), os.Getppid()} {
		b.want(order(action.KillTree, proc(pid)), action.Refused, "")
	}
	if !running(v.Process.Pid) {
		t.Fatal("the victim was touched")
	}

	for path, why := range map[string]string{
		"/etc/shadow": "kept", "/usr/bin/tool": "package tools", "/proc/1/exe": "lies in", "relative": "absolute",
		"/var/www/html/../../../etc/shadow": "clean", "/var/www/html/uploads": "plain",
	} {
		b.want(order(action.QuarantineFile, file(path)), action.Refused, why)
	}
	changed, content := file(page), file(page)
	changed.File.Inode = 1
	content.File.Sha256 = strings.Repeat("0", 64)
	b.want(order(action.QuarantineFile, changed), action.Refused, "another file")
	b.want(order(action.QuarantineFile, content), action.Refused, "another file")
	b.want(order(action.QuarantineFile, file("/var/www/html/absent")), action.Failed, "no such file")

	elsewhere, late := order(action.IsolateHost, nil), order(action.IsolateHost, nil)
	elsewhere.Host = "data"
	late.Ordered, late.Deadline = late.Ordered.Add(-time.Hour), late.Ordered.Add(-time.Minute)
	b.want(elsewhere, action.Refused, "for host")
	b.want(late, action.Refused, "deadline")
	b.same(before)

	for _, path := range []string{"/usr/bin/dropped", "/var/www/html/index.php"} { // near misses
		b.undo(b.want(order(action.QuarantineFile, file(path)), action.Verified, "").ID)
	}
	b.same(before)
}

// TestCaps: reach per incident and per minute; what was touched before counts once.
func TestCaps(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Caps.Peers, c.Caps.PerMinute = 2, 5 })
	b.want(order(action.BlockAddress, addr("192.0.2.1")), action.Verified, "")
	b.want(order(action.CutConnection, addr("192.0.2.1")), action.Verified, "")
	b.want(order(action.BlockAddress, addr("192.0.2.2")), action.Verified, "")
	b.want(order(action.BlockAddress, addr("192.0.2.3")), action.Refused, "no more than 2")
	o := order(action.BlockAddress, addr("192.0.2.3"))
	o.Incident = "i-2"
	b.want(o, action.Verified, "")
	b.want(order(action.CutConnection, addr("192.0.2.2")), action.Verified, "")
	o = order(action.BlockAddress, addr("192.0.2.4"))
	o.Incident = "i-3"
	b.want(o, action.Refused, "within a minute")
}

// TestAnIDActsOnce: what a person took back does not come again with the same order.
func TestAnIDActsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	before := b.state()
	o := order(action.BlockAddress, addr("192.0.2.1"))
	b.want(o, action.Verified, "")
	b.want(o, action.Verified, "")
	b.undo(o.ID)
	b.undo(o.ID)
	b.want(o, action.Undone, "undone by test")
	b.Close()
	b.start()
	b.want(o, action.Undone, "undone by test")
	b.same(before)
	if _, err := b.Undo(context.Background(), "unknown", "test"); err == nil {
		t.Error("undid an unknown action")
	}
}

// TestTwoHolds: an address that two orders block is free when both are taken back.
func TestTwoHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	before := b.state()
	one := b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Verified, "")
	two := b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Verified, "")
	cut := b.want(order(action.IsolateHost, nil), action.Verified, "")
	b.undo(one.ID)
	b.undo(cut.ID)
	if b.peer.Reaches(b.host.Addr, b.port) {
		t.Error("free while the second order holds it")
	}
	b.undo(two.ID)
	b.same(before)
}

// TestExpires by itself, while Run runs.
func TestExpires(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	before := b.state()
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { must(t, b.Run(ctx)) })
	defer done.Wait()
	defer stop()
	var ids []string
	for _, o := range []action.Order{
		order(action.BlockAddress, addr("192.0.2.1")), order(action.QuarantineFile, file(page)), order(action.IsolateHost, nil),
	} {
		o.Deadline = time.Now().Add(700 * time.Millisecond)
		ids = append(ids, b.want(o, action.Verified, "").ID)
	}
	eventually(t, "not expired", func() bool {
		for _, id := range ids {
			if rec, _ := b.Record(id); rec.State != action.Expired {
				return false
			}
		}
		return true
	})
	b.same(before)
}

// TestOff takes everything back, with an agent and, from the journal, without.
func TestOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ctx := context.Background()
	before := b.state()
	all := func() {
		t.Helper()
		b.want(order(action.BlockAddress, addr(b.peer.Addr.String())), action.Verified, "")
		b.want(order(action.BlockAddress, addr("198.51.100.0/25")), action.Verified, "")
		b.want(order(action.QuarantineFile, file(page)), action.Verified, "")
		b.want(order(action.IsolateHost, nil), action.Verified, "")
	}
	all()
	if err := Off(ctx, b.data, b.cfg); err == nil || !strings.Contains(err.Error(), ErrRunning.Error()) {
		t.Errorf("beside a running enforcer: %v", err)
	}
	must(t, b.Off(ctx))
	b.same(before)
	b.want(order(action.BlockAddress, addr("192.0.2.1")), action.Refused, "switched off")
	b.Close()
	b.start()
	all()
	b.Close()
	for range 2 {
		must(t, Off(ctx, b.data, b.cfg))
		b.same(before)
	}
	must(t, Off(ctx, t.TempDir(), b.cfg))
	b.start()
	for _, rec := range b.Records() {
		if rec.State.Live() {
			t.Errorf("%s is %s", rec.ID, rec.State)
		}
	}
}

// TestOffBackwards: last done, first undone, also where the sensors confirmed the first
// last; so a folder gets the time back that it had before both files were taken from it.
func TestOffBackwards(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.Close()
	say := make(chan struct{})
	late := page
	b.witness = func(o *action.Order) func(context.Context) (string, error) {
		if o.Subject.GetFile().GetPath() != late {
			return nil
		}
		return func(context.Context) (string, error) { <-say; return "seen late", nil }
	}
	b.start()
	second := filepath.Join(filepath.Dir(page), "second.php")
	must(t, os.WriteFile(filepath.Join(b.root, second), []byte("<?php"), 0o644))
	uploads := filepath.Join(b.root, filepath.Dir(page))
	old := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	must(t, os.Chtimes(uploads, old, old))
	first := b.want(order(action.QuarantineFile, file(late)), action.Done, "")
	b.want(order(action.QuarantineFile, file(second)), action.Verified, "")
	close(say)
	eventually(t, "not confirmed", func() bool { rec, _ := b.Record(first.ID); return rec.State == action.Verified })
	must(t, b.Off(t.Context()))
	info, err := os.Stat(uploads)
	must(t, err)
	if !info.ModTime().Equal(old) {
		t.Errorf("the folder's time is %v, want %v", info.ModTime(), old)
	}
}

// TestSequence: of those that wait, the address goes first and the host last; what a
// person takes back goes before all.
func TestSequence(t *testing.T) {
	var q turns
	pass, err := q.take(context.Background(), 0)
	must(t, err)
	var mu sync.Mutex
	var got []int
	var wait sync.WaitGroup
	for i, r := range []int{4, 2, 0, 3, takingBack, 1} {
		wait.Go(func() {
			pass, err := q.take(context.Background(), r)
			must(t, err)
			mu.Lock()
			got = append(got, r)
			mu.Unlock()
			pass()
		})
		eventually(t, "does not wait", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.waiting) == i+1 })
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := q.take(ctx, 0); err == nil {
		t.Error("waited on after the end")
	}
	pass()
	wait.Wait()
	for i, r := range got {
		if r != i-1 {
			t.Fatalf("order %v", got)
		}
	}
}

// TestSensorsConfirm: what was verified by looking is verified for good when the sensors
// say so too, beside the turn; what they contradict, or what is taken back meanwhile, is
// not, and an end of the enforcer waits for nobody.
func TestSensorsConfirm(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.Close()
	type word struct {
		saw string
		err error
	}
	words := map[string]chan word{} // by subject
	for _, s := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} {
		words[s] = make(chan word, 1)
	}
	b.witness = func(o *action.Order) func(context.Context) (string, error) {
		c := words[o.Subject.GetText()]
		if c == nil {
			return nil // no sensor can tell
		}
		return func(ctx context.Context) (string, error) {
			select {
			case w := <-c:
				return w.saw, w.err
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
	b.start()
	before := b.state()
	block := func(text string, state action.State) string {
		return b.want(order(action.BlockAddress, addr(text)), state, "dropped").ID
	}
	becomes := func(id string, state action.State, text string) {
		t.Helper()
		eventually(t, "not "+text, func() bool {
			rec, _ := b.Record(id)
			return rec.State == state && strings.Contains(rec.Result, text)
		})
	}
	seen, contradicted, undone := block("192.0.2.1", action.Done), block("192.0.2.2", action.Done), block("192.0.2.3", action.Done)
	alone := block("192.0.2.5", action.Verified)
	b.undo(undone)
	words["192.0.2.1"] <- word{saw: "no more of it was seen"}
	words["192.0.2.2"] <- word{err: errors.New("it was let in")}
	words["192.0.2.3"] <- word{saw: "too late"}
	becomes(seen, action.Verified, "no more of it was seen")
	becomes(contradicted, action.Done, "not verified by the sensors: it was let in")
	becomes(undone, action.Undone, "undone by test")
	open := block("192.0.2.4", action.Done) // and nobody says a word
	b.Close()
	b.start()
	becomes(open, action.Done, "dropped")
	for _, id := range []string{seen, contradicted, alone, open} {
		b.undo(id)
	}
	b.same(before)
}
