// SPDX-License-Identifier: Apache-2.0

package application

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/types"

	"github.com/ringwall/ringwall/verdict"
)

// Hit is one rule that objected.
type Hit struct {
	ID       int
	Message  string
	Category string // of the attack: sqli, rce, …
	Points   int    // of the anomaly score
	Where    string // ARGS:id
	Data     string // what matched, bounded; hashes stand for secrets
}

// Result is what the rules say of one request.
type Result struct {
	Hits       []Hit // heaviest first
	Anomaly    int   // sum of points, as the Core Rule Set counts
	Categories []string
	Weight     verdict.LogOdds
	Cut        bool // not all of the request was inspected
	Version    string
}

// points per severity, as REQUEST-901 sets them.
func points(s types.RuleSeverity) int {
	switch s {
	case types.RuleSeverityEmergency, types.RuleSeverityAlert, types.RuleSeverityCritical:
		return 5
	case types.RuleSeverityError:
		return 4
	case types.RuleSeverityWarning:
		return 3
	case types.RuleSeverityNotice:
		return 2
	}
	return 0
}

// maxData bounds what a hit shows of a request.
const maxData = 120

// weigh turns matched rules into hits. Rules without a category of attack do not count.
func weigh(matched []types.MatchedRule) Result {
	var res Result
	for _, m := range matched {
		meta := m.Rule()
		p := points(meta.Severity())
		kind := category(meta.Tags())
		if p == 0 || kind == "" {
			continue
		}
		h := Hit{ID: meta.ID(), Message: m.Message(), Category: kind, Points: p}
		if d := m.MatchedDatas(); len(d) > 0 {
			// The end of a chain is what the rule is about.
			last := d[len(d)-1]
			h.Where = last.Variable().Name()
			if last.Key() != "" {
				h.Where += ":" + clip(last.Key(), 64)
			}
			h.Data = shown(last.Value())
			doubt(&h, last.Value())
		}
		res.Anomaly += h.Points
		res.Hits = append(res.Hits, h)
		if !slices.Contains(res.Categories, kind) {
			res.Categories = append(res.Categories, kind)
		}
	}
	first := func(h Hit) int {
		if certain[h.ID] {
			return h.Points + 1
		}
		return h.Points
	}
	slices.SortStableFunc(res.Hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(first(b), first(a)), cmp.Compare(a.ID, b.ID))
	})
	slices.Sort(res.Categories)
	res.Weight = res.weight()
	return res
}

// steps are the weights of anomaly scores: logarithms of how many times more often
// attacks than ordinary requests reach them (http_browsing, half of the sites; the
// figures are repeated by TestBrowsing). Beyond the last step the sample holds too few
// ordinary requests to say more.
var steps = []struct {
	anomaly int
	weight  verdict.LogOdds
}{{20, 7}, {15, 6}, {10, 5}, {5, 3.5}}

// certain rules weigh more than their points: what they name has no ordinary use on a
// site, whatever else the request holds.
var certain = map[int]bool{
	933110: true, 932180: true, 944140: true, // uploads of pages and of server configuration
	913100: true, // scanners that name themselves
	932170: true, // Shellshock
	944150: true, // Log4Shell
}

func (r *Result) weight() verdict.LogOdds {
	var w verdict.LogOdds
	for _, s := range steps {
		if r.Anomaly >= s.anomaly {
			w = s.weight
			break
		}
	}
	for _, h := range r.Hits {
		if certain[h.ID] {
			w = max(w, 5)
		}
	}
	return w
}

// prior: one request in a hundred of an exposed site is an attack. An assumption; decide
// has its own.
const prior = verdict.LogOdds(-4.6)

// mostScore keeps the score of what rules alone say below conviction.
const mostScore = 0.85

// Score is the probability that the request is an attack, under prior.
func (r *Result) Score() float64 {
	if r.Weight == 0 {
		return 0
	}
	return min(mostScore, (prior + r.Weight).Probability())
}

// category is the kind of attack that a rule of these tags is about, "" for form.
func category(tags []string) string {
	for _, t := range tags {
		if kind, ok := strings.CutPrefix(t, "attack-"); ok {
			switch kind {
			case "protocol", "generic", "deprecated-header":
				return ""
			}
			return kind
		}
	}
	return ""
}

// shown bounds a text and keeps it on one line.
func shown(s string) string {
	if len(s) > maxData {
		s = s[:maxData] + "…"
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
