// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work has come, on a terminal only: a pipe or a file
// must hold nothing but the answer. total -1: not known.
func progress(w io.Writer, what string, total int64) *progressbar.ProgressBar {
	if !terminal(w) {
		w = io.Discard
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(total > 0), progressbar.OptionSpinnerType(14),
		// The spinner turns when something comes: its own goroutine races with the counting.
		progressbar.OptionSetSpinnerChangeInterval(0))
}

// terminal tells whether a person looks on.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
