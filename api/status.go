// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
)

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

func (s *Server) intelOps() {
	type lookup struct {
		In
		Value string `query:"value" required:"true" minLength:"1" maxLength:"4096" doc:"An address, domain, URL, hash or fingerprint"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/intel", id: "lookup", tag: "Intel", need: access.Read, summary: "What is known of an address, domain, URL, hash or fingerprint"},
		func(ctx context.Context, in *lookup) (*body[brain.IntelAnswer], error) {
			a, err := s.back.Intel(ctx, in.tenant(), in.Value)
			return answer(a), err
		})
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
