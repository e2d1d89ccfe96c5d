// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/ledger"
)

// Change is one step in how the judge came to see an incident as it is.
type Change struct {
	Version  int64     `json:"version"`
	Time     time.Time `json:"time"`
	Why      string    `json:"why"`
	Score    float64   `json:"score"`
	Findings int       `json:"findings"`
	Hosts    []string  `json:"hosts"`
}

// Story leads a finding or incident back to its entry and on to its effects.
type Story struct {
	ID      string           `json:"id"`
	Result  string           `json:"result" enum:"found,unknown"`
	Entry   *Entity          `json:"entry,omitempty"`
	Rule    string           `json:"rule,omitempty" doc:"The rule that tied a deed to the entry"`
	Guess   bool             `json:"guess,omitempty"`
	Path    []brain.StoryHop `json:"path" doc:"From the entry to the finding"`
	Effects []brain.StoryHop `json:"effects" doc:"What came of the entry"`
	Text    []string         `json:"text" doc:"The story in sentences"`
}

// IncidentIn names an incident. It is exported, because huma reads no parameters from an
// embedded type that is not.
type IncidentIn struct {
	In
	ID string `path:"id" maxLength:"128" doc:"Its id, or that of one merged into it"`
}

type versioned[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

func (s *Server) incidentOps() {
	const tag = "Incidents"
	type list struct {
		ListIn
		State    string    `query:"state" enum:"open,contained,closed" doc:"As the judge sees it"`
		Status   string    `query:"status" enum:"new,working,solved,ordinary" doc:"As people see it"`
		Host     string    `query:"host" maxLength:"255"`
		Assignee string    `query:"assignee" maxLength:"128"`
		Text     string    `query:"q" maxLength:"256" doc:"In title or id"`
		Score    float64   `query:"score" minimum:"0" maximum:"1" doc:"At least"`
		Since    time.Time `query:"since" doc:"Changed then, and until as well"`
		Until    time.Time `query:"until"`
		Sort     string    `query:"sort" enum:"updated,opened,score" default:"updated"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/incidents", id: "listIncidents", tag: tag, need: access.Read, summary: "List intrusions"},
		func(ctx context.Context, in *list) (*body[Page[Incident]], error) {
			sort := ledger.IncidentSort(in.Sort)
			if in.Sort == "updated" {
				sort = ledger.ByUpdate
			}
			found, next, err := s.back.Incidents(ctx, in.tenant(), ledger.IncidentQuery{
				State: in.State, Status: in.Status, Host: in.Host, Assignee: in.Assignee, Text: in.Text, Score: in.Score,
				Since: in.Since, Until: in.Until, Sort: sort, Page: in.page(),
			})
			return answer(Page[Incident]{each(found, func(x ledger.ListedIncident) Incident { return IncidentOf(x, false) }), next}), err
		})
	incident(s, "", "getIncident", "Show an intrusion with its story", func(ctx context.Context, tenant, id string) (*versioned[Incident], error) {
		x, err := s.back.Incident(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		return whole(x), nil
	})
	incident(s, "/graph", "getIncidentGraph", "The attack graph, from the entry to the effects", func(ctx context.Context, tenant, id string) (*body[*brain.Picture], error) {
		p, err := s.back.Picture(ctx, tenant, id)
		return answer(p), err
	})
	incident(s, "/history", "getIncidentHistory", "How the judge came to see it so", func(ctx context.Context, tenant, id string) (*body[[]Change], error) {
		list, err := s.back.History(ctx, tenant, id)
		return answer(each(list, func(c ledger.Change) Change {
			return Change{Version: c.Version, Time: c.At, Why: c.Why, Score: c.Incident.GetScore(), Findings: len(c.Incident.GetFindings()), Hosts: some(c.Incident.GetHosts())}
		})), err
	})
	incident(s, "/notes", "listNotes", "What people wrote beside it", func(ctx context.Context, tenant, id string) (*body[[]ledger.Note], error) {
		list, err := s.back.Notes(ctx, tenant, id)
		return answer(some(list)), err
	})
	s.incidentChanges(tag)
	register(s, operation{method: http.MethodGet, path: "/v1/trace/{id}", id: "trace", tag: tag, need: access.Read, summary: "Lead a finding or an incident back to its entry", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *IncidentIn) (*body[Story], error) {
			st, err := s.back.Trace(ctx, in.tenant(), in.ID)
			if err != nil {
				return nil, err
			}
			return answer(Story{ID: st.ID, Result: st.Result, Entry: EntityOf(st.Entry), Rule: st.Rule, Guess: st.Guess, Path: some(st.Path), Effects: some(st.Effects), Text: some(st.Text)}), nil
		})
}

func whole(x ledger.ListedIncident) *versioned[Incident] {
	return &versioned[Incident]{fmt.Sprintf(`"%d"`, x.Desk.Version), IncidentOf(x, true)}
}

// incident registers a question about one incident.
func incident[O any](s *Server, path, id, summary string, f func(ctx context.Context, tenant, id string) (*O, error)) {
	register(s, operation{method: http.MethodGet, path: "/v1/incidents/{id}" + path, id: id, tag: "Incidents", need: access.Read, summary: summary, errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *IncidentIn) (*O, error) {
			return f(ctx, in.tenant(), in.ID)
		})
}

func (s *Server) incidentChanges(tag string) {
	type change struct {
		IncidentIn
		IfMatch string `header:"If-Match" doc:"The ETag that the change rests on; instead of version"`
		Body    struct {
			Status   string  `json:"status,omitempty" enum:"new,working,solved,ordinary"`
			Assignee *string `json:"assignee,omitempty" maxLength:"128" doc:"Name of a user; empty: nobody"`
			Version  *int64  `json:"version,omitempty" doc:"The version that the change rests on"`
		}
	}
	register(s, operation{method: http.MethodPatch, path: "/v1/incidents/{id}", id: "changeIncident", tag: tag, need: access.Annotate, summary: "Change status or assignee",
		text: "Name the version that the change rests on; when somebody was faster the answer is 409 and nothing changed.", errors: []int{http.StatusNotFound, http.StatusConflict}},
		func(ctx context.Context, in *change) (*versioned[Incident], error) {
			x, err := s.back.Incident(ctx, in.tenant(), in.ID)
			if err != nil {
				return nil, err
			}
			of := int64(-1)
			if in.Body.Version != nil {
				of = *in.Body.Version
			} else if _, err := fmt.Sscanf(in.IfMatch, `"%d"`, &of); err != nil {
				return nil, huma.Error400BadRequest("the change names no version; send version, or If-Match with the ETag")
			}
			d := x.Desk
			if in.Body.Status != "" {
				d.Status = in.Body.Status
			}
			if in.Body.Assignee != nil {
				d.Assignee = *in.Body.Assignee
			}
			if x, err = s.back.SetDesk(ctx, in.tenant(), x.Id, who(ctx), of, d.Status, d.Assignee); err != nil {
				return nil, err
			}
			return whole(x), nil
		})
	type note struct {
		IncidentIn
		Body struct {
			Text string `json:"text" minLength:"1" maxLength:"16384"`
		}
	}
	register(s, operation{method: http.MethodPost, path: "/v1/incidents/{id}/notes", id: "addNote", tag: tag, need: access.Annotate, status: http.StatusCreated, summary: "Write beside an incident", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *note) (*body[ledger.Note], error) {
			n, err := s.back.AddNote(ctx, in.tenant(), in.ID, who(ctx), in.Body.Text)
			return answer(n), err
		})
}
