// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
)

// Rule is one rule of any engine.
type Rule struct {
	ID          string    `json:"id" doc:"As findings name it"`
	Engine      string    `json:"engine" enum:"sigma,yara"`
	Title       string    `json:"title"`
	Description string    `json:"description,omitempty"`
	Level       string    `json:"level,omitempty" doc:"informational, low, medium, high, critical"`
	Score       float64   `json:"score,omitempty" doc:"Of a file that a YARA rule is true for"`
	Techniques  []string  `json:"techniques" doc:"ATT&CK"`
	Tags        []string  `json:"tags"`
	Source      string    `json:"source" doc:"File it stands in"`
	Line        int       `json:"line,omitempty"`
	Author      string    `json:"author,omitempty"`
	License     string    `json:"license,omitempty"`
	Version     string    `json:"version,omitempty"`
	About       string    `json:"about,omitempty" doc:"Log source of Sigma, language of YARA"`
	State       string    `json:"state" enum:"loaded,silent,refused" doc:"silent: no sensor gives what it asks for"`
	Reason      string    `json:"reason,omitempty"`
	Own         bool      `json:"own" doc:"Made here, and can be changed here"`
	Hits        int       `json:"hits" doc:"Findings that it names, as long as they are kept"`
	Black       int       `json:"black" doc:"Of these above grey"`
	Last        time.Time `json:"last,omitzero"`
}

func ruleOf(r brain.Rule) Rule {
	return Rule{
		ID: r.ID, Engine: r.Engine, Title: r.Title, Description: r.Description, Level: r.Level, Score: r.Score, Techniques: some(r.Techniques), Tags: some(r.Tags),
		Source: r.Source, Line: r.Line, Author: r.Author, License: r.License, Version: r.Version, About: r.About, State: r.State, Reason: r.Reason, Own: r.Own,
		Hits: r.Hits.Count, Black: r.Hits.Black, Last: r.Hits.Last.UTC(),
	}
}

// RuleText is a rule with the text of its file.
type RuleText struct {
	Rule
	Text string `json:"text"`
}

// SavedRule names a rule that is in force now.
type SavedRule struct {
	ID string `json:"id"`
}

// levelRank orders what Sigma calls a level.
var levelRank = map[string]int{"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

func (s *Server) ruleOps() {
	const tag = "Rules"
	type list struct {
		ListIn
		Engine string `query:"engine" enum:"sigma,yara"`
		State  string `query:"state" enum:"loaded,silent,refused"`
		Level  string `query:"level" enum:"informational,low,medium,high,critical" doc:"At least"`
		Hit    bool   `query:"hit" doc:"Only what spoke"`
		Own    bool   `query:"own" doc:"Only what was made here"`
		Text   string `query:"q" maxLength:"256" doc:"In id, title, technique, tag or file"`
		Sort   string `query:"sort" enum:"last,hits,level,title" default:"last"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/rules", id: "listRules", tag: tag, need: access.Read, summary: "List the rules that judge, and those that were refused"},
		func(ctx context.Context, in *list) (*body[Page[Rule]], error) {
			all, err := s.back.Rules(ctx, in.tenant())
			if err != nil {
				return nil, err
			}
			q := strings.ToLower(in.Text)
			all = slices.DeleteFunc(all, func(r brain.Rule) bool {
				return in.Engine != "" && r.Engine != in.Engine || in.State != "" && r.State != in.State || levelRank[r.Level] < levelRank[in.Level] || in.Hit && r.Hits.Count == 0 || in.Own && !r.Own ||
					!strings.Contains(strings.ToLower(strings.Join(append(append([]string{r.ID, r.Title, r.Source}, r.Techniques...), r.Tags...), "\x00")), q)
			})
			page, err := window(all, in.ListIn, func(r brain.Rule) place {
				key := map[string]string{"last": moment(r.Hits.Last), "hits": number(r.Hits.Count), "level": number(levelRank[r.Level]), "title": strings.ToLower(r.Title)}[in.Sort]
				return place{key, cmp.Or(r.Source, "-") + "\x00" + r.ID}
			})
			return answer(Page[Rule]{each(page.Items, ruleOf), page.Next}), err
		})
	type one struct {
		In
		ID string `query:"id" required:"true" minLength:"1" maxLength:"512" doc:"An id may hold slashes: it is no part of the path"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/rules/text", id: "getRule", tag: tag, need: access.Read, summary: "Show a rule with its text", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *one) (*body[RuleText], error) {
			r, text, err := s.back.RuleText(ctx, in.tenant(), in.ID)
			if err != nil {
				return nil, err
			}
			return answer(RuleText{ruleOf(r), text}), nil
		})
	type ruleText struct {
		In
		Body struct {
			Text string `json:"text" minLength:"1" maxLength:"262144" doc:"Sigma; without an id it gets one"`
		}
	}
	register(s, operation{method: http.MethodPost, path: "/v1/rules", id: "saveRule", tag: tag, need: access.Administer, body: 1 << 20, summary: "Put a Sigma rule in force, or replace one that was made here",
		text: "It judges what comes from now on, for every tenant of this brain, and goes into the next bundles. Only the host's own socket may do this where there are several tenants."},
		func(ctx context.Context, in *ruleText) (*body[SavedRule], error) {
			if err := s.alone(in.as); err != nil {
				return nil, err
			}
			id, err := s.back.SaveRule(ctx, in.tenant(), who(ctx), in.Body.Text)
			return answer(SavedRule{id}), err
		})
	type drop struct {
		In
		ID string `path:"id" maxLength:"64"`
	}
	register(s, operation{method: http.MethodDelete, path: "/v1/rules/{id}", id: "dropRule", tag: tag, need: access.Administer, status: http.StatusOK, summary: "End a rule that was made here", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *drop) (*body[Done], error) {
			if err := s.alone(in.as); err != nil {
				return nil, err
			}
			return answer(Done{true}), s.back.DropRule(ctx, in.tenant(), who(ctx), in.ID)
		})
	s.backtestOp(tag)
}

// alone refuses what would reach other tenants.
func (s *Server) alone(p *access.Principal) error {
	if p.Via != access.ViaSocket && len(s.back.Tenants()) > 1 {
		return huma.Error403Forbidden("this reaches every tenant of the brain; where there are several only the host's own socket may do it")
	}
	return nil
}

// BacktestMatch is one time that the rule would have spoken.
type BacktestMatch struct {
	Time  time.Time `json:"time"`
	Host  string    `json:"host"`
	Rule  string    `json:"rule"`
	Title string    `json:"title"`
	What  string    `json:"what" doc:"What was done, in a few words"`
	Event string    `json:"event" doc:"tenant/host/epoch/seq"`
	Count int       `json:"count,omitempty" doc:"Events of a correlation"`
}

// Backtest is how far a back-test has come, or how it ended.
type Backtest struct {
	Events    int            `json:"events"`
	Matches   int            `json:"matches"`
	Reached   time.Time      `json:"reached,omitzero" doc:"Of the event at hand"`
	ElapsedMs float64        `json:"elapsed_ms"`
	Hosts     map[string]int `json:"hosts" doc:"Matches by host"`
	Days      map[string]int `json:"days" doc:"Matches by day, UTC"`
	Cut       string         `json:"cut,omitempty" doc:"Why it ended early: events or time"`
	Silent    []string       `json:"silent,omitempty" doc:"What the rule asks for and no sensor gives"`
}

func backtestOf(st brain.BacktestState) Backtest {
	return Backtest{st.Events, st.Matches, st.Reached, float64(st.Elapsed.Microseconds()) / 1000, st.Hosts, st.Days, st.Cut, st.Silent}
}

// shownMatches is how many matches a back-test tells one by one; all are counted.
const shownMatches = 500

func (s *Server) backtestOp(tag string) {
	type backtest struct {
		In
		Body struct {
			Text    string    `json:"text" minLength:"1" maxLength:"262144" doc:"Sigma: a rule, or a correlation with the rules that it names"`
			Host    string    `json:"host,omitempty" maxLength:"255" doc:"Absent: all"`
			Since   time.Time `json:"since,omitzero"`
			Until   time.Time `json:"until,omitzero"`
			Events  int       `json:"events,omitempty" minimum:"1" maximum:"5000000" default:"1000000" doc:"Most events"`
			Seconds float64   `json:"seconds,omitempty" exclusiveMinimum:"0" maximum:"600" default:"60" doc:"Most time"`
		}
	}
	op := s.describe(operation{method: http.MethodPost, path: "/v1/rules/backtest", id: "backtestRule", tag: tag, need: access.Annotate, body: 1 << 20, summary: "Try a Sigma rule on what the archive holds",
		text: "Answers line by line: {\"match\": …} for the first 500, {\"progress\": …} about twice a second, then {\"end\": …} or {\"error\": …}. Nothing is kept and nothing is ordered. One back-test runs at a time; the next waits."})
	op.Responses = map[string]*huma.Response{"200": {Description: "Matches", Content: map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *backtest) (*huma.StreamResponse, error) {
		q := brain.BacktestQuery{Text: in.Body.Text, Host: in.Body.Host, Since: in.Body.Since, Until: in.Body.Until, Events: in.Body.Events, Time: time.Duration(in.Body.Seconds * float64(time.Second))}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", ndjson)
			enc := json.NewEncoder(c.BodyWriter())
			flush, _ := c.BodyWriter().(http.Flusher)
			say := func(kind string, v any) error {
				err := enc.Encode(map[string]any{kind: v})
				if flush != nil {
					flush.Flush()
				}
				return err
			}
			told := 0
			st, err := s.back.Backtest(ctx, in.tenant(), q, func(m brain.BacktestMatch) error {
				if told++; told > shownMatches {
					return nil
				}
				return say("match", BacktestMatch{m.Time, m.Host, m.Rule, m.Title, m.What, m.Event, m.Count})
			}, func(st brain.BacktestState) error { return say("progress", backtestOf(st)) })
			if err != nil {
				_ = say("error", err.Error())
				return
			}
			_ = say("end", backtestOf(st))
		}}, nil
	})
}
