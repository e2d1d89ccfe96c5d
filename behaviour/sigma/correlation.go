// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxCount bounds the count that a correlation may ask for, since a window remembers that many events.
const maxCount = 1 << 16

// correlation is the compiled correlation section of a rule (Sigma Correlation Rules Specification 2.1).
type correlation struct {
	kind     string // event_count value_count temporal temporal_ordered
	refs     []string
	rules    []*Rule // what refs name, in order
	groupBy  []string
	aliases  map[string]map[string]string
	keys     [][]string // by place in rules: the event's fields for groupBy
	fields   []string   // value_count
	span     time.Duration
	cond     bounds
	generate bool
	lines    map[string]int
}

// bounds is what a count must meet: lo <= count <= hi and not equal to except.
type bounds struct {
	lo, hi, except int64
	whole          bool // temporal: all rules
}

// open says that a count which once met the bounds goes on meeting them, so that a match can be told at once.
// Otherwise only the end of the window decides.
func (b bounds) open() bool { return b.hi == math.MaxInt64 && b.except < 0 }

func (b bounds) meet(n int64) bool { return n >= b.lo && n <= b.hi && n != b.except }

func (c *correlation) ordered() bool { return c.kind == "temporal_ordered" }

func (c *correlation) temporal() bool { return c.kind == "temporal" || c.ordered() }

// line gives the line of a key of the section, for refusals.
func (c *correlation) line(key string) int { return max(c.lines[key], c.lines[""]) }

func parseCorrelation(n *yaml.Node, top map[string]*yaml.Node) (*correlation, error) {
	entries, err := pairs(n)
	if err != nil {
		return nil, err
	}
	c := &correlation{lines: map[string]int{"": n.Line}, cond: bounds{hi: math.MaxInt64, except: -1}}
	keys := map[string]*yaml.Node{}
	for _, p := range entries {
		keys[p.key.Value] = p.value
		c.lines[p.key.Value] = p.key.Line
	}
	if c.kind, err = text(keys["type"]); err != nil {
		return nil, err
	}
	switch c.kind {
	case "event_count", "value_count", "temporal", "temporal_ordered":
	case "value_sum", "value_avg", "value_percentile":
		return nil, faultf(c.line("type"), "correlation type %s is not done: it needs every value of a window in memory", c.kind)
	default:
		return nil, faultf(c.line("type"), "correlation type %q is not in the specification", c.kind)
	}
	if c.refs, err = texts(keys["rules"]); err != nil {
		return nil, err
	}
	if c.groupBy, err = texts(keys["group-by"]); err != nil {
		return nil, err
	}
	span, err := text(keys["timespan"])
	if err != nil {
		return nil, err
	}
	if c.span, err = timespan(span); err != nil {
		return nil, faultf(c.line("timespan"), "%v", err)
	}
	if err := c.readAliases(keys["aliases"]); err != nil {
		return nil, err
	}
	// The schema has generate beside the section, examples have it inside.
	for _, g := range []*yaml.Node{keys["generate"], top["generate"]} {
		c.generate = c.generate || g != nil && strings.EqualFold(g.Value, "true")
	}
	if err := c.readCondition(keys["condition"]); err != nil {
		return nil, err
	}
	return c, c.check()
}

type badSpan string

func (s badSpan) Error() string {
	return "timespan " + strconv.Quote(string(s)) + " is not a number with s, m, h or d, up to 366d"
}

func timespan(s string) (time.Duration, error) {
	if len(s) < 2 {
		return 0, badSpan(s)
	}
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if err != nil || n == 0 || unit == 0 || time.Duration(n) > 366*24*time.Hour/unit {
		return 0, badSpan(s)
	}
	return time.Duration(n) * unit, nil
}

func (c *correlation) readAliases(n *yaml.Node) error {
	if n == nil {
		return nil
	}
	c.aliases = map[string]map[string]string{}
	names, err := pairs(n)
	if err != nil {
		return err
	}
	for _, a := range names {
		of, err := pairs(a.value)
		if err != nil {
			return err
		}
		m := map[string]string{}
		for _, p := range of {
			if m[p.key.Value], err = text(p.value); err != nil {
				return err
			}
		}
		c.aliases[a.key.Value] = m
	}
	return nil
}

func (c *correlation) readCondition(n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return faultf(n.Line, "a correlation's condition must be a map such as {gte: 10}; text is not done")
	}
	entries, err := pairs(n)
	if err != nil {
		return err
	}
	numbers := 0
	for _, p := range entries {
		if p.key.Value == "field" {
			if c.fields, err = texts(p.value); err != nil {
				return err
			}
			continue
		}
		v, err := strconv.ParseInt(p.value.Value, 10, 64)
		if err != nil || v < 0 || v > maxCount {
			return faultf(p.value.Line, "condition %s: %q is not a whole number from 0 to %d", p.key.Value, p.value.Value, maxCount)
		}
		numbers++
		switch p.key.Value {
		case "gt":
			c.cond.lo = max(c.cond.lo, v+1)
		case "gte":
			c.cond.lo = max(c.cond.lo, v)
		case "lt":
			c.cond.hi = min(c.cond.hi, v-1)
		case "lte":
			c.cond.hi = min(c.cond.hi, v)
		case "eq":
			c.cond.lo, c.cond.hi = max(c.cond.lo, v), min(c.cond.hi, v)
		case "neq":
			c.cond.except = v
		default:
			return faultf(p.key.Line, "condition %q is none of gt, gte, lt, lte, eq, neq, field", p.key.Value)
		}
	}
	if numbers == 0 {
		c.lines["condition"] = 0
	}
	return nil
}

// check holds the section against what its type needs.
func (c *correlation) check() error {
	hasCount := c.lines["condition"] > 0
	switch {
	case len(c.refs) == 0:
		return faultf(c.line("rules"), "a correlation needs rules")
	case len(c.refs) > 64:
		return faultf(c.line("rules"), "a correlation over more than 64 rules")
	case !c.temporal() && !hasCount:
		return faultf(c.line("condition"), "%s needs a condition with a count", c.kind)
	case c.kind == "value_count" && len(c.fields) == 0:
		return faultf(c.line("condition"), "value_count needs a field in its condition")
	case c.kind != "value_count" && len(c.fields) > 0:
		return faultf(c.line("condition"), "field belongs to the value_ types, not to %s", c.kind)
	}
	all := int64(len(c.refs))
	if c.temporal() {
		if !hasCount {
			c.cond.lo = all
		}
		if !c.cond.open() {
			return faultf(c.line("condition"), "%s with an upper bound is not done: it would report what did not happen", c.kind)
		}
		if c.cond.lo > all {
			return faultf(c.line("condition"), "asks for %d of %d rules", c.cond.lo, all)
		}
		if c.ordered() && c.cond.lo != all {
			return faultf(c.line("condition"), "temporal_ordered over a part of its rules is not done")
		}
		c.cond.whole = c.cond.lo == all
	}
	c.cond.lo = max(c.cond.lo, 1)
	if c.cond.lo > c.cond.hi || c.cond.lo == c.cond.hi && c.cond.lo == c.cond.except {
		return faultf(c.line("condition"), "no count can meet this condition: a window opens with its first event")
	}
	return nil
}

// applyCorrelations resolves what correlations refer to. One that is refused takes those with it that use it.
func (l *loader) applyCorrelations() {
	for _, p := range l.correlations {
		c, err := parseCorrelation(p.body, p.top)
		if err != nil {
			l.refuse(p.rule.Path, err)
			l.drop(p.rule)
			continue
		}
		p.rule.related = c
	}
	for changed := true; changed; {
		changed = false
		for _, p := range l.correlations {
			if p.rule.related == nil {
				continue
			}
			if err := l.resolve(p.rule); err != nil {
				l.refuse(p.rule.Path, err)
				l.drop(p.rule)
				p.rule.related = nil
				changed = true
			}
		}
	}
	loud := map[*Rule]bool{}
	for _, p := range l.correlations {
		if c := p.rule.related; c != nil {
			for _, r := range c.rules {
				r.Quiet = true
				loud[r] = loud[r] || c.generate
			}
		}
	}
	for r, is := range loud {
		r.Quiet = !is
	}
}

func (l *loader) resolve(r *Rule) error {
	c := r.related
	c.rules, c.keys = nil, nil
	for _, ref := range c.refs {
		to := l.find(ref)
		switch {
		case to == nil:
			return faultf(c.line("rules"), "correlation names rule %q, which is not loaded", ref)
		case to.related != nil && !to.related.cond.open():
			return faultf(c.line("rules"), "correlation names %q, whose upper bound is decided only when its window ends", ref)
		case slices.Contains(c.rules, to):
			return faultf(c.line("rules"), "correlation names rule %q twice", ref)
		case to == r || l.reaches(to, r, 0):
			return faultf(c.line("rules"), "correlation names %q, which in turn depends on this one", ref)
		}
		c.rules = append(c.rules, to)
		var keys []string
		for _, g := range c.groupBy {
			name := g
			if alias, ok := c.aliases[g]; ok {
				if name = alias[to.Name]; name == "" {
					name = alias[to.ID]
				}
				if name == "" {
					return faultf(c.line("aliases"), "alias %q says nothing about rule %q", g, ref)
				}
			}
			keys = append(keys, name)
		}
		c.keys = append(c.keys, keys)
	}
	return nil
}

// reaches says whether a correlation depends on another, over any number of steps.
func (l *loader) reaches(from, to *Rule, depth int) bool {
	if from.related == nil {
		return false
	}
	if depth > maxDepth {
		return true
	}
	for _, ref := range from.related.refs {
		if r := l.find(ref); r != nil && (r == to || l.reaches(r, to, depth+1)) {
			return true
		}
	}
	return false
}
