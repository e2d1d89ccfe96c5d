// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/network"
	"github.com/ringwall/ringwall/sense/packet"
	"github.com/ringwall/ringwall/verdict"
)

// Capture reads a capture file through the packet sensor and the network funnel, as
// an agent would have on the wire, and calls see with every event and finding in
// order. Ids are counted from 1, so that a replay is the same each time.
func Capture(ctx context.Context, file string, cfg Config, secret []byte, tenant, host string, log *slog.Logger, see func(*event.Event)) error {
	layer, err := network.New(cfg.Network, network.Options{Log: log})
	if err != nil {
		return err
	}
	c := capture{ctx: ctx, layer: layer, tenant: tenant, host: host, see: see}
	if _, err := packet.ReplayCounted(ctx, file, cfg.Packet, packet.Options{Emit: c.emit, Redact: event.NewRedactor(secret)}); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// capture numbers events and judges them at once.
type capture struct {
	ctx          context.Context
	layer        *network.Layer
	tenant, host string
	seq          uint64
	see          func(*event.Event)
}

func (c *capture) emit(ev *event.Event) {
	c.number(ev)
	c.see(ev)
	if f := c.layer.Judge(c.ctx, ev); f != nil {
		c.found(ev, f)
	}
}

func (c *capture) number(ev *event.Event) {
	c.seq++
	ev.Tenant, ev.Host, ev.BootId, ev.Epoch, ev.Seq, ev.Schema = c.tenant, c.host, "capture", 2, c.seq, event.Schema
	ev.Classify()
}

func (c *capture) found(from *event.Event, f *verdict.Finding) {
	f.Host = c.host
	out := &event.Event{BootNs: from.BootNs, WallNs: from.WallNs, Sensor: event.Sensor_JUDGE, Payload: &event.Event_Finding{Finding: f}}
	c.number(out)
	c.see(out)
}
