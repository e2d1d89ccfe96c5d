// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// Beat is sent while nothing happens, so that a broken connection shows.
type Beat struct {
	Time time.Time `json:"time"`
}

// beatEvery keeps proxies from closing a quiet stream.
const beatEvery = 15 * time.Second

// followOp streams what changes.
func (s *Server) followOp() {
	op := s.describe(operation{method: http.MethodGet, path: "/v1/follow", id: "follow", tag: "Findings", need: access.Read, summary: "Findings, incidents and actions as they happen (server-sent events)",
		text: "A follower that lags a thousand updates behind misses the next ones; lists have all."})
	sse.Register(s.api, op, map[string]any{"finding": Finding{}, "incident": Incident{}, "action": Action{}, "beat": Beat{}}, func(ctx context.Context, in *In, send sse.Sender) {
		updates := s.back.Follow(ctx, in.tenant())
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		_ = send.Data(Beat{time.Now().UTC()})
		for {
			var err error
			select {
			case u, ok := <-updates:
				switch {
				case !ok:
					return
				case u.Finding != nil:
					err = send.Data(FindingOf(u.Finding, ""))
				case u.Incident != nil:
					err = send.Data(s.listed(ctx, in.tenant(), u.Incident))
				case u.Action != nil:
					err = send.Data(ActionOf(u.Action))
				}
			case now := <-tick.C:
				// Who was logged out, or may less by now, hears no more.
				if p, lost := s.guard.Recheck(ctx, in.as); lost != nil || !p.May(access.Read) {
					return
				}
				err = send.Data(Beat{now.UTC()})
			}
			if err != nil {
				return
			}
		}
	})
}

// listed is an incident as lists show it. It may be told before the ledger has it.
func (s *Server) listed(ctx context.Context, tenant string, inc *verdict.Incident) Incident {
	x := ledger.ListedIncident{Incident: inc}
	if known, err := s.back.Incident(ctx, tenant, inc.Id); err == nil {
		x.Desk = known.Desk
	}
	return IncidentOf(x, false)
}
