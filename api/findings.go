// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/ledger"
)

func (s *Server) findingOps() {
	const tag = "Findings"
	type list struct {
		ListIn
		Grey     bool      `query:"grey" doc:"Also what is only context"`
		Host     string    `query:"host" maxLength:"255"`
		Layer    string    `query:"layer" enum:"network,file,behaviour,intel"`
		Stage    string    `query:"stage" maxLength:"64"`
		Rule     string    `query:"rule" maxLength:"256"`
		Incident string    `query:"incident" maxLength:"128"`
		Text     string    `query:"q" maxLength:"256" doc:"In title, rule or id"`
		Since    time.Time `query:"since" doc:"Of the deed, and until as well"`
		Until    time.Time `query:"until"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/findings", id: "listFindings", tag: tag, need: access.Read, summary: "List findings by the time of the deed"},
		func(ctx context.Context, in *list) (*body[Page[Finding]], error) {
			found, next, err := s.back.Findings(ctx, in.tenant(), ledger.FindingQuery{
				Grey: in.Grey, Host: in.Host, Layer: in.Layer, Stage: in.Stage, Rule: in.Rule, Incident: in.Incident, Text: in.Text,
				Since: in.Since, Until: in.Until, Page: in.page(),
			})
			return answer(Page[Finding]{each(found, findingOf), next}), err
		})
	type one struct {
		In
		ID string `path:"id" maxLength:"128"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/findings/{id}", id: "getFinding", tag: tag, need: access.Read, summary: "Show a finding", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *one) (*body[Finding], error) {
			f, err := s.back.Finding(ctx, in.tenant(), in.ID)
			if err != nil {
				return nil, err
			}
			return answer(findingOf(f)), nil
		})
}

func findingOf(f ledger.ListedFinding) Finding { return FindingOf(f.Finding, f.Incident) }
