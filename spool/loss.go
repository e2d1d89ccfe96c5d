// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall/identity"
)

// Why events were lost.
const (
	LossFull     = "spool full"           // the bound of bytes was reached
	LossDisk     = "disk slow or failing" // more waited for the disk than may
	LossDiskFull = "disk full"            // the file system had no space
	LossTorn     = "torn tail"            // the last run was killed in the middle of a write; never acknowledged
	LossCorrupt  = "corrupt segment"      // synced records do not read back
)

// Loss is a window in which events of one class were lost for one reason.
type Loss struct {
	Class    identity.Class
	From, To time.Time // of the first and the last loss
	Count    uint64    // events; 0: unknown
	Reason   string
}

type lossKey struct {
	class  identity.Class
	reason string
}

// lossBook gathers losses: at most one window per class and reason.
type lossBook struct {
	mu   sync.Mutex // guards open
	open map[lossKey]*Loss
}

func (b *lossBook) add(class identity.Class, reason string, count uint64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = make(map[lossKey]*Loss)
	}
	l := b.open[lossKey{class, reason}]
	if l == nil {
		l = &Loss{Class: class, From: at, Reason: reason}
		b.open[lossKey{class, reason}] = l
	}
	l.To = at
	l.Count += count
}

func (b *lossBook) take() []Loss {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Loss
	for _, l := range b.open {
		all = append(all, *l)
	}
	b.open = nil
	slices.SortFunc(all, func(a, b Loss) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
