// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/respond"
	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/testnet"
	"github.com/ringwall/ringwall/verdict"
)

// layerNames are all that judge.
var layerNames = []string{"network", "file", "behaviour", "intel"}

// target is what every order is turned to: a peer with an open connection, a process
// tree and a file, all real.
type target struct {
	t          *testing.T
	host, peer *testnet.Net
	root, data string
	port       uint16
	victim     *exec.Cmd
	life       *entity.Process
}

const watchedPage = "/var/www/html/run.php"

func newTarget(t *testing.T) *target {
	t.Helper()
	x := &target{t: t, root: t.TempDir(), data: t.TempDir()}
	x.host, x.peer = testnet.Pair(t)
	x.port = x.host.Listen(":0").Port()
	if err := os.MkdirAll(filepath.Dir(x.root+watchedPage), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, x.root+watchedPage, "<?php system($_GET['c']);")
	x.victim = exec.Command("sleep", "600")
	x.victim.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	x.host.Start(x.victim)
	t.Cleanup(func() { _ = x.victim.Process.Kill() })
	st, err := process.Read(x.victim.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	x.life = &entity.Process{Pid: uint32(st.PID), StartNs: st.Start * uint64(process.Tick)}
	return x
}

// say is everything that an order could have changed, but for the connection.
func (x *target) say() string {
	var st unix.Stat_t
	err := unix.Stat(x.root+watchedPage, &st)
	var files []string
	_ = filepath.Walk(x.root, func(p string, _ os.FileInfo, _ error) error { files = append(files, p); return nil })
	return fmt.Sprint(x.host.Rules(), "\npage ", err, st.Ino, st.Mode, st.Size, "\nvictim ", process.Lives(int(x.life.Pid), x.life.StartNs), "\n", files)
}

// aim turns an order to what is here.
func (x *target) aim(o action.Order) action.Order {
	switch o.Kind {
	case action.BlockAddress, action.CutConnection:
		o.Subject = &entity.Sighting{Kind: entity.Kind_ADDRESS, Text: x.peer.Addr.String()}
	case action.KillTree:
		o.Subject = &entity.Sighting{Kind: entity.Kind_PROCESS, Role: "actor", Process: x.life}
	case action.QuarantineFile:
		o.Subject = &entity.Sighting{Kind: entity.Kind_FILE, Role: "object", File: &entity.File{Path: watchedPage}}
	}
	o.Ordered = time.Now()
	o.Deadline = o.Ordered.Add(time.Hour)
	return o
}

// everyLayer plays the recorded intrusion with its source on a list, and then has each
// layer say the worst that it can of all that it knows. It gives what came of it.
func everyLayer(t *testing.T, stage action.Stage) (host string, orders []action.Order, spoke, decided map[string]int) {
	t.Helper()
	host, events := recorded(t, time.Now())
	list := filepath.Join(t.TempDir(), "bad.txt")
	cfg := brain.DefaultConfig()
	cfg.Policy.Stage = stage
	cfg.Policy.Kinds = action.Sequence
	source := ""
	decoded := make([]*event.Event, 0, len(events))
	for _, raw := range events {
		ev := &event.Event{}
		if err := ev.UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
		ev.Epoch, ev.Seq = 1000, uint64(len(decoded)+1)
		decoded = append(decoded, ev)
		if a := ev.GetHttp(); source == "" && a.GetRequest().GetMethod() == "POST" {
			source = a.Request.Flow.Src().Addr().String()
		}
	}
	write(t, list, source+"\n")
	cfg.Intel.Sources = []reputation.Source{{List: reputation.List{Name: "bad", Path: list, Format: "plain"}, Confidence: 0.99}}
	cfg.Intel.CountReserved = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	spoke, decided = map[string]int{}, map[string]int{}
	r, err := brain.NewReplayer(cfg, "default", brain.Heard{
		Finding: func(f *verdict.Finding) { spoke[f.Layer]++ },
		Order:   func(o action.Order) { orders = append(orders, o); decided[string(o.Kind)]++ },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range decoded {
		r.See(ev)
	}
	last := decoded[len(decoded)-1]
	for i, layer := range layerNames {
		f := &verdict.Finding{
			Host: host, WallNs: last.WallNs, Layer: layer, Stage: "test", Rule: "worst", Title: "the worst", Score: 0.9999, Colour: verdict.Colour_BLACK,
			Subjects: []*entity.Sighting{
				{Kind: entity.Kind_ADDRESS, Role: "source", Text: fmt.Sprintf("198.51.100.%d", i+1)},
				{Kind: entity.Kind_PROCESS, Role: "actor", Host: host, Process: &entity.Process{Pid: uint32(900000 + i), StartNs: 5, Exe: "/tmp/x"}},
				{Kind: entity.Kind_FILE, Role: "object", Host: host, File: &entity.File{Path: fmt.Sprint("/tmp/worst", i)}},
			},
			Events: []*verdict.EventID{{Tenant: "default", Host: host, Epoch: 1000, Seq: uint64(i + 1)}},
		}
		f.SetID()
		before := len(orders)
		r.See(&event.Event{Tenant: "default", Host: host, BootId: last.BootId, BootNs: last.BootNs + uint64(i+1)*1e9, WallNs: last.WallNs + int64(i+1)*1e9, Epoch: 1000, Seq: uint64(len(decoded) + i + 1),
			Sensor: event.Sensor_JUDGE, Payload: &event.Event_Finding{Finding: f}})
		r.Finish()
		if len(orders) == before {
			t.Errorf("the worst that %s can say orders nothing: nothing is proved", layer)
		}
	}
	orders = append(orders, action.Order{ID: "a-isolate", Tenant: "default", Host: host, Kind: action.IsolateHost, Incident: "i-isolate", Reason: "test", Stage: stage})
	return host, orders, spoke, decided
}

// TestObserveTouchesNothing: every layer speaks, the worst it can; every kind of action
// is ordered against real connections, processes and files. As long as either the policy
// or the host observes, nothing is touched, and so in shadow; with both at enforce
// everything is, which proves that it could have been.
func TestObserveTouchesNothing(t *testing.T) {
	needRoot(t, "a namespace to act in")
	for _, c := range []struct{ policy, host action.Stage }{
		{action.Observe, action.Enforce}, {action.Enforce, action.Observe}, {action.Shadow, action.Enforce}, {action.Enforce, action.Shadow}, {action.Enforce, action.Enforce},
	} {
		t.Run(fmt.Sprint("policy ", c.policy, ", host ", c.host), func(t *testing.T) {
			host, orders, spoke, decided := everyLayer(t, c.policy)
			for _, l := range layerNames {
				if spoke[l] == 0 {
					t.Errorf("layer %s is silent: %v", l, spoke)
				}
			}
			for _, k := range []action.Kind{action.BlockAddress, action.CutConnection, action.KillTree, action.QuarantineFile} {
				if decided[string(k)] == 0 {
					t.Errorf("%s was never decided: %v", k, decided)
				}
			}
			x := newTarget(t)
			cfg := respond.DefaultConfig()
			cfg.Most = c.host
			e, err := respond.New(cfg, respond.Options{Data: x.data, Root: x.root, Netns: x.host.Path(), Host: host})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			conn, err := x.peer.Dial(x.host.Addr, x.port)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			before := x.say()
			var aimed []action.Order
			for _, o := range orders {
				if o.Stage != c.policy {
					t.Errorf("an order of stage %v under a policy of %v", o.Stage, c.policy)
				}
				aimed = append(aimed, x.aim(o))
			}
			recs := e.DoAll(t.Context(), aimed)
			stage := min(c.policy, c.host)
			if stage == action.Enforce {
				done := map[action.Kind]bool{}
				for _, r := range recs {
					done[r.Kind] = done[r.Kind] || r.State == action.Verified
				}
				for _, k := range action.Sequence {
					if !done[k] {
						t.Errorf("enforced, and no %s was verified", k)
					}
				}
				if !testnet.Silent(conn) || process.Lives(int(x.life.Pid), x.life.StartNs) || x.say() == before {
					t.Error("enforced, and not everything was touched")
				}
				return
			}
			for _, r := range recs {
				if r.State != action.Shadowed && (stage == action.Observe || r.State != action.Refused) { // shadow asks the guard rails too
					t.Errorf("%s is %s: %s", r.Kind, r.State, r.Result)
				}
			}
			if after := x.say(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if err := testnet.Echo(conn); err != nil {
				t.Errorf("the connection was touched: %v", err)
			}
			if i := slices.IndexFunc(recs, func(r action.Record) bool { return strings.Contains(r.Result, "killed") }); i >= 0 {
				t.Errorf("%s", recs[i].Result)
			}
		})
	}
}
