// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"path/filepath"

	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/files"
	"github.com/ringwall/ringwall/sense/inventory"
	"github.com/ringwall/ringwall/sense/kernel"
	"github.com/ringwall/ringwall/sense/logs"
	"github.com/ringwall/ringwall/sense/packet"
)

// sensor is what every sense package gives. Count is by class, and safe while Run runs.
type sensor interface {
	Run(context.Context) error
	Count() map[string]health.Count
}

// builders make the sensors; the name is the folder, the configuration key and,
// behind "sensor.", the component on the health board. Inventory comes before logs,
// which ask it where a connection ends.
var builders = []struct {
	name  string
	build func(*Agent) (sensor, error)
}{
	{"kernel", (*Agent).kernelSensor},
	{"packet", (*Agent).packetSensor},
	{"files", (*Agent).fileSensor},
	{"inventory", (*Agent).inventorySensor},
	{"logs", (*Agent).logSensor},
}

func sensorNames() []string {
	var names []string
	for _, b := range builders {
		names = append(names, b.name)
	}
	return names
}

// sensors builds every sensor that is wanted and can be had here.
func (a *Agent) sensors() map[string]sensor {
	out := map[string]sensor{}
	for _, b := range builders {
		full := "sensor." + b.name
		if !a.cfg.Sensors[b.name] {
			a.opt.Board.Set(full, health.Off, "switched off in the configuration (sensors."+b.name+")")
			continue
		}
		a.opt.Board.Set(full, health.On, "") // before it is built: it may know of something it lacks
		s, err := b.build(a)
		if err != nil {
			a.opt.Board.Set(full, health.Off, err.Error())
			continue
		}
		out[full] = s
	}
	a.mu.Lock()
	a.senses = out
	a.mu.Unlock()
	return out
}

// Sensed gives what each sensor saw, left out and lost since its start, by the name of
// its component and class.
func (a *Agent) Sensed() map[string]map[string]health.Count {
	a.mu.Lock()
	senses := a.senses
	a.mu.Unlock()
	out := map[string]map[string]health.Count{}
	for name, s := range senses {
		out[name] = s.Count()
	}
	return out
}

func (a *Agent) kernelSensor() (sensor, error) {
	k := kernel.Defaults()
	k.Cgroup, k.Netns, k.Shared, k.Syscalls = a.cfg.Scope.Cgroup, a.cfg.Scope.Netns, a.cfg.Kernel.Shared, bool(a.cfg.Kernel.Syscalls)
	k.Sensitive = append(k.Sensitive, a.cfg.Kernel.Sensitive...)
	s, err := kernel.New(k, kernel.Options{Board: a.opt.Board, Emit: a.Emit, Redact: a.redact, Clock: a.clock})
	if err != nil {
		return nil, err
	}
	a.births.Store(s)
	return s, nil
}

func (a *Agent) packetSensor() (sensor, error) {
	c := a.cfg.Packet
	if c.Netns == "" {
		c.Netns = a.cfg.Scope.Netns
	}
	return packet.New(c, packet.Options{Clock: a.clock, Board: a.opt.Board, Emit: a.Emit, Redact: a.redact})
}

func (a *Agent) fileSensor() (sensor, error) {
	return files.New(a.cfg.Files, files.Options{
		Root: a.cfg.Scope.Root, State: filepath.Join(a.opt.Data, "files.seen"),
		Clock: a.clock, Board: a.opt.Board, Emit: a.Emit,
	})
}

func (a *Agent) inventorySensor() (sensor, error) {
	opt := inventory.Options{
		Root: a.cfg.Scope.Root, Netns: a.cfg.Scope.Netns, Cgroup: a.cfg.Scope.Cgroup,
		Clock: a.clock, Board: a.opt.Board, Emit: a.Emit,
	}
	opt.Owner = a.owner()
	s, err := inventory.New(a.cfg.Inventory, opt)
	if err == nil {
		a.local = s.Local
	}
	return s, err
}

func (a *Agent) logSensor() (sensor, error) {
	return logs.New(a.cfg.Logs, logs.Options{
		Root: a.cfg.Scope.Root, State: filepath.Join(a.opt.Data, "logs.seen"), Local: a.local,
		Clock: a.clock, Board: a.opt.Board, Redact: a.redact, Emit: a.Emit,
	})
}
