// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/identity"
)

// Invitation lets one host join.
type Invitation struct {
	Join string `json:"join" doc:"TOKEN@HOST:PORT, good for one use"`
}

// Join is an invitation that has not expired, without its secret.
type Join struct {
	ID      string    `json:"id" doc:"The beginning of its secret's hash"`
	Group   string    `json:"group"`
	Host    string    `json:"host,omitempty" doc:"Only a host of this name may use it"`
	By      string    `json:"by,omitempty" doc:"Who made it"`
	Made    time.Time `json:"made,omitzero"`
	Expires time.Time `json:"expires"`
	Used    string    `json:"used,omitempty" doc:"The host that joined by it"`
}

func joinOf(j identity.OpenJoin) Join {
	return Join{ID: j.ID, Group: string(j.Group), Host: string(j.Host), By: j.By, Made: j.Made, Expires: j.Expires, Used: string(j.As)}
}

func (s *Server) enrolOps() {
	const tag = "Hosts"
	type enroll struct {
		In
		Body struct {
			Host  string `json:"host,omitempty" maxLength:"255" doc:"Only a host of this name may use it"`
			Group string `json:"group,omitempty" maxLength:"64" default:"default"`
			Life  string `json:"life,omitempty" default:"1h" doc:"How long the invitation is good, such as 1h"`
		}
	}
	register(s, operation{method: http.MethodPost, path: "/v1/enroll", id: "enroll", tag: tag, need: access.Administer, status: http.StatusCreated, summary: "Invite a host to join"},
		func(ctx context.Context, in *enroll) (*body[Invitation], error) {
			life, err := time.ParseDuration(in.Body.Life)
			if err != nil {
				return nil, huma.Error400BadRequest("life: " + err.Error())
			}
			token, err := s.back.Enroll(ctx, in.tenant(), who(ctx), in.Body.Host, in.Body.Group, life)
			return answer(Invitation{token}), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/joins", id: "listJoins", tag: tag, need: access.Administer, summary: "List the invitations that have not expired"},
		func(ctx context.Context, in *In) (*body[[]Join], error) {
			list, err := s.back.Joins(ctx, in.tenant())
			return answer(each(list, joinOf)), err
		})
	type dropped struct {
		In
		ID string `path:"id" maxLength:"64"`
	}
	register(s, operation{method: http.MethodDelete, path: "/v1/joins/{id}", id: "dropJoin", tag: tag, need: access.Administer, status: http.StatusOK, summary: "End an invitation before its time",
		text: "A host that joined by it stays in: revoke that host.", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *dropped) (*body[Done], error) {
			return answer(Done{true}), s.back.DropJoin(ctx, in.tenant(), in.ID, who(ctx))
		})
	register(s, operation{method: http.MethodDelete, path: "/v1/hosts/{host}/enrolment", id: "revokeHost", tag: tag, need: access.Administer, status: http.StatusOK, summary: "End a host's right to the bus",
		text: "Its agent is cut off at once and keeps working from its last bundle; to come back it joins anew.", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *HostIn) (*body[Done], error) {
			return answer(Done{true}), s.back.Revoke(ctx, in.tenant(), in.Host, who(ctx))
		})
}
