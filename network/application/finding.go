// SPDX-License-Identifier: Apache-2.0

package application

import (
	"fmt"
	"slices"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// technique of ATT&CK per category of the rule set.
var technique = map[string]string{
	"sqli":               "T1190",     // Exploit Public-Facing Application
	"rce":                "T1059",     // Command and Scripting Interpreter
	"lfi":                "T1083",     // File and Directory Discovery
	"rfi":                "T1190",     //
	"xss":                "T1059.007", // JavaScript
	"injection-php":      "T1190",
	"injection-java":     "T1190",
	"injection-generic":  "T1190",
	"ssrf":               "T1190",
	"ssti":               "T1190",
	"ldap":               "T1190",
	"multipart-header":   "T1190",
	"reputation-scanner": "T1595.002", // Vulnerability Scanning
}

// techniqueOf rules that say more than their category.
var techniqueOf = map[int]string{
	933110: "T1505.003", // upload of a PHP page: Web Shell
	933111: "T1505.003",
	932180: "T1505.003", // upload of a file that configures the server
	944140: "T1505.003", // upload of a JSP page
	930130: "T1595.003", // asks for files that word lists hold: Wordlist Scanning
}

// Techniques are those of the hits that count, the heaviest first.
func (r *Result) Techniques() []string {
	var out []string
	for _, h := range r.Hits {
		t := techniqueOf[h.ID]
		if t == "" {
			t = technique[h.Category]
		}
		if t != "" && !slices.Contains(out, t) && (h.Points > weak || len(out) == 0) {
			out = append(out, t)
		}
	}
	return out
}

// maxTold bounds the hits that a finding carries.
const maxTold = 8

// Finding words a result that reaches the threshold, else nil. It is always grey.
func (e *Engine) Finding(ev *event.Event, res *Result) *verdict.Finding {
	if res.Anomaly < e.cfg.Threshold || len(res.Hits) == 0 {
		return nil
	}
	req := ev.GetHttp().GetRequest()
	best := res.Hits[0]
	f := &verdict.Finding{
		Host: ev.Host, WallNs: ev.WallNs, Layer: "network", Stage: "application",
		Rule: fmt.Sprintf("crs-%d", best.ID), RuleVersion: res.Version,
		Title: best.Message, Colour: verdict.Colour_GREY, Score: res.Score(), Techniques: res.Techniques(),
		Events:   []*verdict.EventID{ev.ID()},
		Subjects: []*entity.Sighting{{Kind: entity.Kind_REQUEST, Role: "object", Host: ev.Host, WallNs: ev.WallNs, Request: req}},
	}
	if n := len(res.Hits) - 1; n > 0 {
		f.Title += fmt.Sprintf(" (and %d more)", n)
	}
	if a := req.GetFlow().Src().Addr(); a.IsValid() && !a.IsUnspecified() {
		f.Subjects = append(f.Subjects, &entity.Sighting{Kind: entity.Kind_ADDRESS, Role: "source", Host: ev.Host, WallNs: ev.WallNs, Text: a.String()})
	}
	// One request is one witness: the first hit carries the weight of all.
	root := fmt.Sprintf("request/%s/%s/%.256s", req.GetFlow().Src(), req.GetMethod(), req.GetUri())
	for i, h := range res.Hits {
		if i == maxTold {
			break
		}
		weight := min(float64(res.Weight), float64(h.Points)/2)
		if i == 0 {
			weight = float64(res.Weight)
		}
		f.Evidence = append(f.Evidence, &verdict.Evidence{
			What:  fmt.Sprintf("rule %d, %s: %s", h.ID, h.Message, h.Data),
			Where: h.Where, Weight: weight, Engine: "coraza/" + h.Category, Root: root,
		})
	}
	if res.Cut {
		f.Completeness = &verdict.Completeness{Losses: []*verdict.LossWindow{{Sensor: "network.application", Class: "request",
			FromNs: ev.WallNs, ToNs: ev.WallNs, Reason: fmt.Sprintf("more than %d bytes: the oddest fields were inspected", e.cfg.MaxBytes)}}}
	}
	f.SetID()
	return f
}
