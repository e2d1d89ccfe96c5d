// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/respond/address"
)

type block struct {
	e     *Enforcer
	table *address.Table
}

func (b *block) kind() action.Kind { return action.BlockAddress }

func (b *block) plan(_ context.Context, o *action.Order) (plan, error) {
	p, err := prefixOf(o.Subject)
	if err != nil {
		return plan{}, err
	}
	return plan{what: would("drop packets from and to %s", shown(p)), target: p.String()}, nil
}

func (b *block) act(_ context.Context, o *action.Order, inv *inverse) (json.RawMessage, string, error) {
	p, err := prefixOf(o.Subject)
	if err != nil {
		return nil, "", err
	}
	err = b.table.Block(address.Hold{ID: o.ID, Prefix: p, Until: time.Now().Add(inv.left())})
	return nil, "packets from and to " + shown(p) + " are dropped", err
}

func (b *block) verify(_ context.Context, o *action.Order, _ *inverse) error {
	p, err := prefixOf(o.Subject)
	if err != nil {
		return err
	}
	there, err := b.table.Blocked(p)
	if err == nil && !there {
		err = errors.New("the kernel's set does not hold it")
	}
	return err
}

func (b *block) undo(_ context.Context, o *action.Order, _ *inverse) (string, error) {
	return "", b.table.Lift(o.ID)
}

func (b *block) resume(live []held) error {
	var holds []address.Hold
	for _, h := range live {
		if p, err := prefixOf(h.Subject); err == nil && h.left > 0 {
			holds = append(holds, address.Hold{ID: h.ID, Prefix: p, Until: time.Now().Add(h.left)})
		}
	}
	return b.table.Reset(holds)
}

// counts reports the kernel's set as the stage it is: the first of the network funnel.
// What a packet costs there is not measured.
func (b *block) counts() funnel.StageCounts {
	met, dropped, err := b.table.Packets()
	c := funnel.StageCounts{Layer: "network", Stage: "intercept", In: met, Black: dropped, Passed: met - min(met, dropped)}
	if err != nil {
		c.Errors = 1
	}
	return c
}

func (b *block) off() error { return b.table.Reset(nil) }
func (b *block) close()     {}

// prefixOf reads the address or prefix that a sighting names.
func prefixOf(s *entity.Sighting) (netip.Prefix, error) {
	if s.GetKind() != entity.Kind_ADDRESS {
		return netip.Prefix{}, refused("%s is no address", s.Label())
	}
	if a, err := netip.ParseAddr(s.Text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s.Text)
	if err != nil {
		return p, refused("%q is neither an address nor a prefix", s.Text)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, refused("%s covers all of IPv4", p)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func shown(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
