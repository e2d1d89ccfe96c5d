// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/ledger"
)

// ActionDetail is an action with its steps.
type ActionDetail struct {
	Action
	Steps []ActionStep `json:"steps"`
}

// ActionStep is one state it went through.
type ActionStep struct {
	Time   time.Time `json:"time"`
	State  string    `json:"state"`
	Result string    `json:"result,omitempty"`
}

type actionIn struct {
	In
	ID string `path:"id" maxLength:"128"`
}

func (s *Server) actionOps() {
	const tag = "Response"
	type list struct {
		ListIn
		Host     string    `query:"host" maxLength:"255"`
		Incident string    `query:"incident" maxLength:"128"`
		Kind     string    `query:"kind" maxLength:"64"`
		State    []string  `query:"state" maxItems:"8" enum:"ordered,shadowed,done,verified,refused,failed,undone,expired"`
		Since    time.Time `query:"since" doc:"Ordered then, and until as well"`
		Until    time.Time `query:"until"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/actions", id: "listActions", tag: tag, need: access.Read, summary: "List what was ordered and where it stands"},
		func(ctx context.Context, in *list) (*body[Page[Action]], error) {
			found, next, err := s.back.Actions(ctx, in.tenant(), ledger.ActionQuery{
				Host: in.Host, Incident: in.Incident, Kind: action.Kind(in.Kind), Since: in.Since, Until: in.Until, Page: in.page(),
				States: each(in.State, func(v string) action.State { return action.State(v) }),
			})
			return answer(Page[Action]{each(found, func(r action.Record) Action { return ActionOf(&r) }), next}), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/actions/{id}", id: "getAction", tag: tag, need: access.Read, summary: "Show an action with its steps", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *actionIn) (*body[ActionDetail], error) {
			rec, steps, err := s.back.Action(ctx, in.tenant(), in.ID)
			if err != nil {
				return nil, err
			}
			return answer(ActionDetail{ActionOf(rec), each(steps, func(x ledger.ActionStep) ActionStep {
				return ActionStep{Time: x.At, State: string(x.State), Result: x.Result}
			})}), nil
		})
	register(s, operation{method: http.MethodPost, path: "/v1/actions/{id}/undo", id: "undoAction", tag: tag, need: access.Respond, status: http.StatusAccepted, summary: "Take an action back",
		text: "The host does it and reports; the action's state tells when.", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *actionIn) (*body[Done], error) {
			return answer(Done{true}), s.back.Undo(ctx, in.tenant(), in.ID, who(ctx))
		})
	register(s, operation{method: http.MethodPost, path: "/v1/off", id: "off", tag: tag, need: access.Respond, status: http.StatusAccepted, summary: "Ask every host to take everything back"},
		func(ctx context.Context, in *In) (*body[Done], error) {
			return answer(Done{true}), s.back.Off(ctx, in.tenant(), who(ctx))
		})
}
