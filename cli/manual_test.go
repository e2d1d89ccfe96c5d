// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/spf13/cobra"
)

// Every command says at length what it does, shows how it is used, and has --json.
func TestManual(t *testing.T) {
	root, seen := Root(), map[string]bool{}
	root.InitDefaultCompletionCmd()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "completion" || sub.Name() == "help" {
				continue
			}
			path := sub.CommandPath()[len("ringwall "):]
			seen[path] = true
			if sub.Short == "" || len(sub.Long) <= len(sub.Short) || sub.Example == "" {
				t.Errorf("%s: short %q, long %q, example %q", path, sub.Short, sub.Long, sub.Example)
			}
			if sub.Flag("json") == nil {
				t.Errorf("%s has no --json", path)
			}
			walk(sub)
		}
	}
	walk(root)
	for path := range manual {
		if !seen[path] {
			t.Errorf("the manual explains %q, which is no command", path)
		}
	}
	for _, want := range []string{"up", "agent", "brain", "doctor", "incidents", "trace", "findings", "hunt", "intel", "actions", "scan", "replay", "range", "off", "config check"} {
		if !seen[want] {
			t.Errorf("no command %q", want)
		}
	}
}
