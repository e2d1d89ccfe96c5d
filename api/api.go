// SPDX-License-Identifier: Apache-2.0

// Package api is the one door for people and programs: operations over HTTP with an
// OpenAPI 3.1 document made from their types. The command line uses nothing
// else, and a console will not.
//
// In come requests, over the host's unix socket from root and the owner, and over TCP
// from whom package access lets in; out go the words of words.go. It believes the
// principal that the transport put into the context, and asks it before every
// operation.
//
// The worst trap: an operation that names no permission. Register refuses it, so that
// nothing is open by being forgotten.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/network/exposure"
)

// Backend is what the API asks. Its errors wrap brain.ErrNotFound, brain.ErrInput or
// ledger.ErrChanged where the request is at fault.
type Backend interface {
	Tenants() []string
	Status(ctx context.Context) brain.Status
	Overview(ctx context.Context, tenant string, since, until time.Time, step time.Duration) (brain.Overview, error)
	Funnels(ctx context.Context, tenant string) []brain.Funnel
	Follow(ctx context.Context, tenant string) <-chan brain.Update

	Findings(ctx context.Context, tenant string, q ledger.FindingQuery) ([]ledger.ListedFinding, string, error)
	Finding(ctx context.Context, tenant, id string) (ledger.ListedFinding, error)

	Incidents(ctx context.Context, tenant string, q ledger.IncidentQuery) ([]ledger.ListedIncident, string, error)
	Incident(ctx context.Context, tenant, id string) (ledger.ListedIncident, error)
	History(ctx context.Context, tenant, id string) ([]ledger.Change, error)
	Picture(ctx context.Context, tenant, id string) (*brain.Picture, error)
	Trace(ctx context.Context, tenant, id string) (*brain.Story, error)
	SetDesk(ctx context.Context, tenant, id, who string, of int64, status, assignee string) (ledger.ListedIncident, error)
	Notes(ctx context.Context, tenant, incident string) ([]ledger.Note, error)
	AddNote(ctx context.Context, tenant, id, who, text string) (ledger.Note, error)

	Actions(ctx context.Context, tenant string, q ledger.ActionQuery) ([]action.Record, string, error)
	Action(ctx context.Context, tenant, id string) (*action.Record, []ledger.ActionStep, error)
	Undo(ctx context.Context, tenant, id, who string) error
	Off(ctx context.Context, tenant, who string) error

	Hunt(ctx context.Context, tenant, who, sql string, limit brain.HuntLimit, row func([]any) error) (brain.HuntEnd, error)
	HuntSchema(ctx context.Context, tenant string) ([]brain.HuntView, error)
	Hunts(ctx context.Context, tenant string) ([]ledger.Hunt, error)
	SaveHunt(ctx context.Context, tenant, who string, h ledger.Hunt) (ledger.Hunt, error)
	DropHunt(ctx context.Context, tenant, who, id string) error
	Record(ctx context.Context, tenant, who string, since time.Time, w io.Writer) error

	Intel(ctx context.Context, tenant, value string) (brain.IntelAnswer, error)
	Exposure(ctx context.Context, tenant, host string) ([]exposure.Entry, error)
	ExposureSums(ctx context.Context, tenant string) ([]brain.ExposureSum, error)
	Connections(ctx context.Context, tenant string, q brain.ConnectionQuery) ([]brain.Connection, bool, error)
	Files(ctx context.Context, tenant string, q brain.FileQuery) ([]brain.File, bool, error)

	Hosts(ctx context.Context, tenant string) ([]brain.Host, error)
	Host(ctx context.Context, tenant, name string) (brain.Host, error)
	Inventory(ctx context.Context, tenant, host, kind string) ([]brain.Item, bool, error)
	Programs(ctx context.Context, tenant, host string, q brain.ProcessQuery) ([]brain.Life, string, error)
	ProcessTree(ctx context.Context, tenant, host, id string) ([]brain.Life, bool, error)
	Revoke(ctx context.Context, tenant, host, who string) error
	Enroll(ctx context.Context, tenant, who, host, group string, life time.Duration) (string, error)
	Joins(ctx context.Context, tenant string) ([]identity.OpenJoin, error)
	DropJoin(ctx context.Context, tenant, id, who string) error
	Bundle(ctx context.Context, tenant, group string) ([]byte, error)

	Rules(ctx context.Context, tenant string) ([]brain.Rule, error)
	RuleText(ctx context.Context, tenant, id string) (brain.Rule, string, error)
	SaveRule(ctx context.Context, tenant, who, text string) (string, error)
	DropRule(ctx context.Context, tenant, who, id string) error
	Backtest(ctx context.Context, tenant string, q brain.BacktestQuery, match func(brain.BacktestMatch) error, progress func(brain.BacktestState) error) (brain.BacktestState, error)

	Audit(ctx context.Context, tenant string, q ledger.AuditQuery) ([]ledger.Entry, string, error)
	VerifyAudit(ctx context.Context, tenant string, known ledger.Head) (ledger.Head, error)
}

// Server answers the API. Safe for many goroutines.
type Server struct {
	back  Backend
	guard *access.Guard
	log   *slog.Logger
	mux   *http.ServeMux
	api   huma.API

	settings func() ([]Setting, error) // nil: none are shown
}

// Title of the document.
const Title = "Ringwall API"

// New joins the API to a brain and to the guard that knows people. Version is the
// product's.
func New(back Backend, guard *access.Guard, version string, log *slog.Logger) *Server {
	s := &Server{back: back, guard: guard, log: log, mux: http.NewServeMux()}
	config := huma.DefaultConfig(Title, version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/v1/openapi", "", ""
	config.CreateHooks = nil // no $schema links: answers name no place
	config.Info.Description = "Findings, incidents, actions and everything else that Ringwall knows. Times are RFC 3339 in UTC; lists go by cursor: pass `next` as `after`. Errors are RFC 9457 problems."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "An API token, see POST /v1/tokens"},
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-ringwall", Description: "A log-in; changes also need the header X-Ringwall-CSRF"},
	}
	s.api = humago.New(s.mux, config)
	s.operations()
	return s
}

func (s *Server) operations() {
	s.statusOps()
	s.overviewOps()
	s.findingOps()
	s.incidentOps()
	s.actionOps()
	s.huntOps()
	s.hostOps()
	s.enrolOps()
	s.bundleOp()
	s.networkOps()
	s.intelOps()
	s.ruleOps()
	s.fileOps()
	s.auditOps()
	s.settingOps()
	s.loginOps()
	s.selfOps()
	s.userOps()
}

// Handler serves requests whose principal is in the context already, see As.
func (s *Server) Handler() http.Handler { return s.mux }

// OpenAPI is the document.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

type principalKey struct{}

// As puts the principal into a request's context; only transports call it.
func As(ctx context.Context, p *access.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// principal is who asks; nil before log-in.
func principal(ctx context.Context) *access.Principal {
	p, _ := ctx.Value(principalKey{}).(*access.Principal)
	return p
}

// who names the principal for the audit chain.
func who(ctx context.Context) string {
	p := principal(ctx)
	if p == nil {
		return "nobody"
	}
	return p.Actor()
}

// operation describes what is registered.
type operation struct {
	method, path, id string
	summary, text    string
	tag              string
	need             access.Permission
	status           int
	body             int64 // most bytes of the request's body, default 64 KiB
	errors           []int
}

// describe makes huma's description and the check of the permission.
func (s *Server) describe(o operation) huma.Operation {
	if o.need == "" {
		panic("api: operation " + o.id + " names no permission")
	}
	if o.body == 0 {
		o.body = 64 << 10
	}
	security := []map[string][]string{{"token": {string(o.need)}}, {"session": {}}}
	if o.need == anyone {
		security = []map[string][]string{}
	}
	return huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.text, Tags: []string{o.tag},
		DefaultStatus: o.status, MaxBodyBytes: o.body, BodyReadTimeout: 10 * time.Second,
		Errors:      append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, o.errors...),
		Security:    security,
		Extensions:  map[string]any{"x-permission": string(o.need)},
		Middlewares: huma.Middlewares{s.permit(o.need)},
	}
}

func (s *Server) permit(need access.Permission) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		p := principal(c.Context())
		switch {
		case need == anyone, need == oneself && p != nil:
			next(c)
		case p == nil:
			_ = huma.WriteErr(s.api, c, http.StatusUnauthorized, "log in, or send a token as Authorization: Bearer")
		case !p.May(need):
			_ = huma.WriteErr(s.api, c, http.StatusForbidden, fmt.Sprintf("%s may not do this: it needs the permission %q", p.Name, need))
		default:
			next(c)
		}
	}
}

// register adds an operation whose errors become problems.
func register[I, O any](s *Server, o operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, s.describe(o), func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, o.id, err)
		}
		return out, nil
	})
}

// staleType is the type of the problem that a page answers by asking who sits there and
// repeating the request (POST /v1/me/confirm).
const staleType = "urn:ringwall:stale"

// problem says what went wrong. What is not the asker's fault is told in the log; over
// the network the answer only names the place to look.
func (s *Server) problem(ctx context.Context, operation string, err error) error {
	var told huma.StatusError
	switch {
	case errors.As(err, &told):
		return err
	case errors.Is(err, access.ErrStale):
		return &huma.ErrorModel{Type: staleType, Status: access.Status(err), Title: http.StatusText(access.Status(err)), Detail: err.Error()}
	case access.Status(err) != 0:
		h := http.Header{}
		retryAfter(h, err)
		return huma.ErrorWithHeaders(huma.NewError(access.Status(err), err.Error()), h)
	case errors.Is(err, brain.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, ledger.ErrChanged):
		return huma.Error409Conflict(err.Error() + "; read it again and repeat the change")
	case errors.Is(err, brain.ErrInput):
		return huma.Error400BadRequest(err.Error())
	case ctx.Err() != nil:
		return huma.Error503ServiceUnavailable("the request ended before the answer")
	}
	s.log.Error("request failed", "operation", operation, "who", who(ctx), "error", err)
	if p := principal(ctx); p != nil && p.Via == "socket" {
		return huma.Error500InternalServerError(err.Error())
	}
	return huma.Error500InternalServerError("it failed inside; the brain's log says why at " + time.Now().UTC().Format(time.RFC3339))
}

// In is what every operation about a tenant's things takes.
type In struct {
	Tenant string `query:"tenant" maxLength:"64" doc:"Whose data. Only the host's own socket may choose; others get their own tenant's."`

	as *access.Principal // who asks, in that tenant
}

// Resolve implements huma.Resolver: it holds the asker to a tenant they may see.
func (in *In) Resolve(c huma.Context) []error {
	p, err := principal(c.Context()).In(in.Tenant)
	if err != nil {
		return []error{huma.NewError(access.Status(err), err.Error())}
	}
	in.as = p
	return nil
}

// tenant is whose data the asker gets.
func (in *In) tenant() string { return in.as.Tenant }

// ListIn is what every list takes.
type ListIn struct {
	In
	After string `query:"after" maxLength:"512" doc:"The next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Order string `query:"order" enum:"desc,asc" default:"desc"`
}

func (l ListIn) page() ledger.Page {
	return ledger.Page{After: l.After, Limit: l.Limit, Ascending: l.Order == "asc"}
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Pass it as after for the next page; absent: this was the last"`
}

// body wraps an answer.
type body[T any] struct{ Body T }

func answer[T any](v T) *body[T] { return &body[T]{v} }

// Done says that a change was made or begun.
type Done struct {
	Done bool `json:"done"`
}
