// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// notes are what each way of reading logs says of itself. Safe for many goroutines.
type notes struct {
	mu    sync.Mutex
	why   map[string]string
	alive map[string]bool
}

func (n *notes) set(who, why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if why == "" {
		delete(n.why, who)
		return
	}
	n.why[who] = why
}

func (n *notes) live(who string, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive[who] = is
}

func (n *notes) on() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, is := range n.alive {
		if is {
			return true
		}
	}
	return false
}

func (n *notes) text() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for who, why := range n.why {
		out = append(out, who+": "+why)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// retry is how long a source that ended rests before it is begun again.
const retry = 5 * time.Second

// beside starts what is followed beside files.
func (s *Sensor) beside(ctx context.Context, wg *sync.WaitGroup) *notes {
	n := &notes{why: map[string]string{}, alive: map[string]bool{}}
	begin := func(name string, follow func(context.Context) error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				n.live(name, true)
				err := follow(ctx)
				n.live(name, false)
				if err != nil && ctx.Err() == nil {
					n.set(name, err.Error())
				}
				select {
				case <-ctx.Done():
				case <-time.After(retry):
				}
			}
		})
	}
	if s.cfg.Journal && s.opt.Root == "" && haveJournal() {
		begin("journal", func(ctx context.Context) error {
			n.set("journal", "")
			return s.journal(ctx)
		})
	}
	if s.cfg.Audit && s.opt.Root == "" {
		begin("audit", func(ctx context.Context) error {
			n.set("audit", "")
			return s.auditMulticast(ctx)
		})
	}
	return n
}
