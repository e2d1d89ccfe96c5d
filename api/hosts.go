// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/ledger"
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

// AuditEntry is one link of the audit chain.
type AuditEntry struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`
	Verb   string    `json:"verb"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
	Hash   string    `json:"hash" doc:"SHA-256 over the link before and this one, hex"`
}

// Invitation lets one host join.
type Invitation struct {
	Join string `json:"join" doc:"TOKEN@HOST:PORT, good for one use"`
}

func (s *Server) statusOps() {
	register(s, operation{method: http.MethodGet, path: "/v1/status", id: "getStatus", tag: "Hosts", need: access.Read, summary: "The whole on one page: components, hosts, losses, counts"},
		func(ctx context.Context, in *In) (*body[brain.Status], error) {
			st := s.back.Status(ctx)
			mine := st.Hosts[:0:0]
			for _, h := range st.Hosts {
				if h.Tenant == in.tenant() || in.as.Via == access.ViaSocket {
					mine = append(mine, h)
				}
			}
			st.Hosts = mine
			return answer(st), nil
		})
	s.followOp()
}

func (s *Server) hostOps() {
	type exposed struct {
		In
		Host string `query:"host" maxLength:"255" doc:"Absent: all"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/exposure", id: "getExposure", tag: "Network", need: access.Read, summary: "What each host was learned to offer and to use"},
		func(ctx context.Context, in *exposed) (*body[[]Exposed], error) {
			list, err := s.back.Exposure(ctx, in.tenant(), in.Host)
			return answer(each(list, exposedOf)), err
		})
	type lookup struct {
		In
		Value string `query:"value" required:"true" minLength:"1" maxLength:"4096" doc:"An address, domain, URL, hash or fingerprint"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/intel", id: "lookup", tag: "Intel", need: access.Read, summary: "What is known of an address, domain, URL, hash or fingerprint"},
		func(ctx context.Context, in *lookup) (*body[brain.IntelAnswer], error) {
			a, err := s.back.Intel(ctx, in.tenant(), in.Value)
			return answer(a), err
		})
	type enroll struct {
		In
		Body struct {
			Host  string `json:"host,omitempty" maxLength:"255" doc:"Only a host of this name may use it"`
			Group string `json:"group,omitempty" maxLength:"64" default:"default"`
			Life  string `json:"life,omitempty" default:"1h" doc:"How long the invitation is good, such as 1h"`
		}
	}
	register(s, operation{method: http.MethodPost, path: "/v1/enroll", id: "enroll", tag: "Hosts", need: access.Administer, status: http.StatusCreated, summary: "Invite a host to join"},
		func(ctx context.Context, in *enroll) (*body[Invitation], error) {
			life, err := time.ParseDuration(in.Body.Life)
			if err != nil {
				return nil, huma.Error400BadRequest("life: " + err.Error())
			}
			token, err := s.back.Enroll(ctx, in.tenant(), in.Body.Host, in.Body.Group, life)
			return answer(Invitation{token}), err
		})
	s.bundleOp()
}

// bundleOp gives what a group's agents work from, for hosts that no bus reaches.
func (s *Server) bundleOp() {
	type which struct {
		In
		Group string `query:"group" maxLength:"64" default:"default"`
	}
	op := s.describe(operation{method: http.MethodGet, path: "/v1/bundle", id: "getBundle", tag: "Hosts", need: access.Administer, summary: "The newest signed bundle of a group of hosts, as a file"})
	op.Responses = map[string]*huma.Response{"200": {Description: "A bundle", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *which) (*huma.StreamResponse, error) {
		raw, err := s.back.Bundle(ctx, in.tenant(), in.Group)
		if err != nil {
			return nil, s.problem(ctx, op.OperationID, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", "application/octet-stream")
			_, _ = c.BodyWriter().Write(raw)
		}}, nil
	})
}

func (s *Server) auditOps() {
	type tail struct {
		In
		Limit int `query:"limit" minimum:"1" maximum:"10000" default:"200"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/audit", id: "listAudit", tag: "Audit", need: access.Administer, summary: "The newest entries of the audit chain, newest first"},
		func(ctx context.Context, in *tail) (*body[[]AuditEntry], error) {
			list, err := s.back.AuditTail(ctx, in.tenant(), in.Limit)
			return answer(each(list, func(e ledger.Entry) AuditEntry {
				return AuditEntry{Seq: e.Seq, Time: e.At, Actor: e.Actor, Verb: e.Verb, Object: e.Object, Detail: e.Detail, Hash: e.Hash}
			})), err
		})
}
