// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/ledger"
)

// Overview is what a person asks first.
type Overview struct {
	Waiting  []Waiting `json:"waiting" doc:"Incidents that are neither closed by the judge nor done with by people"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	StepS    int64     `json:"step_s" doc:"Length of a step of activity, seconds"`
	Activity []Burst   `json:"activity" doc:"Steps in which a layer found nothing are left out"`
}

// Waiting is how many incidents stand alike.
type Waiting struct {
	State    string `json:"state"`
	Status   string `json:"status"`
	Severity string `json:"severity" enum:"critical,high,medium,low"`
	Count    int    `json:"count"`
}

// Burst is how many findings above grey a layer told within a step.
type Burst struct {
	Time  time.Time `json:"time" doc:"Where the step begins"`
	Layer string    `json:"layer"`
	Count int       `json:"count"`
}

// Funnel is how the stages that judge in one place have counted.
type Funnel struct {
	Host   string       `json:"host" doc:"Empty: in the brain, for all hosts"`
	Stages []StageCount `json:"stages" doc:"In the order in which an item meets them, layer by layer"`
}

// StageCount is what a stage has done since its process started, as it stands on /metrics;
// agents tell theirs every ten seconds.
type StageCount struct {
	Layer  string `json:"layer"`
	Stage  string `json:"stage"`
	In     uint64 `json:"in"`
	White  uint64 `json:"white"`
	Black  uint64 `json:"black"`
	Passed uint64 `json:"passed" doc:"Grey: given on to the next stage"`
	Errors uint64 `json:"errors" doc:"Could not be looked at, and were passed on"`
	P50Ns  int64  `json:"p50_ns" doc:"Time of a judgement, upper bound of its power of two; 0: unknown"`
	P99Ns  int64  `json:"p99_ns"`
}

func (s *Server) overviewOps() {
	const tag = "Overview"
	type span struct {
		In
		Hours int `query:"hours" minimum:"1" maximum:"720" default:"24" doc:"How far back"`
		Steps int `query:"steps" minimum:"1" maximum:"200" default:"48"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/overview", id: "getOverview", tag: tag, need: access.Read, summary: "What waits for people, and how much was found when"},
		func(ctx context.Context, in *span) (*body[Overview], error) {
			// Steps begin at whole steps, so that bars stay where they are from one look to the next.
			step := (time.Duration(in.Hours) * time.Hour / time.Duration(in.Steps)).Truncate(time.Second)
			until := time.Now().UTC().Truncate(step).Add(step)
			since := until.Add(-step * time.Duration(in.Steps))
			o, err := s.back.Overview(ctx, in.tenant(), since, until, step)
			return answer(Overview{
				Since: since, Until: until, StepS: int64(step / time.Second),
				Waiting: each(o.Waiting, func(t ledger.Tally) Waiting { return Waiting{t.State, t.Status, t.Severity, t.Count} }),
				Activity: each(o.Activity, func(b ledger.Burst) Burst {
					return Burst{b.At.UTC(), b.Layer, b.Count}
				}),
			}), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/funnels", id: "listFunnels", tag: tag, need: access.Read, summary: "What each stage of each layer has coloured and passed on"},
		func(ctx context.Context, in *In) (*body[[]Funnel], error) {
			return answer(each(s.back.Funnels(ctx, in.tenant()), funnelOf)), nil
		})
}

func funnelOf(f brain.Funnel) Funnel {
	return Funnel{f.Host, each(f.Stages, func(c funnel.StageCounts) StageCount {
		return StageCount{c.Layer, c.Stage, c.In, c.White, c.Black, c.Passed, c.Errors, int64(c.P50), int64(c.P99)}
	})}
}
