// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/sense/kernel"
)

// Tally counts the results of the sensor's own tests and names those that did not pass.
type Tally struct {
	Passed          int
	Failed, Skipped []string
}

// Tally reads the results of top-level tests, and which of their parts were skipped, from the lines of `go test -v`.
func (r *Report) Tally() (t Tally) {
	for i, l := range r.Tests {
		verdict, name, ok := strings.Cut(l, ": ")
		name, _, _ = strings.Cut(name, " (")
		switch {
		case !ok:
		case strings.TrimSpace(verdict) == "--- SKIP" && strings.Contains(name, "/"):
			t.Skipped = append(t.Skipped, name) // a part of one that passed; it said why long before
		case verdict == "--- PASS":
			t.Passed++
		case verdict == "--- FAIL":
			t.Failed = append(t.Failed, name)
		case verdict == "--- SKIP":
			if why := strings.TrimSpace(r.Tests[max(0, i-1)]); strings.Contains(why, "_test.go:") {
				_, why, _ = strings.Cut(why, ": ")
				name += " (" + why + ")"
			}
			t.Skipped = append(t.Skipped, name)
		}
	}
	return t
}

// Refused gives the hooks that the kernel's verifier refused, in any set-up.
func (r *Report) Refused() (out []string) {
	for setup, hooks := range r.Hooks {
		for _, h := range hooks {
			if h.Refused() {
				out = append(out, fmt.Sprintf("%s (%s): %s", h.Name, setup, h.Reason))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Page writes one kernel's part of docs/kernels.md: which hooks it takes by default, what
// the chains showed, and what the tests said.
func Page(title, release string, hooks []kernel.Capability, r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n`%s`\n\n| hook | set | on | why not |\n|---|---|---|---|\n", title, release)
	for _, h := range hooks {
		if h.Set == "later" {
			continue
		}
		on := "yes"
		if !h.On {
			on = "no"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", h.Name, h.Set, on, h.Reason)
	}
	b.WriteString("\n")
	if r == nil {
		return b.String()
	}
	names := make([]string, 0, len(r.Markers))
	for n := range r.Markers {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		c, err := Trace(r.Events[n], r.Markers[n])
		switch {
		case err != nil:
			fmt.Fprintf(&b, "* %s: %v\n", n, err)
		case c.Goroutine:
			fmt.Fprintf(&b, "* %s: accept → request → fork → exec → write → connect → response, tied by process and goroutine\n", n)
		default:
			fmt.Fprintf(&b, "* %s: accept → request → fork → exec → write → connect → response, tied by process\n", n)
		}
	}
	if len(r.Tests) == 0 {
		return b.String() + "\n"
	}
	t := r.Tally()
	fmt.Fprintf(&b, "* tests of `sense/kernel` inside: %d passed, %d failed, %d skipped\n", t.Passed, len(t.Failed), len(t.Skipped))
	for _, s := range t.Failed {
		fmt.Fprintf(&b, "  * failed: %s\n", s)
	}
	for _, s := range t.Skipped {
		fmt.Fprintf(&b, "  * skipped: %s\n", s)
	}
	b.WriteString("\n")
	return b.String()
}
