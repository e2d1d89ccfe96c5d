// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"sync/atomic"

	"github.com/ringwall/ringwall/verdict"
)

// workerCounts is what a worker has done since start.
type workerCounts struct {
	events, grey, black, excepted, foreign atomic.Uint64
}

func (c *workerCounts) finding(f *verdict.Finding) {
	if f.Black() {
		c.black.Add(1)
		return
	}
	c.grey.Add(1)
}
