// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"context"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/verdict"
)

// Stage is the stage "exposure" of the network funnel: a connection that the host is
// known to have is white and leaves; what is new, knocks, asks for what is not there or
// guesses passwords stays. It belongs to one goroutine, but Counts may be asked by many.
type Stage struct {
	probe  *Probing
	guess  *Guessing
	learn  *Learner
	funnel *funnel.Funnel[*sight]
}

// sight is one event on its way through the stage.
type sight struct {
	ev    *event.Event
	again bool // judged before: it was learned from then
	found []*verdict.Finding
}

// NewStage joins what recognises probing and what learns.
func NewStage(p *Probing, l *Learner) *Stage {
	s := &Stage{probe: p, guess: NewGuessing(), learn: l}
	s.funnel = funnel.New("network", funnel.Func("exposure", s.judge))
	return s
}

// See takes one event and gives what it amounts to. again says that the event was
// judged, and learned from, in an earlier life.
func (s *Stage) See(ev *event.Event, again bool) []*verdict.Finding {
	if ev.GetNetwork() == nil && ev.GetAuth() == nil && ev.GetHttp().GetOp() != event.HttpActivity_RESPONSE {
		return nil
	}
	it := &sight{ev: ev, again: again}
	s.funnel.Judge(context.Background(), it)
	return it.found
}

func (s *Stage) judge(_ context.Context, it *sight) (v verdict.Verdict, _ error) {
	v.Engine = "exposure"
	if f := s.probe.See(it.ev); f != nil {
		it.found = append(it.found, f)
	}
	if f := s.guess.See(it.ev); f != nil {
		it.found = append(it.found, f)
		v.Colour = f.Colour
	}
	if it.again {
		return v, nil
	}
	f, known := s.learn.see(it.ev)
	if f != nil {
		it.found = append(it.found, f)
	}
	if known && v.Colour == verdict.Colour_GREY {
		v.Colour = verdict.Colour_WHITE
	}
	return v, nil
}

// Learner is what was learned.
func (s *Stage) Learner() *Learner { return s.learn }

// Counts reports the stage.
func (s *Stage) Counts() []funnel.StageCounts { return s.funnel.Counts() }
