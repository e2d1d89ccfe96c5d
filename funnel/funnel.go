// SPDX-License-Identifier: Apache-2.0

// Package funnel is the one shape of every layer: an ordered list of stages, cheap
// first. A stage colours an item white, black or grey; white and black leave, only
// grey meets the next, dearer stage.
//
// In comes an item of any type; out goes a verdict with all evidence gathered on
// the way. It believes that "I do not know" is grey and "I could not look" is an
// error: a stage that fails is counted and skipped, never taken for white.
//
// The worst trap: the verdict of the last stage is not the sum of the earlier ones.
// Joining scores is the business of package decide; the funnel keeps the highest
// score and every piece of evidence.
package funnel

import (
	"context"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// Stage judges one item. Judge must be safe for many goroutines. A zero Verdict is
// grey without evidence.
type Stage[T any] interface {
	Name() string
	Judge(ctx context.Context, item T) (verdict.Verdict, error)
}

// Func makes a stage of a function.
func Func[T any](name string, judge func(context.Context, T) (verdict.Verdict, error)) Stage[T] {
	return stageFunc[T]{name, judge}
}

type stageFunc[T any] struct {
	name  string
	judge func(context.Context, T) (verdict.Verdict, error)
}

func (s stageFunc[T]) Name() string { return s.name }
func (s stageFunc[T]) Judge(ctx context.Context, item T) (verdict.Verdict, error) {
	return s.judge(ctx, item)
}

// Funnel runs its stages in order. Safe for many goroutines.
type Funnel[T any] struct {
	layer  string
	stages []Stage[T]
	counts []*counter
}

// New builds the funnel of a layer; the order of stages is the order of cost.
func New[T any](layer string, stages ...Stage[T]) *Funnel[T] {
	f := &Funnel[T]{layer: layer, stages: stages}
	for range stages {
		f.counts = append(f.counts, &counter{})
	}
	return f
}

// Outcome is the funnel's answer: the verdict, the stage that gave it and what
// each stage that looked said.
type Outcome struct {
	verdict.Verdict
	Stage  string         // stage that coloured it, or the last one when it stayed grey
	Failed []StageFailure // stages that could not look
}

// StageFailure is a stage that could not look and why.
type StageFailure struct {
	Stage string
	Err   error
}

// Judge sends the item down. Evidence of all stages is kept; the score is the
// highest one seen.
func (f *Funnel[T]) Judge(ctx context.Context, item T) Outcome {
	var out Outcome
	for i, s := range f.stages {
		c := f.counts[i]
		start := time.Now()
		v, err := s.Judge(ctx, item)
		c.saw(v.Colour, err, time.Since(start))
		if err != nil {
			out.Failed = append(out.Failed, StageFailure{s.Name(), err})
			continue
		}
		out.Evidence = append(out.Evidence, v.Evidence...)
		if v.Score >= out.Score {
			out.Score = v.Score
			if v.Family != "" {
				out.Family = v.Family
			}
		}
		out.Stage, out.Engine, out.Colour = s.Name(), v.Engine, v.Colour
		if v.Colour != verdict.Colour_GREY {
			if v.Colour == verdict.Colour_WHITE {
				out.Score = v.Score
			}
			return out
		}
	}
	return out
}

// StageCounts is what one stage has done since start.
type StageCounts struct {
	Layer, Stage                     string
	In, White, Black, Passed, Errors uint64
	P50, P99                         time.Duration // upper bound of the power-of-two bucket
	Busy                             time.Duration
}

// Counts reports every stage in order.
func (f *Funnel[T]) Counts() []StageCounts {
	out := make([]StageCounts, len(f.stages))
	for i, s := range f.stages {
		out[i] = f.counts[i].read(f.layer, s.Name())
	}
	return out
}

// counter is one stage's numbers; times fall into power-of-two buckets of ns.
type counter struct {
	in, white, black, passed, errors, busy atomic.Uint64
	buckets                                [40]atomic.Uint64
}

func (c *counter) saw(colour verdict.Colour, err error, d time.Duration) {
	c.in.Add(1)
	switch {
	case err != nil:
		c.errors.Add(1)
		c.passed.Add(1)
	case colour == verdict.Colour_WHITE:
		c.white.Add(1)
	case colour == verdict.Colour_BLACK:
		c.black.Add(1)
	default:
		c.passed.Add(1)
	}
	ns := uint64(max(d, 1))
	c.busy.Add(ns)
	c.buckets[min(bits.Len64(ns), len(c.buckets)-1)].Add(1)
}

func (c *counter) read(layer, stage string) StageCounts {
	return StageCounts{
		Layer: layer, Stage: stage,
		In: c.in.Load(), White: c.white.Load(), Black: c.black.Load(), Passed: c.passed.Load(), Errors: c.errors.Load(),
		P50: c.quantile(0.50), P99: c.quantile(0.99), Busy: time.Duration(c.busy.Load()),
	}
}

func (c *counter) quantile(q float64) time.Duration {
	var total uint64
	for i := range c.buckets {
		total += c.buckets[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank, sum := uint64(q*float64(total)), uint64(0)
	for i := range c.buckets {
		if sum += c.buckets[i].Load(); sum > rank {
			return time.Duration(uint64(1) << i)
		}
	}
	return 0
}
