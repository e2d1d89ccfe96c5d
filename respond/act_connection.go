// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/respond/connection"
)

type cut struct {
	e    *Enforcer
	diag *connection.Cutter
}

func (c *cut) kind() action.Kind { return action.CutConnection }

// match gives the filter of an order: all sockets of a peer, or one conversation.
func (c *cut) match(s *entity.Sighting) (func(*connection.Socket) bool, string, error) {
	if f := s.GetFlow(); f != nil {
		src, dst := f.Src(), f.Dst()
		if !src.IsValid() || !dst.IsValid() {
			return nil, "", refused("the flow has no two ends")
		}
		return func(s *connection.Socket) bool {
			return (f.Proto == 0 || f.Proto == uint32(s.Proto)) && (s.Local == src && s.Remote == dst || s.Local == dst && s.Remote == src)
		}, s.Label(), nil
	}
	p, err := prefixOf(s)
	if err != nil {
		return nil, "", err
	}
	return func(s *connection.Socket) bool { return p.Contains(s.Remote.Addr()) }, shown(p), nil
}

// find leaves out datagram sockets without a peer: a server's serves everybody.
func (c *cut) find(s *entity.Sighting) ([]connection.Socket, string, error) {
	match, text, err := c.match(s)
	if err != nil {
		return nil, "", err
	}
	found, err := c.diag.List(connection.Alive, func(s *connection.Socket) bool { return s.Remote.Port() != 0 && match(s) }, unix.IPPROTO_TCP, unix.IPPROTO_UDP)
	return found, text, err
}

func (c *cut) plan(_ context.Context, o *action.Order) (plan, error) {
	_, target, err := c.match(o.Subject)
	if err != nil {
		return plan{}, err
	}
	if p, err := prefixOf(o.Subject); err == nil {
		target = p.String() // the same peer as in a block counts once
	}
	return plan{target: target, what: func() (string, error) {
		found, text, err := c.find(o.Subject)
		return fmt.Sprintf("cut %d connections with %s", len(found), text), err
	}}, nil
}

func (c *cut) act(ctx context.Context, o *action.Order, _ *inverse) (json.RawMessage, string, error) {
	total, text := 0, ""
	for range 3 { // one that was being made meanwhile
		found, t, err := c.find(o.Subject)
		if err != nil {
			return nil, "", err
		}
		if text = t; len(found) == 0 {
			break
		}
		if why := c.e.host.spareSockets(found); why != "" {
			return nil, "", refused("%s", why)
		}
		n, err := c.diag.Destroy(found)
		if total += n; err != nil {
			return nil, "", fmt.Errorf("cut connections with %s: %w", text, err)
		}
	}
	return nil, fmt.Sprintf("%d connections with %s cut", total, text), nil
}

func (c *cut) verify(_ context.Context, o *action.Order, _ *inverse) error {
	found, _, err := c.find(o.Subject)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%d are open, such as %s; block the address as well", len(found), found[0])
	}
	return err
}

func (c *cut) undo(context.Context, *action.Order, *inverse) (string, error) {
	return "a connection that was cut cannot be mended; a new one may be opened", nil
}
func (c *cut) resume([]held) error { return nil }
func (c *cut) off() error          { return nil }
func (c *cut) close()              {} // the cutter belongs to host
