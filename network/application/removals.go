// SPDX-License-Identifier: Apache-2.0

package application

import (
	"fmt"
	"path"
	"strings"
)

// removed rules are not run. Figures are requests of http_browsing (1 benign in 10, all
// attacks; network.md §3.2) on which the rule spoke.
var removed = []int{
	942550, // "JSON in SQL": 30 benign, 1 attack: any JSON in a parameter
	932370, // Windows commands: 16 benign, 2 attacks, and we guard Linux hosts
	932380, // Windows commands
	932120, // PowerShell commands: "target-service"
	932125, // PowerShell aliases
}

func removals() string {
	var b strings.Builder
	for _, id := range removed {
		fmt.Fprintf(&b, "SecRuleRemoveById %d\n", id)
	}
	return b.String()
}

// weak is what a hit counts that ordinary requests bring about too: two of them are
// still below the default threshold.
const weak = 2

// doubt lowers the points of hits that are known to be ordinary. It sees the whole value
// in which the rule found something.
func doubt(h *Hit, value string) {
	switch {
	case h.Where == "ARGS_NAMES" || strings.HasPrefix(h.Where, "ARGS_NAMES:"):
		// Bodies of an unexpected type are read as one long name of a parameter.
		h.Points = weak
	case h.ID == 930130 && !exposes(value):
		h.Points = weak
	case h.ID == 932160, h.ID == 932130:
		// Paths such as /fcg-bin/x, and $(…) or =>( in scripts: 12 benign, 14 attacks.
		h.Points = weak
	case h.ID == 932260 && !strings.ContainsAny(value, ";|&`$<>/"):
		// A first word that is a command's name too: "lastLoginType", "MySQL compatible".
		h.Points = weak
	}
}

// exposes tells whether a path asks for what no site means to show. The list of the rule
// set (930130) also names config.json and the like, which applications do serve.
func exposes(p string) bool {
	if strings.Contains(p, "/.") {
		return true
	}
	switch strings.ToLower(path.Ext(p)) {
	case "", ".json", ".js", ".map", ".css", ".html", ".txt", ".xml", ".yml", ".yaml", ".lock", ".md":
		return false
	}
	return true
}
