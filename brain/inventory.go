// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// Item is one thing that a host has, as its inventory sensor told it last.
type Item struct {
	Kind    string // listener, connection, package, user, container
	Name    string
	Version string
	Detail  string
	Told    time.Time // when it came, or changed
	Proto   uint32    // of listener and connection, IANA number
	Source  netip.AddrPort
	Target  netip.AddrPort // where it listens, or what it talks to
	Process *entity.Process
}

// InventoryKinds are the kinds of items.
var InventoryKinds = []string{"listener", "connection", "package", "user", "container"}

// inventoryRows narrows to the rows that can hold a kind: the archive has no column for it, but
// listeners have one address, connections two, and the rest none.
var inventoryRows = map[string]string{
	"listener": "src_ip IS NULL AND dst_ip IS NOT NULL", "connection": "src_ip IS NOT NULL",
	"package": "dst_ip IS NULL", "user": "dst_ip IS NULL", "container": "dst_ip IS NULL",
}

// Inventory is what a host has of a kind, by name. The sensor tells all when it starts and
// what changes afterwards, so what is older than its newest start is not there any more.
// cut tells that there is more than is listed.
func (b *Brain) Inventory(ctx context.Context, tenant, host, kind string) (items []Item, cut bool, err error) {
	rows := inventoryRows[kind]
	if rows == "" {
		return nil, false, fmt.Errorf("%w: inventory kind %q; want one of %s", ErrInput, kind, strings.Join(InventoryKinds, ", "))
	}
	sql := fmt.Sprintf(`WITH told AS (SELECT time_ns, state, lag(state) OVER (ORDER BY epoch, seq) AS before FROM events WHERE host = %[1]s AND kind = 'state' AND title = 'sensor.inventory')
SELECT arg_max(event, seq) FROM raw WHERE host = %[1]s AND kind = 'inventory' AND %[2]s
AND time_ns >= coalesce((SELECT max(time_ns) FROM told WHERE state = 'on' AND before IS DISTINCT FROM 'degraded'), 0) GROUP BY title, detail`, quoted(host), rows)
	told, cut, err := b.events(ctx, tenant, sql)
	if err != nil {
		return nil, false, fmt.Errorf("inventory of %s: %w", host, err)
	}
	newest := map[string]*event.Event{}
	for _, ev := range told {
		if kindOf(ev) != kind {
			continue
		}
		k := inventoryKey(ev.GetInventory())
		if old := newest[k]; old == nil || cmp.Or(cmp.Compare(old.Epoch, ev.Epoch), cmp.Compare(old.Seq, ev.Seq)) < 0 {
			newest[k] = ev
		}
	}
	for _, ev := range newest {
		if ev.GetInventory().Gone {
			continue
		}
		items = append(items, itemOf(ev))
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Detail, b.Detail)) })
	return items, cut, nil
}

func kindOf(ev *event.Event) string { return strings.ToLower(ev.GetInventory().GetKind().String()) }

// inventoryKey is what stays the same while a thing changes: a package its version, a user
// their shell. A listener is another one with another program.
func inventoryKey(i *event.Inventory) string {
	switch i.Kind {
	case event.Inventory_PACKAGE: // its detail is the architecture
		return i.Name + "\x00" + i.Detail
	case event.Inventory_LISTENER:
		return i.Name + "\x00" + i.Detail
	}
	return i.Name
}

func itemOf(ev *event.Event) Item {
	i := ev.GetInventory()
	it := Item{Kind: kindOf(ev), Name: i.Name, Version: i.Version, Detail: i.Detail, Told: ev.Wall().UTC(), Process: ev.Actor}
	if f := i.Flow; f != nil {
		it.Proto, it.Source, it.Target = f.Proto, f.Src(), f.Dst()
	}
	return it
}
