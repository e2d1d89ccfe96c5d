// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/ledger"
)

// HuntEnd closes the rows of a hunt.
type HuntEnd struct {
	Columns   []string `json:"columns"`
	Rows      int      `json:"rows"`
	Truncated bool     `json:"truncated"`
	ElapsedMs float64  `json:"elapsed_ms"`
}

const ndjson = "application/x-ndjson"

func (s *Server) huntOps() {
	const tag = "Hunt"
	type hunt struct {
		In
		Body struct {
			SQL     string  `json:"sql" minLength:"1" maxLength:"32768"`
			Rows    int     `json:"rows,omitempty" minimum:"1" maximum:"1000000" default:"10000" doc:"Most rows"`
			Seconds float64 `json:"seconds,omitempty" exclusiveMinimum:"0" maximum:"600" default:"60" doc:"Most time"`
		}
	}
	o := operation{method: http.MethodPost, path: "/v1/hunt", id: "hunt", tag: tag, need: access.Read, summary: "Ask the archive in SQL",
		text: "Answers line by line: one JSON array a row, then {\"end\": …} or {\"error\": …}. The engine sees only the tenant's events and can change nothing. What shows events whole (the view raw) needs the permission raw besides, and each such hunt stands in the audit chain."}
	op := s.describe(o)
	op.Responses = map[string]*huma.Response{"200": {Description: "Rows", Content: map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *hunt) (*huma.StreamResponse, error) {
		limit := brain.HuntLimit{Rows: in.Body.Rows, Time: time.Duration(in.Body.Seconds * float64(time.Second)), Raw: in.as.May(access.Raw)}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", ndjson)
			enc := json.NewEncoder(c.BodyWriter())
			end, err := s.back.Hunt(ctx, in.tenant(), who(ctx), in.Body.SQL, limit, func(row []any) error { return enc.Encode(row) })
			if err != nil {
				_ = enc.Encode(map[string]string{"error": err.Error()})
				return
			}
			_ = enc.Encode(map[string]HuntEnd{"end": {some(end.Columns), end.Rows, end.Truncated, float64(end.Elapsed.Microseconds()) / 1000}})
		}}, nil
	})
	register(s, operation{method: http.MethodGet, path: "/v1/hunts/schema", id: "getHuntSchema", tag: tag, need: access.Read, summary: "Tell what a hunt can ask: views, columns and their meaning"},
		func(ctx context.Context, in *In) (*body[[]brain.HuntView], error) {
			views, err := s.back.HuntSchema(ctx, in.tenant())
			return answer(some(views)), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/hunts", id: "listHunts", tag: tag, need: access.Read, summary: "List saved hunts"},
		func(ctx context.Context, in *In) (*body[[]ledger.Hunt], error) {
			list, err := s.back.Hunts(ctx, in.tenant())
			return answer(some(list)), err
		})
	type save struct {
		In
		Body struct {
			ID    string `json:"id,omitempty" maxLength:"64" doc:"Of the one to change; absent: a new one"`
			Name  string `json:"name" minLength:"1" maxLength:"200"`
			Query string `json:"query" minLength:"1" maxLength:"32768"`
		}
	}
	register(s, operation{method: http.MethodPost, path: "/v1/hunts", id: "saveHunt", tag: tag, need: access.Annotate, summary: "Save a hunt"},
		func(ctx context.Context, in *save) (*body[ledger.Hunt], error) {
			h, err := s.back.SaveHunt(ctx, in.tenant(), who(ctx), ledger.Hunt{ID: in.Body.ID, Name: in.Body.Name, Query: in.Body.Query})
			return answer(h), err
		})
	type drop struct {
		In
		ID string `path:"id" maxLength:"64"`
	}
	register(s, operation{method: http.MethodDelete, path: "/v1/hunts/{id}", id: "dropHunt", tag: tag, need: access.Annotate, status: http.StatusOK, summary: "Forget a saved hunt", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *drop) (*body[Done], error) {
			return answer(Done{true}), s.back.DropHunt(ctx, in.tenant(), who(ctx), in.ID)
		})
	s.recordingOp(tag)
}

// recordingOp streams events as event.Recorder writes them. An error in the middle
// breaks the connection, so that a cut recording cannot pass for a whole one.
func (s *Server) recordingOp(tag string) {
	type recording struct {
		In
		Since time.Time `query:"since" required:"true"`
	}
	op := s.describe(operation{method: http.MethodGet, path: "/v1/recording", id: "record", tag: tag, need: access.Administer, summary: "Take a recording of the events since a moment, for replay", text: "It holds events whole: it needs the permission raw besides, and stands in the audit chain."})
	op.Responses = map[string]*huma.Response{"200": {Description: "A recording", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *recording) (*huma.StreamResponse, error) {
		if err := access.Require(in.as, access.Raw); err != nil {
			return nil, s.problem(ctx, op.OperationID, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", "application/octet-stream")
			if err := s.back.Record(ctx, in.tenant(), who(ctx), in.Since, c.BodyWriter()); err != nil {
				s.log.Warn("recording broken off", "error", err)
				panic(http.ErrAbortHandler)
			}
		}}, nil
	})
}
