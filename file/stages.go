// SPDX-License-Identifier: Apache-2.0

package file

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/file/known"
	"github.com/ringwall/ringwall/file/light"
	"github.com/ringwall/ringwall/verdict"
)

// root names the fact that all evidence on one content rests on: many rules
// on one file are one witness.
func (it *item) root() string {
	if it.res.SHA256 != "" {
		return "content:" + it.res.SHA256
	}
	return "file:" + it.res.Path
}

func (j *Judge) judgeKnown(_ context.Context, it *item) (verdict.Verdict, error) {
	f := known.File{SHA256: it.sum, ID: it.res.ID, MD5: it.md5}
	if it.disk {
		f.Path = it.res.Path
	}
	a, err := j.known.Check(f, it.now)
	if err != nil {
		return verdict.Verdict{}, err
	}
	it.res.Package, it.res.Again = a.Package, a.Again
	v := verdict.Verdict{Colour: a.Colour, Score: a.Score, Engine: "known"}
	if a.Colour == verdict.Colour_WHITE || a.Score == 0 {
		return v, nil
	}
	// A changed program is worth more than a changed page or script, which
	// administrators do edit.
	if a.Modified && it.res.Kind == "elf" {
		v.Score = max(v.Score, 0.8)
	}
	what := a.Reason
	if a.Package != "" {
		what += " of " + a.Package
	}
	v.Evidence = []*verdict.Evidence{{What: what, Where: it.res.Path, Weight: float64(verdict.Odds(v.Score)), Engine: "known", Root: it.root()}}
	it.res.Engines = append(it.res.Engines, Engine{Name: "known", Score: v.Score, Evidence: v.Evidence})
	switch {
	case a.Modified:
		it.technique("T1554") // Compromise Host Software Binary
	case a.Colour == verdict.Colour_BLACK:
		it.technique("T1105") // Ingress Tool Transfer: the least that a listed content here says
	}
	return v, nil
}

func (j *Judge) judgeLight(_ context.Context, it *item) (verdict.Verdict, error) {
	set := j.rules.Load()
	s := set.scanners.Get().(*light.Scanner)
	matches := s.Scan(it.data, it.vars)
	work := s.Work()
	set.scanners.Put(s)
	if work.Cut != "" {
		it.partial("rules stopped at their bound on " + work.Cut)
	}
	slices.SortStableFunc(matches, func(a, b light.Match) int { return cmp.Compare(b.Score(), a.Score()) })
	v := verdict.Verdict{Engine: "light"}
	it.res.Rules = set.rules.Version()
	for _, m := range matches {
		score := m.Score()
		e := &verdict.Evidence{
			What: m.Rule + ": " + m.Meta["description"], Where: where(m), Weight: float64(verdict.Odds(score)),
			Engine: "light/" + m.Rule, Root: it.root(),
		}
		v.Evidence = append(v.Evidence, e)
		it.res.Engines = append(it.res.Engines, Engine{Name: e.Engine, Score: score, Evidence: []*verdict.Evidence{e}})
		it.technique(m.Meta["technique"])
		if score > v.Score {
			v.Score, v.Family = score, m.Meta["family"]
		}
	}
	if v.Score >= j.cfg.Convict {
		v.Colour = verdict.Colour_BLACK
	}
	return v, nil
}

func (it *item) partial(why string) {
	if it.res.Partial != "" {
		why = it.res.Partial + "; " + why
	}
	it.res.Partial = why
}

func (it *item) technique(id string) {
	if id != "" && !slices.Contains(it.res.Techniques, id) {
		it.res.Techniques = append(it.res.Techniques, id)
	}
}

// where shows the places of a match: string, offset, excerpt.
func where(m light.Match) string {
	var b strings.Builder
	for i, s := range m.Strings {
		if i == 3 {
			fmt.Fprintf(&b, ", and %d more", len(m.Strings)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s at %d: %s", s.ID, s.Offset, s.Excerpt)
	}
	return b.String()
}
