// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/proving/rerun"
)

// natsServer is a server of an external cluster, configured by what the product prints
// and by nothing of ours but address and folders.
type natsServer struct {
	*server.Server
	file string
}

func (n *natsServer) start(t *testing.T) {
	t.Helper()
	opts, err := server.ProcessConfigFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if n.Server, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(patience) {
		t.Fatal("the external server does not start")
	}
}

func (n *natsServer) end() {
	n.Shutdown()
	n.WaitForShutdown()
}

// TestExternalBus: --bus and nothing else. A NATS server of its own, given the
// configuration that the product prints, carries a brain, a real agent and a second,
// synthetic one; it goes away and comes back.
func TestExternalBus(t *testing.T) {
	b := &brainProc{data: shortDir(t), listen: ports(t)}
	b.configure(t, "tenants: [default]")
	dir, port := t.TempDir(), freePort(t)
	text, err := command(b.data, "config", "nats")
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("./accounts", filepath.Join(dir, "accounts"), "./streams", filepath.Join(dir, "streams")).Replace(string(text))
	n := &natsServer{file: filepath.Join(dir, "nats.conf")}
	write(t, n.file, fmt.Sprintf("listen: 127.0.0.1:%d\n%s", port, conf))
	n.start(t)
	t.Cleanup(func() { n.end() })

	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	b.proc = start(t, nil, binaries.ringwall, "brain", "--data", b.data, "--bus", url)
	b.await(t, "ready:")
	eventually(t, "the socket of the brain", func() bool { return try(b.data, "status") == nil })
	if entries, err := os.ReadDir(filepath.Join(b.data, "bus")); err == nil && len(entries) > 0 {
		t.Errorf("an embedded bus was begun too: %v", entries)
	}

	// A real agent tells of itself over it, and is told to take everything back.
	data := filepath.Join(shortDir(t), "a")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), "host: real\n"+senseless)
	a := start(t, nil, binaries.agent, "run", "--data", data, "--join", b.token(t, "default", "real"))
	a.await(t, "watching real")
	eventually(t, "the agent's states in the archive", func() bool {
		return number(t, b.data, "default", "select count(*) from events where host = 'real'") > 0
	})
	if err := try(b.data, "off", "--keep-watching"); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		becomes(t, b.data, "real", "respond", "off", "switched off")
	}

	// A second host publishes a thousand events while the broker is away for a while.
	self := b.join(t, "default", "synthetic")
	if self.Bus != url {
		t.Errorf("it was told of the bus at %q, want %q", self.Bus, url)
	}
	f := rerun.New(1000)
	publish(t, self, f)
	add := func(from, to int) {
		for i := from; i < to; i++ {
			ev := &event.Event{Tenant: "default", Host: "synthetic", BootId: "b", BootNs: uint64(i + 1), WallNs: time.Now().UnixNano(), Schema: event.Schema, Sensor: event.Sensor_KERNEL,
				Actor:   &entity.Process{Pid: uint32(i + 2), StartNs: uint64(i + 1), Exe: "/bin/true"},
				Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Argv: []string{"true"}}}}
			ev.Classify()
			f.Add(mustMarshal(t, ev))
		}
	}
	add(0, 500)
	eventually(t, "the first half stored", func() bool { return f.Left() == 0 })
	n.end()
	eventually(t, "the brain says that the bus is away", func() bool {
		out, err := exec.Command(binaries.ringwall, "status", "--data", b.data).Output()
		return err == nil && strings.Contains(string(out), "the broker at "+url+" is away")
	})
	add(500, 1000)
	n.start(t)
	eventually(t, "the second half stored", func() bool { return f.Left() == 0 })
	if got := number(t, b.data, "default", "select count(*) from events where host = 'synthetic' and kind = 'process.exec'"); got != 1000 {
		t.Errorf("%d events in the archive, want 1000, each once", got)
	}
	becomes(t, b.data, "real", "link", "on", "")
	eventually(t, "the brain says that the bus is back", func() bool {
		out, err := exec.Command(binaries.ringwall, "status", "--data", b.data).Output()
		return err == nil && !strings.Contains(string(out), "is away")
	})
	a.stop(t)
	b.stop(t)

	// A stranger, with a brain of its own, is not let in.
	elsewhere, err := identity.OpenAuthority(filepath.Join(t.TempDir(), "other"))
	if err == nil {
		err = elsewhere.AddTenant("default")
	}
	if err != nil {
		t.Fatal(err)
	}
	other, err := elsewhere.NewAgent("default", "synthetic", "default", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other.Bus, other.Pins = url, nil
	link, err := bus.Dial(bus.LinkConfig{Agent: other})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	eventually(t, "the stranger refused", func() bool {
		return !link.Connected() && link.LastError() != nil && strings.Contains(link.LastError().Error(), "uthorization")
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
