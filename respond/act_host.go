// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/respond/isolate"
)

type apart struct {
	e    *Enforcer
	wall *isolate.Wall
}

func (a *apart) kind() action.Kind { return action.IsolateHost }

func (a *apart) allowed() (isolate.Allowed, error) {
	var out isolate.Allowed
	for _, b := range a.e.cfg.Brain {
		out.Peers = append(out.Peers, netip.PrefixFrom(b.Unmap(), b.Unmap().BitLen()))
	}
	out.Peers = append(append(out.Peers, a.e.cfg.Critical...), a.e.cfg.Operators...)
	sessions, err := a.e.host.sessions()
	for _, s := range sessions {
		if s.remote.IsValid() {
			out.Sessions = append(out.Sessions, isolate.Session{Local: s.local, Remote: s.remote})
		}
	}
	return out, err
}

func (a *apart) plan(context.Context, *action.Order) (plan, error) {
	allowed, err := a.allowed()
	return plan{what: would("cut the host off from all but %v and %d sessions of operators", allowed.Peers, len(allowed.Sessions)), target: "host"}, err
}

func (a *apart) act(_ context.Context, _ *action.Order, inv *inverse) (json.RawMessage, string, error) {
	allowed, err := a.allowed()
	if err != nil {
		return nil, "", err
	}
	err = a.wall.Raise(allowed, inv.left())
	return nil, fmt.Sprintf("cut off from all but %v and %d sessions of operators", allowed.Peers, len(allowed.Sessions)), err
}

func (a *apart) verify(context.Context, *action.Order, *inverse) error {
	up, err := a.wall.Standing()
	if err == nil && !up {
		err = errors.New("the kernel does not hold it")
	}
	return err
}

// undo lowers the wall unless another order still wants it.
func (a *apart) undo(_ context.Context, o *action.Order, _ *inverse) (string, error) {
	others := slices.DeleteFunc(a.e.live()[action.IsolateHost], func(h held) bool { return h.ID == o.ID || h.left <= 0 })
	if len(others) == 0 {
		return "", a.wall.Lower()
	}
	last := slices.MaxFunc(others, func(x, y held) int { return int(x.left - y.left) })
	allowed, err := a.allowed()
	if err != nil {
		return "", err
	}
	return "it stays isolated: " + last.ID + " wants it too", a.wall.Raise(allowed, last.left)
}

func (a *apart) resume(live []held) error {
	live = slices.DeleteFunc(slices.Clone(live), func(h held) bool { return h.left <= 0 || h.State == action.Ordered })
	if len(live) == 0 {
		return nil
	}
	if up, err := a.wall.Standing(); err != nil || up {
		return err
	}
	allowed, err := a.allowed()
	if err != nil {
		return err
	}
	return a.wall.Raise(allowed, slices.MaxFunc(live, func(x, y held) int { return int(x.left - y.left) }).left)
}

func (a *apart) off() error { return a.wall.Lower() }
func (a *apart) close()     {}
