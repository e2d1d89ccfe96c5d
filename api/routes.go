// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/brain"
)

// routes is the whole API; a path is the noun of the command line.
func (s *Server) routes() {
	get := func(path string, f func(*http.Request) (any, error)) { s.mux.HandleFunc("GET "+path, answer(f)) }
	post := func(path string, f func(*http.Request) (any, error)) { s.mux.HandleFunc("POST "+path, answer(f)) }
	get("/v1/status", func(r *http.Request) (any, error) { return s.back.Status(r.Context()), nil })
	get("/v1/incidents", func(r *http.Request) (any, error) {
		list, err := s.back.Incidents(r.Context(), tenant(r))
		return messages(list), err
	})
	get("/v1/incidents/{id}", func(r *http.Request) (any, error) {
		return s.back.Incident(r.Context(), tenant(r), r.PathValue("id"))
	})
	get("/v1/trace/{id}", func(r *http.Request) (any, error) {
		return s.back.Trace(r.Context(), tenant(r), r.PathValue("id"))
	})
	get("/v1/actions", func(r *http.Request) (any, error) { return s.back.Actions(r.Context(), tenant(r)) })
	get("/v1/exposure", func(r *http.Request) (any, error) {
		return s.back.Exposure(r.Context(), tenant(r), r.FormValue("host"))
	})
	get("/v1/intel", func(r *http.Request) (any, error) {
		return s.back.Intel(r.Context(), tenant(r), r.FormValue("value"))
	})
	post("/v1/actions/{id}/undo", func(r *http.Request) (any, error) {
		return done{true}, s.back.Undo(r.Context(), tenant(r), r.PathValue("id"), who(r))
	})
	post("/v1/off", func(r *http.Request) (any, error) { return done{true}, s.back.Off(r.Context(), tenant(r), who(r)) })
	post("/v1/enroll", s.enroll)
	s.mux.HandleFunc("GET /v1/findings", s.findings)
	s.mux.HandleFunc("GET /v1/follow", s.follow)
	s.mux.HandleFunc("POST /v1/hunt", s.hunt)
	s.mux.HandleFunc("GET /v1/recording", s.recording)
}

type done struct {
	Done bool `json:"done"`
}

func tenant(r *http.Request) string {
	if t := r.FormValue("tenant"); t != "" {
		return t
	}
	return "default"
}

// messages keeps a list of proto messages as one JSON array.
func messages[M proto.Message](list []M) []any {
	out := make([]any, len(list))
	for i, m := range list {
		out[i] = m
	}
	return out
}

// Problem is RFC 9457's problem detail, the shape of every error.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func fail(w http.ResponseWriter, err error) {
	p := Problem{Title: "internal error", Status: http.StatusInternalServerError, Detail: err.Error()}
	switch {
	case errors.Is(err, brain.ErrNotFound):
		p.Title, p.Status = "not found", http.StatusNotFound
	case errors.Is(err, brain.ErrInput):
		p.Title, p.Status = "bad request", http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r) {
			http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
			return
		}
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		body, err := document(v)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}

func document(v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		return JSON(v)
	}
	raw := make([]json.RawMessage, len(list))
	for i, e := range list {
		b, err := JSON(e)
		if err != nil {
			return nil, err
		}
		raw[i] = b
	}
	return json.Marshal(raw)
}

func (s *Server) enroll(r *http.Request) (any, error) {
	var q struct {
		Host, Group string
		Life        string
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 4096)).Decode(&q); err != nil {
		return nil, fmt.Errorf("%w: %v", brain.ErrInput, err)
	}
	life := time.Hour
	if q.Life != "" {
		d, err := time.ParseDuration(q.Life)
		if err != nil {
			return nil, fmt.Errorf("%w: life: %v", brain.ErrInput, err)
		}
		life = d
	}
	token, err := s.back.Enroll(r.Context(), tenant(r), q.Host, q.Group, life)
	return map[string]string{"join": token}, err
}

func (s *Server) findings(w http.ResponseWriter, r *http.Request) {
	if !allowed(r) {
		http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
		return
	}
	q := brain.FindingQuery{Tenant: tenant(r), Grey: r.FormValue("grey") == "1", Host: r.FormValue("host"), Limit: 1000}
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil && n > 0 {
		q.Limit = n
	}
	if t := r.FormValue("since"); t != "" {
		since, err := time.Parse(time.RFC3339Nano, t)
		if err != nil {
			fail(w, fmt.Errorf("%w: since: %v", brain.ErrInput, err))
			return
		}
		q.Since = since
	}
	list, err := s.back.Findings(r.Context(), q)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, f := range list {
		if b, err := JSON(f); err == nil {
			_, _ = w.Write(append(b, '\n'))
		}
	}
}

// follow streams what changes, one {"finding"|"incident"|"action": …} a line.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	if !allowed(r) {
		http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush, _ := w.(http.Flusher)
	updates := s.back.Follow(r.Context(), tenant(r))
	w.WriteHeader(http.StatusOK)
	flush.Flush()
	for u := range updates {
		line := map[string]json.RawMessage{}
		add := func(name string, v any) {
			if b, err := JSON(v); err == nil {
				line[name] = b
			}
		}
		switch {
		case u.Finding != nil:
			add("finding", u.Finding)
		case u.Incident != nil:
			add("incident", u.Incident)
		case u.Action != nil:
			add("action", u.Action)
		}
		b, err := json.Marshal(line)
		if err != nil {
			continue
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return
		}
		flush.Flush()
	}
}

// hunt streams rows, one JSON array a line, and closes with {"end": …} or
// {"error": …}.
func (s *Server) hunt(w http.ResponseWriter, r *http.Request) {
	if !allowed(r) {
		http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
		return
	}
	var q struct {
		SQL   string
		Rows  int
		Limit string
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil {
		fail(w, fmt.Errorf("%w: %v", brain.ErrInput, err))
		return
	}
	limit := brain.HuntLimit{Rows: q.Rows}
	if d, err := time.ParseDuration(q.Limit); err == nil {
		limit.Time = d
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	end, err := s.back.Hunt(r.Context(), tenant(r), q.SQL, limit, func(row []any) error { return enc.Encode(row) })
	if err != nil {
		_ = enc.Encode(map[string]string{"error": err.Error()})
		return
	}
	_ = enc.Encode(map[string]brain.HuntEnd{"end": end})
}

// recording streams events as event.Recorder writes them. An error in the middle
// breaks the connection, so that a cut recording cannot pass for a whole one.
func (s *Server) recording(w http.ResponseWriter, r *http.Request) {
	if !allowed(r) {
		http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
		return
	}
	since, err := time.Parse(time.RFC3339Nano, r.FormValue("since"))
	if err != nil {
		fail(w, fmt.Errorf("%w: since: %v", brain.ErrInput, err))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := s.back.Record(r.Context(), tenant(r), since, w); err != nil {
		panic(http.ErrAbortHandler)
	}
}
