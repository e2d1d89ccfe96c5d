// SPDX-License-Identifier: Apache-2.0

package play

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/proving/scenario"
)

// benign plays by name. every is the pause when the scenario names none.
var benign = map[string]struct {
	every time.Duration
	run   func(context.Context, *worker) error
}{
	"browse":          {time.Second, browse},
	"upload-notes":    {5 * time.Second, uploadNote},
	"admin-page":      {10 * time.Second, adminPage},
	"monitoring":      {10 * time.Second, monitoring},
	"backup":          {30 * time.Second, backup},
	"deploy":          {30 * time.Second, deploy},
	"admin-session":   {30 * time.Second, adminSession},
	"package-upgrade": {30 * time.Second, packageUpgrade},
	"log-rotation":    {30 * time.Second, rotateLogs},
}

// Episode is one run of a benign play: ground truth of label benign.
type Episode struct {
	Play   string
	T0, T1 time.Time
	Fault  string
}

// Tally counts ordinary work. A request is one HTTP request or one deed such as a login or a backup.
type Tally struct {
	Sent, Failed int
	Plays        map[string]int // runs that ended well
	Faults       []string       // the first few
	Episodes     []Episode
}

const maxFaults = 20

// Ordinary does the benign plays of a scenario until it is told to stop.
type Ordinary struct {
	world *World
	plays []scenario.Background

	mu    sync.Mutex // guards tally
	tally Tally
}

// NewOrdinary checks the names of the plays.
func NewOrdinary(w *World) (*Ordinary, error) {
	for _, b := range w.Scenario.Background {
		if _, ok := benign[b.Play]; !ok {
			return nil, fmt.Errorf("%s: background play %q is not known; known are %s", w.Scenario.File, b.Play,
				strings.Join(slices.Sorted(maps.Keys(benign)), ", "))
		}
	}
	return &Ordinary{world: w, plays: w.Scenario.Background, tally: Tally{Plays: map[string]int{}}}, nil
}

// Run works until stop closes; what is then under way is finished, so that nothing is cut by the
// runner itself. Plays with at_least are spread over span.
func (o *Ordinary) Run(ctx context.Context, stop <-chan struct{}, span time.Duration) {
	var group sync.WaitGroup
	for i, b := range o.plays {
		clients := []string{"client1"}
		if b.Play == "browse" {
			clients = []string{"client1", "client2"}
		}
		for _, client := range clients {
			w := &worker{ordinary: o, world: o.world, client: client, random: o.random(i, client)}
			group.Go(func() { o.repeat(ctx, stop, b, span, w) })
		}
	}
	group.Wait()
}

func (o *Ordinary) random(i int, client string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", i, client)
	return rand.New(rand.NewPCG(o.world.Scenario.Seed, h.Sum64()))
}

func (o *Ordinary) repeat(ctx context.Context, stop <-chan struct{}, b scenario.Background, span time.Duration, w *worker) {
	play := benign[b.Play]
	every := time.Duration(b.Every)
	if every == 0 {
		every = play.every
		if b.AtLeast > 0 && span > 0 {
			every = span / time.Duration(b.AtLeast+1)
		}
	}
	for w.turn = 0; ; w.turn++ {
		begun := time.Now()
		// Between half and nine tenths of the pause: at_least runs fit into the span.
		next := begun.Add(time.Duration(float64(every) * (0.5 + 0.4*w.random.Float64())))
		episode := Episode{Play: b.Play, T0: begun}
		if err := play.run(ctx, w); err != nil && ctx.Err() == nil {
			episode.Fault = err.Error()
		}
		episode.T1 = time.Now()
		o.note(episode)
		if o.Full() {
			return
		}
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
	}
}

func (o *Ordinary) note(e Episode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tally.Episodes = append(o.tally.Episodes, e)
	if e.Fault == "" {
		o.tally.Plays[e.Play]++
	} else if len(o.tally.Faults) < maxFaults {
		o.tally.Faults = append(o.tally.Faults, e.Play+": "+e.Fault)
	}
}

func (o *Ordinary) count(sent, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tally.Sent += sent
	o.tally.Failed += failed
}

// Full tells whether as many requests were sent as the scenario allows; nobody works on then.
func (o *Ordinary) Full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	limit := o.world.Scenario.Limits.Requests
	return limit > 0 && o.tally.Sent >= limit
}

// Tally is a copy of the counts so far.
func (o *Ordinary) Tally() Tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tally
	t.Plays = maps.Clone(t.Plays)
	t.Faults = slices.Clone(t.Faults)
	t.Episodes = slices.Clone(t.Episodes)
	return t
}

// Owed lists the plays that have not been made as often as the scenario asks.
func (o *Ordinary) Owed() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var owed []string
	for _, b := range o.plays {
		if have := o.tally.Plays[b.Play]; have < b.AtLeast {
			owed = append(owed, fmt.Sprintf("%s %d/%d", b.Play, have, b.AtLeast))
		}
	}
	sort.Strings(owed)
	return owed
}

// worker is one person or job that repeats a play.
type worker struct {
	ordinary *Ordinary
	world    *World
	client   string // role of the host it sits at
	random   *rand.Rand
	turn     int
}

// deed counts one piece of ordinary work that is no HTTP request.
func (w *worker) deed(err error) error {
	failed := 0
	if err != nil {
		failed = 1
	}
	w.ordinary.count(1, failed)
	return err
}
