// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// unsupported refuses what its authors have set aside: the status, or the folder that SigmaHQ keeps for it.
func unsupported(r *Rule, keys map[string]*yaml.Node) error {
	if r.Status == "unsupported" {
		// The condition usually shows why, and is the better reason.
		if d := keys["detection"]; d != nil {
			if _, err := detection(d, nil); err != nil {
				return err
			}
		}
		return faultf(keys["status"].Line, "status is unsupported: its authors say that it cannot be used as it is")
	}
	for _, dir := range strings.Split(path.Dir(r.Path), "/") {
		if dir == "unsupported" {
			return faultf(r.Line, `lies in a folder "unsupported": its authors have set it aside`)
		}
	}
	return nil
}

func readMeta(r *Rule, keys map[string]*yaml.Node, line int) error {
	for _, f := range []struct {
		key string
		to  *string
	}{{"id", &r.ID}, {"name", &r.Name}, {"title", &r.Title}, {"description", &r.Description}, {"status", &r.Status},
		{"level", &r.Level}, {"author", &r.Author}, {"license", &r.License}} {
		if keys[f.key] == nil {
			continue
		}
		s, err := text(keys[f.key])
		if err != nil {
			return err
		}
		*f.to = s
	}
	for _, f := range []struct {
		key string
		to  *[]string
	}{{"tags", &r.Tags}, {"references", &r.References}, {"falsepositives", &r.FalsePositives}} {
		s, err := texts(keys[f.key])
		if err != nil {
			return err
		}
		*f.to = s
	}
	if keys["action"] != nil {
		return faultf(keys["action"].Line, "action belongs to the rule collections that left the specification with 2.0")
	}
	if r.Title == "" {
		return faultf(line, "no title")
	}
	r.Level = strings.ToLower(r.Level)
	if r.Level != "" && levels[r.Level] == 0 {
		return faultf(keys["level"].Line, "level %q is none of informational, low, medium, high, critical", r.Level)
	}
	if tax, err := text(keys["taxonomy"]); err != nil || tax != "" && tax != "sigma" {
		return faultf(keys["taxonomy"].Line, "taxonomy %q: only the default taxonomy sigma is known here", tax)
	}
	r.Techniques = techniques(r.Tags)
	if keys["correlation"] != nil {
		return nil
	}
	return readLogSource(r, keys["logsource"], line)
}

func readLogSource(r *Rule, n *yaml.Node, line int) error {
	if n == nil {
		return faultf(line, "no logsource")
	}
	entries, err := pairs(n)
	if err != nil {
		return err
	}
	for _, p := range entries {
		s, err := text(p.value)
		if err != nil && p.key.Value != "definition" {
			return err
		}
		s = strings.ToLower(s)
		switch p.key.Value {
		case "category":
			r.LogSource.Category = s
		case "product":
			r.LogSource.Product = s
		case "service":
			r.LogSource.Service = s
		}
	}
	if r.LogSource == (LogSource{}) {
		return faultf(n.Line, "logsource names no category, product or service")
	}
	return nil
}

// applyFilters puts each filter behind the rules it names.
func (l *loader) applyFilters() {
	for _, f := range l.filters {
		if err := l.filter(f); err != nil {
			l.refuse(f.rule.Path, err)
		}
	}
}

func (l *loader) filter(f *pending) error {
	e, err := detection(f.body, l.opt.Placeholders, "rules")
	if err != nil {
		return err
	}
	var refs []string
	any := true
	entries, _ := pairs(f.body)
	for _, p := range entries {
		if p.key.Value != "rules" {
			continue
		}
		if refs, err = texts(p.value); err != nil {
			return err
		}
		any = len(refs) == 1 && refs[0] == "any"
	}
	// What the filter keeps: its condition where that begins with not, else everything but what it describes.
	keep := e
	if e.op != opNot {
		keep = not(e)
	}
	var targets []*Rule
	for _, r := range l.rules {
		if r.expr == nil || !f.rule.LogSource.covers(r.LogSource) {
			continue
		}
		if any || slices.Contains(refs, r.ID) || r.Name != "" && slices.Contains(refs, r.Name) {
			targets = append(targets, r)
		}
	}
	if len(targets) == 0 {
		return faultf(f.body.Line, "filter names no loaded rule of log source %s", f.rule.LogSource)
	}
	for _, r := range targets {
		r.expr = and(r.expr, keep)
	}
	return nil
}
