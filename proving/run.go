// SPDX-License-Identifier: Apache-2.0

// Package proving is the range: it builds a lab, plays a scenario in it while a product watches,
// and says what the product saw, traced and stopped.
//
// In: a scenario file, a seed and the paths of the product's two binaries. Out: a score.Result.
// The product is driven by its public doors alone (commands, configuration, JSON), so that a
// foreign build can be judged too. Below it: lab (hosts on one kernel), scenario (the data files),
// play (who does what), score (truth against findings); each imports only those before it.
//
// It believes only the effects that it sees itself; without a product it still plays, which
// proves the scenario before anybody is judged by it.
//
// Worst trap: the runner's own deeds inside a watched host would be seen as somebody's. All it
// does there it does before the product starts, or from outside.
package proving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/proving/lab"
	"github.com/ringwall/ringwall/proving/play"
	"github.com/ringwall/ringwall/proving/scenario"
	"github.com/ringwall/ringwall/proving/score"
)

// Product says who watches.
type Product int

const (
	ProductNone     Product = iota // nobody: the scenario alone is tried
	ProductRingwall                // Options.Binary and Options.Agent
)

// ErrInput marks errors of the scenario file or the options; lab.ErrMissing marks what this
// machine lacks. All other errors are faults of the run.
var ErrInput = errors.New("bad input")

// Options of a run.
type Options struct {
	File    string
	Seed    *uint64 // nil takes the file's
	Enforce bool
	Without []string // sensors to switch off: kernel, packet, file, log
	Minutes float64  // of ordinary work; 0 takes the file's
	Product Product
	Binary  string    // path of ringwall
	Agent   string    // path of ringwall-agent
	Dir     string    // where truth, findings and logs are kept; empty keeps nothing
	Log     io.Writer // progress for people; nil is silence
}

// settle is how long after the last deed findings may still come. The promise is 1 s.
const settle = 4 * time.Second

// defaultWall bounds what is played where the scenario states no limit.
const defaultWall = 15 * time.Minute

// Run plays the scenario once. When it returns, nothing of lab or product is left on the machine.
func Run(ctx context.Context, opts Options) (_ *score.Result, err error) {
	s, err := load(&opts)
	if err != nil {
		return nil, err
	}
	dir := opts.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ringwall-range-"); err != nil {
			return nil, fmt.Errorf("make a folder for the run: %w", err)
		}
		defer os.RemoveAll(dir)
	} else if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the run: %w", err)
	}
	world, err := play.Build(ctx, s, lab.Config{Log: opts.Log})
	if err != nil {
		return nil, fmt.Errorf("build the lab of %s: %w", s.File, err)
	}
	defer func() { err = errors.Join(err, world.Lab.Close()) }()
	wall := cmp.Or(time.Duration(s.Limits.Wall), defaultWall) // of what is played, not of the building
	ctx, cancel := context.WithTimeout(ctx, startLimit+wall+time.Duration(s.Minutes*float64(time.Minute)))
	defer cancel()
	r := &run{opts: opts, world: world, dir: dir}
	in, err := r.judge(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.writeTruth(in); err != nil {
		return nil, err
	}
	return score.Score(in), nil
}

// load reads the scenario and checks the options against it.
func load(opts *Options) (*scenario.Scenario, error) {
	s, err := scenario.Load(opts.File, opts.Seed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	for _, name := range opts.Without {
		if !slices.Contains(sensorNames, name) {
			return nil, fmt.Errorf("%w: --without %s: sensors are %s", ErrInput, name, strings.Join(sensorNames, ", "))
		}
	}
	if opts.Minutes < 0 || opts.Minutes > 24*60 {
		return nil, fmt.Errorf("%w: --minutes %g lies outside 0 to 1440", ErrInput, opts.Minutes)
	}
	if opts.Minutes > 0 {
		s.Minutes = opts.Minutes
	}
	if opts.Product == ProductRingwall {
		for _, path := range []*string{&opts.Binary, &opts.Agent} {
			absolute, err := filepath.Abs(*path)
			if err != nil {
				return nil, err
			}
			if info, err := os.Stat(absolute); err != nil || info.IsDir() {
				return nil, fmt.Errorf("%w: no program at %q; mend: make build", lab.ErrMissing, *path)
			}
			*path = absolute
		}
	}
	return s, nil
}

type run struct {
	opts  Options
	world *play.World
	dir   string
	begun time.Time
}

// judge plays with the product watching and collects what both sides say.
func (r *run) judge(ctx context.Context) (score.Input, error) {
	s := r.world.Scenario
	in := score.Input{Scenario: s, Mode: "observe", Without: r.opts.Without}
	if r.opts.Enforce {
		in.Mode = "enforce"
	}
	ordinary, err := play.NewOrdinary(r.world)
	if err != nil {
		return in, fmt.Errorf("%w: %w", ErrInput, err)
	}
	var product *judged
	if r.opts.Product == ProductRingwall {
		if product, err = start(ctx, r.opts, r.world, r.dir); err != nil {
			return in, fmt.Errorf("start the product: %w", err)
		}
		defer func() {
			if product != nil {
				product.stop()
			}
		}()
		r.printf("product watches")
	}
	if err := r.play(ctx, ordinary, &in); err != nil {
		return in, err
	}
	if product != nil {
		sleep(ctx, settle)
		product.report(ctx, &in)
		in.Notes = append(in.Notes, product.stop()...)
		product = nil
	}
	return in, nil
}

// play does the ordinary work and, in the middle of it, the steps.
func (r *run) play(ctx context.Context, ordinary *play.Ordinary, in *score.Input) error {
	s := r.world.Scenario
	span := time.Duration(s.Minutes * float64(time.Minute))
	stop, done := make(chan struct{}), make(chan struct{})
	r.begun = time.Now()
	go func() {
		defer close(done)
		ordinary.Run(ctx, stop, span)
	}()
	sleep(ctx, time.Duration(s.Warmup))
	err := r.steps(ctx, in)
	if err == nil {
		err = r.awaitOrdinary(ctx, ordinary, span)
	}
	close(stop)
	<-done
	in.Tally = ordinary.Tally()
	in.Minutes = time.Since(r.begun).Minutes()
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("the run exceeded its wall limit or was stopped: %w", ctx.Err())
	}
	return err
}

func (r *run) steps(ctx context.Context, in *score.Input) error {
	s := r.world.Scenario
	intruder := play.NewIntruder(r.world)
	defer intruder.Close()
	pauses := rand.New(rand.NewPCG(s.Seed, 2))
	worked := map[string]bool{}
	for i, step := range s.Steps {
		if i > 0 && s.Pause > 0 {
			sleep(ctx, time.Duration(pauses.Int64N(int64(s.Pause))))
		}
		if missing := slices.IndexFunc(step.Needs, func(id string) bool { return !worked[id] }); missing >= 0 {
			r.printf("step %s: not reached, for %s did not work", step.ID, step.Needs[missing])
			continue
		}
		out, err := intruder.Do(ctx, step)
		if err != nil {
			return err
		}
		worked[step.ID] = out.Worked
		in.Outcomes = append(in.Outcomes, out)
		r.printf("step %s: worked %v in %d ms %s", step.ID, out.Worked, out.T1.Sub(out.T0).Milliseconds(), out.Why)
	}
	return nil
}

// awaitOrdinary goes on until the time is over, the requests are sent and each look-alike was
// played as often as asked.
func (r *run) awaitOrdinary(ctx context.Context, ordinary *play.Ordinary, span time.Duration) error {
	s := r.world.Scenario
	told := time.Now()
	for {
		tally := ordinary.Tally()
		owed := ordinary.Owed()
		if ordinary.Full() {
			if len(owed) > 0 || tally.Sent < s.Ordinary {
				return fmt.Errorf("%s: limits.requests (%d) is reached, and the scenario asks for more ordinary work (owed: %v)", s.File, s.Limits.Requests, owed)
			}
			if time.Since(r.begun) >= span {
				return nil
			}
		}
		if time.Since(r.begun) >= span && tally.Sent >= s.Ordinary && len(owed) == 0 {
			return nil
		}
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			r.printf("%.1f minutes: %d ordinary requests, %d failed, owed %v", time.Since(r.begun).Minutes(), tally.Sent, tally.Failed, owed)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ordinary work was not done (owed: %v): %w", owed, ctx.Err())
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

func (r *run) printf(format string, args ...any) {
	if r.opts.Log != nil {
		fmt.Fprintf(r.opts.Log, format+"\n", args...)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
