// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/network/exposure"
)

// Exposed is one thing that a host was learned to offer or to use.
type Exposed struct {
	Host     string    `json:"host"`
	Inbound  bool      `json:"inbound"`
	Proto    uint32    `json:"proto" doc:"IANA protocol number"`
	Port     uint32    `json:"port"`
	Peer     string    `json:"peer" doc:"Prefix, /24 or /64; 0.0.0.0/0 inbound from public addresses"`
	Count    uint64    `json:"count"`
	Days     int       `json:"days" doc:"Different days it was seen on"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Learned  bool      `json:"learned" doc:"Seen while the host was only watched"`
	Sureness float64   `json:"sureness" doc:"Lower Wilson bound of the share of days it was seen on"`
}

func exposedOf(e exposure.Entry) Exposed {
	return Exposed{
		Host: e.Host, Inbound: e.Inbound, Proto: e.Proto, Port: e.Port, Peer: e.Peer.String(), Count: e.Count, Days: e.Days,
		First: e.First, Last: e.Last, Learned: e.Learned, Sureness: e.Sureness,
	}
}

func (e Exposed) id() string {
	return fmt.Sprintf("%s %t %d %d %s", e.Host, e.Inbound, e.Proto, e.Port, e.Peer)
}

// ExposureSum is what enforcing the learned policy would mean for one host. Nothing
// enforces it yet.
type ExposureSum struct {
	Host     string    `json:"host"`
	Since    time.Time `json:"since,omitzero" doc:"First connection seen"`
	Learning bool      `json:"learning" doc:"It is only watched still"`
	Until    time.Time `json:"until,omitzero" doc:"When that ends"`
	Inbound  int       `json:"inbound" doc:"Things learned that it offers"`
	Outbound int       `json:"outbound" doc:"Things learned that it uses"`
	Outside  int       `json:"outside" doc:"Things it did after learning and never before: the policy would have cut them at first"`
	Cut      uint64    `json:"cut" doc:"Connections of those"`
	Spared   uint64    `json:"spared" doc:"Connections that the policy would have let through"`
}

// Connection is how often a host and a peer talked over one port.
type Connection struct {
	ID       string    `json:"id"`
	Host     string    `json:"host"`
	Own      string    `json:"own,omitempty" doc:"The host's address towards that peer"`
	Inbound  bool      `json:"inbound" doc:"The peer opened it"`
	Peer     string    `json:"peer"`
	PeerHost string    `json:"peer_host,omitempty" doc:"Host of ours with that address"`
	Port     uint16    `json:"port" doc:"Of the end that was opened to"`
	Proto    uint32    `json:"proto" doc:"IANA protocol number"`
	Count    int64     `json:"count" doc:"Conversations"`
	Bytes    int64     `json:"bytes" doc:"Both ways, where the packet sensor saw them"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Programs []string  `json:"programs" doc:"At the host's end, a few"`
}

func connectionOf(c brain.Connection) Connection {
	out := Connection{
		Host: c.Host, Inbound: c.Inbound, PeerHost: c.PeerHost, Port: c.Port, Proto: c.Proto, Count: c.Count, Bytes: c.Bytes,
		First: c.First, Last: c.Last, Programs: some(c.Programs),
	}
	if c.Own.IsValid() {
		out.Own = c.Own.String()
	}
	if c.Peer.IsValid() {
		out.Peer = c.Peer.String()
	}
	out.ID = fmt.Sprintf("%s %s %t %s %d %d", out.Host, out.Own, out.Inbound, out.Peer, out.Port, out.Proto)
	return out
}

// Connections is a page of who talked to whom.
type Connections struct {
	Page[Connection]
	Cut bool `json:"cut" doc:"There is more than is listed: narrow the time"`
}

func (s *Server) networkOps() {
	const tag = "Network"
	type exposed struct {
		ListIn
		Host    string `query:"host" maxLength:"255" doc:"Absent: all"`
		Text    string `query:"q" maxLength:"128" doc:"In host, peer or port"`
		Side    string `query:"side" enum:"in,out"`
		Learned string `query:"learned" enum:"true,false"`
		Sort    string `query:"sort" enum:"sureness,count,last,first,port" default:"last"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/exposure", id: "listExposure", tag: tag, need: access.Read, summary: "List what each host was learned to offer and to use"},
		func(ctx context.Context, in *exposed) (*body[Page[Exposed]], error) {
			list, err := s.back.Exposure(ctx, in.tenant(), in.Host)
			if err != nil {
				return nil, err
			}
			all := each(list, exposedOf)
			all = slices.DeleteFunc(all, func(e Exposed) bool {
				return in.Side != "" && e.Inbound != (in.Side == "in") || in.Learned != "" && e.Learned != (in.Learned == "true") ||
					in.Text != "" && !strings.Contains(strings.ToLower(fmt.Sprintf("%s %s %d", e.Host, e.Peer, e.Port)), strings.ToLower(in.Text))
			})
			page, err := window(all, in.ListIn, func(e Exposed) place {
				key := map[string]string{"sureness": fmt.Sprintf("%.9f", e.Sureness), "count": number(e.Count), "last": moment(e.Last), "first": moment(e.First), "port": number(uint64(e.Port))}[in.Sort]
				return place{key, e.id()}
			})
			return answer(page), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/exposure/hosts", id: "listExposureSums", tag: tag, need: access.Read, summary: "Tell for each host what its learned policy would have cut and spared"},
		func(ctx context.Context, in *In) (*body[[]ExposureSum], error) {
			list, err := s.back.ExposureSums(ctx, in.tenant())
			return answer(each(list, func(x brain.ExposureSum) ExposureSum {
				return ExposureSum{Host: x.Host, Since: x.Since, Learning: x.Learning, Until: x.Until, Inbound: x.Inbound, Outbound: x.Outbound, Outside: x.Outside, Cut: x.Cut, Spared: x.Spared}
			})), err
		})
	type connections struct {
		ListIn
		Host  string    `query:"host" maxLength:"255" doc:"At either end; absent: all"`
		Text  string    `query:"q" maxLength:"128" doc:"In host, peer, port or program"`
		Side  string    `query:"side" enum:"in,out"`
		Peers string    `query:"peers" enum:"own,other" doc:"own: between hosts of ours"`
		Since time.Time `query:"since" doc:"Absent: the last 24 hours"`
		Until time.Time `query:"until"`
		Sort  string    `query:"sort" enum:"last,first,count,bytes" default:"last"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/connections", id: "listConnections", tag: tag, need: access.Read, summary: "List who talked to whom, over which port, how often",
		text: "Read from the archive; needs the engine of hunts."},
		func(ctx context.Context, in *connections) (*body[Connections], error) {
			q := brain.ConnectionQuery{Host: in.Host, Since: in.Since, Until: in.Until}
			if q.Since.IsZero() && in.Until.IsZero() {
				q.Since = time.Now().Add(-24 * time.Hour)
			}
			list, cut, err := s.back.Connections(ctx, in.tenant(), q)
			if err != nil {
				return nil, err
			}
			all := each(list, connectionOf)
			text := strings.ToLower(in.Text)
			all = slices.DeleteFunc(all, func(c Connection) bool {
				return in.Side != "" && c.Inbound != (in.Side == "in") || in.Peers != "" && (c.PeerHost != "") != (in.Peers == "own") ||
					text != "" && !strings.Contains(strings.ToLower(fmt.Sprintf("%s %s %s %d %s", c.Host, c.Peer, c.PeerHost, c.Port, strings.Join(c.Programs, " "))), text)
			})
			page, err := window(all, in.ListIn, func(c Connection) place {
				key := map[string]string{"last": moment(c.Last), "first": moment(c.First), "count": number(c.Count), "bytes": number(c.Bytes)}[in.Sort]
				return place{key, c.ID}
			})
			return answer(Connections{page, cut}), err
		})
}
