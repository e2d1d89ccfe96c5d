// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Connection is how often a host and a peer talked over one port.
type Connection struct {
	Host     string
	Own      netip.Addr // the host's address towards that peer
	Inbound  bool       // the peer opened it
	Peer     netip.Addr
	PeerHost string // a host of ours that has this address; empty: none known
	Port     uint16 // of the end that was opened to
	Proto    uint32 // IANA number
	Count    int64
	Bytes    int64 // both ways, where the packet sensor saw them
	First    time.Time
	Last     time.Time
	Programs []string // at the host's end, a few
}

// ConnectionQuery narrows; a zero field does not.
type ConnectionQuery struct {
	Host         string
	Since, Until time.Time
}

// Connections tells who talked to whom, the newest first, without loopback. Hosts of ours
// are known by the addresses that they used themselves; an address that two used, such as
// that of a bridge for containers, names neither. cut tells that there is more.
func (b *Brain) Connections(ctx context.Context, tenant string, q ConnectionQuery) (out []Connection, cut bool, err error) {
	where := "kind IN ('network.connect', 'network.accept', 'network.flow_open', 'network.flow_close') AND src_ip IS NOT NULL"
	if !q.Since.IsZero() {
		where += fmt.Sprintf(" AND time_ns >= %d", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		where += fmt.Sprintf(" AND time_ns <= %d", q.Until.UnixNano())
	}
	sql := `SELECT host, own, inbound, peer, dst_port, proto, count(DISTINCT community_id), sum(bytes), min(time_ns), max(time_ns), list_slice(list_sort(list(DISTINCT exe) FILTER (exe IS NOT NULL)), 1, 4)
FROM (SELECT host, inbound, CASE WHEN inbound THEN dst_ip ELSE src_ip END AS own, CASE WHEN inbound THEN src_ip ELSE dst_ip END AS peer, dst_port, proto, community_id,
CASE WHEN kind = 'network.flow_close' THEN coalesce(bytes_src, 0) + coalesce(bytes_dst, 0) ELSE 0 END AS bytes, time_ns, exe FROM events WHERE ` + where + `)
WHERE peer NOT LIKE '127.%' AND peer <> '::1' GROUP BY host, own, inbound, peer, dst_port, proto ORDER BY max(time_ns) DESC, host, peer, dst_port`
	owner := map[netip.Addr]string{}
	cut, err = b.ask(ctx, tenant, sql, func(row []any) error {
		c := Connection{
			Host: textOf(row[0]), Inbound: truthOf(row[2]), Port: uint16(numberOf(row[4])), Proto: uint32(numberOf(row[5])),
			Count: numberOf(row[6]), Bytes: numberOf(row[7]), First: wallOf(numberOf(row[8])), Last: wallOf(numberOf(row[9])), Programs: textsOf(row[10]),
		}
		c.Own, _ = netip.ParseAddr(textOf(row[1]))
		c.Peer, _ = netip.ParseAddr(textOf(row[3]))
		if known, met := owner[c.Own]; met && known != c.Host {
			owner[c.Own] = ""
		} else if c.Own.IsValid() && !c.Own.IsUnspecified() {
			owner[c.Own] = c.Host
		}
		out = append(out, c)
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("connections: %w", err)
	}
	keep := out[:0]
	for _, c := range out {
		c.PeerHost = owner[c.Peer]
		if q.Host == "" || c.Host == q.Host || c.PeerHost == q.Host {
			keep = append(keep, c)
		}
	}
	return keep, cut, nil
}
