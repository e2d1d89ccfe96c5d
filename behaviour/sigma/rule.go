// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"slices"
	"strings"
)

// Fields is one event as rules see it. The methods are called only during Match and only for fields that some
// rule needs; strings are not kept. Numbers are given as decimal text. A field without a value (the "-" of an
// access log) is absent, not "-".
type Fields interface {
	// LogSource says where the event comes from; empty parts are unknown.
	LogSource() LogSource
	// Field gives the value of one Sigma field; ok is false when the event has no such field.
	Field(name string) (value string, ok bool)
	// Keywords gives the text that keyword rules search: the raw line, or all values joined. Empty: none.
	Keywords() string
}

// LogSource names a kind of log as in the logsource section of a rule.
type LogSource struct {
	Category string `json:"category,omitempty"`
	Product  string `json:"product,omitempty"`
	Service  string `json:"service,omitempty"`
}

// covers says whether a rule for s applies to events of ev: every part that the rule names must be equal.
func (s LogSource) covers(ev LogSource) bool {
	return (s.Category == "" || s.Category == ev.Category) &&
		(s.Product == "" || s.Product == ev.Product) &&
		(s.Service == "" || s.Service == ev.Service)
}

func (s LogSource) String() string {
	var parts []string
	for _, p := range [][2]string{{"category", s.Category}, {"product", s.Product}, {"service", s.Service}} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	return strings.Join(parts, " ")
}

// Rule is one compiled rule. It is read-only and shared by all goroutines.
type Rule struct {
	ID             string // id, or path#number where the rule has none
	Name           string
	Title          string
	Description    string
	Level          string // informational, low, medium, high, critical; "" when the rule does not say
	Status         string
	Tags           []string // as written
	Techniques     []string // ATT&CK 18.1 ids, upper case; newer ids are mapped back, see techniques
	Author         string
	License        string // the rule's own, else that of its Source
	References     []string
	FalsePositives []string
	LogSource      LogSource
	Path           string // file, with the name of its Source in front
	Line           int    // where the document begins
	Version        string // hash of the file's bytes: findings record it
	// Quiet rules serve a correlation that did not ask for them to be reported alone (generate: false).
	// Set.Match gives them, Stream.Match does not.
	Quiet bool

	index   int
	expr    *expr
	related *correlation // for correlation rules; expr is nil then
}

// Correlation says whether the rule looks at several events; such rules come only out of a Stream.
func (r *Rule) Correlation() bool { return r.related != nil }

// Attribution is the line that the Detection Rule License asks to keep with every message from a match.
func (r *Rule) Attribution() string {
	s := "rule " + r.Title
	if r.Author != "" {
		s += ", by " + r.Author
	}
	if r.License != "" {
		s += ", " + r.License
	}
	return s
}

var levels = map[string]int{"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

// Severity orders levels: 0 for none, 1 informational … 5 critical.
func (r *Rule) Severity() int { return levels[r.Level] }

// Asks says whether the rule looks at a field.
func (r *Rule) Asks(field string) bool { return r.expr.asks(field) }

func (e *expr) asks(field string) bool {
	return e != nil && (e.op == opTest && e.test.field == field || slices.ContainsFunc(e.kids, func(k *expr) bool { return k.asks(field) }))
}

// newerTechniques maps ids of the ATT&CK version after 18.1, which rules already use, to 18.1. An id with no
// counterpart of its own goes to that of its parent.
var newerTechniques = map[string]string{
	"T1685":     "T1562.001", // Disable or Modify Tools
	"T1685.002": "T1562.008", // … Cloud Log
	"T1685.004": "T1562.012", // … Linux Audit System Log
	"T1685.006": "T1070.002", // Clear Linux or Mac System Logs
	"T1686":     "T1562.004", // Disable or Modify System Firewall
	"T1689":     "T1562.010", // Downgrade Attack
	"T1690":     "T1562.003", // Prevent Command History Logging
}

// techniques reads the ATT&CK technique ids out of tags such as attack.t1059.004.
func techniques(tags []string) []string {
	var ids []string
	seen := map[string]bool{}
	for _, tag := range tags {
		id, ok := strings.CutPrefix(strings.ToLower(tag), "attack.t")
		if !ok || len(id) < 4 || id[0] < '0' || id[0] > '9' {
			continue
		}
		id = "T" + id
		if older, ok := newerTechniques[id]; ok {
			id = older
		} else if parent, _, ok := strings.Cut(id, "."); ok && newerTechniques[parent] != "" {
			id = newerTechniques[parent]
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
